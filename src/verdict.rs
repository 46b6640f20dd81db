//! What the policy decided, and how it is told to the policy server.

use std::ops::Range;

use serde::Serialize;

/// The outcome of one review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    /// Not selected, or nothing to do.
    Accept,
    /// Accept as it is, although the list is manual: the settings say so.
    LeaveAlone { rule: Rule, warning: Option<String> },
    /// Accept with one insertion.
    Mutate { rule: Rule, object: &'a str, splice: Splice, warning: Option<String> },
    /// Refuse; the rules forbid it.
    Refuse { rule: Rule, message: String },
    /// Refuse; the request cannot be understood, or the settings are wrong.
    Error { code: u16, message: String },
}

/// Which rule acted; the value of the audit annotation `rule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A Pod whose list held nothing manual got the pull secret.
    PodAppended,
    /// A Pod with a manual list got it.
    PodMerged,
    /// A Pod with a manual list was left alone, as the settings say.
    PodIgnored,
    /// A Pod with a manual list was refused.
    PodRefused,
    /// A workload with a manual list was refused.
    WorkloadRefused,
    /// A workload with a manual list was accepted with a warning.
    WorkloadWarned,
    /// A service account got the pull secret.
    ServiceAccountAppended,
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Self::PodAppended => "pod-appended",
            Self::PodMerged => "pod-merged",
            Self::PodIgnored => "pod-ignored",
            Self::PodRefused => "pod-refused",
            Self::WorkloadRefused => "workload-refused",
            Self::WorkloadWarned => "workload-warned",
            Self::ServiceAccountAppended => "service-account-appended",
        }
    }
}

/// One change of a text: `text` instead of what stands at `at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Splice {
    pub(crate) at: Range<usize>,
    pub(crate) text: String,
}

/// `ValidationResponse` of the policy SDK, less the mutated object: that one is written as it is, not serialised.
#[derive(Serialize)]
struct Response<'a> {
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<AuditAnnotations>,
}

#[derive(Serialize)]
struct AuditAnnotations {
    rule: &'static str,
}

fn response<'a>(accepted: bool, rule: Option<Rule>) -> Response<'a> {
    let audit_annotations = rule.map(|rule| AuditAnnotations { rule: rule.name() });
    Response { accepted, message: None, code: None, warnings: None, audit_annotations }
}

fn accepted(rule: Rule, warning: Option<&str>) -> Response<'_> {
    Response { warnings: warning.map(|warning| [warning]), ..response(true, Some(rule)) }
}

impl Verdict<'_> {
    /// The answer to the policy server, as JSON.
    ///
    /// # Errors
    /// Never in practice: strings and numbers always serialise.
    pub(crate) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        match self {
            Self::Accept => Ok(br#"{"accepted":true}"#.to_vec()),
            Self::LeaveAlone { rule, warning } => serde_json::to_vec(&accepted(*rule, warning.as_deref())),
            Self::Mutate { rule, object, splice, warning } => {
                with_mutated_object(&accepted(*rule, warning.as_deref()), object, splice)
            }
            Self::Refuse { rule, message } => serde_json::to_vec(&Response {
                message: Some(message),
                code: Some(403),
                ..response(false, Some(*rule))
            }),
            Self::Error { code, message } => serde_json::to_vec(&Response {
                message: Some(message),
                code: Some(*code),
                ..response(false, None)
            }),
        }
    }
}

/// Appends the object's own bytes, with the one change, to the rest of the answer.
fn with_mutated_object(head: &Response<'_>, object: &str, splice: &Splice) -> serde_json::Result<Vec<u8>> {
    const FIELD: &[u8] = br#","mutated_object":"#;
    const HEAD: usize = 256;
    let mut json = Vec::with_capacity(HEAD + FIELD.len() + object.len() + splice.text.len());
    serde_json::to_writer(&mut json, head)?;
    // The closing brace; it comes back after the last field.
    json.pop();
    json.extend_from_slice(FIELD);
    let object = object.as_bytes();
    json.extend_from_slice(object.get(..splice.at.start).unwrap_or_default());
    json.extend_from_slice(splice.text.as_bytes());
    json.extend_from_slice(object.get(splice.at.end..).unwrap_or_default());
    json.push(b'}');
    Ok(json)
}
