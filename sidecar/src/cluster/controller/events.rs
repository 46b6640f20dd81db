//! Finds the namespaces that an event concerns.

use std::sync::Arc;

use tokio::time::Instant;

use super::{BATCH, BETWEEN_LISTS, Controller, SETTLING};
use crate::broker::Status;
use crate::cluster::observed::ServiceAccount;
use crate::cluster::queue::Urgency;
use crate::cluster::store::{Kind, NamespaceEntry};
use crate::cluster::watches::WatchEvent;
use crate::configuration::{Attach, Configuration};
use crate::kubernetes::Place;

impl Controller {
    /// Takes in an event, and the events that wait behind it.
    pub(super) fn see_all(&mut self, first: WatchEvent) {
        self.see(first);
        for _ in 1..BATCH {
            let Some(seen) = self.watches.try_next() else { return };
            self.see(seen);
        }
    }

    fn see(&mut self, seen: WatchEvent) {
        let now = Instant::now();
        let news = match seen {
            WatchEvent::Namespace(name, facts) => {
                let was_managed = self.is_managed(&name);
                let news = self.store.see_namespace(&name, facts);
                self.look_at_accounts(&name, was_managed);
                news
            }
            WatchEvent::NamespaceGone(name) => {
                self.store.lose_namespace(&name);
                None
            }
            WatchEvent::PullSecret(namespace, facts) => self.store.see_secret(&namespace, facts, now),
            WatchEvent::PullSecretGone(namespace, uid) => self.store.lose_secret(&namespace, &uid, now),
            WatchEvent::ServiceAccount(namespace, facts) if self.concerns_us(&namespace, &facts) => {
                let news = self.store.see_account(&namespace, facts, &self.settings.pull_secret, now);
                // All of them are planned for when the first list is complete.
                news.filter(|_| self.synced.service_accounts)
            }
            WatchEvent::ServiceAccount(namespace, ServiceAccount { name, .. })
            | WatchEvent::ServiceAccountGone(namespace, name) => {
                self.store.lose_account(&namespace, &name);
                None
            }
            WatchEvent::ListBegins(kind) => {
                self.store.list_begins(kind);
                None
            }
            WatchEvent::ListEnds(kind) => {
                self.end_list(kind);
                None
            }
            WatchEvent::Unreadable(kind, place, problem) => {
                if self.observer.unreadable(kind, &place) {
                    let Place { namespace, name } = &place;
                    tracing::error!("{kind}: {namespace}/{name} cannot be read and is left out: {problem}");
                }
                None
            }
            WatchEvent::Failed(Kind::ServiceAccount) if !self.attaches() => {
                self.stop_watching_accounts();
                None
            }
            WatchEvent::Failed(kind) => {
                self.observer.watch_failed(kind);
                None
            }
            WatchEvent::Works(kind) => {
                self.observer.watch_works(kind);
                None
            }
        };
        if let Some(namespace) = news
            && self.can_work()
        {
            self.queue.push(&namespace, Urgency::Awaited);
        }
    }

    fn end_list(&mut self, kind: Kind) {
        let gone = self.store.list_ends(kind);
        if !std::mem::replace(self.synced.get_mut(kind), true) {
            self.observer.synced(kind);
            self.look_everywhere();
        }
        self.list_accounts_if_due();
        for namespace in gone {
            self.queue.push(&namespace, Urgency::Awaited);
        }
    }

    /// Makes the watches keep what this configuration needs. Objects that they dropped under the last configuration are listed
    /// again, and nothing is planned before that, so that no namespace is deselected because its labels are not known.
    fn watch_for(&mut self, configuration: &Configuration, last: Option<&Configuration>) {
        let Configuration { namespaces, namespace_selector, service_accounts, attach, .. } = configuration;
        let has_same_selector = !self.watches.select(namespace_selector.as_ref());
        self.synced.namespaces &= has_same_selector;
        let has_same_accounts = has_same_selector
            && last.is_some_and(|last| {
                last.namespaces == *namespaces && last.service_accounts == *service_accounts
            });
        if self.watches.is_watching(Kind::ServiceAccount) && !has_same_accounts
            || !self.watches.is_watching(Kind::ServiceAccount) && *attach != Attach::Pod
        {
            self.accounts_due = Some(Instant::now());
        }
        self.list_accounts_if_due();
    }

    /// Begins to watch service accounts, or to list them again, once it is known which namespaces matter.
    pub(super) fn list_accounts_if_due(&mut self) {
        let is_due = self.accounts_due.is_some_and(|due| due <= Instant::now());
        if is_due
            && self.synced.namespaces
            && self.synced.pull_secrets
            && let Some(active) = self.active()
        {
            let service_accounts = active.configuration.service_accounts.clone();
            self.accounts_due = None;
            self.watches.service_accounts(service_accounts);
        }
    }

