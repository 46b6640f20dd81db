//! The client of Alibaba Cloud. No other code calls Alibaba Cloud.

mod answer;
mod api;
mod call;
pub mod challenge;
pub mod endpoints;
pub mod error;
mod http;
mod identity;
pub mod keys;
mod metadata;
mod refusal;
mod registry;
mod retry;
mod session_policy;
mod sessions;
pub mod settings;
pub mod signature;
mod sts;

use std::sync::Arc;

use tokio::sync::OnceCell;

pub use self::challenge::Challenge;
pub use self::endpoints::{EndpointError, Endpoints};
pub use self::error::{CloudError, Reason};
pub use self::http::ProxyError;
pub use self::keys::Session;
#[cfg(any(test, fuzzing))]
pub use self::registry::fuzz_answer;
pub use self::settings::{CloudSettings, Environment, Limits};

use self::api::Api;
use self::call::Call;
use self::endpoints::Base;
use self::http::Http;
use self::identity::FirstKeys;
use self::metadata::Metadata;
use self::sessions::{SessionKey, Sessions};
use crate::clock::Clock;
use crate::configuration::{Host, Identity, IdentitySource, Instance, Region};
use crate::credential::{Credential, CredentialKey};

/// The client of Alibaba Cloud. It mints credentials with sessions, which it keeps while they are fresh.
///
/// The process must have installed a provider for rustls (`main` installs ring), because reqwest panics without one.
#[derive(Debug)]
pub struct Cloud {
    settings: CloudSettings,
    api: Api,
    sessions: Sessions,
    /// The cluster's region, after ECS metadata has returned it.
    region: OnceCell<Region>,
}

impl Cloud {
    /// Creates a client. This makes no calls.
    pub fn new(settings: CloudSettings, clock: Arc<dyn Clock>) -> Result<Self, ProxyError> {
        let http = Http::new(settings.limits, &settings.environment)?;
        let sessions = Sessions::new(Arc::clone(&clock));
        Ok(Self { settings, api: Api { http, clock }, sessions, region: OnceCell::new() })
    }

    /// Returns the cluster's region: the region in the flag, or else this machine's region from ECS metadata, which is read once.
    pub async fn region(&self) -> Result<Region, CloudError> {
        match &self.settings.region {
            Some(region) => Ok(region.clone()),
            None => self.region.get_or_try_init(|| self.region_of_machine()).await.cloned(),
        }
    }

    /// Returns the session of an identity that calls the API for a registry of this region.
    pub async fn session(&self, identity: &Identity, region: &Region) -> Result<Session, CloudError> {
        let Identity { source, assume_role } = identity;
        let Some(role) = assume_role else {
            return self.first_session(source, region, true).await;
        };
        let obtain = async {
            let base = &self.sts(region, false).await?;
            let first = || self.first_session(source, region, false);
            self.with_session(first, async |with| sts::assume_role(&self.api, base, role, &with).await).await
        };
        self.sessions.get(SessionKey::Role(identity.clone()), obtain).await
    }

    /// Mints a credential.
    pub async fn credential(&self, key: &CredentialKey) -> Result<Credential, CloudError> {
        let CredentialKey { identity, region, instance } = key;
        let base = &self.acr(region)?;
        let mint = async |session| registry::credential(&self.api, base, instance, &session).await;
        self.with_session(|| self.session(identity, region), mint).await
    }

    /// Returns the hosts of an instance, sorted. For Enterprise Edition, these are all enabled hosts: public, VPC and custom
    /// ones. The list is empty if no endpoint is enabled. For Personal Edition, these are all forms of the host in the region,
    /// and no call is needed.
    pub async fn hosts(&self, key: &CredentialKey) -> Result<Vec<Host>, CloudError> {
        let CredentialKey { identity, region, instance } = key;
        let Instance::Enterprise(id) = instance else {
            return Ok(Host::of_personal_edition(region));
        };
        let base = &self.acr(region)?;
        let list = async |session| registry::enterprise_hosts(&self.api, base, id, &session).await;
        self.with_session(|| self.session(identity, region), list).await
    }

