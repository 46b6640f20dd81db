//! Kubernetes Events: `kubectl describe` shows them beside the object that has a problem.
//!
//! Sending an Event never waits. An Event from the last minutes is not repeated, and the number of Events is limited, separately
//! for each namespace. One task writes them. An Event that cannot be written is counted and logged, and blocks no other work.

mod memory;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use self::memory::{Concern, Memory};
use super::metrics::{EventOutcome, Metrics};
use crate::kubernetes::{ApiError, FIELD_MANAGER, Verb, api_error};
use crate::reason::Reason;

/// Number of Events that can wait to be written; more Events are dropped.
const QUEUE: usize = 256;

/// A write that takes longer is cancelled.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// The API server accepts notes of up to 1024 bytes.
const LONGEST_NOTE: usize = 1000;

/// The namespace for Events about objects without a namespace; the API server requires it.
const NAMESPACE_OF_CLUSTER: &str = "default";

/// The object of an Event.
#[derive(Debug, Clone, PartialEq)]
pub struct Regarding {
    object: ObjectReference,
    concern: Concern,
}

/// Sends Events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    /// Events about our own objects do not wait behind Events that tenants cause.
    ours: mpsc::Sender<Said>,
    others: mpsc::Sender<Said>,
    memory: Arc<Mutex<Memory>>,
    metrics: Arc<Metrics>,
}

/// Writes Events.
pub struct Recorder {
    ours: mpsc::Receiver<Said>,
    others: mpsc::Receiver<Said>,
    client: Client,
    instance: String,
    memory: Arc<Mutex<Memory>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Said {
    reason: Reason,
    about: Regarding,
    note: String,
}

/// Creates the sender of Events, and the task that writes them. `instance` is the name of this Pod.
pub fn channel(client: Client, instance: String, metrics: Arc<Metrics>) -> (Events, Recorder) {
    let (ours, our_queue) = mpsc::channel(QUEUE);
    let (others, other_queue) = mpsc::channel(QUEUE);
    let memory = Arc::default();
    let recorder = Recorder {
        ours: our_queue,
        others: other_queue,
        client,
        instance,
        memory: Arc::clone(&memory),
        metrics: Arc::clone(&metrics),
    };
    (Events { ours, others, memory, metrics }, recorder)
}

impl Events {
    /// Sends an Event about an object: what is wrong, and how to fix it. The note must contain no secret: all users who may read
    /// Events can read it. Returns whether it is sent: it was not sent recently, and there is room for it.
    pub fn say(&self, reason: Reason, about: Regarding, note: impl Into<String>) -> bool {
        let said = Said { reason, about, note: note.into() };
        let (key, mut memory) = (said.key(), lock(&self.memory));
        let queue = match said.about.concern {
            Concern::Ours => &self.ours,
            Concern::Namespace(_) => &self.others,
        };
        let admitted = memory.admit(&said.about.concern, &key, Instant::now());
        let queued = admitted.and_then(|()| {
            queue.try_send(said).map_err(|_| {
                memory.forget(&key);
                EventOutcome::Dropped
            })
        });
        queued.map_err(|outcome| self.metrics.event(outcome)).is_ok()
    }
}

impl Recorder {
    /// Writes Events until all senders are gone.
    pub async fn run(mut self) {
        while let Some(said) = self.next().await {
            let outcome = self.write(said).await;
            self.metrics.event(outcome);
        }
    }

    async fn next(&mut self) -> Option<Said> {
        tokio::select! {
            biased;
            Some(said) = self.ours.recv() => Some(said),
            said = self.others.recv() => said,
        }
    }

    async fn write(&mut self, said: Said) -> EventOutcome {
        let event = said.event(&self.instance, Timestamp::now());
        let namespace = event.metadata.namespace.as_deref().unwrap_or(NAMESPACE_OF_CLUSTER);
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let problem = match timeout(CALL_LIMIT, events.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => return EventOutcome::Written,
            Ok(Err(error)) => {
                self.metrics.api_error(Verb::Create, &ApiError::from(&error));
                api_error::describe(&error)
            }
            Err(_) => "the API server did not answer in time".to_owned(),
        };
        tracing::warn!("an Event of reason {} could not be written: {problem}", said.reason.name());
        // It is forgotten, so that it is tried again when it is sent again.
        lock(&self.memory).forget(&said.key());
        EventOutcome::Failed
    }
}

impl Said {
    /// Returns what identifies equal Events: the object and the reason. For our own objects, the text is also part of it; texts
    /// about other objects contain what tenants write.
    fn key(&self) -> String {
        let ObjectReference { kind, namespace, name, .. } = &self.about.object;
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        let note = match self.about.concern {
            Concern::Ours => &*self.note,
            Concern::Namespace(_) => "",
        };
        [self.reason.name(), &part(kind), &part(namespace), &part(name), note].join("\n")
    }

    fn event(&self, instance: &str, now: Timestamp) -> Event {
        let regarding = self.about.object.clone();
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

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    // A panic while the lock is held loses at most one line.
    memory.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Regarding {
    /// The pull secret of a namespace. Its Event is in that namespace, where the people who work there see it.
    pub fn secret(namespace: &str, name: &str) -> Self {
        Self::new(Concern::Namespace(namespace.into()), "v1", "Secret", Some(namespace), name)
    }

    /// A namespace. Its Event is in `default`: for administrators.
    pub fn namespace(name: &str) -> Self {
        Self::new(Concern::Namespace(name.into()), "v1", "Namespace", None, name)
    }

    /// The configuration.
    pub fn config_map(namespace: &str, name: &str) -> Self {
        Self::new(Concern::Ours, "v1", "ConfigMap", Some(namespace), name)
    }

    /// A service account.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::new(Concern::Namespace(namespace.into()), "v1", "ServiceAccount", Some(namespace), name)
    }

    /// Returns the same with the object's UID: `kubectl describe` shows only Events that contain it.
    pub fn with_uid(mut self, uid: Option<&str>) -> Self {
        self.object.uid = uid.map(str::to_owned);
        self
    }

    fn new(concern: Concern, api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        let object = ObjectReference {
            api_version: Some(api_version.to_owned()),
            kind: Some(kind.to_owned()),
            namespace: namespace.map(str::to_owned),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        };
        Self { object, concern }
    }
}

#[cfg(test)]
mod tests;
