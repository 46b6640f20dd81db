//! Who calls, and whether they may.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use serde_json::json;

use crate::cloud::{Call, Cloud};
use crate::error::ApiError;
use crate::message::Request;
use crate::policy::{Context, Policy, Verdict, judge, system_policy};
use crate::signature::{self, Authorization, Rejection};
use crate::state::{AccessKey, Account, Grant};

/// Dates may be off by so much, either way.
const WINDOW: SignedDuration = SignedDuration::from_mins(15);

/// A session of a role.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) secret: String,
    pub(crate) token: String,
    pub(crate) expires: Timestamp,
    pub(crate) account: String,
    pub(crate) role: String,
    pub(crate) name: String,
    /// What it is narrowed to.
    pub(crate) policy: Option<Policy>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret: _, token: _, expires, account, role, name, policy } = self;
        f.debug_struct("Session")
            .field("expires", expires)
            .field("account", account)
            .field("role", role)
            .field("name", name)
            .field("policy", policy)
            .finish_non_exhaustive()
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    Root { account: String },
    User { account: String, name: String },
    Session(Box<Session>),
}

impl Caller {
    pub(crate) fn account(&self) -> &str {
        match self {
            Self::Root { account } | Self::User { account, .. } => account,
            Self::Session(session) => &session.account,
        }
    }

    /// The ARNs by which a trust policy can name the caller.
    pub(crate) fn arns(&self) -> Vec<String> {
        let account = self.account();
        let own = match self {
            Self::Root { .. } => None,
            Self::User { name, .. } => Some(format!("acs:ram::{account}:user/{name}")),
            Self::Session(session) => Some(format!("acs:ram::{account}:role/{}", session.role)),
        };
        own.into_iter().chain([format!("acs:ram::{account}:root")]).collect()
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Root { .. } => "Account",
            Self::User { .. } => "SubUser",
            Self::Session(_) => "AssumedRoleUser",
        }
    }

    fn display_name(&self) -> String {
        match self {
            Self::Root { account } => account.clone(),
            Self::User { name, .. } => name.clone(),
            Self::Session(session) => format!("{}:{}", session.role, session.name),
        }
    }
}

/// What a signed call says of itself.
struct Signed {
    by: SignedBy,
    access_key_id: String,
    token: Option<String>,
    date: String,
    nonce: String,
}

enum SignedBy {
    Headers(Authorization),
    Query,
}

impl Cloud {
    /// Checks all that a signed call must bring along.
    pub(crate) fn authenticate(&mut self, call: &Call<'_>) -> Result<Caller, ApiError> {
        let request = call.request;
        let Signed { by, access_key_id, token, date, nonce } = Signed::of(request)?;
        check_date(&date, call)?;
        let (caller, secret) = self.caller(&access_key_id, token.as_deref(), call.now)?;
        match by {
            SignedBy::Headers(authorization) => authorization.verify(request, &secret),
            SignedBy::Query => signature::verify_rpc(request, &secret),
        }
        .map_err(rejected)?;
        // Only now: a nonce that somebody without the secret sends is not used up.
        self.use_nonce(access_key_id, nonce, call.now)?;
        Ok(caller)
    }

    /// Refuses what the caller's policies, narrowed by its session's, do not allow.
    pub(crate) fn authorize(&self, caller: &Caller, action: &str, resource: &str) -> Result<(), ApiError> {
        let own: Vec<Policy> = match caller {
            Caller::Root { .. } => return Ok(()),
            Caller::User { account, name } => {
                let user = self.state.accounts.get(account).and_then(|account| account.users.get(name));
                user.map(|user| documents(&user.policies)).unwrap_or_default()
            }
            Caller::Session(session) => {
                let role = self.state.accounts.get(&session.account);
                let role = role.and_then(|account| account.roles.get(&session.role));
                role.map(|role| documents(&role.policies)).unwrap_or_default()
            }
        };
        let context = Context::new();
        let by_identity = judge(&own.iter().collect::<Vec<_>>(), action, resource, &context);
        let by_session = match caller {
            Caller::Session(session) => {
                session.policy.as_ref().map(|policy| judge(&[policy], action, resource, &context))
            }
            Caller::Root { .. } | Caller::User { .. } => None,
        };
        let (verdict, policy_type) = match (by_identity, by_session) {
            (Verdict::Allowed, None | Some(Verdict::Allowed)) => return Ok(()),
            (Verdict::Allowed, Some(verdict)) => (verdict, "SessionPolicy"),
            (verdict, _) => (verdict, "AccountLevelIdentityBasedPolicy"),
        };
        let detail = json!({
            "AuthAction": action,
            "AuthPrincipalDisplayName": caller.display_name(),
            "AuthPrincipalOwnerId": caller.account(),
            "AuthPrincipalType": caller.kind(),
            "NoPermissionType": if verdict == Verdict::ExplicitDeny { "ExplicitDeny" } else { "ImplicitDeny" },
            "PolicyType": policy_type,
        });
        Err(no_permission().with("AccessDeniedDetail", detail))
    }

