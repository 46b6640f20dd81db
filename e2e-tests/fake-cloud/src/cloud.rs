//! The cloud itself: state, clock and sessions, and an answer for each request. It does no IO.

mod acr;
mod admin;
mod authentication;
mod faulted;
mod metadata;
mod registry;
mod routing;
mod sts;

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::error::{ApiError, Envelope, Style};
use crate::fault::{Action, FaultKind, Faults};
use crate::generator::Generator;
use crate::message::{Answer, Request};
use crate::oidc::{self, Claims, OidcProvider, TokenRequest};
use crate::record::Record;
use crate::state::{Mistake, Secret, State};

pub(crate) use authentication::Session;
pub(crate) use registry::Credential;
use routing::{action_of, unknown_action};

/// So many requests are kept.
const RECORDS: usize = 10_000;

/// An Alibaba Cloud.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// What [`Cloud::reset`] goes back to.
    initial: State,
    pub(crate) state: State,
    /// Its clock.
    pub clock: Clock,
    /// The faults that are set.
    pub faults: Faults,
    pub(crate) calls: BTreeMap<Action, Count>,
    pub(crate) records: VecDeque<Record>,
    generator: Generator,
    /// By access key.
    sessions: BTreeMap<String, Session>,
    /// Registry credentials that were handed out, by their password.
    credentials: BTreeMap<Secret, Credential>,
    /// By access key and nonce, with the time of use.
    nonces: BTreeMap<(String, String), Timestamp>,
    /// With their expiry.
    metadata_tokens: BTreeMap<String, Timestamp>,
    /// The access key of the session that metadata serves.
    metadata_session: Option<String>,
}

/// How often an action was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// All calls.
    pub calls: u64,
    /// Those that were not answered with what they asked for.
    pub refused: u64,
}

/// One call of an API, with all that its answer depends on besides the cloud.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) request: &'a Request,
    /// The region of the listener it came in at.
    pub(crate) region: &'a str,
    pub(crate) now: Timestamp,
    /// By how much the server's idea of the time is off.
    skew: SignedDuration,
    /// Life of what is handed out, if a fault says so.
    life: Option<SignedDuration>,
    /// Whether passwords are left out of what is handed out.
    without_password: bool,
}

impl Call<'_> {
    /// The password as it is handed out.
    fn shown(&self, password: String) -> String {
        if self.without_password { String::new() } else { password }
    }

    /// When something expires that would live until `regular`.
    fn expiry(&self, regular: Timestamp) -> Timestamp {
        self.life.map_or(regular, |life| later(self.now, life))
    }

    fn required(&self, name: &str) -> Result<String, ApiError> {
        self.request.parameter(name).filter(|value| !value.is_empty()).ok_or_else(|| ApiError::missing(name))
    }
}

/// What an API hands back: the members of its answer.
pub(crate) type Body = Map<String, Value>;