    /// After a change to `attach: pod`, the watch serves to remove our entries, until the right to it is gone, too.
    fn stop_watching_accounts(&mut self) {
        tracing::info!("service accounts are not watched any more, because attach is pod");
        self.watches.stop(Kind::ServiceAccount);
        self.accounts_due = None;
        // A list without any: all that are kept are forgotten.
        self.store.list_begins(Kind::ServiceAccount);
        self.store.list_ends(Kind::ServiceAccount);
        self.synced.service_accounts = false;
        self.observer.watch_works(Kind::ServiceAccount);
    }

    /// Handles a namespace that was seen: its service accounts may have been dropped earlier, or may not be needed any more.
    fn look_at_accounts(&mut self, name: &str, was_managed: Option<bool>) {
        let Some(began) = self.watches.began(Kind::ServiceAccount) else { return };
        match (was_managed, self.is_managed(name)) {
            (Some(false), Some(true)) => {
                let due = (began + BETWEEN_LISTS).max(Instant::now());
                self.accounts_due = Some(self.accounts_due.map_or(due, |other| other.min(due)));
                self.list_accounts_if_due();
            }
            (_, Some(false)) => {
                let has_ours = self.store.get(name).is_some_and(NamespaceEntry::has_ours);
                let pull_secret = Arc::clone(&self.settings.pull_secret);
                self.store.keep_accounts(name, |facts| is_left_over(facts, &pull_secret, has_ours));
            }
            _ => {}
        }
    }

    /// Returns whether a plan has to know this service account. Accounts in namespaces that are not managed are not kept, unless
    /// our entry has to be removed from them. An account may be seen before its namespace.
    fn concerns_us(&self, namespace: &str, facts: &ServiceAccount) -> bool {
        let has_ours = self.store.get(namespace).is_some_and(NamespaceEntry::has_ours);
        self.is_managed(namespace).unwrap_or(true)
            || is_left_over(facts, &self.settings.pull_secret, has_ours)
    }

    /// Returns whether a namespace is managed; `None` if the namespace or the configuration is not known.
    pub(super) fn is_managed(&self, name: &str) -> Option<bool> {
        let configuration = &self.active()?.configuration;
        Some(self.store.get(name)?.namespace?.is_managed(name, configuration))
    }

    pub(super) fn take_in_snapshot(&mut self) {
        let last = Arc::clone(&self.snapshot);
        self.snapshot.clone_from(&self.inputs.snapshots.borrow_and_update());
        let is_reconfigured = last.active != self.snapshot.active;
        if is_reconfigured && let Some(active) = self.snapshot.active.clone() {
            self.watch_for(&active.configuration, last.active.as_ref().map(|last| &last.configuration));
        }
        if is_reconfigured || last.version == 0 {
            self.settles_at = Some(Instant::now() + SETTLING);
        }
        self.look_everywhere();
    }

    pub(super) fn take_in_leadership(&mut self) {
        self.leads = *self.inputs.leading.borrow_and_update();
        self.look_everywhere();
    }

    /// Stops waiting for first answers.
    pub(super) fn settle(&mut self) {
        self.settles_at = None;
        if self.is_pending() {
            self.look_everywhere();
        }
    }

    /// Puts namespaces into the queue whose alarm is due.
    pub(super) fn ring(&mut self) {
        let now = Instant::now();
        while let Some(namespace) = self.queue.rung(now) {
            let urgency = self.store.get(&namespace).map(|entry| self.urgency(&namespace, entry));
            if let Some(urgency) = urgency {
                self.queue.push(&namespace, urgency);
            }
        }
    }

    /// Returns whether everything is known that a plan needs, and whether this replica is the one that acts on it.
    pub(super) fn can_work(&self) -> bool {
        self.leads && self.synced.namespaces && self.synced.pull_secrets && self.active().is_some()
    }

    /// Returns whether the first answer for some registry has not arrived yet.
    pub(super) fn is_pending(&self) -> bool {
        self.snapshot.entries.iter().any(|entry| entry.status == Status::Pending)
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

    fn urgency(&self, name: &str, entry: &NamespaceEntry) -> Urgency {
        if entry.pull_secret.is_none() && self.is_managed(name) == Some(true) {
            Urgency::Awaited
        } else {
            Urgency::CanWait
        }
    }
}

/// Returns whether our entry may have to be removed from a service account in a namespace that is not managed.
fn is_left_over(facts: &ServiceAccount, pull_secret: &str, has_our_secret: bool) -> bool {
    facts.lists(pull_secret) && (facts.ours_last || has_our_secret)
}
