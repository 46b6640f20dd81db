//! The response to the policy server.

use acr_credential_core::policy::{Rule, Splice, Verdict};
use serde::Serialize;

/// `ValidationResponse` of the policy SDK without the mutated object, which is copied as text and not serialised.
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

/// Returns the response to the policy server as JSON.
///
/// # Errors
/// Never returns an error in practice: strings and numbers can always be serialised.
pub(crate) fn to_json(verdict: &Verdict<'_>) -> serde_json::Result<Vec<u8>> {
    let by = |rule: &Rule| Some(AuditAnnotations { rule: *rule });
    let head = match verdict {
        Verdict::NotSelected | Verdict::Accept => Response { accepted: true, ..Response::default() },
        Verdict::LeaveAlone { rule, warnings } | Verdict::Mutate { rule, warnings, .. } => {
            Response { accepted: true, warnings, audit_annotations: by(rule), ..Response::default() }
        }
        Verdict::Refuse { rule, message } => Response {
            message: Some(message),
            code: Some(403),
            audit_annotations: by(rule),
            ..Response::default()
        },
        Verdict::Error { code, message } => {
            Response { message: Some(message), code: Some(*code), ..Response::default() }
        }
    };
    let mut json = serde_json::to_vec(&head)?;
    if let Verdict::Mutate { object, splice, .. } = verdict {
        add_mutated_object(&mut json, object, splice);
    }
    Ok(json)
}

/// Adds the object's own bytes, with the one change, to the rest of the response.
fn add_mutated_object(json: &mut Vec<u8>, object: &str, splice: &Splice) {
    const FIELD: &[u8] = br#","mutated_object":"#;
    json.reserve(FIELD.len() + object.len() + splice.text.len());
    // This removes the closing brace, which is added again after the last field.
    json.pop();
    json.extend_from_slice(FIELD);
    let object = object.as_bytes();
    json.extend_from_slice(object.get(..splice.at.start).unwrap_or_default());
    json.extend_from_slice(splice.text.as_bytes());
    json.extend_from_slice(object.get(splice.at.end..).unwrap_or_default());
    json.push(b'}');
}
