//! Which namespaces an event concerns.

use std::sync::Arc;

use tokio::time::Instant;

use super::{BATCH, Controller, SETTLING};
use crate::broker::Status;
use crate::cluster::queue::Urgency;
use crate::cluster::store::{Entry, Kind};
use crate::cluster::watches::Seen;
use crate::configuration::{Attach, Configuration};

impl Controller {
    /// Takes in an event, and those that wait behind it.
    pub(super) fn see_all(&mut self, first: Seen) {
        self.see(first);
        for _ in 1..BATCH {
            let Ok(seen) = self.seen.try_recv() else { return };
            self.see(seen);
        }
    }

    fn see(&mut self, seen: Seen) {
        let now = Instant::now();
        let news = match seen {
            Seen::Namespace(name, facts) => self.store.see_namespace(&name, facts),
            Seen::NamespaceGone(name) => {
                self.store.lose_namespace(&name);
                None
            }
            Seen::PullSecret(namespace, facts) => self.store.see_secret(&namespace, facts),
            Seen::PullSecretGone(namespace, uid) => self.store.lose_secret(&namespace, &uid),
            Seen::ServiceAccount(namespace, facts) => {
                let news = self.store.see_account(&namespace, facts, &self.settings.pull_secret, now);
                // All of them are looked at when the first list is complete.
                news.filter(|_| self.synced.service_accounts)
            }
            Seen::ServiceAccountGone(namespace, name) => {
                self.store.lose_account(&namespace, &name);
                None
            }
            Seen::ListBegins(kind) => {
                self.store.list_begins(kind);
                None
            }
            Seen::ListEnds(kind) => {
                self.end_list(kind);
                None
            }
            Seen::Failed(kind, error) => {
                tracing::warn!("failed to watch {kind}, trying again: {error}");
                self.observer.watch_failed(kind);
                None
            }
        };
        if let Some(namespace) = news
            && self.can_work()
        {
            self.queue.push(&namespace, Urgency::Event);
        }
    }

    fn end_list(&mut self, kind: Kind) {
        let gone = self.store.list_ends(kind);
        let synced = match kind {
            Kind::Namespace => &mut self.synced.namespaces,
            Kind::PullSecret => &mut self.synced.pull_secrets,
            Kind::ServiceAccount => &mut self.synced.service_accounts,
        };
        if !std::mem::replace(synced, true) {
            self.observer.synced(kind);
            self.look_everywhere();
        }
        for namespace in gone {
            self.queue.push(&namespace, Urgency::Event);
        }
    }

    pub(super) fn take_in_configuration(&mut self) {
        self.active.clone_from(&self.inputs.active.borrow_and_update());
        if self.active.as_ref().is_some_and(|active| active.configuration.attach != Attach::Pod) {
            self.watches.service_accounts();
        }
        self.settles_at = Some(Instant::now() + SETTLING);
        self.compare();
        self.look_everywhere();
    }

    pub(super) fn take_in_snapshot(&mut self) {
        let before = self.snapshot.version;
        self.snapshot.clone_from(&self.inputs.snapshots.borrow_and_update());
        if before == 0 && self.snapshot.version > 0 {
            self.settles_at = Some(Instant::now() + SETTLING);
        }
        self.compare();
        self.look_everywhere();
    }

    pub(super) fn take_in_leadership(&mut self) {
        self.leads = *self.inputs.leading.borrow_and_update();
        self.look_everywhere();
    }

    /// It does not pay any longer to wait for first answers.
    pub(super) fn settle(&mut self) {
        self.settles_at = None;
        if self.is_pending() {
            self.look_everywhere();
        }
    }

    /// Puts namespaces into the queue whose alarm has rung.
    pub(super) fn ring(&mut self) {
        let now = Instant::now();
        while let Some(namespace) = self.queue.rung(now) {
            let urgency = self.store.get(&namespace).map(|entry| self.urgency(&namespace, entry));
            if let Some(urgency) = urgency {
                self.queue.push(&namespace, urgency);
            }
        }
    }

    /// Whether everything is known that a plan needs, and this replica is the one to act on it.
    pub(super) fn can_work(&self) -> bool {
        self.leads && self.synced.namespaces && self.synced.pull_secrets && self.active.is_some()
    }

    /// Whether the first answer for some registry is still to come.
    pub(super) fn is_pending(&self) -> bool {
        self.snapshot.entries.iter().any(|entry| entry.status == Status::Pending)
    }

    /// A configuration and a snapshot belong together if they are about the same registries.
    fn compare(&mut self) {
        let shown = self.snapshot.entries.iter().map(|entry| &*entry.registry);
        self.fits = self.active.as_ref().is_some_and(|active| shown.eq(active.registries.iter()));
    }

    fn look_everywhere(&mut self) {
        if !self.can_work() {
            return;
        }
        let names: Vec<_> =
            self.store.names().map(|(name, entry)| (Arc::clone(name), self.urgency(name, entry))).collect();
        for (name, urgency) in names {
            self.queue.push(&name, urgency);
        }
    }

    fn urgency(&self, name: &str, entry: &Entry) -> Urgency {
        let is_managed = |configuration: &Configuration| {
            entry.namespace.as_ref().is_some_and(|namespace| namespace.is_managed(name, configuration))
        };
        let is_empty = entry.pull_secret.is_none()
            && self.active.as_ref().is_some_and(|active| is_managed(&active.configuration));
        if is_empty { Urgency::FirstFill } else { Urgency::Rotation }
    }
}
