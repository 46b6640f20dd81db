//! From an `AdmissionReview` to what a policy is shown, and from its verdict to the answer for the API server.
//!
//! This is the part of policy-server that a policy can feel: which fields reach it and in which order, how a mutated
//! object becomes a patch, and what the mode, `mutating` and `message` of its manifest do to the answer.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::authentication::v1::UserInfo;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::wasm::Trap;

/// An `AdmissionReview` that asks.
#[derive(Clone, Debug, Deserialize)]
pub struct AdmissionReview {
    /// The question.
    pub request: AdmissionRequest,
}

/// The fields of an `AdmissionRequest` that policy-server knows. It drops the others, and those that are null.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionRequest {
    /// Identifies the request; the answer repeats it.
    pub uid: String,
    /// The kind of the object as the webhook's rules match it.
    pub kind: GroupVersionKind,
    /// The resource as the webhook's rules match it.
    pub resource: GroupVersionResource,
    /// Such as `scale`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_resource: Option<String>,
    /// The kind that the client sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_kind: Option<GroupVersionKind>,
    /// The resource that the client addressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_resource: Option<GroupVersionResource>,
    /// The subresource that the client addressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_sub_resource: Option<String>,
    /// Empty for an object that is yet to be given a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The namespace of the request, whatever the object says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: String,
    /// Who asks.
    pub user_info: UserInfo,
    /// The object after the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Value>,
    /// The object before the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_object: Option<Value>,
    /// Whether nothing will be stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// The options of the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Value>,
}

/// A kind with its group and version.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupVersionKind {
    /// Empty for the core group.
    pub group: String,
    /// Such as `v1`.
    pub version: String,
    /// Such as `Pod`.
    pub kind: String,
}

/// A resource with its group and version.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupVersionResource {
    /// Empty for the core group.
    pub group: String,
    /// Such as `v1`.
    pub version: String,
    /// Such as `pods`.
    pub resource: String,
}

/// What a policy answers.
#[derive(Clone, Debug, Deserialize)]
pub struct Verdict {
    /// Whether the request may go on.
    pub accepted: bool,
    /// Why not.
    pub message: Option<String>,
    /// The HTTP status of a refusal.
    pub code: Option<u16>,
    /// The object as it should be.
    pub mutated_object: Option<Value>,
    /// For the audit log of the API server.
    pub audit_annotations: Option<BTreeMap<String, String>>,
    /// For the user, whatever the verdict.
    pub warnings: Option<Vec<String>>,
}

/// The answer to an `AdmissionRequest`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionResponse {
    /// The request's.
    pub uid: String,
    /// Whether the request may go on.
    pub allowed: bool,
    /// `JSONPatch` with a patch, absent without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_type: Option<String>,
    /// A JSON patch in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// What the client is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ResponseStatus>,
    /// For the audit log of the API server.
    pub audit_annotations: Option<BTreeMap<String, String>>,
    /// For the user.
    pub warnings: Option<Vec<String>>,
}

/// The part of a `Status` that policy-server fills in.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ResponseStatus {
    /// Why the request was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What led to the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<ResponseDetails>,
    /// The HTTP status; the API server makes 403 of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
}

/// Details of a refusal.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ResponseDetails {
    /// The policy's own words, where the manifest replaces them.
    pub causes: Vec<ResponseCause>,
}

/// One cause of a refusal.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ResponseCause {
    /// Never set.
    pub reason: Option<String>,
    /// The policy's own words.
    pub message: Option<String>,
    /// Never set.
    pub field: Option<String>,
}

/// Whether a policy's verdict counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It does.
    #[default]
    Protect,
    /// It is logged, and the request goes on as it came.
    Monitor,
}

/// What a manifest says of the answers of its policy.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// The name that the policy is served under.
    pub policy: &'a str,
    /// Whether the verdict counts.
    pub mode: Mode,
    /// Whether the policy may change objects.
    pub mutating: bool,
    /// What users read in place of the policy's own message.
    pub message: Option<&'a str>,
}

impl AdmissionRequest {
    /// The bytes that the policy's `validate` is given. Keys are sorted at every depth, as in policy-server.
    ///
    /// # Errors
    /// None that are known; writing JSON to memory can fail by its signature only.
    pub fn payload(&self, settings: &Map<String, Value>) -> Result<Vec<u8>> {
        serde_json::to_vec(&json!({"request": self, "settings": settings}))
            .context("failed to write the payload of the policy")
    }
}

