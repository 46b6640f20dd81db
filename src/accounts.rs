//! Looks up service accounts, to distinguish entries that Kubernetes copied from entries that a person wrote.

use acr_credential_core::policy::{LookupError, ServiceAccounts, listed_pull_secrets};
use k8s_openapi::Resource as _;
use k8s_openapi::api::core::v1::ServiceAccount;
use kubewarden_policy_sdk::logging::KubewardenDrain;
use serde::Serialize;
use slog::{Logger, o, warn};

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
        let query = GetResource {
            api_version: ServiceAccount::API_VERSION,
            kind: ServiceAccount::KIND,
            name,
            namespace,
            disable_cache: false,
        };
        let query = serde_json::to_vec(&query).map_err(|_| LookupError::Failed)?;
        let looked_up = wapc_guest::host_call("kubewarden", "kubernetes", "get_resource", &query)
            .map_err(|error| reason(&error.to_string()))
            .and_then(|answer| listed(&answer).ok_or(LookupError::Failed));
        if let Err(error) = looked_up {
            // The user sees a warning, but only the operator can fix the cause. Nothing else is logged, so only this code needs a
            // logger.
            let log = Logger::root(KubewardenDrain::new(), o!("policy" => env!("CARGO_PKG_NAME")));
            warn!(log, "failed to read a ServiceAccount: {error}";
                "namespace" => namespace, "service_account" => name);
        }
        looked_up
    }
}

fn listed(service_account: &[u8]) -> Option<Vec<String>> {
    listed_pull_secrets(std::str::from_utf8(service_account).ok()?).ok()
}

/// Derives the reason from the text of an error, because the host returns errors only as text.
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
        assert_eq!(listed(br#"{"imagePullSecrets":[null,{"name":"a"}]}"#).unwrap(), ["", "a"]);
        assert_eq!(listed(br#"{"imagePullSecrets":3}"#), None);
    }
}
