//! Passes the controller's work on: to metrics, to health, and to people by Events.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::notice::{About, Notice};
use super::store::Kind;
use crate::kubernetes::Place;
use crate::reason::Reason;
use crate::telemetry::events::{self, Events};
use crate::telemetry::health::{Health, Heartbeat};
use crate::telemetry::metrics::{Metrics, count};

/// A loop that makes a round every five seconds and has made none for so long hangs.
const STUCK_AFTER: Duration = Duration::from_mins(1);

/// A watch that fails for longer makes the sidecar unready.
const FAILING_FOR_LONG: Duration = Duration::from_mins(1);

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum Write {
    /// A pull secret was created.
    Create,
    /// A pull secret got other content.
    Update,
    /// A pull secret was deleted.
    Delete,
    /// A service account's list got our entry.
    Attach,
    /// A service account's list lost our entry.
    Detach,
}

/// What there is in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Managed namespaces.
    pub managed: usize,
    /// Those of them with a Secret of the pull secret's name that is not ours.
    pub foreign: usize,
    /// Pull secrets and lists that are left alone for a while, since somebody keeps changing them or writes fail.
    pub on_hold: usize,
    /// Selected service accounts that lack the pull secret still.
    pub pending_accounts: usize,
}

/// Listens to the controller's work. Its methods are called on the controller's own task, so they do not block.
pub struct Observer {
    pull_secret: Arc<str>,
    metrics: Arc<Metrics>,
    /// None for a single turn: what is found is in its output.
    events: Option<Events>,
    heartbeat: Heartbeat,
    health: Arc<Health>,
    /// Since when the watches fail, by [`Kind`].
    failing: Mutex<[Option<Instant>; 3]>,
}

impl Observer {
    /// An observer of the pull secrets of this name.
    pub fn new(
        pull_secret: Arc<str>,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        events: Option<Events>,
    ) -> Self {
        for kind in [Kind::Namespace, Kind::PullSecret] {
            health.show(kind.name(), Some("the first list of them is awaited"));
        }
        let heartbeat = health.heartbeat("controller", STUCK_AFTER);
        Self { pull_secret, metrics, events, heartbeat, health, failing: Mutex::default() }
    }

    /// Since when a watch fails: the first time counts, until it works again.
    fn show_failing(&self, kind: Kind, since: Option<Instant>) {
        if let Some(failing) = self.failing().get_mut(kind as usize) {
            *failing = since.map(|since| failing.unwrap_or(since));
        }
    }

    fn failing(&self) -> MutexGuard<'_, [Option<Instant>; 3]> {
        // Each change is one assignment, so it is whole even after a panic.
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// People should know something about the object with this uid. Returns whether they are told, so that it belongs into the
    /// log as well: they may have been lately, or there may be too much of it.
    pub fn notice(&self, namespace: &str, notice: &Notice, uid: Option<&str>) -> bool {
        let Notice { about, reason, message } = notice;
        let Some(events) = &self.events else { return true };
        let about = match about {
            About::PullSecret => events::About::secret(namespace, &self.pull_secret),
            About::ServiceAccount(name) => events::About::service_account(namespace, name),
        };
        events.say(*reason, about.with_uid(uid), message.as_str())
    }

    /// Something was written, or failed to be, by the name of the failure.
    pub fn wrote(&self, write: Write, result: Result<(), &'static str>, took: Duration) {
        self.metrics.wrote(write.name(), result, took);
    }

    /// A list is complete for the first time.
    pub fn synced(&self, kind: Kind) {
        self.show_failing(kind, None);
        match kind {
            Kind::Namespace | Kind::PullSecret => self.health.show(kind.name(), None),
            // They come when the configuration asks for them, and nothing else waits for them.
            Kind::ServiceAccount => {}
        }
    }

    /// A list or watch failed, and is tried again.
    pub fn watch_failed(&self, kind: Kind) {
        self.metrics.watch_failed(kind.name());
        self.show_failing(kind, Some(Instant::now()));
    }

    /// After a failure, a list or watch works again.
    pub fn watch_works(&self, kind: Kind) {
        self.show_failing(kind, None);
        self.health.show(kind.name(), None);
    }

    /// An object cannot be read, and is left out. Returns what [`Self::notice`] does.
    pub fn unreadable(&self, kind: Kind, place: &Place) -> bool {
        let Place { namespace, name } = place;
        self.metrics.unreadable(kind.name());
        let Some(events) = &self.events else { return true };
        let about = match kind {
            Kind::Namespace => events::About::namespace(name),
            Kind::PullSecret => events::About::secret(namespace, name),
            Kind::ServiceAccount => events::About::service_account(namespace, name),
        };
        let note = "it cannot be read, so it is left out: delete it and create it again";
        events.say(Reason::ObjectUnreadable, about, note)
    }

    /// The controller made a round; it does so every few seconds at least. So many namespaces wait to be looked at.
    pub fn round(&self, waiting: usize) {
        self.heartbeat.beat();
        for kind in [Kind::Namespace, Kind::PullSecret, Kind::ServiceAccount] {
            let since = self.failing().get(kind as usize).copied().flatten();
            if since.is_some_and(|since| since.elapsed() > FAILING_FOR_LONG) {
                let text = "changes are not seen: the watch has been failing for more than a minute, the log says why";
                self.health.show(kind.name(), Some(text));
            }
        }
        self.metrics.namespaces_waiting.set(count(waiting));
    }

    /// What there is, where that may have changed since the last round.
    pub fn counted(&self, counts: Counts) {
        let Counts { managed, foreign, on_hold, pending_accounts } = counts;
        self.metrics.managed_namespaces.set(count(managed));
        self.metrics.foreign_secrets.set(count(foreign));
        self.metrics.contested.set(count(on_hold));
        self.metrics.service_accounts_pending.set(count(pending_accounts));
    }

    /// All that was in the queue has been looked at, and no write failed.
    pub fn settled(&self) {
        self.metrics.last_sync_timestamp_seconds.set(Timestamp::now().as_second());
    }
}

impl Write {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Attach => "attach",
            Self::Detach => "detach",
        }
    }
}