    /// The owner of an access key, and its secret.
    fn caller(&self, id: &str, token: Option<&str>, now: Timestamp) -> Result<(Caller, String), ApiError> {
        if let Some(session) = self.sessions.get(id) {
            let Some(token) = token else { return Err(ApiError::missing("SecurityToken")) };
            if token != session.token {
                return Err(mismatched_token());
            }
            if session.expires <= now {
                let message = "Specified SecurityToken is expired.";
                return Err(ApiError::new(400, "InvalidSecurityToken.Expired", message));
            }
            return Ok((Caller::Session(Box::new(session.clone())), session.secret.clone()));
        }
        let (caller, key) =
            self.state.accounts.iter().find_map(|(number, account)| owner(number, account, id)).ok_or_else(
                || ApiError::new(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."),
            )?;
        if !key.active {
            return Err(ApiError::new(
                400,
                "InvalidAccessKeyId.Inactive",
                "Specified access key is disabled.",
            ));
        }
        if token.is_some() {
            return Err(mismatched_token());
        }
        Ok((caller, key.secret.0.clone()))
    }

    fn use_nonce(&mut self, id: String, nonce: String, now: Timestamp) -> Result<(), ApiError> {
        // A date this old is refused, so its nonce need not be remembered. The clock may have gone back since.
        self.nonces.retain(|_, used| now.duration_since(*used).abs() <= WINDOW + WINDOW);
        if self.nonces.insert((id, nonce), now).is_some() {
            let message = "Specified signature nonce was used already.";
            return Err(ApiError::new(400, "SignatureNonceUsed", message));
        }
        Ok(())
    }
}

impl Signed {
    fn of(request: &Request) -> Result<Self, ApiError> {
        if request.header("authorization").is_some() {
            Self::of_headers(request)
        } else {
            Self::of_query(request)
        }
    }

    fn of_headers(request: &Request) -> Result<Self, ApiError> {
        let authorization = Authorization::of(request).map_err(rejected)?;
        let header = |name: &str| {
            let value = request.header(name).filter(|value| !value.is_empty());
            value.ok_or_else(|| rejected(Rejection::Incomplete(format!("{name} is missing"))))
        };
        for name in ["x-acs-action", "x-acs-version", "x-acs-content-sha256"] {
            header(name)?;
        }
        Ok(Self {
            access_key_id: authorization.access_key_id.clone(),
            token: header("x-acs-security-token").ok(),
            date: header("x-acs-date")?,
            nonce: header("x-acs-signature-nonce")?,
            by: SignedBy::Headers(authorization),
        })
    }

    fn of_query(request: &Request) -> Result<Self, ApiError> {
        let parameter = |name: &str| request.parameter(name).filter(|value| !value.is_empty());
        let required = |name: &str| parameter(name).ok_or_else(|| ApiError::missing(name));
        let access_key_id = required("AccessKeyId")?;
        required("Signature")?;
        if parameter("SignatureMethod").as_deref() != Some("HMAC-SHA1") {
            let message = "Specified signature method is not valid.";
            return Err(ApiError::new(400, "InvalidSignatureMethod", message));
        }
        Ok(Self {
            by: SignedBy::Query,
            access_key_id,
            token: parameter("SecurityToken"),
            date: required("Timestamp")?,
            nonce: required("SignatureNonce")?,
        })
    }
}

/// The usual refusal for want of a right.
pub(crate) fn no_permission() -> ApiError {
    let message = "You are not authorized to do this action. You should be authorized by RAM.";
    ApiError::new(403, "NoPermission", message)
}

fn owner<'a>(number: &str, account: &'a Account, id: &str) -> Option<(Caller, &'a AccessKey)> {
    if let Some(key) = account.access_keys.get(id) {
        return Some((Caller::Root { account: number.into() }, key));
    }
    account.users.iter().find_map(|(name, user)| {
        let key = user.access_keys.get(id)?;
        Some((Caller::User { account: number.into(), name: name.clone() }, key))
    })
}

fn documents(grants: &[Grant]) -> Vec<Policy> {
    grants
        .iter()
        .filter_map(|grant| match grant {
            Grant::System(name) => system_policy(name),
            Grant::Custom(policy) => Some(policy.clone()),
        })
        .collect()
}

fn check_date(date: &str, call: &Call<'_>) -> Result<(), ApiError> {
    let time = civil::DateTime::strptime("%Y-%m-%dT%H:%M:%SZ", date)
        .and_then(|civil| civil.to_zoned(TimeZone::UTC))
        .map_err(|_| {
            let message = "Specified time stamp or date value is not well formatted.";
            ApiError::new(400, "InvalidTimeStamp.Format", message)
        })?
        .timestamp();
    if super::later(call.now, call.skew).duration_since(time).abs() > WINDOW {
        let message = "Specified time stamp or date value is expired.";
        return Err(ApiError::new(400, "InvalidTimeStamp.Expired", message));
    }
    Ok(())
}

fn mismatched_token() -> ApiError {
    let message = "Specified SecurityToken mismatch with the AccessKey.";
    ApiError::new(400, "InvalidSecurityToken.MismatchWithAccessKey", message)
}

fn rejected(rejection: Rejection) -> ApiError {
    match rejection {
        Rejection::Incomplete(what) => {
            let message = format!("The request signature does not conform to Aliyun standards: {what}.");
            ApiError::new(400, "IncompleteSignature", message)
        }
        Rejection::Body => {
            let message = "Specified signature does not match our calculation: x-acs-content-sha256 is not the hash of the body.";
            ApiError::new(400, "SignatureDoesNotMatch", message)
        }
        Rejection::Mismatch { string_to_sign } => {
            let message = format!(
                "Specified signature does not match our calculation. server string to sign is:{string_to_sign}"
            );
            ApiError::new(400, "SignatureDoesNotMatch", message)
        }
    }
}
