//! STS: assumes roles.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::answer::Body;
use super::api::Api;
use super::call::Operation;
use super::endpoints::Base;
use super::error::CloudError;
use super::keys::{Origin, Session, Source};
use super::session_policy::PULL_ONLY;
use crate::configuration::{AssumeRole, OidcProviderArn, RoleArn};

/// Default name of our sessions in the logs of the cloud (`ActionTrail`). The environment can set another name.
pub(super) const SESSION_NAME: &str = "acr-credential-sidecar";

/// A role that is assumed with the cluster's OIDC token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OidcRole {
    pub(super) role: RoleArn,
    pub(super) provider: OidcProviderArn,
    pub(super) duration: Duration,
    pub(super) session_name: String,
    /// Whether this is the last role, which a session policy limits to pulling.
    pub(super) last: bool,
}

/// Assumes a role with other keys. It is always the last role, so the session policy is sent with it.
pub(super) async fn assume_role(
    api: &Api,
    base: &Base,
    role: &AssumeRole,
    with: &Session,
) -> Result<Session, CloudError> {
    let duration = role.duration.as_secs().to_string();
    let mut parameters = vec![
        ("DurationSeconds", duration.as_str()),
        ("Policy", PULL_ONLY),
        ("RoleArn", role.role.as_str()),
        ("RoleSessionName", SESSION_NAME),
    ];
    parameters.extend(role.external_id.as_ref().map(|id| ("ExternalId", id.as_str())));
    let body = api.signed(base, ASSUME_ROLE, &parameters, with).await?;
    read_session(&body, with.origin.then(role.role.clone(), true), api.clock.wall())
}

/// Assumes a role with the cluster's OIDC token.
pub(super) async fn assume_role_with_oidc(
    api: &Api,
    base: &Base,
    role: &OidcRole,
    token: &SecretString,
) -> Result<Session, CloudError> {
    let text = |text: &str| SecretString::from(text);
    let (duration, policy) = (text(&role.duration.as_secs().to_string()), text(PULL_ONLY));
    let (arn, provider, name) =
        (text(role.role.as_str()), text(role.provider.as_str()), text(&role.session_name));
    let mut parameters = vec![
        ("DurationSeconds", &duration),
        ("OIDCProviderArn", &provider),
        ("OIDCToken", token),
        ("RoleArn", &arn),
        ("RoleSessionName", &name),
    ];
    parameters.extend(role.last.then_some(("Policy", &policy)));
    let origin = Origin::from(Source::OidcToken).then(role.role.clone(), role.last);
    let body = api.anonymous(base, WITH_OIDC, &parameters, origin.principal()).await?;
    read_session(&body, origin, api.clock.wall())
}

const ASSUME_ROLE: Operation = Operation::rpc("AssumeRole", "2015-04-01");
const WITH_OIDC: Operation = Operation::rpc("AssumeRoleWithOIDC", "2015-04-01");

fn read_session(body: &Body, origin: Origin, now: Timestamp) -> Result<Session, CloudError> {
    let fields = body.fields();
    let credentials = fields.object("Credentials").ok_or_else(|| fields.missing("Credentials"))?;
    Session::from_answer(credentials, origin, now)
}

#[cfg(test)]
mod tests {
    use super::super::answer::read;
    use super::super::answer::tests::{answer, call};
    use super::*;

    const NOW: &str = "2026-11-23T12:00:00Z";

    fn session(id: &str, token: &str, expiration: &str) -> Result<Session, String> {
        let text = format!(
            r#"{{"RequestId":"1","Credentials":{{"AccessKeyId":"{id}","AccessKeySecret":"MARKER","SecurityToken":"{token}","Expiration":"{expiration}"}}}}"#
        );
        let now = NOW.parse().unwrap();
        let body =
            read(&call("AssumeRole"), &answer(200, &[], &text), now).map_err(|error| error.to_string())?;
        read_session(&body, Source::Environment.into(), now).map_err(|error| error.details.problem.unwrap())
    }

    #[test]
    fn a_session_that_is_partial_expired_or_absurd_is_none() {
        assert!(session("STS.EXAMPLE", "token", "2026-11-23T13:00:00Z").is_ok());
        let cases = [
            (session("", "token", "2026-11-23T13:00:00Z"), "the answer has no AccessKeyId"),
            (session("STS.EXAMPLE", "", "2026-11-23T13:00:00Z"), "the answer has no SecurityToken"),
            (
                session("STS MARKER", "t", "2026-11-23T13:00:00Z"),
                "the answer has keys with invalid characters",
            ),
            (session("STS.EXAMPLE", "t", "MARKER"), "Expiration is not a time, or is too far in the future"),
            (
                session("STS.EXAMPLE", "t", "2027-11-23T13:00:00Z"),
                "Expiration is not a time, or is too far in the future",
            ),
            (
                session("STS.EXAMPLE", "t", "2026-11-23T12:00:00Z"),
                "the session has expired already, at 2026-11-23T12:00:00Z",
            ),
        ];
        for (session, problem) in cases {
            assert_eq!(session.unwrap_err(), problem);
        }
    }

    #[test]
    fn the_session_name_is_one_that_sts_takes() {
        assert!((2..=32).contains(&SESSION_NAME.len()));
    }
}
