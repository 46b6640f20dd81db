//! Kubernetes Events: what `kubectl describe` shows beside the object that something is wrong with.
//!
//! Saying something never waits. One task writes; it keeps silent about what it said within the last minutes, and bounds
//! how much it writes. An Event that cannot be written is counted and logged, and holds nobody up.

mod memory;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use self::memory::{Memory, Verdict};
use super::metrics::{EventOutcome, Metrics, Verb};
use super::{FIELD_MANAGER, api_error};

/// Events that wait to be written; more of them are dropped.
const QUEUE: usize = 256;

/// A write that takes longer is given up.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// The API server takes notes of up to 1024 bytes.
const LONGEST_NOTE: usize = 1000;

/// Where Events about objects without a namespace go; the API server wants it so.
const NAMESPACE_OF_CLUSTER: &str = "default";

/// Why there is an Event. The names are stable: people alert on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum Reason {
    /// A changed configuration is in use now.
    ConfigurationApplied,
    /// The configuration in the cluster has mistakes or is gone; the last good one stays in use.
    ConfigurationInvalid,
    /// A registry's credential cannot be renewed; the last one is still good.
    CredentialNotRenewed,
    /// A registry has no credential any more: its images cannot be pulled.
    CredentialUnavailable,
    /// A registry has a credential again.
    CredentialRestored,
    /// Two registries claim one host.
    HostDisputed,
    /// A Secret of the pull secret's name is not ours, and is left alone.
    ForeignPullSecret,
    /// A Secret that was not ours was taken over, as asked.
    PullSecretAdopted,
    /// The pull secret has another type, which can never change.
    PullSecretWrongType,
    /// The pull secret is immutable.
    PullSecretImmutable,
    /// Somebody changed the pull secret; it was put right.
    PullSecretRepaired,
    /// Pods of a service account are refused: it enforces mountable secrets, and does not list the pull secret.
    MountableSecretsEnforced,
    /// The API server does not allow a write.
    WriteForbidden,
    /// A write failed for another reason, and is tried again.
    WriteFailed,
    /// Another manager keeps removing our entry from a service account's list.
    PullSecretListContested,
    /// A service account's list of pull secrets is too long to be written.
    PullSecretListTooLong,
    /// An object cannot be read, and is left out.
    ObjectUnreadable,
    /// Rights are missing.
    RightsMissing,
    /// The policies select other namespaces or service accounts than the configuration.
    PoliciesDisagree,
}

/// What an Event is about.
#[derive(Debug, Clone, PartialEq)]
pub struct About(ObjectReference);

/// Where Events are said. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    queue: mpsc::Sender<Said>,
    metrics: Arc<Metrics>,
}

/// Who writes them.
pub struct Recorder {
    queue: mpsc::Receiver<Said>,
    client: Client,
    instance: String,
    memory: Memory,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Said {
    reason: Reason,
    about: About,
    note: String,
}

/// A way to say Events, and the task that writes them. `instance` is the name of this Pod.
#[must_use]
pub fn channel(client: Client, instance: String, metrics: Arc<Metrics>) -> (Events, Recorder) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let recorder = Recorder {
        queue: receiver,
        client,
        instance,
        memory: Memory::default(),
        metrics: Arc::clone(&metrics),
    };
    (Events { queue: sender, metrics }, recorder)
}

impl Events {
    /// Says what happened to an object: what is wrong, and how to fix it. The note must hold no secret; everybody who may
    /// read Events reads it.
    pub fn say(&self, reason: Reason, about: About, note: impl Into<String>) {
        if self.queue.try_send(Said { reason, about, note: note.into() }).is_err() {
            self.metrics.event(EventOutcome::Dropped);
            tracing::warn!("an Event of reason {} was dropped: too many at once", reason.name());
        }
    }
}

impl Recorder {
    /// Writes Events until nobody can say any more.
    pub async fn run(mut self) {
        while let Some(said) = self.queue.recv().await {
            let outcome = match self.memory.judge(&said.key(), Instant::now()) {
                Verdict::Write => self.write(said).await,
                Verdict::Repeated => EventOutcome::Repeated,
                Verdict::TooMany => EventOutcome::Dropped,
            };
            self.metrics.event(outcome);
        }
    }

    async fn write(&mut self, said: Said) -> EventOutcome {
        let event = said.event(&self.instance, Timestamp::now());
        let namespace = event.metadata.namespace.as_deref().unwrap_or(NAMESPACE_OF_CLUSTER);
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let problem = match timeout(CALL_LIMIT, events.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => return EventOutcome::Written,
            Ok(Err(error)) => {
                self.metrics.api_error(Verb::Create, &error);
                api_error::describe(&error)
            }
            Err(_) => "the API server did not answer in time".to_owned(),
        };
        tracing::warn!("an Event of reason {} could not be written: {problem}", said.reason.name());
        // So that it is tried again when it is said again.
        self.memory.forget(&said.key());
        EventOutcome::Failed
    }
}

impl Said {
    /// What makes it the same as another.
    fn key(&self) -> String {
        let ObjectReference { kind, namespace, name, .. } = &self.about.0;
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        [self.reason.name(), &part(kind), &part(namespace), &part(name), &self.note].join("\n")
    }

