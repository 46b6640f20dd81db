//! What the codes of Alibaba's APIs mean.

use std::time::Duration;

use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::answer::Context;
use super::error::Reason;
use super::http::Answer;

/// A refusal as the API wrote it; nothing in it is fit to be shown.
#[derive(Default)]
pub(super) struct Refusal {
    pub(super) code: Option<String>,
    pub(super) request_id: Option<String>,
    /// The RAM action that is missing, of `AccessDeniedDetail`.
    pub(super) right: Option<String>,
}

/// What a refusal means.
pub(super) struct Verdict {
    pub(super) reason: Reason,
    pub(super) missing_right: Option<String>,
    /// More than the reason says about what is wrong.
    pub(super) problem: Option<&'static str>,
    /// More than the reason says about what to do.
    pub(super) fix: Option<&'static str>,
    pub(super) clock_ahead: Option<SignedDuration>,
}

/// Judges a refusal by its code, and by its status where the code says nothing.
pub(super) fn judge(context: &Context, answer: &Answer, refusal: &Refusal, now: Timestamp) -> Verdict {
    let code = refusal.code.as_deref().unwrap_or_default().to_ascii_lowercase();
    let verdict = by_code(context, &code).unwrap_or_else(|| by_status(answer.status, code.is_empty()));
    match verdict.reason {
        Reason::Throttled { .. } => {
            Reason::Throttled { retry_after: retry_after(&answer.headers, now) }.into()
        }
        Reason::ClockSkew => Verdict { clock_ahead: ahead(&answer.headers, now), ..verdict },
        Reason::NotAuthorized => {
            let right = refusal.right.clone().filter(|right| is_right(right));
            let missing_right = right.or_else(|| Some(own_right(context)?.to_owned()));
            Verdict { missing_right, ..verdict }
        }
        _ => verdict,
    }
}

/// Codes in lower case; `None` for those not known here. Sources: the error pages of the APIs and of RRSA, and the codes
/// that Alibaba's own SDKs treat specially.
fn by_code(context: &Context, code: &str) -> Option<Verdict> {
    let family =
        |name: &str| code == name || code.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    Some(match code {
        _ if family("throttling") => Reason::Throttled { retry_after: None }.into(),
        "signaturenonceused" => Verdict {
            problem: Some("the request arrived twice"),
            fix: Some("it mostly passes by itself; if it stays, look for a proxy that repeats requests"),
            ..Reason::ServiceUnavailable.into()
        },
        _ if family("serviceunavailable") || family("internalerror") => Reason::ServiceUnavailable.into(),
        "invalidtimestamp.expired" => Reason::ClockSkew.into(),
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
        _ if family("invalidsecuritytoken") => Reason::SessionExpired.into(),
        "authenticationfail.nopermission" => Verdict {
            problem: Some("the OIDC provider is not registered, or the role does not trust it"),
            fix: Some(
                "register the cluster's OIDC provider in the RAM console, and let the role's trust policy name it with \
                 oidc:aud sts.aliyuncs.com and oidc:sub system:serviceaccount:NAMESPACE:NAME of the sidecar",
            ),
            ..Reason::NotAuthorized.into()
        },
        _ if family("authenticationfail.oidctoken") => oidc(code),
        _ if family("entitynotexist.role") => Reason::RoleNotFound.into(),
        "invalidparameter.durationseconds" => Verdict {
            problem: Some("the session would live longer than the role allows"),
            fix: Some("lower expireDuration, or raise the maximum session duration of the role"),
            ..Reason::Refused.into()
        },
        "user_not_exist" if context.personal => Reason::PersonalEditionNotOpened.into(),
        "instance_not_exist"
        | "instancenotexist"
        | "entitynotexist.instance"
        | "invalidinstanceid.notfound" => Reason::InstanceNotFound.into(),
        _ if context.action == "AssumeRole" && family("nopermission") => {
            Verdict { problem: Some("not allowed to assume the role"), ..Reason::NotAuthorized.into() }
        }
        _ if family("nopermission") || family("forbidden") || family("statusforbidden") => {
            Reason::NotAuthorized.into()
        }
        _ => return None,
    })
}

fn by_status(status: u16, codeless: bool) -> Verdict {
    match status {
        429 => Reason::Throttled { retry_after: None }.into(),
        500.. => Reason::ServiceUnavailable.into(),
        300..400 => Verdict {
            problem: Some("the answer is a redirect, which is not followed"),
            ..Reason::MalformedAnswer.into()
        },
        _ if codeless => {
            Verdict { problem: Some("the answer is no JSON of the API"), ..Reason::MalformedAnswer.into() }
        }
        _ => Reason::Refused.into(),
    }
}

fn key(problem: &'static str, fix: &'static str) -> Verdict {
    Verdict { problem: Some(problem), fix: Some(fix), ..Reason::KeyRejected.into() }
}

fn oidc(code: &str) -> Verdict {
    let (problem, fix) = match code.rsplit('.').next().unwrap_or_default() {
        "expired" => (
            "the OIDC token has expired",
            "check that the token file is a projected volume, which the kubelet renews, and this machine's clock",
        ),
        "audiencenotmatch" => (
            "the OIDC token is for another audience",
            "project the token with the audience sts.aliyuncs.com, and list that client id in the OIDC provider",
        ),
        "issuernotmatch" => (
            "the OIDC token is of another issuer",
            "correct the ARN of the OIDC provider: it must be this cluster's own",
        ),
        "issuerconfigurationbroken" => (
            "STS cannot read the configuration of the token's issuer",
            "make the cluster's issuer URL reachable from the internet",
        ),
        "publickeyfingerprintmismatch" => (
            "the certificate of the token's issuer is not the registered one",
            "update the fingerprint of the OIDC provider in the RAM console",
        ),
        _ => ("the OIDC token is not valid", "check that the token file holds the cluster's own token"),
    };
    Verdict { problem: Some(problem), fix: Some(fix), ..Reason::OidcTokenRejected.into() }
}

/// The RAM action that a call needs, for APIs that do not say it themselves.
fn own_right(context: &Context) -> Option<&'static str> {
    match context.action {
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

/// The longest wait that a throttled answer asks for. Alibaba's own headers read `Limit:1,Remain:0,TimeLeft:2000,Reset:1`,
/// in milliseconds, or, for its newest SDKs, just milliseconds; gateways in front of them send the standard one.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
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

impl From<Reason> for Verdict {
    fn from(reason: Reason) -> Self {
        Self { reason, missing_right: None, problem: None, fix: None, clock_ahead: None }
    }
}
