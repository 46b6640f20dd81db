//! The meaning of the codes of Alibaba's APIs.

use std::time::Duration;

use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::call::Call;
use super::error::{CloudError, Reason, identifier};
use super::http::Answer;

/// A refusal as the API wrote it. No part of it may be shown.
#[derive(Default)]
pub(super) struct Refusal {
    pub(super) code: Option<String>,
    pub(super) request_id: Option<String>,
    /// The RAM action that is missing, from `AccessDeniedDetail`.
    pub(super) right: Option<String>,
}

/// Returns the error for a refusal: by its code, or by its status if the code is not known.
pub(super) fn explain(call: &Call, answer: &Answer, refusal: &Refusal, now: Timestamp) -> CloudError {
    let code = refusal.code.as_deref().unwrap_or_default().to_ascii_lowercase();
    let mut error = by_code(call, &code).unwrap_or_else(|| by_status(call, answer.status, code.is_empty()));
    error.details.status = Some(answer.status);
    error.details.code = refusal.code.as_deref().and_then(identifier);
    match &mut error.reason {
        Reason::Throttled { retry_after } => *retry_after = wait_asked(&answer.headers, now),
        Reason::ClockSkew => error.details.clock_ahead = ahead(&answer.headers, now),
        Reason::NotAuthorized => {
            let right = refusal.right.as_deref().filter(|right| is_right(right));
            error.details.missing_right = right.or_else(|| own_right(call)).map(str::to_owned);
        }
        _ => {}
    }
    error
}

/// Returns the error for a code in lower case, or `None` if the code is not known here. The sources are the error pages of the
/// APIs and of RRSA, and the codes that Alibaba's own SDKs treat specially.
fn by_code(call: &Call, code: &str) -> Option<CloudError> {
    let family =
        |name: &str| code == name || code.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    let explained = |reason, problem, fix| call.error(reason).explained(problem, fix);
    let key = |problem, fix| explained(Reason::KeyRejected, problem, fix);
    let oidc_token = |problem, fix| explained(Reason::OidcTokenRejected, problem, fix);
    Some(match code {
        _ if family("throttling") => call.error(Reason::Throttled { retry_after: None }),
        "signaturenonceused" => explained(
            Reason::ServiceUnavailable,
            "the request arrived twice",
            "this is usually temporary; if it persists, look for a proxy that repeats requests",
        ),
        _ if family("serviceunavailable") || family("internalerror") => {
            call.error(Reason::ServiceUnavailable)
        }
        "invalidtimestamp.expired" => call.error(Reason::ClockSkew),
        "invalidaccesskeyid.inactive" => {
            key("the access key is disabled", "enable it in the RAM console, or use another one")
        }
        _ if family("invalidaccesskeyid") => {
            key("the access key does not exist", "correct its id, or use another access key")
        }
        "signaturedoesnotmatch" | "incompletesignature" => key(
            "the secret of the access key does not match its id",
            "correct the secret; blanks and line ends count",
        ),
        "missingsecuritytoken" => key(
            "the keys are those of a session and need its token",
            "set ALIBABA_CLOUD_SECURITY_TOKEN as well, or use the access key of a RAM user",
        ),
        _ if family("invalidsecuritytoken") => call.error(Reason::SessionExpired),
        "authenticationfail.nopermission" => explained(
            Reason::NotAuthorized,
            "the OIDC provider is not registered, or the role does not trust it",
            "register the cluster's OIDC provider in the RAM console, and let the role's trust policy name it with \
             oidc:aud sts.aliyuncs.com and oidc:sub system:serviceaccount:NAMESPACE:NAME of the sidecar",
        ),
        "authenticationfail.oidctoken.expired" => oidc_token(
            "the OIDC token has expired",
            "check that the token file is a projected volume, which the kubelet renews, and this machine's clock",
        ),
        "authenticationfail.oidctoken.audiencenotmatch" => oidc_token(
            "the OIDC token is for another audience",
            "project the token with the audience sts.aliyuncs.com, and list that client id in the OIDC provider",
        ),
        "authenticationfail.oidctoken.issuernotmatch" => oidc_token(
            "the OIDC token is of another issuer",
            "correct the ARN of the OIDC provider: it must be this cluster's own",
        ),
        "authenticationfail.oidctoken.issuerconfigurationbroken" => oidc_token(
            "STS cannot read the configuration of the token's issuer",
            "make the cluster's issuer URL reachable from the internet",
        ),
        "authenticationfail.oidctoken.publickeyfingerprintmismatch" => oidc_token(
            "the certificate of the token's issuer is not the registered one",
            "update the fingerprint of the OIDC provider in the RAM console",
        ),
        _ if family("authenticationfail.oidctoken") => oidc_token(
            "the OIDC token is not valid",
            "check that the token file contains the cluster's own token",
        ),
        _ if family("entitynotexist.role") => call.error(Reason::RoleNotFound),
        "invalidparameter.durationseconds" => explained(
            Reason::Refused,
            "the session would live longer than the role allows",
            "lower expireDuration, or raise the maximum session duration of the role",
        ),
        "user_not_exist" if call.personal => call.error(Reason::PersonalEditionNotOpened),
        "instance_not_exist"
        | "instancenotexist"
        | "entitynotexist.instance"
        | "invalidinstanceid.notfound" => call.error(Reason::InstanceNotFound),
        _ if call.action == "AssumeRole" && family("nopermission") => {
            call.error(Reason::NotAuthorized).because("not allowed to assume the role")
        }
        _ if family("nopermission") || family("forbidden") || family("statusforbidden") => {
            call.error(Reason::NotAuthorized)
        }
        _ => return None,
    })
}

