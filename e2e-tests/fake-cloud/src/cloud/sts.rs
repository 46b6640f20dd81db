//! STS: sessions of roles.

use jiff::SignedDuration;
use serde_json::json;

use crate::cloud::authentication::{Caller, Session, no_permission};
use crate::cloud::{Body, Call, Cloud, later, parse_arn};
use crate::error::ApiError;
use crate::oidc::{self, Refusal};
use crate::policy::{Context, Policy, TrustedAs, Verdict, judge_trust};
use crate::state::Role;

/// What both calls ask for.
struct Wanted {
    account: String,
    role: String,
    arn: String,
    session_name: String,
    seconds: Option<i64>,
    policy: Option<Policy>,
}

impl Cloud {
    /// `AssumeRole`.
    pub(super) fn assume_role(&mut self, call: &Call<'_>) -> Result<Body, ApiError> {
        let caller = self.authenticate(call)?;
        let wanted = wanted(call)?;
        if matches!(caller, Caller::Root { .. }) {
            let message = "Roles may not be assumed by root accounts.";
            return Err(ApiError::new(403, "NoPermission", message));
        }
        self.authorize(&caller, "sts:AssumeRole", &wanted.arn)?;
        let context: Context = call
            .request
            .parameter("ExternalId")
            .map(|id| ("sts:ExternalId".to_owned(), vec![id]))
            .into_iter()
            .collect();
        let role = self.role(&wanted)?;
        if judge_trust(&role.trust, &TrustedAs::Ram(&caller.arns()), &context) != Verdict::Allowed {
            return Err(untrusted(&caller));
        }
        let longest = role.max_session_seconds;
        self.open_session(call, wanted, longest)
    }

    /// `AssumeRoleWithOIDC`.
    pub(super) fn assume_role_with_oidc(&mut self, call: &Call<'_>) -> Result<Body, ApiError> {
        let provider_arn = call.required("OIDCProviderArn")?;
        let token = call.required("OIDCToken")?;
        let wanted = wanted(call)?;
        let provider = self.oidc_provider(&provider_arn).ok_or_else(|| {
            ApiError::new(404, "AuthenticationFail.NoPermission", "No such OIDC Provider registered.")
        })?;
        if !(4..=20_000).contains(&token.len()) {
            return Err(refused(Refusal::Malformed));
        }
        let claims = oidc::verify(&token, provider, later(call.now, call.skew)).map_err(refused)?;
        let context = Context::from([
            ("oidc:iss".to_owned(), vec![claims.issuer.clone()]),
            ("oidc:aud".to_owned(), claims.audiences.clone()),
            ("oidc:sub".to_owned(), vec![claims.subject.clone()]),
        ]);
        let role = self.role(&wanted)?;
        if judge_trust(&role.trust, &TrustedAs::Federated(&provider_arn), &context) != Verdict::Allowed {
            return Err(ApiError::new(403, "AuthenticationFail.NoPermission", "There is no permission."));
        }
        let longest = role.max_session_seconds;
        let mut body = self.open_session(call, wanted, longest)?;
        let info = json!({
            "Subject": claims.subject,
            "Issuer": claims.issuer,
            "ClientIds": claims.audiences.join(","),
        });
        body.insert("OIDCTokenInfo".into(), info);
        Ok(body)
    }

    fn role(&self, wanted: &Wanted) -> Result<&Role, ApiError> {
        self.state
            .accounts
            .get(&wanted.account)
            .and_then(|account| account.roles.get(&wanted.role))
            .ok_or_else(|| {
                let message = format!("The specified Role not exists : {} .", wanted.role);
                ApiError::new(404, "EntityNotExist.Role", message)
            })
    }

