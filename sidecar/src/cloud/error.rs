//! The failures of cloud calls: a closed set, each with a reason and a fix.
//!
//! Nothing in this module contains a key, a token, or a text that an API wrote, except for identifiers that were checked by
//! [`identifier`]: APIs quote tokens and strings to sign in their messages.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;

/// Why a call failed, with a description in words. The set is closed: metrics and Events use the variants' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum Reason {
    /// The identity lacks a RAM right.
    #[error("not authorized")]
    NotAuthorized,
    /// No such ACR instance in that region and account.
    #[error("no such instance in this region and account")]
    InstanceNotFound,
    /// The account never opened Personal Edition in that region.
    #[error("the account has not opened Personal Edition in this region")]
    PersonalEditionNotOpened,
    /// No keys are available: no environment, no token file, no metadata.
    #[error("no keys to sign with")]
    IdentityUnavailable,
    /// STS does not accept the OIDC token.
    #[error("the OIDC token is not accepted")]
    OidcTokenRejected,
    /// The role does not exist.
    #[error("the role does not exist")]
    RoleNotFound,
    /// The access key does not exist, is disabled, or its secret does not match.
    #[error("the access key is not accepted")]
    KeyRejected,
    /// The session's token has expired or is not valid.
    #[error("the session has expired or is not valid")]
    SessionExpired,
    /// The API asks to wait.
    #[error("too many calls{}", asked_to_wait(*retry_after))]
    Throttled {
        /// How long to wait, if the API names a time.
        retry_after: Option<Duration>,
    },
    /// The machine's clock is off by more than the API accepts (15 minutes).
    #[error("this machine's clock is off by more than 15 minutes")]
    ClockSkew,
    /// The API has an internal fault (5xx), or received a request twice (a proxy may repeat a request).
    #[error("the API returned a server error")]
    ServiceUnavailable,
    /// No response: DNS, connection, TLS, time-out.
    #[error("no answer")]
    Unreachable,
    /// An unexpected response.
    #[error("unexpected response")]
    MalformedAnswer,
    /// A refusal that is not known here; its code gives more information.
    #[error("refused")]
    Refused,
}

/// A failed call. `Display` is one line: the place, the problem, and the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudError {
    /// The reason of the failure.
    pub reason: Reason,
    /// What was tried, such as `GetAuthorizationToken`.
    pub action: &'static str,
    /// Further details.
    pub details: Box<Details>,
}

/// Further details of a failed call.
///
/// Two failures of the same kind have equal details: the request id, and the seconds by which a clock is off, are not
/// compared. Otherwise each attempt would be reported as a new failure.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// The host that was called.
    pub host: Option<String>,
    /// HTTP status of the response.
    pub status: Option<u16>,
    /// The API's own code, such as `NoPermission`.
    pub code: Option<String>,
    /// The API's id of the request, which the vendor's support needs.
    pub request_id: Option<String>,
    /// The RAM action that is missing, such as `cr:GetAuthorizationToken`.
    pub missing_right: Option<String>,
    /// The principal that made the call.
    pub principal: Option<String>,
    /// What is wrong, if more is known than the reason.
    pub problem: Option<String>,
    /// What to do, if more is known than the reason.
    pub fix: Option<String>,
    /// How far this machine's clock is ahead of the API's, if the API refused its time and has a date in its response.
    /// It is negative if the clock is behind.
    pub clock_ahead: Option<SignedDuration>,
}

impl PartialEq for Details {
    fn eq(&self, other: &Self) -> bool {
        let Self { host, status, code, request_id: _, missing_right, principal, problem, fix, clock_ahead } =
            self;
        // The exact difference of the clocks changes with each attempt, so only its direction is compared.
        let way = |ahead: &Option<SignedDuration>| ahead.map(|ahead| ahead.is_negative());
        way(clock_ahead) == way(&other.clock_ahead)
            && (host, status, code) == (&other.host, &other.status, &other.code)
            && (missing_right, principal) == (&other.missing_right, &other.principal)
            && (problem, fix) == (&other.problem, &other.fix)
    }
}

impl Eq for Details {}

impl Reason {
    /// Returns the name of the reason, for metrics, Events and JSON.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns what to do, with `{principal}` in place of the principal whose rights were used.
    fn fix(self) -> &'static str {
        match self {
            Self::NotAuthorized => "check the rights of {principal} in the RAM console",
            Self::InstanceNotFound => {
                "correct instanceId or regionId, or use an identity of the instance's account; this was {principal}"
            }
            Self::PersonalEditionNotOpened => {
                "open Personal Edition in the console of this region and set a password there for {principal}, or name an \
                 Enterprise Edition instance by instanceId"
            }
            Self::IdentityUnavailable => "see the documentation on identities",
            Self::OidcTokenRejected => {
                "check the OIDC provider in the RAM console against the cluster's issuer"
            }
            Self::RoleNotFound => "correct the role's ARN, or create the role in the RAM console",
            Self::KeyRejected => "correct or replace the access key",
            Self::SessionExpired => {
                "correct this machine's clock, or set a new ALIBABA_CLOUD_SECURITY_TOKEN if the environment has one; other \
                 sessions are renewed automatically"
            }
            Self::Throttled { .. } => {
                "this is usually temporary; if it persists, look for other callers of the account"
            }
            Self::ClockSkew => "set the clock of this machine (NTP)",
            Self::ServiceUnavailable => {
                "this is usually temporary; if it persists, contact Alibaba Cloud with the request's id"
            }
            Self::Unreachable => {
                "check DNS, firewall, HTTPS_PROXY and SSL_CERT_FILE, or use --vpc-endpoints inside a VPC"
            }
            Self::MalformedAnswer => {
                "check that the endpoint is Alibaba Cloud's and that no proxy answers in its place"
            }
            Self::Refused => "look up the code in the API's documentation",
        }
    }
}

