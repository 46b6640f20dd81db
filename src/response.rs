//! How a verdict is told to the policy server.

use acr_credential_core::policy::{Rule, Splice, Verdict};
use serde::Serialize;

/// `ValidationResponse` of the policy SDK, less the mutated object: that one is written as it is, not serialised.
#[derive(Default, Serialize)]
struct Response<'a> {
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<AuditAnnotations>,
}

#[derive(Serialize)]
struct AuditAnnotations {
    rule: Rule,
}

/// The answer to the policy server.
///
/// # Errors
/// Never in practice: strings and numbers always serialise.
pub(crate) fn to_json(verdict: &Verdict<'_>) -> serde_json::Result<Vec<u8>> {
    let by = |rule| Some(AuditAnnotations { rule });
    let accepted = Response { accepted: true, ..Response::default() };
    match verdict {
        Verdict::NotSelected | Verdict::Accept => serde_json::to_vec(&accepted),
        Verdict::LeaveAlone { rule, warnings } => {
            serde_json::to_vec(&Response { warnings, audit_annotations: by(*rule), ..accepted })
        }
        Verdict::Mutate { rule, object, splice, warnings } => {
            let head = Response { warnings, audit_annotations: by(*rule), ..accepted };
            with_mutated_object(&head, object, splice)
        }
        Verdict::Refuse { rule, message } => serde_json::to_vec(&Response {
            message: Some(message),
            code: Some(403),
            audit_annotations: by(*rule),
            ..Response::default()
        }),
        Verdict::Error { code, message } => {
            serde_json::to_vec(&Response { message: Some(message), code: Some(*code), ..Response::default() })
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
