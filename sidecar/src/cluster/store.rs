//! What is known about the cluster: small facts by namespace. Watches and the answers to our writes keep them current.
//! Every event costs the same, however many namespaces there are; only the end of a new list checks all of them.

mod backoff;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

pub use self::backoff::WriteBackoff;
use super::notice::Notice;
use super::observed::{Namespace, PullSecret, ServiceAccount, is_older};

/// Everything that is known.
#[derive(Debug, Default)]
pub struct Store {
    entries: HashMap<Arc<str>, NamespaceEntry>,
    rounds: [Round; 3],
}

/// What is known about one namespace.
#[derive(Debug, Default)]
pub struct NamespaceEntry {
    /// The namespace itself; `None` while only objects in it have been seen.
    pub namespace: Option<Namespace>,
    namespace_round: Round,
    /// The Secret with the name of the pull secret.
    pub pull_secret: Option<Found>,
    /// Whether another writer deleted our pull secret.
    pub lost: bool,
    /// The uid of the Secret that was deleted last: the answer to one of our writes may arrive later.
    gone: Option<Box<str>>,
    accounts: Vec<AccountEntry>,
    /// Since when the pull secret has other content than it should.
    differs_since: Option<Instant>,
    /// Failures of writes to the pull secret.
    pub backoff: WriteBackoff,
    /// When it was first seen that newer credentials wait for their turn.
    pub renewal_seen: Option<Instant>,
    /// The notices of the last plan.
    pub said: Vec<Notice>,
    /// The notice of the last write that failed.
    pub failure_said: Option<Notice>,
}

/// A Secret with the name of the pull secret.
#[derive(Debug)]
pub struct Found {
    /// Its reduced metadata.
    pub facts: PullSecret,
    /// The version of it that we wrote; `None` if this process did not write it.
    written: Option<Box<str>>,
    round: Round,
}

/// A service account.
#[derive(Debug)]
pub struct AccountEntry {
    /// Its reduced facts.
    pub facts: ServiceAccount,
    /// Failures of writes to it.
    pub backoff: WriteBackoff,
    /// How often our entry was removed from its list. Lost races count separately, because no writer is at fault.
    pub removals: WriteBackoff,
    round: Round,
}

/// The kinds of objects that are listed and watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Namespaces.
    Namespace,
    /// Secrets with the name of the pull secret.
    PullSecret,
    /// Service accounts.
    ServiceAccount,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Kind {
    /// Returns the name for messages and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::PullSecret => "pull secrets",
            Self::ServiceAccount => "service accounts",
        }
    }
}

/// The number of a list. Objects that are not in the newest list have an older number.
type Round = u32;

impl Store {
    /// Returns all namespaces.
    pub fn names(&self) -> impl Iterator<Item = (&Arc<str>, &NamespaceEntry)> {
        self.entries.iter()
    }

    /// Returns what is known about a namespace.
    pub fn get(&self, namespace: &str) -> Option<&NamespaceEntry> {
        self.entries.get(namespace)
    }

    /// Returns what is known about a namespace.
    pub fn get_mut(&mut self, namespace: &str) -> Option<&mut NamespaceEntry> {
        self.entries.get_mut(namespace)
    }

    /// Records that a list begins: objects that are not in it count as gone when it ends.
    pub fn list_begins(&mut self, kind: Kind) {
        let [namespaces, secrets, accounts] = &mut self.rounds;
        *match kind {
            Kind::Namespace => namespaces,
            Kind::PullSecret => secrets,
            Kind::ServiceAccount => accounts,
        } += 1;
    }

    /// Records that a list has ended. Returns the namespaces in which an object is gone.
    pub fn list_ends(&mut self, kind: Kind) -> Vec<Arc<str>> {
        let [namespaces, secrets, accounts] = self.rounds;
        let mut changed = Vec::new();
        for (name, entry) in &mut self.entries {
            let has_lost = match kind {
                Kind::Namespace if entry.namespace.is_some() && entry.namespace_round != namespaces => {
                    entry.forget_namespace();
                    true
                }
                Kind::PullSecret => {
                    let is_gone = entry.pull_secret.as_ref().is_some_and(|found| found.round != secrets);
                    is_gone && entry.lose_secret()
                }
                Kind::ServiceAccount => {
                    entry.accounts.retain(|account| account.round == accounts);
                    entry.accounts.shrink_to_fit();
                    false
                }
                Kind::Namespace => false,
            };
            if has_lost {
                changed.push(Arc::clone(name));
            }
        }
        self.entries.retain(|_, entry| !entry.is_empty());
        changed
    }