    /// Asks a registry which ACR instance it is, without a credential.
    pub async fn challenge(&self, host: &Host) -> Result<Challenge, CloudError> {
        challenge::challenge(&self.api, host).await
    }

    async fn region_of_machine(&self) -> Result<Region, CloudError> {
        const ACTION: &str = "finding the cluster's region";
        if metadata::is_disabled(&self.settings.environment) {
            return Err(CloudError::new(Reason::IdentityUnavailable, ACTION).explained(
                "--region is not given, and ECS metadata is switched off",
                "set --region, or regionId on the registry's entry",
            ));
        }
        let text = self.metadata("reading the region from ECS metadata").region().await?;
        Region::parse(&text).map_err(|error| {
            CloudError::new(Reason::MalformedAnswer, ACTION)
                .explained(format!("the region in ECS metadata {}", error.problem), "set --region")
        })
    }

    /// Returns the session of the first keys. If `last` is true, no other role is assumed with them.
    async fn first_session(
        &self,
        source: &IdentitySource,
        region: &Region,
        last: bool,
    ) -> Result<Session, CloudError> {
        match identity::first_keys(source, &self.settings, last)? {
            FirstKeys::Here(session) => Ok(session),
            FirstKeys::Metadata => {
                let metadata = self.metadata("reading keys from ECS metadata");
                self.sessions.get(SessionKey::Metadata, metadata.session()).await
            }
            FirstKeys::Oidc(role, file) => {
                let obtain = async {
                    let token = identity::oidc_token(&file)?;
                    let base = self.sts(region, true).await?;
                    sts::assume_role_with_oidc(&self.api, &base, &role, &token).await
                };
                self.sessions.get(SessionKey::Oidc(role.clone()), obtain).await
            }
        }
    }

    /// Makes a call with a session. If the session is refused as expired, the call is repeated once with a new session.
    async fn with_session<T, S, C>(
        &self,
        session: impl Fn() -> S,
        call: impl Fn(Session) -> C,
    ) -> Result<T, CloudError>
    where
        S: Future<Output = Result<Session, CloudError>>,
        C: Future<Output = Result<T, CloudError>>,
    {
        let mut is_renewed = false;
        loop {
            let session = session().await?;
            match call(session.clone()).await {
                Err(error)
                    if error.reason == Reason::SessionExpired
                        && !is_renewed
                        && self.sessions.forget(&session).await =>
                {
                    is_renewed = true;
                }
                result => return result,
            }
        }
    }

    fn acr(&self, region: &Region) -> Result<Base, CloudError> {
        self.settings.endpoints.acr(region).map_err(|error| no_endpoint("finding ACR", &error))
    }

    /// Returns the endpoint of STS in the cluster's region, if that region is known. Sessions are valid in every region, so an
    /// identity has one session for all of its registries. VPC names are used with the cluster's own region. The environment's
    /// switch for them comes from ACK's Pod identity webhook, and applies to the OIDC token.
    async fn sts(&self, registry: &Region, oidc: bool) -> Result<Base, CloudError> {
        let CloudSettings { endpoints, environment, region, .. } = &self.settings;
        let of_environment =
            || environment.get("ALIBABA_CLOUD_STS_REGION").and_then(|text| Region::parse(text).ok());
        let vpc = endpoints.vpc || (oidc && environment.is_true("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED"));
        let region = match region.clone().or_else(of_environment) {
            Some(region) => region,
            None if vpc => self.region().await?,
            None => registry.clone(),
        };
        endpoints.sts(&region, vpc).map_err(|error| no_endpoint("finding STS", &error))
    }

    fn metadata(&self, action: &'static str) -> Metadata<'_> {
        let CloudSettings { endpoints, environment, .. } = &self.settings;
        let call = Call::new(action, endpoints.metadata.authority());
        Metadata { api: &self.api, base: &endpoints.metadata, environment, call }
    }
}

fn no_endpoint(action: &'static str, error: &EndpointError) -> CloudError {
    CloudError::new(Reason::Unreachable, action)
        .explained(format!("no endpoint, {error}"), "correct the region")
}

#[cfg(test)]
mod tests;
