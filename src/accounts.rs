//! Service accounts, looked up to tell entries that Kubernetes copied from entries that a person wrote.

use std::borrow::Cow;

use serde::Serialize;

use crate::object::{self, ServiceAccount};

/// Where service accounts are looked up. A trait, so that decisions are tested without a cluster.
pub trait ServiceAccounts {
    /// The names in the `imagePullSecrets` of a service account.
    ///
    /// # Errors
    /// Why they cannot be told.
    fn pull_secrets(&self, namespace: &str, name: &str) -> Result<Vec<String>, LookupError>;
}

/// Why a service account could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupError {
    /// The policy server's own account lacks the right.
    Forbidden,
    /// The policy is not granted the kind in `spec.contextAwareResources`.
    NotGranted,
    /// There is no such service account.
    NotFound,
    /// Anything else: the API server is away, the answer makes no sense.
    Failed,
}

impl LookupError {
    /// What is wrong, short enough for a warning.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::Forbidden => "policy-server lacks the right to get serviceaccounts",
            Self::NotGranted => "contextAwareResources lacks v1 ServiceAccount",
            Self::NotFound => "its ServiceAccount does not exist",
            Self::Failed => "its ServiceAccount could not be read",
        }
    }
}

/// The policy server's view of the cluster.
pub(crate) struct PolicyServer;

/// Arguments of the host capability `kubernetes.get_resource`, see
/// <https://docs.kubewarden.io/reference/spec/context-aware-policies>.
#[derive(Serialize)]
struct GetResource<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: &'a str,
    namespace: &'a str,
    disable_cache: bool,
}

impl ServiceAccounts for PolicyServer {
    fn pull_secrets(&self, namespace: &str, name: &str) -> Result<Vec<String>, LookupError> {
        let query =
            GetResource { api_version: "v1", kind: "ServiceAccount", name, namespace, disable_cache: false };
        let query = serde_json::to_vec(&query).map_err(|_| LookupError::Failed)?;
        let looked_up = wapc_guest::host_call("kubewarden", "kubernetes", "get_resource", &query)
            .map_err(|error| reason(&error.to_string()))
            .and_then(|answer| listed(&answer).ok_or(LookupError::Failed));
        if let Err(error) = looked_up {
            // The user sees a warning, but it is the operator who can mend it.
            log(&LogEntry {
                level: "warning",
                message: &format!("failed to read a ServiceAccount: {}", error.advice()),
                policy: env!("CARGO_PKG_NAME"),
                namespace,
                service_account: name,
            });
        }
        looked_up
    }
}

/// One entry of the policy server's log, in the form of the SDK's `KubewardenDrain`.
///
/// The drain itself, and slog with it, would be a tenth of the module for this one line.
#[derive(Serialize)]
struct LogEntry<'a> {
    level: &'static str,
    message: &'a str,
    policy: &'static str,
    namespace: &'a str,
    service_account: &'a str,
}

fn log(entry: &LogEntry<'_>) {
    let Ok(entry) = serde_json::to_vec(entry) else { return };
    // A verdict does not depend on whether the host can log.
    let _ = wapc_guest::host_call("kubewarden", "tracing", "log", &entry);
}

fn listed(service_account: &[u8]) -> Option<Vec<String>> {
    let account = ServiceAccount::parse(std::str::from_utf8(service_account).ok()?).ok()?;
    let names = object::names(account.image_pull_secrets).ok()?;
    Some(names.into_iter().map(Cow::into_owned).collect())
}

/// The host tells its errors as text alone.
fn reason(error: &str) -> LookupError {
    if error.contains("has not been granted access") {
        LookupError::NotGranted
    } else if error.contains("Forbidden") || error.contains("forbidden") {
        LookupError::Forbidden
    } else if error.contains("Cannot find") {
        LookupError::NotFound
    } else {
        LookupError::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_apart_by_the_texts_of_policy_server() {
        let cases = [
            (
                "Host error: Policy has not been granted access to Kubernetes v1/ServiceAccount resources. The violation has been reported.",
                LookupError::NotGranted,
            ),
            (
                "ApiError: serviceaccounts \"default\" is forbidden: User \"x\" cannot get resource: Forbidden (ErrorResponse)",
                LookupError::Forbidden,
            ),
            ("Cannot find v1/ServiceAccount named 'ci' inside of namespace 'team-a'", LookupError::NotFound),
            ("client error (Connect)", LookupError::Failed),
        ];
        for (text, expected) in cases {
            assert_eq!(reason(text), expected, "{text}");
        }
    }

    #[test]
    fn the_list_of_a_service_account_is_read() {
        let account = br#"{"kind":"ServiceAccount","imagePullSecrets":[{"name":"a"},{"name":"b"}]}"#;
        assert_eq!(listed(account).unwrap(), ["a", "b"]);
        assert_eq!(listed(br#"{"kind":"ServiceAccount"}"#).unwrap(), [""; 0]);
        assert_eq!(listed(br#"{"imagePullSecrets":3}"#), None);
    }
}