    /// Records a namespace. Returns its name if that is news.
    pub fn see_namespace(&mut self, name: &str, facts: Namespace) -> Option<Arc<str>> {
        let [round, ..] = self.rounds;
        let (name, entry) = self.entry(name);
        entry.namespace_round = round;
        if entry.namespace.as_ref() == Some(&facts) {
            return None;
        }
        entry.namespace = Some(facts);
        Some(name)
    }

    /// Records that a namespace was deleted.
    pub fn lose_namespace(&mut self, name: &str) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.forget_namespace();
            self.drop_if_empty(name);
        }
    }

    /// Records a Secret. Returns the namespace if that is news.
    pub fn see_secret(&mut self, namespace: &str, facts: PullSecret, now: Instant) -> Option<Arc<str>> {
        let [_, round, _] = self.rounds;
        let (name, entry) = self.entry(namespace);
        if let Some(found) = &mut entry.pull_secret
            && found.facts.uid == facts.uid
        {
            found.round = round;
            let known = &found.facts.resource_version;
            if facts.resource_version == *known || is_older(&facts.resource_version, known) {
                return None;
            }
            found.facts = facts;
        } else {
            entry.pull_secret = Some(Found { facts, written: None, round });
        }
        entry.lost = false;
        entry.backoff.lift_block();
        entry.backoff.seen(now);
        Some(name)
    }

    /// Records that a Secret was deleted. Returns the namespace if that is news.
    pub fn lose_secret(&mut self, namespace: &str, uid: &str, now: Instant) -> Option<Arc<str>> {
        let (name, entry) = self.entry(namespace);
        entry.backoff.seen(now);
        let is_news =
            entry.pull_secret.as_ref().is_some_and(|found| *found.facts.uid == *uid) && entry.lose_secret();
        entry.gone = Some(uid.into());
        self.drop_if_empty(namespace);
        is_news.then_some(name)
    }

    /// Records a service account. Returns the namespace if that is news.
    pub fn see_account(
        &mut self,
        namespace: &str,
        facts: ServiceAccount,
        pull_secret: &str,
        now: Instant,
    ) -> Option<Arc<str>> {
        let [.., round] = self.rounds;
        let (name, entry) = self.entry(namespace);
        match entry.accounts.binary_search_by(|known| known.facts.name.cmp(&facts.name)) {
            Err(at) => {
                // Most namespaces have one service account, and doubling the capacity would waste the rest.
                entry.accounts.reserve_exact(1);
                entry.accounts.insert(
                    at,
                    AccountEntry {
                        facts,
                        backoff: WriteBackoff::default(),
                        removals: WriteBackoff::default(),
                        round,
                    },
                );
            }
            Ok(at) => {
                let known = entry.accounts.get_mut(at)?;
                known.round = round;
                let version = &known.facts.resource_version;
                let is_same = known.facts.uid == facts.uid;
                if is_same
                    && (facts.resource_version == *version || is_older(&facts.resource_version, version))
                {
                    return None;
                }
                let was_taken_out = is_same
                    && known.facts.ours_last
                    && known.facts.lists(pull_secret)
                    && !facts.lists(pull_secret);
                if was_taken_out {
                    known.backoff.strike(now);
                    known.removals.strike(now);
                }
                known.facts = facts;
            }
        }
        Some(name)
    }

    /// Records that a service account was deleted.
    pub fn lose_account(&mut self, namespace: &str, name: &str) {
        if let Some(entry) = self.entries.get_mut(namespace) {
            entry.accounts.retain(|account| *account.facts.name != *name);
            self.drop_if_empty(namespace);
        }
    }

    /// Keeps only these service accounts of a namespace.
    pub fn keep_accounts(&mut self, namespace: &str, is_kept: impl Fn(&ServiceAccount) -> bool) {
        if let Some(entry) = self.entries.get_mut(namespace) {
            entry.accounts.retain(|account| is_kept(&account.facts));
            entry.accounts.shrink_to_fit();
        }
    }

    /// Records a pull secret that we wrote, as the API server returned it.
    pub fn wrote_secret(&mut self, namespace: &str, facts: PullSecret) {
        let [_, round, _] = self.rounds;
        let (_, entry) = self.entry(namespace);
        let is_newer = |found: &Found| {
            found.facts.uid == facts.uid && is_older(&facts.resource_version, &found.facts.resource_version)
        };
        let written = Some(facts.resource_version.clone());
        entry.renewal_seen = None;
        if entry.gone.as_deref() == Some(&*facts.uid) {
            // Another writer has deleted it since, and the watch was faster than the answer.
            entry.lost = facts.ours && !entry.is_terminating();
            return;
        }
        match &mut entry.pull_secret {
            // Another writer wrote to it since, and the watch was faster than the answer.
            Some(found) if is_newer(found) => found.written = written,
            _ => entry.pull_secret = Some(Found { facts, written, round }),
        }
        entry.lost = false;
    }

    /// Records that we deleted a pull secret. There may be another one by now.
    pub fn deleted_secret(&mut self, namespace: &str, uid: &str) {
        if let Some(entry) = self.entries.get_mut(namespace)
            && entry.pull_secret.take_if(|found| *found.facts.uid == *uid).is_some()
        {
            entry.lost = false;
        }
    }

    /// Records a service account's list that we wrote, as the API server returned it.
    pub fn wrote_account(&mut self, namespace: &str, facts: ServiceAccount) {
        let Some(entry) = self.entries.get_mut(namespace) else { return };
        let Some(known) = entry.accounts.iter_mut().find(|known| known.facts.name == facts.name) else {
            return;
        };
        if !is_older(&facts.resource_version, &known.facts.resource_version) {
            known.facts = facts;
        }
    }

    fn entry(&mut self, name: &str) -> (Arc<str>, &mut NamespaceEntry) {
        let key = match self.entries.get_key_value(name) {
            Some((key, _)) => Arc::clone(key),
            None => name.into(),
        };
        (Arc::clone(&key), self.entries.entry(key).or_default())
    }

    fn drop_if_empty(&mut self, name: &str) {
        if self.entries.get(name).is_some_and(NamespaceEntry::is_empty) {
            self.entries.remove(name);
        }
    }
}