impl CloudError {
    /// Creates a failure with a reason, and no further details.
    pub fn new(reason: Reason, action: &'static str) -> Self {
        Self { reason, action, details: Box::default() }
    }

    /// Adds what is wrong.
    pub fn because(mut self, problem: impl Into<String>) -> Self {
        self.details.problem = Some(problem.into());
        self
    }

    /// Adds what is wrong and what to do about it.
    pub fn explained(mut self, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        self.details.fix = Some(fix.into());
        self.because(problem)
    }

    /// Returns whether the same call may succeed a moment later, without any change.
    pub fn is_transient(&self) -> bool {
        matches!(self.reason, Reason::Throttled { .. } | Reason::ServiceUnavailable | Reason::Unreachable)
    }

    fn problem(&self) -> String {
        match (&self.details.problem, self.details.clock_ahead) {
            (Some(problem), _) => problem.clone(),
            (None, Some(ahead)) => {
                let way = if ahead.is_negative() { "behind" } else { "ahead of" };
                format!("this machine's clock is {} {way} the API's", rounded(ahead.unsigned_abs()))
            }
            (None, None) => self.reason.to_string(),
        }
    }

    fn fix(&self) -> String {
        let Details { fix, missing_right, principal, .. } = &*self.details;
        let principal = principal.as_deref().unwrap_or("the identity");
        match (fix, missing_right.as_deref()) {
            (Some(fix), _) => fix.clone(),
            (None, Some("sts:AssumeRole")) => format!(
                "grant sts:AssumeRole (AliyunSTSAssumeRoleAccess) to {principal}, and let the role's trust policy \
                 name it, with the entry's externalId if there is one; a root account cannot assume roles"
            ),
            (None, Some(right)) => format!("grant {right} to {principal}"),
            (None, None) => self.reason.fix().replace("{principal}", principal),
        }
    }
}

impl fmt::Display for CloudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { host, status, code, request_id, .. } = &*self.details;
        f.write_str(self.action)?;
        if let Some(host) = host {
            write!(f, " at {host}")?;
        }
        write!(f, ": {}", self.problem())?;
        let status = status.map(|status| format!("HTTP {status}"));
        let request = request_id.as_ref().map(|id| format!("request {id}"));
        let facts: Vec<_> = [status, code.clone(), request].into_iter().flatten().collect();
        if !facts.is_empty() {
            write!(f, " ({})", facts.join(", "))?;
        }
        write!(f, ": {}", self.fix())
    }
}

impl std::error::Error for CloudError {}

/// Returns an identifier that an API wrote if it may be shown: at most 64 letters, digits and `._-`. Returns `None` if it
/// contains anything else, because then it is not an identifier.
pub fn identifier(text: &str) -> Option<String> {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    ((1..=64).contains(&text.len()) && text.bytes().all(harmless)).then(|| text.to_owned())
}

fn asked_to_wait(wait: Option<Duration>) -> String {
    wait.map(|wait| format!(", the API asks to wait {}", rounded(wait))).unwrap_or_default()
}

fn rounded(time: Duration) -> String {
    match time.as_millis() {
        milliseconds @ ..1_000 => format!("{milliseconds} ms"),
        milliseconds @ 1_000..120_000 => format!("{} s", milliseconds / 1_000),
        milliseconds @ 120_000..7_200_000 => format!("{} min", milliseconds / 60_000),
        milliseconds => format!("{} h", milliseconds / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_shown_only_when_it_is_one() {
        for text in
            ["NoPermission", "AuthenticationFail.OIDCToken.Expired", "E069C2F0-0000", "USER_NOT_EXIST"]
        {
            assert_eq!(identifier(text).as_deref(), Some(text));
        }
        for text in ["", "two words", "<script>", "a\nb", "eyJh+/=", &"x".repeat(65)] {
            assert_eq!(identifier(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_clock_that_is_off_the_other_way_is_another_error() {
        let error = |seconds| {
            let mut error = CloudError::new(Reason::ClockSkew, "AssumeRole");
            error.details.clock_ahead = Some(SignedDuration::from_secs(seconds));
            error
        };
        assert_eq!(error(7_200), error(7_201));
        assert_ne!(error(7_200), error(-7_200));
    }

    #[test]
    fn a_clock_says_how_far_it_is_off() {
        let error = |seconds| {
            let mut error = CloudError::new(Reason::ClockSkew, "AssumeRole");
            error.details.clock_ahead = Some(SignedDuration::from_secs(seconds));
            error.to_string()
        };
        assert_eq!(
            error(1_020),
            "AssumeRole: this machine's clock is 17 min ahead of the API's: set the clock of this machine (NTP)"
        );
        assert_eq!(
            error(-7_200),
            "AssumeRole: this machine's clock is 2 h behind the API's: set the clock of this machine (NTP)"
        );
    }
}
