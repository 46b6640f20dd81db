//! The session policy: it limits each session, whatever else its role may do.

/// A policy that only allows a session to mint credentials, to list hosts and to pull.
pub(super) const PULL_ONLY: &str = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["cr:GetAuthorizationToken","cr:ListInstanceEndpoint","cr:PullRepository"],"Resource":"*"}]}"#;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_session_policy_allows_pulling_and_nothing_else() {
        assert!(PULL_ONLY.len() <= 2048, "the API's limit");
        let policy: Value = serde_json::from_str(PULL_ONLY).unwrap();
        let statements = policy["Statement"].as_array().unwrap();
        assert_eq!(statements.len(), 1);
        assert_eq!(statements[0]["Effect"], "Allow");
        assert_eq!(
            statements[0]["Action"],
            serde_json::json!(["cr:GetAuthorizationToken", "cr:ListInstanceEndpoint", "cr:PullRepository"])
        );
    }
}