impl NamespaceEntry {
    /// Returns its service accounts, in the order of their names.
    pub fn accounts(&self) -> &[AccountEntry] {
        &self.accounts
    }

    /// Returns a service account.
    pub fn account(&self, name: &str) -> Option<&AccountEntry> {
        self.accounts.iter().find(|account| *account.facts.name == *name)
    }

    /// Returns a service account.
    pub fn account_mut(&mut self, name: &str) -> Option<&mut AccountEntry> {
        self.accounts.iter_mut().find(|account| *account.facts.name == *name)
    }

    /// Returns since when the pull secret has another hash than this one; `None` if the hash is equal.
    pub fn differs_since(&mut self, hash: &str, now: Instant) -> Option<Instant> {
        let differs = self.pull_secret.as_ref().is_some_and(|found| *found.facts.hash != *hash);
        self.differs_since = differs.then(|| self.differs_since.unwrap_or(now));
        self.differs_since
    }

    /// Returns whether our pull secret exists.
    pub fn has_ours(&self) -> bool {
        self.pull_secret.as_ref().is_some_and(|found| found.facts.ours)
    }

    fn forget_namespace(&mut self) {
        self.namespace = None;
        self.backoff = WriteBackoff::default();
        self.said = Vec::new();
        self.failure_said = None;
        self.lost = false;
    }

    /// Records that the Secret is gone. Returns whether it may have to be written again.
    fn lose_secret(&mut self) -> bool {
        let lost = self.pull_secret.take();
        self.lost = lost.is_some_and(|found| found.facts.ours) && !self.is_terminating();
        self.backoff.lift_block();
        true
    }

    fn is_terminating(&self) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| namespace.terminating)
    }

    fn is_empty(&self) -> bool {
        self.namespace.is_none() && self.pull_secret.is_none() && self.accounts.is_empty()
    }
}

impl Found {
    /// Returns whether another writer has written to it since we did.
    pub fn is_touched(&self) -> bool {
        self.written.as_ref().is_some_and(|written| *written != self.facts.resource_version)
    }
}

#[cfg(test)]
mod tests;