    fn open_session(&mut self, call: &Call<'_>, wanted: Wanted, longest: i64) -> Result<Body, ApiError> {
        let seconds = wanted.seconds.unwrap_or(3600);
        if !(900..=longest).contains(&seconds) {
            let message = format!("The Min/Max value of DurationSeconds is 15min/{}hr.", longest / 3600);
            return Err(ApiError::new(400, "InvalidParameter.DurationSeconds", message));
        }
        let expires = call.expiry(later(call.now, SignedDuration::from_secs(seconds)));
        let Wanted { account, role, session_name, policy, .. } = wanted;
        let arn = format!("acs:sts::{account}:assumed-role/{role}/{session_name}");
        let assumed_id = format!("{}:{session_name}", role_id(&account, &role));
        let session = self.new_session(expires, account, role, session_name, policy);
        let (id, Session { secret, token, .. }) = session;
        Ok(Body::from_iter([
            (
                "Credentials".to_owned(),
                json!({
                    "AccessKeyId": id,
                    "AccessKeySecret": secret,
                    "SecurityToken": token,
                    "Expiration": iso(expires),
                }),
            ),
            ("AssumedRoleUser".to_owned(), json!({"Arn": arn, "AssumedRoleId": assumed_id})),
        ]))
    }

    /// Opens a session, and gives its access key and itself back.
    pub(super) fn new_session(
        &mut self,
        expires: jiff::Timestamp,
        account: String,
        role: String,
        name: String,
        policy: Option<Policy>,
    ) -> (String, Session) {
        let id = self.generator.session_key_id();
        let secret = self.generator.secret("session secret");
        let token = self.generator.secret("session token");
        let session = Session { secret, token, expires, account, role, name, policy };
        self.sessions.insert(id.clone(), session.clone());
        (id, session)
    }
}

/// As the APIs write it: whole seconds.
pub(super) fn iso(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn wanted(call: &Call<'_>) -> Result<Wanted, ApiError> {
    let invalid =
        |name: &str, message: &str| ApiError::new(400, &format!("InvalidParameter.{name}"), message);
    let arn = call.required("RoleArn")?;
    let session_name = call.required("RoleSessionName")?;
    let (account, role) = parse_arn(&arn, "role")
        .ok_or_else(|| invalid("RoleArn", "The parameter RoleArn is wrongly formed."))?;
    let of_pattern = session_name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".@-_".contains(&byte));
    if !(2..=64).contains(&session_name.len()) || !of_pattern {
        return Err(invalid("RoleSessionName", "The parameter RoleSessionName is wrongly formed."));
    }
    let seconds =
        match call.request.parameter("DurationSeconds") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                invalid("DurationSeconds", "The parameter DurationSeconds is wrongly formed.")
            })?),
        };
    let policy =
        match call.request.parameter("Policy") {
            None => None,
            Some(text) if text.is_empty() || text.len() > 2048 => {
                return Err(invalid("PolicySize", "The size of Policy must be smaller than 2048 bytes."));
            }
            Some(text) => Some(serde_json::from_str(&text).map_err(|_| {
                invalid("PolicyGrammar", "The parameter Policy has not passed grammar check.")
            })?),
        };
    if call.request.parameter("ExternalId").is_some_and(|id| !(2..=1224).contains(&id.len())) {
        return Err(invalid("ExternalId", "The parameter ExternalId is wrongly formed."));
    }
    Ok(Wanted { account: account.to_owned(), role: role.to_owned(), session_name, seconds, policy, arn })
}

fn untrusted(caller: &Caller) -> ApiError {
    let detail = json!({
        "AuthAction": "sts:AssumeRole",
        "AuthPrincipalOwnerId": caller.account(),
        "NoPermissionType": "ImplicitDeny",
        "PolicyType": "AssumeRolePolicy",
    });
    no_permission().with("AccessDeniedDetail", detail)
}

fn refused(refusal: Refusal) -> ApiError {
    let (code, message) = match refusal {
        Refusal::Malformed => ("Invalid", "This JSON Web Token is not valid."),
        Refusal::Signature => ("Invalid", "The signature of this JSON Web Token is not valid."),
        Refusal::Expired => ("Expired", "This JSON Web Token has already expired."),
        Refusal::Issuer => {
            ("IssuerNotMatch", "The issuer of this JSON Web Token does not match the OIDC provider.")
        }
        Refusal::Audience => {
            ("AudienceNotMatch", "The audience of this JSON Web Token does not match the OIDC provider.")
        }
    };
    ApiError::new(400, &format!("AuthenticationFail.OIDCToken.{code}"), message)
}

/// A number that follows from the names, as roles have one.
fn role_id(account: &str, role: &str) -> u64 {
    let bytes = account.bytes().chain(role.bytes());
    300_000_000_000_000_000
        + bytes.fold(17, |id: u64, byte| (id * 31 + u64::from(byte)) % 99_999_999_999_999_999)
}
