//! ECS metadata: the region, and the keys of the node's RAM role.

use reqwest::Method;
use zeroize::Zeroizing;

use super::answer;
use super::api::Api;
use super::call::Call;
use super::endpoints::Base;
use super::error::{CloudError, Reason};
use super::http::{Answer, Headers, HttpRequest};
use super::identity::ADDON_SECRET;
use super::keys::{Session, Source};
use super::retry::retrying;
use super::settings::Environment;

/// The client of ECS metadata, with the settings of the environment.
#[derive(Debug)]
pub(super) struct Metadata<'a> {
    pub(super) api: &'a Api,
    pub(super) base: &'a Base,
    pub(super) environment: &'a Environment,
    /// The purpose of the request.
    pub(super) call: Call,
}

/// Returns whether the environment switches ECS metadata off.
pub(super) fn is_disabled(environment: &Environment) -> bool {
    environment.is_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED")
}

impl Metadata<'_> {
    /// Reads the region of this machine as text.
    pub(super) async fn region(&self) -> Result<String, CloudError> {
        let answer = self.get("/latest/meta-data/region-id").await.map_err(|mut error| {
            error.details.fix = Some("set --region, or regionId on the registry's entry".to_owned());
            error
        })?;
        match answer.status {
            200 => self.word(&answer),
            _ => Err(self.refused(&answer)),
        }
    }

    /// Reads the keys of the node's RAM role. This is the last source of the default chain, so no response means that there are
    /// no keys.
    pub(super) async fn session(&self) -> Result<Session, CloudError> {
        self.keys().await.map_err(|error| match error.reason {
            Reason::Unreachable => self.no_keys(
                format!(
                    "no access key and no OIDC token in the environment, no Secret {ADDON_SECRET}, and ECS metadata: {}",
                    error.details.problem.unwrap_or_default()
                ),
                "give the sidecar an access key, use RRSA, or run it on an ECS instance with a RAM role",
            ),
            _ => error,
        })
    }

    async fn keys(&self) -> Result<Session, CloudError> {
        let role = match self.environment.get("ALIBABA_CLOUD_ECS_METADATA") {
            Some(role) => role.trim().to_owned(),
            None => self.role().await?,
        };
        if !role.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            let problem = "the name of the node's RAM role contains invalid characters";
            return Err(self.call.malformed(problem));
        }
        let answer = self.get(&format!("{ROLES}{role}")).await?;
        match answer.status {
            200 => {
                let now = self.api.clock.wall();
                let body = answer::read(&self.call, &answer, now)?;
                Session::from_answer(body.fields(), Source::Metadata(role).into(), now)
            }
            404 => Err(self.no_keys(
                format!("the node has no RAM role {role}"),
                "attach that role to the node, or correct ALIBABA_CLOUD_ECS_METADATA",
            )),
            _ => Err(self.refused(&answer)),
        }
    }

    async fn role(&self) -> Result<String, CloudError> {
        let answer = self.get(ROLES).await?;
        match answer.status {
            200 => self.word(&answer),
            404 => Err(self.no_keys(
                "the node has no RAM role",
                "attach one to the node, or give the sidecar an access key",
            )),
            _ => Err(self.refused(&answer)),
        }
    }

    /// Sends a request, and retries it if the service is busy. A request without a response is not retried: outside of ECS there
    /// is never a response, and each attempt takes the whole time-out.
    async fn get(&self, path: &str) -> Result<Answer, CloudError> {
        let attempt = async || match self.get_once(path).await {
            Ok(answer) if answer.status == 429 || answer.status >= 500 => Err(self.refused(&answer)),
            Err(error) if error.reason == Reason::Unreachable => Ok(Err(error)),
            result => result.map(Ok),
        };
        retrying(&self.api.http.limits, attempt).await?
    }

    async fn get_once(&self, path: &str) -> Result<Answer, CloudError> {
        let headers = self.token().await?.map(|token| ("x-aliyun-ecs-metadata-token", token));
        self.send(Method::GET, path, headers.into_iter().collect()).await
    }

    /// Returns the session token of the hardened mode, or `None` if this machine has only the plain mode and the environment
    /// allows it.
    async fn token(&self) -> Result<Option<Zeroizing<String>>, CloudError> {
        let life = ("x-aliyun-ecs-metadata-token-ttl-seconds", Zeroizing::new("300".to_owned()));
        let answer = self.send(Method::PUT, "/latest/api/token", vec![life]).await?;
        match answer.status {
            200 => Ok(Some(Zeroizing::new(self.word(&answer)?))),
            403 | 404 if self.environment.is_true("ALIBABA_CLOUD_IMDSV1_DISABLED") => Err(self.no_keys(
                "ECS metadata returns no session token, and ALIBABA_CLOUD_IMDSV1_DISABLED forbids requests without one",
                "allow the hardened mode on the node, or unset ALIBABA_CLOUD_IMDSV1_DISABLED",
            )),
            403 | 404 => Ok(None),
            _ => Err(self.refused(&answer)),
        }
    }

    async fn send(&self, method: Method, path: &str, headers: Headers) -> Result<Answer, CloudError> {
        let request = HttpRequest { method, url: self.base.url(path, ""), headers, form: None };
        self.api.http.send(&self.call, request, self.api.http.limits.metadata).await
    }

    fn refused(&self, answer: &Answer) -> CloudError {
        match answer::read(&self.call, answer, self.api.clock.wall()) {
            Err(error) if error.is_transient() => error,
            Ok(_) | Err(_) => self.no_keys(
                format!("ECS metadata returned HTTP {}", answer.status),
                "allow Pods to read it, or set --region and give the sidecar an access key",
            ),
        }
    }

    /// Returns a body that is one word.
    fn word(&self, answer: &Answer) -> Result<String, CloudError> {
        let text = std::str::from_utf8(&answer.body).unwrap_or_default().trim();
        if text.is_empty() || text.len() > 1024 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(self.call.malformed("the answer is not a single word"));
        }
        Ok(text.to_owned())
    }

    fn no_keys(&self, problem: impl Into<String>, fix: &str) -> CloudError {
        self.call.error(Reason::IdentityUnavailable).explained(problem, fix)
    }
}

/// The path of the role's name. Followed by that name, it is the path of the role's keys.
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
