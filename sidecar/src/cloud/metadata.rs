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

/// ECS metadata, asked the way the environment says.
#[derive(Debug)]
pub(super) struct Metadata<'a> {
    pub(super) api: &'a Api,
    pub(super) base: &'a Base,
    pub(super) environment: &'a Environment,
    /// What it is asked for.
    pub(super) call: Call,
}

/// Whether the environment switches ECS metadata off.
pub(super) fn is_disabled(environment: &Environment) -> bool {
    environment.is_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED")
}

impl Metadata<'_> {
    /// The region this machine is in, as text.
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

    /// The keys of the node's RAM role: the last of the default chain, so no answer means that there are no keys.
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
            let problem = "the name of the node's RAM role has characters that no name has";
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
                "attach one to the node, or give the sidecar keys of its own",
            )),
            _ => Err(self.refused(&answer)),
        }
    }

    /// Repeats what a busy service refuses. No answer at all is not repeated: off ECS there never is one, and each attempt
    /// costs the whole time-out.
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

    /// The session token of the hardened mode; `None` where this machine has only the plain mode, and the environment
    /// allows it.
    async fn token(&self) -> Result<Option<Zeroizing<String>>, CloudError> {
        let life = ("x-aliyun-ecs-metadata-token-ttl-seconds", Zeroizing::new("300".to_owned()));
        let answer = self.send(Method::PUT, "/latest/api/token", vec![life]).await?;
        match answer.status {
            200 => Ok(Some(Zeroizing::new(self.word(&answer)?))),
            403 | 404 if self.environment.is_true("ALIBABA_CLOUD_IMDSV1_DISABLED") => Err(self.no_keys(
                "ECS metadata gives no session token, and ALIBABA_CLOUD_IMDSV1_DISABLED forbids to do without",
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
                format!("ECS metadata answers HTTP {}", answer.status),
                "allow Pods to read it, or do without it: set --region, and give the sidecar keys of its own",
            ),
        }
    }

    /// A body that is one word.
    fn word(&self, answer: &Answer) -> Result<String, CloudError> {
        let text = std::str::from_utf8(&answer.body).unwrap_or_default().trim();
        if text.is_empty() || text.len() > 1024 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(self.call.malformed("the answer is not the one word that it should be"));
        }
        Ok(text.to_owned())
    }

    fn no_keys(&self, problem: impl Into<String>, fix: &str) -> CloudError {
        self.call.error(Reason::IdentityUnavailable).explained(problem, fix)
    }
}

/// Followed by nothing: the name of the role. Followed by that name: its keys.
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
