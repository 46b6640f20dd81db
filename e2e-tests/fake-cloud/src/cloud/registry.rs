//! The registries: their answer to those that have not logged in, which tells region and instance, and the login.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::json;

use crate::cloud::{Call, Cloud};
use crate::message::Answer;
use crate::state::{Instance, Secret};

/// The one user that registry credentials are for.
pub(super) const USER_NAME: &str = "cr_temp_user";

/// How long a registry's own token lives, in seconds.
const TOKEN_SECONDS: i64 = 300;

/// A registry that hands out credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Registry {
    /// An Enterprise instance.
    Instance { region: String, id: String },
    /// Personal Edition, one for each region.
    Personal { region: String },
}

/// What is known of a password that was handed out.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    /// Where it opens something.
    pub(crate) registry: Registry,
    /// It is good before this time. Nothing takes it back earlier: that its key is revoked makes no difference.
    pub(crate) expires: Timestamp,
}

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("no user and password were sent")]
    Missing,
    #[error("this user and password were never handed out")]
    Unknown,
    #[error("the credential is for another registry")]
    OtherRegistry,
    #[error("the credential has expired")]
    Expired,
}

impl Cloud {
    /// `/v2/`: by the host name that is asked; on a loopback address, for the region's first instance.
    pub(super) fn registry(&self, call: &Call<'_>) -> Answer {
        let host = call.request.header("host").unwrap_or_default();
        let (region, id) = match self.registry_asked(call) {
            Registry::Instance { region, id } => (region, id),
            // Personal Edition has a number where Enterprise Edition has an instance.
            Registry::Personal { region } => (region, "26842".to_owned()),
        };
        let challenge = format!(
            "Bearer realm=\"http://{host}/auth\",service=\"registry.aliyuncs.com:{region}:china:{id}\""
        );
        unauthorized(None)
            .with_header("www-authenticate", challenge)
            .with_header("docker-distribution-api-version", "registry/2.0")
    }

    /// `/auth`, where the challenge points to: whether user and password are good, now, for the host name that is asked.
    pub(super) fn registry_login(&mut self, call: &Call<'_>) -> Answer {
        match self.login(call) {
            Ok(()) => Answer::json(
                200,
                &json!({
                    "token": self.generator.secret("login"),
                    "expires_in": TOKEN_SECONDS,
                    "issued_at": call.now.to_string(),
                }),
            ),
            Err(refusal) => unauthorized(Some(refusal)),
        }
    }

    fn login(&self, call: &Call<'_>) -> Result<(), Refusal> {
        let header = call.request.header("authorization").unwrap_or_default();
        let (user, password) = basic(&header).ok_or(Refusal::Missing)?;
        let credential = self.credentials.get(&Secret(password)).filter(|_| user == USER_NAME);
        let credential = credential.ok_or(Refusal::Unknown)?;
        if credential.registry != self.registry_asked(call) {
            return Err(Refusal::OtherRegistry);
        }
        if call.now >= credential.expires {
            return Err(Refusal::Expired);
        }
        Ok(())
    }

    /// The registry that the request's host name means.
    fn registry_asked(&self, call: &Call<'_>) -> Registry {
        let host = call.request.header("host").unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
        let instances = || self.state.accounts.values().flat_map(|account| &account.instances);
        let by_name = instances().find(|(_, instance)| serves(instance, name));
        let in_region = || instances().find(|(_, instance)| instance.region == call.region);
        let loopback = name == "localhost" || name.starts_with("127.") || name == "[::1]";
        match by_name.or_else(|| if loopback { in_region() } else { None }) {
            Some((id, instance)) => Registry::Instance { region: instance.region.clone(), id: id.clone() },
            None => Registry::Personal { region: personal_region(name).unwrap_or(call.region).to_owned() },
        }
    }
}

/// The answer to those that have not logged in. A registry keeps to itself why; this one says so, for those who debug.
fn unauthorized(refusal: Option<Refusal>) -> Answer {
    let detail = refusal.map(|refusal| refusal.to_string());
    let error =
        json!({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required", "detail": detail}]});
    let code = refusal.map(|refusal| format!("{refusal:?}")).unwrap_or_default();
    Answer { code, ..Answer::json(401, &error) }
}

/// User and password of an `Authorization` header.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn serves(instance: &Instance, name: &str) -> bool {
    instance.endpoints().into_iter().any(|(kind, endpoint)| {
        endpoint.enabled
            && (instance.system_domain(kind) == name
                || endpoint.custom_domains.iter().any(|domain| domain == name))
    })
}

fn personal_region(name: &str) -> Option<&str> {
    let (registry, rest) = name.split_once('.')?;
    registry.starts_with("registry").then(|| rest.strip_suffix(".aliyuncs.com")).flatten()
}
