//! ECS metadata: the region, and the keys of the node's RAM role.

use reqwest::Method;
use zeroize::Zeroizing;

use super::answer::{self, Context};
use super::api::{Api, unanswered};
use super::endpoints::Base;
use super::error::{CloudError, Details, Reason};
use super::http::{Answer, Request};
use super::identity::ADDON_SECRET;
use super::keys::{Origin, Session, Source};
use super::retry::retrying;
use super::settings::Environment;
use super::sts::read_session;

/// ECS metadata, asked the way the environment says.
#[derive(Debug)]
pub(super) struct Metadata<'a> {
    pub(super) api: &'a Api,
    pub(super) base: Base,
    pub(super) environment: &'a Environment,
}

/// Whether the environment switches ECS metadata off.
pub(super) fn is_disabled(environment: &Environment) -> bool {
    environment.is_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED")
}

impl Metadata<'_> {
    /// The region this machine is in, as text.
    pub(super) async fn region(&self) -> Result<String, CloudError> {
        let context = self.context("reading the region from ECS metadata");
        let answer = self.get(&context, "/latest/meta-data/region-id").await.map_err(|mut error| {
            error.details.fix = Some("set --region, or regionId on the registry's entry".to_owned());
            error
        })?;
        match answer.status {
            200 => text(&context, &answer),
            _ => Err(self.refused(&context, &answer)),
        }
    }

    /// The keys of the node's RAM role: the last of the default chain, so no answer means that there are no keys.
    pub(super) async fn session(&self) -> Result<Session, CloudError> {
        self.keys().await.map_err(|error| match error.reason {
            Reason::Unreachable => {
                let Details { host, problem, .. } = *error.details;
                let (host, problem) = (host.unwrap_or_default(), problem.unwrap_or_default());
                CloudError::explained(
                    Reason::IdentityUnavailable,
                    error.action,
                    format!(
                        "no access key and no OIDC token in the environment, no Secret {ADDON_SECRET}, and ECS metadata: \
                         {problem}"
                    ),
                    "give the sidecar an access key, use RRSA, or run it on an ECS instance with a RAM role",
                )
                .at(host)
            }
            _ => error,
        })
    }

    async fn keys(&self) -> Result<Session, CloudError> {
        let context = self.context("reading keys from ECS metadata");
        let role = match self.environment.get("ALIBABA_CLOUD_ECS_METADATA") {
            Some(role) => role.trim().to_owned(),
            None => self.role(&context).await?,
        };
        if !role.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return Err(context.malformed("the name of the node's RAM role has characters that no name has"));
        }
        let answer = self.get(&context, &format!("{ROLES}{role}")).await?;
        match answer.status {
            200 => {
                let now = self.api.clock.wall();
                let body = answer::read(&context, &answer, now)?;
                read_session(&context, body.fields(), Origin::of(Source::Metadata(role)), now)
            }
            404 => Err(CloudError::explained(
                Reason::IdentityUnavailable,
                context.action,
                format!("the node has no RAM role {role}"),
                "attach that role to the node, or correct ALIBABA_CLOUD_ECS_METADATA",
            )
            .at(context.host)),
            _ => Err(self.refused(&context, &answer)),
        }
    }

    async fn role(&self, context: &Context) -> Result<String, CloudError> {
        let answer = self.get(context, ROLES).await?;
        match answer.status {
            200 => text(context, &answer),
            404 => Err(CloudError::explained(
                Reason::IdentityUnavailable,
                context.action,
                "the node has no RAM role",
                "attach one to the node, or give the sidecar keys of its own",
            )
            .at(&context.host)),
            _ => Err(self.refused(context, &answer)),
        }
    }

    /// Repeats what a busy service refuses. No answer at all is not repeated: off ECS there never is one, and each attempt
    /// costs the whole time-out.
    async fn get(&self, context: &Context, path: &str) -> Result<Answer, CloudError> {
        let attempt = async || match self.get_once(context, path).await {
            Ok(answer) if answer.status == 429 || answer.status >= 500 => Err(self.refused(context, &answer)),
            Err(error) if error.reason == Reason::Unreachable => Ok(Err(error)),
            result => result.map(Ok),
        };
        retrying(&self.api.limits, attempt).await?
    }

    async fn get_once(&self, context: &Context, path: &str) -> Result<Answer, CloudError> {
        let headers = self.token(context).await?.map(|token| ("x-aliyun-ecs-metadata-token", token));
        self.send(context, Method::GET, path, headers.into_iter().collect()).await
    }

    /// The session token of the hardened mode; `None` where this machine has only the plain mode, and the environment
    /// allows it.
    async fn token(&self, context: &Context) -> Result<Option<Zeroizing<String>>, CloudError> {
        let life = ("x-aliyun-ecs-metadata-token-ttl-seconds", Zeroizing::new("300".to_owned()));
        let answer = self.send(context, Method::PUT, "/latest/api/token", vec![life]).await?;
        match answer.status {
            200 => Ok(Some(Zeroizing::new(text(context, &answer)?))),
            403 | 404 if self.environment.is_true("ALIBABA_CLOUD_IMDSV1_DISABLED") => {
                Err(CloudError::explained(
                    Reason::IdentityUnavailable,
                    context.action,
                    "ECS metadata gives no session token, and ALIBABA_CLOUD_IMDSV1_DISABLED forbids to do without",
                    "allow the hardened mode on the node, or unset ALIBABA_CLOUD_IMDSV1_DISABLED",
                )
                .at(&context.host))
            }
            403 | 404 => Ok(None),
            _ => Err(self.refused(context, &answer)),
        }
    }

    async fn send(
        &self,
        context: &Context,
        method: Method,
        path: &str,
        headers: Vec<(&'static str, Zeroizing<String>)>,
    ) -> Result<Answer, CloudError> {
        let request = Request { method, url: self.base.url(path, ""), headers, form: None };
        let answer = self.api.http.send(request, self.api.limits.metadata).await;
        answer.map_err(|fault| unanswered(context, fault))
    }

    fn refused(&self, context: &Context, answer: &Answer) -> CloudError {
        match answer::read(context, answer, self.api.clock.wall()) {
            Err(error) if error.is_transient() => error,
            Ok(_) | Err(_) => CloudError::explained(
                Reason::IdentityUnavailable,
                context.action,
                format!("ECS metadata answers HTTP {}", answer.status),
                "allow Pods to read it, or do without it: set --region, and give the sidecar keys of its own",
            )
            .at(&context.host),
        }
    }

    fn context(&self, action: &'static str) -> Context {
        Context { action, host: self.base.authority(), personal: false }
    }
}

/// Followed by nothing: the name of the role. Followed by that name: its keys.
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";

/// A body that is one word.
fn text(context: &Context, answer: &Answer) -> Result<String, CloudError> {
    let text = std::str::from_utf8(&answer.body).unwrap_or_default().trim();
    if text.is_empty() || text.len() > 1024 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(context.malformed("the answer is not the one word that it should be"));
    }
    Ok(text.to_owned())
}
