//! Reports the controller's work: to metrics, to health, and to people by Events.

use std::sync::Arc;
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

/// The loop makes a round every five seconds. If it has made none for this long, it hangs.
const STUCK_AFTER: Duration = Duration::from_mins(1);

/// A watch that fails for longer than this makes the sidecar unready.
const FAILING_FOR_LONG: Duration = Duration::from_mins(1);

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum Write {
    /// A pull secret was created.
    Create,
    /// A pull secret got other content.
    Update,
    /// A pull secret was deleted.
    Delete,
    /// Our entry was added to a service account's list.
    Attach,
    /// Our entry was removed from a service account's list.
    Detach,
}

/// Counts of objects in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Managed namespaces.
    pub managed: usize,
    /// Managed namespaces with a Secret of the pull secret's name that is not ours.
    pub foreign: usize,
    /// Pull secrets and lists that are left alone for a while, because another writer keeps changing them or writes fail.
    pub on_hold: usize,
    /// Selected service accounts that do not list the pull secret yet.
    pub pending_accounts: usize,
}

/// Observes the controller's work. Its methods are called on the controller's own task, so they do not block.
pub struct Observer {
    pull_secret: Arc<str>,
    metrics: Arc<Metrics>,
    /// `None` for a single run: its output contains what was found.
    events: Option<Events>,
    heartbeat: Heartbeat,
    health: Arc<Health>,
    /// Since when each watch fails, by [`Kind`].
    failing: [Option<Instant>; 3],
}

impl Observer {
    /// Creates an observer of the pull secrets with this name.
    pub fn new(
        pull_secret: Arc<str>,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        events: Option<Events>,
    ) -> Self {
        for kind in [Kind::Namespace, Kind::PullSecret] {
            health.show(kind.name(), Some("the first list has not been read yet"));
        }
        let heartbeat = health.heartbeat("controller", STUCK_AFTER);
        Self { pull_secret, metrics, events, heartbeat, health, failing: Default::default() }
    }

    /// Shows since when a watch fails: the first failure counts, until it works again.
    fn show_failing(&mut self, kind: Kind, since: Option<Instant>) {
        if let Some(failing) = self.failing.get_mut(kind as usize) {
            *failing = since.map(|since| failing.unwrap_or(since));
        }
    }

    /// Reports something about the object with this uid. Returns whether the caller should log it: it may
    /// have been reported recently, or there may be too many Events.
    pub fn notice(&self, namespace: &str, notice: &Notice, uid: Option<&str>) -> bool {
        let Notice { about, reason, message } = notice;
        let Some(events) = &self.events else { return true };
        let about = match about {
            About::PullSecret => events::Regarding::secret(namespace, &self.pull_secret),
            About::ServiceAccount(name) => events::Regarding::service_account(namespace, name),
        };
        events.say(*reason, about.with_uid(uid), message.as_str())
    }

    /// Counts a write. If it failed, the result is the name of the failure.
    pub fn wrote(&self, write: Write, result: Result<(), &'static str>, took: Duration) {
        self.metrics.wrote(write.name(), result, took);
    }

    /// Records that a list is complete for the first time.
    pub fn synced(&mut self, kind: Kind) {
        self.show_failing(kind, None);
        match kind {
            Kind::Namespace | Kind::PullSecret => self.health.show(kind.name(), None),
            // They are listed only when the configuration asks for them, and nothing else waits for them.
            Kind::ServiceAccount => {}
        }
    }

    /// Records that a list or watch failed; it is retried.
    pub fn watch_failed(&mut self, kind: Kind) {
        self.metrics.watch_failed(kind.name());
        self.show_failing(kind, Some(Instant::now()));
    }

    /// Records that a list or watch works again after a failure.
    pub fn watch_works(&mut self, kind: Kind) {
        self.show_failing(kind, None);
        self.health.show(kind.name(), None);
    }

    /// Reports an object that cannot be read and is left out. Returns the result of [`Self::notice`].
    pub fn unreadable(&self, kind: Kind, place: &Place) -> bool {
        let Place { namespace, name } = place;
        self.metrics.unreadable(kind.name());
        let Some(events) = &self.events else { return true };
        let about = match kind {
            Kind::Namespace => events::Regarding::namespace(name),
            Kind::PullSecret => events::Regarding::secret(namespace, name),
            Kind::ServiceAccount => events::Regarding::service_account(namespace, name),
        };
        let note = "it cannot be read, so it is left out: delete it and create it again";
        events.say(Reason::ObjectUnreadable, about, note)
    }

    /// Records that the controller made a round, which it does at least every few seconds. `waiting` is the number of namespaces
    /// that wait to be planned.
    pub fn round(&self, waiting: usize) {
        self.heartbeat.beat();
        for kind in [Kind::Namespace, Kind::PullSecret, Kind::ServiceAccount] {
            let since = self.failing.get(kind as usize).copied().flatten();
            if since.is_some_and(|since| since.elapsed() > FAILING_FOR_LONG) {
                let text =
                    "changes are not seen: the watch has been failing for more than a minute: see the log";
                self.health.show(kind.name(), Some(text));
            }
        }
        self.metrics.namespaces_waiting.set(count(waiting));
    }

    /// Shows the counts of objects, which may have changed since the last round.
    pub fn counted(&self, counts: Counts) {
        let Counts { managed, foreign, on_hold, pending_accounts } = counts;
        self.metrics.managed_namespaces.set(count(managed));
        self.metrics.foreign_secrets.set(count(foreign));
        self.metrics.contested.set(count(on_hold));
        self.metrics.service_accounts_pending.set(count(pending_accounts));
    }

    /// Records that all namespaces in the queue were planned for, and no write failed.
    pub fn settled(&self) {
        self.metrics.last_sync_timestamp_seconds.set(Timestamp::now().as_second());
    }
}

impl Write {
    /// Returns its stable name.
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