fn by_status(call: &Call, status: u16, codeless: bool) -> CloudError {
    match status {
        429 => call.error(Reason::Throttled { retry_after: None }),
        500.. => call.error(Reason::ServiceUnavailable),
        300..400 => call.malformed("the answer is a redirect, which is not followed"),
        _ if codeless => call.malformed("the answer is not JSON of the API"),
        _ => call.error(Reason::Refused),
    }
}

/// Returns the RAM action that a call needs, for APIs that do not name it.
fn own_right(call: &Call) -> Option<&'static str> {
    match call.action {
        "GetAuthorizationToken" => Some("cr:GetAuthorizationToken"),
        "ListInstanceEndpoint" => Some("cr:ListInstanceEndpoint"),
        "AssumeRole" => Some("sts:AssumeRole"),
        _ => None,
    }
}

fn is_right(text: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    text.len() <= 64 && text.split_once(':').is_some_and(|(product, action)| word(product) && word(action))
}

/// Returns the longest wait that a throttled response asks for. Alibaba's own headers contain
/// `Limit:1,Remain:0,TimeLeft:2000,Reset:1`, in milliseconds, or, for its newest SDKs, only milliseconds. Gateways in front of
/// the APIs send the standard header.
fn wait_asked(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let left = |name: &str| {
        let (_, rest) = text(name)?.split_once("TimeLeft:")?;
        rest.split(',').next()?.trim().parse().ok().map(Duration::from_millis)
    };
    let standard = || {
        let value = text(RETRY_AFTER.as_str())?.trim();
        let seconds = value.parse().ok().map(Duration::from_secs);
        seconds.or_else(|| now.duration_until(http_date(value)?).try_into().ok())
    };
    let newest =
        text("x-acs-retry-after").and_then(|value| value.trim().parse().ok()).map(Duration::from_millis);
    [left("x-ratelimit-user-api"), left("x-ratelimit-user"), newest, standard()].into_iter().flatten().max()
}

fn ahead(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    headers.get(DATE).and_then(|value| http_date(value.to_str().ok()?)).map(|date| date.duration_until(now))
}

fn http_date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}