    fn event(&self, instance: &str, now: Timestamp) -> Event {
        let regarding = self.about.0.clone();
        let name: String = regarding.name.iter().flat_map(|name| name.chars()).take(200).collect();
        let namespace = regarding.namespace.clone().unwrap_or_else(|| NAMESPACE_OF_CLUSTER.to_owned());
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some(self.reason.severity().to_owned()),
            reason: Some(self.reason.name().to_owned()),
            action: Some(self.reason.action().to_owned()),
            note: Some(shortened(&self.note)),
            regarding: Some(regarding),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(instance.to_owned()),
            ..Event::default()
        }
    }
}

fn shortened(note: &str) -> String {
    let mut short = String::new();
    for c in note.chars() {
        if short.len() + c.len_utf8() > LONGEST_NOTE {
            short.push('…');
            break;
        }
        short.push(c);
    }
    short
}

impl About {
    /// The pull secret of a namespace. Its Event stands in that namespace, where the people who work there see it.
    #[must_use]
    pub fn secret(namespace: &str, name: &str) -> Self {
        Self::of("v1", "Secret", Some(namespace), name)
    }

    /// A namespace. Its Event stands in `default`: for administrators.
    #[must_use]
    pub fn namespace(name: &str) -> Self {
        Self::of("v1", "Namespace", None, name)
    }

    /// The configuration.
    #[must_use]
    pub fn config_map(namespace: &str, name: &str) -> Self {
        Self::of("v1", "ConfigMap", Some(namespace), name)
    }

    /// A service account.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::of("v1", "ServiceAccount", Some(namespace), name)
    }

    /// The Deployment of the sidecar.
    #[must_use]
    pub fn deployment(namespace: &str, name: &str) -> Self {
        Self::of("apps/v1", "Deployment", Some(namespace), name)
    }

    /// The same, with the object's UID: `kubectl describe` shows only Events that carry it.
    #[must_use]
    pub fn with_uid(mut self, uid: Option<&str>) -> Self {
        self.0.uid = uid.map(str::to_owned);
        self
    }

    fn of(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        Self(ObjectReference {
            api_version: Some(api_version.to_owned()),
            kind: Some(kind.to_owned()),
            namespace: namespace.map(str::to_owned),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        })
    }
}

impl Reason {
    /// The name, as it stands in the Event.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfigurationApplied => "ConfigurationApplied",
            Self::ConfigurationInvalid => "ConfigurationInvalid",
            Self::CredentialNotRenewed => "CredentialNotRenewed",
            Self::CredentialUnavailable => "CredentialUnavailable",
            Self::CredentialRestored => "CredentialRestored",
            Self::HostDisputed => "HostDisputed",
            Self::ForeignPullSecret => "ForeignPullSecret",
            Self::PullSecretAdopted => "PullSecretAdopted",
            Self::PullSecretWrongType => "PullSecretWrongType",
            Self::PullSecretImmutable => "PullSecretImmutable",
            Self::PullSecretRepaired => "PullSecretRepaired",
            Self::MountableSecretsEnforced => "MountableSecretsEnforced",
            Self::WriteForbidden => "WriteForbidden",
            Self::WriteFailed => "WriteFailed",
            Self::PullSecretListContested => "PullSecretListContested",
            Self::PullSecretListTooLong => "PullSecretListTooLong",
            Self::ObjectUnreadable => "ObjectUnreadable",
            Self::RightsMissing => "RightsMissing",
            Self::PoliciesDisagree => "PoliciesDisagree",
        }
    }

    fn severity(self) -> &'static str {
        match self {
            Self::ConfigurationApplied | Self::CredentialRestored | Self::PullSecretAdopted => "Normal",
            Self::ConfigurationInvalid
            | Self::CredentialNotRenewed
            | Self::CredentialUnavailable
            | Self::HostDisputed
            | Self::ForeignPullSecret
            | Self::PullSecretWrongType
            | Self::PullSecretImmutable
            | Self::PullSecretRepaired
            | Self::PullSecretListContested
            | Self::PullSecretListTooLong
            | Self::ObjectUnreadable
            | Self::MountableSecretsEnforced
            | Self::WriteForbidden
            | Self::WriteFailed
            | Self::RightsMissing
            | Self::PoliciesDisagree => "Warning",
        }
    }

    /// What was being done.
    fn action(self) -> &'static str {
        match self {
            Self::ConfigurationApplied | Self::ConfigurationInvalid | Self::HostDisputed => "Configure",
            Self::CredentialNotRenewed | Self::CredentialUnavailable | Self::CredentialRestored => "Mint",
            Self::ForeignPullSecret
            | Self::PullSecretAdopted
            | Self::PullSecretWrongType
            | Self::PullSecretImmutable
            | Self::PullSecretRepaired
            | Self::PullSecretListContested
            | Self::PullSecretListTooLong
            | Self::WriteForbidden
            | Self::WriteFailed => "Write",
            Self::ObjectUnreadable
            | Self::MountableSecretsEnforced
            | Self::RightsMissing
            | Self::PoliciesDisagree => "Check",
        }
    }
}

#[cfg(test)]
mod tests;