impl Cloud {
    /// A cloud with this in it.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self {
            clock: Clock::starting_at(state.clock),
            generator: Generator::new(state.seed.as_deref()),
            faults: Faults::default(),
            calls: BTreeMap::new(),
            records: VecDeque::new(),
            sessions: BTreeMap::new(),
            credentials: BTreeMap::new(),
            nonces: BTreeMap::new(),
            metadata_tokens: BTreeMap::new(),
            metadata_session: None,
            initial: state.clone(),
            state,
        }
    }

    /// What is in it.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Changes what is in it by a JSON merge patch. A member that is `null` is removed.
    ///
    /// # Errors
    /// What is wrong with the result; nothing has changed then.
    pub fn patch(&mut self, patch: &Value) -> Result<(), Mistake> {
        self.state = self.state.patched(patch)?;
        Ok(())
    }

    /// Puts all back as it was at the start: state, clock, sessions, faults, counters, records.
    pub fn reset(&mut self) {
        *self = Self::new(self.initial.clone());
    }

    /// How often an action was called.
    #[must_use]
    pub fn calls(&self, action: Action) -> Count {
        self.calls.get(&action).copied().unwrap_or_default()
    }

    /// The requests so far, the oldest first; the last ten thousand are kept.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// Signs an OIDC token.
    ///
    /// # Errors
    /// When there is no such provider.
    pub fn mint_oidc_token(&self, wanted: &TokenRequest) -> Result<String, String> {
        let issuer = match (&wanted.issuer, &wanted.provider) {
            (Some(issuer), _) => issuer.clone(),
            (None, Some(arn)) => {
                self.oidc_provider(arn).ok_or_else(|| format!("provider: there is no {arn}"))?.issuer.clone()
            }
            (None, None) => {
                let mut all =
                    self.state.accounts.values().flat_map(|account| account.oidc_providers.values());
                match (all.next(), all.next()) {
                    (Some(only), None) => only.issuer.clone(),
                    _ => return Err("provider: name one, by its ARN: there is not exactly one".into()),
                }
            }
        };
        let audience = wanted.audience.clone().unwrap_or_else(|| "sts.aliyuncs.com".into());
        let claims = Claims { subject: wanted.subject.clone(), issuer, audiences: vec![audience] };
        let now = self.clock.now();
        let expires = later(now, SignedDuration::from_secs(wanted.expires_in.unwrap_or(3600)));
        oidc::mint(&claims, now.min(expires), expires, wanted.signed_by)
    }

    /// Answers a request that came in at the listener of this region.
    pub fn respond(&mut self, region: &str, request: &Request) -> Answer {
        let at = self.clock.now();
        if let Some(path) = request.path.strip_prefix("/_admin") {
            let answer = admin::answer(self, path, request);
            self.keep(Record::of_admin(at, region, request, &answer));
            return answer;
        }
        let action = action_of(request);
        let answer = self.answer(action, region, request, at);
        let count = self.calls.entry(action).or_default();
        count.calls += 1;
        // A registry's 401 is what it is asked for.
        if answer.status >= 400 && action != Action::Registry || !answer.code.is_empty() {
            count.refused += 1;
        }
        self.keep(Some(Record::of(action, at, region, request, &answer)));
        answer
    }

    fn keep(&mut self, record: Option<Record>) {
        if self.records.len() >= RECORDS {
            self.records.pop_front();
        }
        self.records.extend(record);
    }

    fn answer(&mut self, action: Action, region: &str, request: &Request, now: Timestamp) -> Answer {
        let envelope = self.envelope(action, request);
        let fault = self.faults.take(action, request);
        if let Some(answer) = fault.as_ref().and_then(|fault| faulted::instead(fault, &envelope, now)) {
            return answer;
        }
        let call = Call {
            request,
            region,
            now,
            skew: fault.as_ref().and_then(FaultKind::skew).unwrap_or_default(),
            life: fault.as_ref().and_then(FaultKind::life),
            without_password: fault == Some(FaultKind::EmptyPassword),
        };
        let answer = match action {
            Action::MetadataToken | Action::MetadataCredentials | Action::Metadata => {
                self.metadata(action, &call)
            }
            Action::Registry => self.registry(&call),
            Action::RegistryLogin => self.registry_login(&call),
            _ => match self.api(action, &call) {
                Ok(body) => envelope.success(body),
                Err(error) => envelope.failure(error),
            },
        };
        Answer { delivery: fault.as_ref().map(FaultKind::delivery).unwrap_or_default(), ..answer }
    }

    fn api(&mut self, action: Action, call: &Call<'_>) -> Result<Body, ApiError> {
        match action {
            Action::GetAuthorizationToken => self.get_authorization_token(call),
            Action::ListInstanceEndpoint => self.list_instance_endpoint(call),
            Action::GetPersonalToken => self.get_personal_token(call),
            Action::AssumeRole => self.assume_role(call),
            Action::AssumeRoleWithOIDC => self.assume_role_with_oidc(call),
            Action::MetadataToken
            | Action::MetadataCredentials
            | Action::Metadata
            | Action::Registry
            | Action::RegistryLogin
            | Action::Unknown => Err(unknown_action(call.request)),
        }
    }

    fn envelope(&mut self, action: Action, request: &Request) -> Envelope {
        let accept = request.header("accept").unwrap_or_default();
        let format = request.parameter("Format").unwrap_or_default();
        let xml = match format.as_str() {
            "" => accept.starts_with("application/xml") || accept.starts_with("text/xml"),
            named => named.eq_ignore_ascii_case("xml"),
        };
        Envelope {
            style: if action == Action::GetPersonalToken { Style::Roa } else { Style::Rpc },
            xml,
            request_id: self.generator.request_id(),
            host: request.header("host").unwrap_or_default(),
            action: action.name(),
        }
    }

    /// The provider of this ARN.
    fn oidc_provider(&self, arn: &str) -> Option<&OidcProvider> {
        let (account, name) = parse_arn(arn, "oidc-provider")?;
        self.state.accounts.get(account)?.oidc_providers.get(name)
    }
}

/// Account and name in an ARN such as `acs:ram::1000000000000001:role/puller`.
pub(crate) fn parse_arn<'a>(arn: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (account, resource) = arn.strip_prefix("acs:ram::")?.split_once(':')?;
    let name = resource.strip_prefix(kind)?.strip_prefix('/')?;
    (!account.is_empty() && !name.is_empty()).then_some((account, name))
}

pub(crate) fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}