impl AdmissionResponse {
    /// The answer that a policy's verdict, or its failure, comes to.
    #[must_use]
    pub fn new(request: &AdmissionRequest, outcome: Result<Vec<u8>, Trap>, terms: &Terms<'_>) -> Self {
        let uid = request.uid.as_str();
        let answer = match outcome {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(verdict) => Self::from_verdict(uid, request.object.as_ref(), verdict),
                Err(error) => Self::internal_error(uid, &format!("invalid response from policy: {error}")),
            },
            Err(trap @ Trap::Interrupted) => Self::refusal(uid, trap.to_string(), Some(500)),
            Err(trap) => Self::internal_error(uid, &trap.to_string()),
        };
        answer.on(terms)
    }

    /// The patch, decoded.
    ///
    /// # Errors
    /// When there is a patch that is no JSON in base64.
    pub fn decoded_patch(&self) -> Result<Option<Value>> {
        let Some(patch) = &self.patch else { return Ok(None) };
        let json = STANDARD.decode(patch).context("failed to decode the patch")?;
        serde_json::from_slice(&json).context("failed to parse the patch").map(Some)
    }

    /// The message of the status, or nothing.
    #[must_use]
    pub fn message(&self) -> &str {
        self.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default()
    }

    fn refusal(uid: &str, message: String, code: Option<u16>) -> Self {
        let status = ResponseStatus { message: Some(message), code, details: None };
        Self { uid: uid.to_owned(), allowed: false, status: Some(status), ..Self::default() }
    }

    fn internal_error(uid: &str, message: &str) -> Self {
        Self::refusal(uid, format!("internal server error: {message}"), Some(500))
    }

    fn from_verdict(uid: &str, object: Option<&Value>, verdict: Verdict) -> Self {
        let Verdict { accepted, message, code, mutated_object, audit_annotations, warnings } = verdict;
        let patch = match (object, mutated_object) {
            (_, None) => None,
            (Some(object), Some(mutated)) => {
                Some(json_patch::diff(object, &mutated)).filter(|patch| !patch.0.is_empty())
            }
            (None, Some(_)) => {
                let message = "Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed";
                return Self::refusal(uid, message.to_owned(), None);
            }
        };
        let patch = match patch.as_ref().map(serde_json::to_vec).transpose() {
            Ok(patch) => patch.map(|json| STANDARD.encode(json)),
            Err(error) => return Self::internal_error(uid, &format!("invalid response format: {error}")),
        };
        Self {
            uid: uid.to_owned(),
            allowed: accepted,
            patch_type: patch.is_some().then(|| "JSONPatch".to_owned()),
            patch,
            status: (message.is_some() || code.is_some()).then_some(ResponseStatus {
                message,
                code,
                details: None,
            }),
            audit_annotations,
            warnings,
        }
    }

    /// Applies the manifest, in the order in which policy-server does.
    fn on(self, terms: &Terms<'_>) -> Self {
        let Terms { policy, mode, mutating, message } = *terms;
        let answer = match mode {
            Mode::Monitor => Self { allowed: true, patch_type: None, patch: None, status: None, ..self },
            Mode::Protect if self.patch.is_some() && !mutating => {
                let message = format!(
                    "Request rejected by policy {policy}. The policy attempted to mutate the request, but it is currently configured to not allow mutations."
                );
                let Self { audit_annotations, warnings, uid, .. } = self;
                Self { audit_annotations, warnings, ..Self::refusal(&uid, message, None) }
            }
            Mode::Protect => self,
        };
        match message {
            Some(message) if !answer.allowed => answer.explained_as(message),
            _ => answer,
        }
    }

    /// Puts the manifest's message first and the policy's own among the causes.
    fn explained_as(self, message: &str) -> Self {
        let status = self.status.unwrap_or_default();
        let own_words =
            ResponseCause { message: Some(status.message.unwrap_or_default()), ..Default::default() };
        let status = ResponseStatus {
            message: Some(message.to_owned()),
            details: Some(ResponseDetails { causes: vec![own_words] }),
            code: status.code,
        };
        Self { status: Some(status), ..self }
    }

    /// The whole `AdmissionReview` that the API server is sent.
    #[must_use]
    pub fn into_review(self) -> Value {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": self})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(object: &Value) -> AdmissionRequest {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "operation": "CREATE", "unknown": 1, "oldObject": null, "namespace": "team-a",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "userInfo": {"username": "alice"}, "object": object
            }
        });
        serde_json::from_value::<AdmissionReview>(review).unwrap().request
    }

    fn pod() -> Value {
        json!({"spec": {"containers": []}, "kind": "Pod"})
    }

    fn mutated() -> Value {
        json!({"spec": {"containers": [], "imagePullSecrets": [{"name": "s"}]}, "kind": "Pod"})
    }

    const TERMS: Terms<'static> =
        Terms { policy: "clusterwide-p", mode: Mode::Protect, mutating: true, message: None };

    fn answer(object: &Value, verdict: &Value, terms: &Terms<'_>) -> Value {
        let response = AdmissionResponse::new(&request(object), Ok(verdict.to_string().into_bytes()), terms);
        serde_json::to_value(response).unwrap()
    }

    fn patch_of(object: &Value, mutated: &Value) -> Option<Value> {
        let verdict = json!({"accepted": true, "mutated_object": mutated}).to_string().into_bytes();
        AdmissionResponse::new(&request(object), Ok(verdict), &TERMS).decoded_patch().unwrap()
    }

    #[test]
    fn the_payload_has_sorted_keys_and_neither_nulls_nor_unknown_fields() {
        let settings =
            Map::from_iter([("b".to_owned(), json!(1)), ("a".to_owned(), json!({"z": 1, "y": 2}))]);
        assert_eq!(
            String::from_utf8(request(&pod()).payload(&settings).unwrap()).unwrap(),
            r#"{"request":{"kind":{"group":"","kind":"Pod","version":"v1"},"namespace":"team-a","object":{"kind":"Pod","spec":{"containers":[]}},"operation":"CREATE","resource":{"group":"","resource":"pods","version":"v1"},"uid":"u","userInfo":{"username":"alice"}},"settings":{"a":{"y":2,"z":1},"b":1}}"#
        );
    }

    #[test]
    fn a_mutated_object_becomes_the_smallest_patch() {
        assert_eq!(
            patch_of(&pod(), &mutated()),
            Some(json!([{"op": "add", "path": "/spec/imagePullSecrets", "value": [{"name": "s"}]}]))
        );
        assert_eq!(patch_of(&pod(), &pod()), None);
    }

    #[test]
    fn warnings_and_annotations_are_passed_on() {
        let verdict = json!({
            "accepted": true, "warnings": ["careful"], "audit_annotations": {"rule": "merge"}
        });
        assert_eq!(
            answer(&pod(), &verdict, &TERMS),
            json!({"uid": "u", "allowed": true, "warnings": ["careful"], "auditAnnotations": {"rule": "merge"}})
        );
    }

    #[test]
    fn a_refusal_carries_message_and_code() {
        let verdict = json!({"accepted": false, "message": "no", "code": 403});
        assert_eq!(
            answer(&pod(), &verdict, &TERMS),
            json!({
                "uid": "u", "allowed": false, "status": {"message": "no", "code": 403},
                "warnings": null, "auditAnnotations": null
            })
        );
    }

    #[test]
    fn a_policy_that_may_not_mutate_is_refused() {
        let verdict = json!({"accepted": true, "mutated_object": mutated(), "warnings": ["careful"]});
        let answer = answer(&pod(), &verdict, &Terms { mutating: false, ..TERMS });
        assert_eq!(
            answer,
            json!({
                "uid": "u", "allowed": false, "warnings": ["careful"], "auditAnnotations": null,
                "status": {"message": "Request rejected by policy clusterwide-p. The policy attempted to mutate the request, but it is currently configured to not allow mutations."}
            })
        );
    }

    #[test]
    fn an_object_that_is_not_there_cannot_be_mutated() {
        let answer = answer(&Value::Null, &json!({"accepted": true, "mutated_object": pod()}), &TERMS);
        assert_eq!(answer["allowed"], json!(false));
        assert_eq!(answer["status"].get("code"), None);
    }

    #[test]
    fn monitor_mode_lets_everything_through_and_keeps_the_warnings() {
        let verdict = json!({
            "accepted": false, "message": "no", "code": 403, "mutated_object": mutated(), "warnings": ["careful"]
        });
        assert_eq!(
            answer(&pod(), &verdict, &Terms { mode: Mode::Monitor, mutating: false, ..TERMS }),
            json!({"uid": "u", "allowed": true, "warnings": ["careful"], "auditAnnotations": null})
        );
    }

    #[test]
    fn the_manifests_message_comes_first_and_the_policys_among_the_causes() {
        let verdict = json!({"accepted": false, "message": "no", "code": 403});
        assert_eq!(
            answer(&pod(), &verdict, &Terms { message: Some("ask us"), ..TERMS })["status"],
            json!({
                "message": "ask us", "code": 403,
                "details": {"causes": [{"reason": null, "message": "no", "field": null}]}
            })
        );
    }

    #[test]
    fn a_trap_is_an_internal_error_and_a_timeout_says_so() {
        let status = |trap| AdmissionResponse::new(&request(&pod()), Err(trap), &TERMS).status.unwrap();
        let trap = status(Trap::Call("Guest call failure: unreachable".to_owned()));
        assert_eq!(
            (trap.message.unwrap().as_str(), trap.code),
            ("internal server error: Guest call failure: unreachable", Some(500))
        );
        let late = status(Trap::Interrupted);
        assert_eq!(
            (late.message.unwrap().as_str(), late.code),
            ("Policy execution interrupted because it exceeded the allowed execution time", Some(500))
        );
    }

    #[test]
    fn an_answer_that_is_no_verdict_is_an_internal_error() {
        let answer = answer(&pod(), &json!({"ok": true}), &TERMS);
        assert!(
            answer["status"]["message"].as_str().unwrap().contains("invalid response from policy"),
            "{answer}"
        );
    }
}
