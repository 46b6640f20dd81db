//! STS: assumes roles.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::answer::{Body, Context, Fields};
use super::api::{Api, Operation};
use super::endpoints::Base;
use super::error::CloudError;
use super::keys::{Keys, Origin, Session, Source};
use crate::configuration::{AssumeRole, OidcProviderArn, RoleArn};

/// The name our sessions have in the logs of the cloud (`ActionTrail`), unless the environment has another.
pub(super) const SESSION_NAME: &str = "acr-credential-sidecar";

/// All that a session of ours may do, whatever else its role may: mint credentials, list hosts, pull.
pub(super) const PULL_ONLY: &str = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["cr:GetAuthorizationToken","cr:ListInstanceEndpoint","cr:PullRepository"],"Resource":"*"}]}"#;

/// A role that is assumed with the cluster's OIDC token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OidcRole {
    pub(super) role: RoleArn,
    pub(super) provider: OidcProviderArn,
    pub(super) duration: Duration,
    pub(super) session_name: String,
    /// Whether this is the last role, which a session policy narrows to pulling.
    pub(super) last: bool,
}

/// Assumes a role with other keys. It is always the last one, so the session policy goes with it.
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
    let origin = with.origin.then(role.role.clone(), true);
    read_credentials(&ASSUME_ROLE.context(base), &body, origin, api.clock.wall())
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
    let origin = Origin::of(Source::OidcToken).then(role.role.clone(), role.last);
    let body =
        api.anonymous(base, WITH_OIDC, &parameters).await.map_err(|error| error.by(origin.principal()))?;
    read_credentials(&WITH_OIDC.context(base), &body, origin, api.clock.wall())
}

const ASSUME_ROLE: Operation = Operation::rpc("AssumeRole", "2015-04-01");
const WITH_OIDC: Operation = Operation::rpc("AssumeRoleWithOIDC", "2015-04-01");

/// A session lives for 12 hours at most. What lives longer than twice that was not understood.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(24);

fn read_credentials(
    context: &Context,
    body: &Body,
    origin: Origin,
    now: Timestamp,
) -> Result<Session, CloudError> {
    let credentials = body.fields().object("Credentials");
    let credentials = credentials.ok_or_else(|| context.malformed("the answer has no Credentials"))?;
    read_session(context, credentials, origin, now)
}

/// Reads a session, which STS and ECS metadata write alike.
pub(super) fn read_session(
    context: &Context,
    fields: Fields<'_>,
    origin: Origin,
    now: Timestamp,
) -> Result<Session, CloudError> {
    let field =
        |name| fields.text(name).ok_or_else(|| context.malformed(format!("the answer has no {name}")));
    let (id, secret, token) = (field("AccessKeyId")?, field("AccessKeySecret")?, field("SecurityToken")?);
    let keys = Keys::new(&id, &secret, Some(&token));
    let keys =
        keys.ok_or_else(|| context.malformed("the answer has keys with characters that no key has"))?;
    let expires_at = field("Expiration")?.parse::<Timestamp>().ok();
    let expires_at = expires_at
        .filter(|at| at.duration_since(now) < LONGEST_LIFE)
        .ok_or_else(|| context.malformed("Expiration is no time, or too far in the future"))?;
    if expires_at <= now {
        return Err(context.malformed(format!("the session has expired already, at {expires_at:.0}")));
    }
    Ok(Session { keys, expires_at: Some(expires_at), origin })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::answer::read;
    use super::super::answer::tests::{answer, context};
    use super::*;

    const NOW: &str = "2026-11-23T12:00:00Z";

    fn session(id: &str, token: &str, expiration: &str) -> Result<Session, String> {
        let text = format!(
            r#"{{"RequestId":"1","Credentials":{{"AccessKeyId":"{id}","AccessKeySecret":"MARKER","SecurityToken":"{token}","Expiration":"{expiration}"}}}}"#
        );
        let (context, now) = (context("AssumeRole"), NOW.parse().unwrap());
        let body = read(&context, &answer(200, &[], &text), now).map_err(|error| error.to_string())?;
        read_credentials(&context, &body, Origin::of(Source::Environment), now)
            .map_err(|error| error.details.problem.unwrap())
    }

    #[test]
    fn a_session_that_is_partial_expired_or_absurd_is_none() {
        assert!(session("STS.EXAMPLE", "token", "2026-11-23T13:00:00Z").is_ok());
        let cases = [
            (session("", "token", "2026-11-23T13:00:00Z"), "the answer has no AccessKeyId"),
            (session("STS.EXAMPLE", "", "2026-11-23T13:00:00Z"), "the answer has no SecurityToken"),
            (
                session("STS MARKER", "t", "2026-11-23T13:00:00Z"),
                "the answer has keys with characters that no key has",
            ),
            (session("STS.EXAMPLE", "t", "MARKER"), "Expiration is no time, or too far in the future"),
            (
                session("STS.EXAMPLE", "t", "2027-11-23T13:00:00Z"),
                "Expiration is no time, or too far in the future",
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

    #[test]
    fn the_session_name_is_one_that_sts_takes() {
        assert!((2..=32).contains(&SESSION_NAME.len()));
    }
}
