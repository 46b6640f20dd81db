//! Requests, answers and a cluster made of a table.

use std::cell::Cell;

use acr_credential_helper_policy::{LookupError, ServiceAccounts, validate_with};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

pub const OURS: &str = "acr-credential-secret-aggregation";

/// The answer of the policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub accepted: bool,
    pub message: Option<String>,
    pub code: Option<u16>,
    #[serde(default)]
    pub warnings: Vec<String>,
    #[serde(default)]
    pub audit_annotations: AuditAnnotations,
    pub mutated_object: Option<Box<RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
pub struct AuditAnnotations {
    pub rule: Option<String>,
}

impl Answer {
    pub fn mutated(&self) -> Value {
        let object = self.mutated_object.as_ref().unwrap_or_else(|| panic!("not mutated: {self:?}"));
        serde_json::from_str(object.get()).unwrap()
    }

    #[track_caller]
    pub fn is_untouched(&self) {
        assert!(self.accepted && self.mutated_object.is_none() && self.warnings.is_empty(), "{self:?}");
    }

    /// Accepted as it is, with these warnings.
    #[track_caller]
    pub fn is_warned(&self, warnings: &[String]) {
        assert!(self.accepted && self.mutated_object.is_none(), "{self:?}");
        assert_eq!(self.warnings, warnings);
        assert!(warnings.iter().all(|warning| warning.chars().count() <= 120), "{warnings:?}");
    }

    #[track_caller]
    pub fn is_refused(&self, code: u16) -> &str {
        assert!(!self.accepted && self.mutated_object.is_none(), "{self:?}");
        assert_eq!(self.code, Some(code), "{self:?}");
        let message = self.message.as_deref().unwrap();
        assert!(!message.contains('\n') && message.chars().count() <= 400, "{message}");
        message
    }
}

/// Service accounts by table; counts the look-ups.
pub struct Accounts {
    pub answer: Result<Vec<&'static str>, LookupError>,
    pub lookups: Cell<usize>,
}

impl Accounts {
    pub fn none() -> Self {
        Self::failing(LookupError::NotFound)
    }

    pub fn listing(names: &[&'static str]) -> Self {
        Self { answer: Ok(names.to_vec()), lookups: Cell::new(0) }
    }

    pub fn failing(error: LookupError) -> Self {
        Self { answer: Err(error), lookups: Cell::new(0) }
    }
}

impl ServiceAccounts for Accounts {
    fn pull_secrets(&self, _namespace: &str, _name: &str) -> Result<Vec<String>, LookupError> {
        self.lookups.set(self.lookups.get() + 1);
        self.answer.clone().map(|names| names.into_iter().map(str::to_owned).collect())
    }
}

/// Sends a payload as it is.
#[track_caller]
pub fn send(payload: &[u8], accounts: &Accounts) -> Answer {
    let answer = validate_with(payload, accounts).unwrap();
    serde_json::from_slice(&answer).unwrap()
}

/// Sends a request with settings.
#[track_caller]
pub fn review_with(request: &Value, settings: &Value, accounts: &Accounts) -> Answer {
    send(json!({ "request": request, "settings": settings }).to_string().as_bytes(), accounts)
}

/// Sends a request with settings, where no look-up is expected.
#[track_caller]
pub fn review(request: &Value, settings: &Value) -> Answer {
    let accounts = Accounts::none();
    let answer = review_with(request, settings, &accounts);
    assert_eq!(accounts.lookups.get(), 0, "an unexpected look-up");
    answer
}

/// A request to create an object in `default`.
pub fn create(group: &str, kind: &str, object: &Value) -> Value {
    json!({
        "uid": "00000000-0000-0000-0000-000000000000",
        "kind": { "group": group, "version": "v1", "kind": kind },
        "resource": { "group": group, "version": "v1", "resource": "irrelevant" },
        "name": object["metadata"]["name"],
        "namespace": "default",
        "operation": "CREATE",
        "userInfo": { "username": "somebody" },
        "object": object,
        "oldObject": null,
        "dryRun": false,
    })
}

/// A request to change an object in `default`.
pub fn update(group: &str, kind: &str, old: &Value, new: &Value) -> Value {
    let mut request = create(group, kind, new);
    request["operation"] = json!("UPDATE");
    request["oldObject"] = old.clone();
    request
}

/// The same request, made by another user.
pub fn by(username: &str, mut request: Value) -> Value {
    request["userInfo"]["username"] = json!(username);
    request
}

/// A list of references.
pub fn refs(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "name": name })).collect()
}

/// A Pod as the webhook sees it: the API server has filled in the service account.
pub fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "web", "namespace": "default", "creationTimestamp": null },
        "spec": {
            "containers": [{ "name": "web", "image": "registry.example.com/team/web:1" }],
            "serviceAccountName": "default",
            "serviceAccount": "default",
        },
        "status": {},
    })
}

/// The same with a list of pull secrets.
pub fn pod_with(names: &[&str]) -> Value {
    let mut pod = pod();
    pod["spec"]["imagePullSecrets"] = refs(names);
    pod
}

/// The two warnings about a manual list: what becomes of its Pods, and what to do.
pub fn warnings(entry: &str, outcome: &str) -> [String; 2] {
    [
        format!("imagePullSecrets lists \"{entry}\" without \"{OURS}\"; {outcome}"),
        format!("add \"{OURS}\" to the list, or allow \"{entry}\" in manualPullSecrets.allowed"),
    ]
}

/// Makes a controller the owner of an object.
pub fn owned(mut object: Value) -> Value {
    object["metadata"]["ownerReferences"] = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d8f", "uid": "1", "controller": true }]);
    object
}
