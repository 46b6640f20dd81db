//! What the broker tells everybody else: each registry with its credential, hosts and standing.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::state::{Issued, Report, Trouble};
use super::{Keyed, ResolvedRegistry};
use crate::configuration::{Finding, Host, Registry};
use crate::credential::CredentialKey;

/// All registries at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Grows with every change; 0 until the broker has been told what is wanted.
    pub version: u64,
    /// One for each registry, in the order of the configuration.
    pub entries: Vec<Entry>,
    /// Hosts that more than one registry claims. The earlier registry wins them.
    pub disputes: Vec<Dispute>,
}

/// One registry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The registry as configured.
    pub registry: Arc<ResolvedRegistry>,
    /// What its credential is minted for.
    pub key: Arc<CredentialKey>,
    /// The credential. It may expire before the next snapshot says so: ask it.
    pub issued: Option<Arc<Issued>>,
    /// Hosts the credential is for: `domains`, or else what was discovered; empty while nothing was. Sorted.
    pub hosts: Arc<[Host]>,
    /// How it stands.
    pub status: Status,
    report: Report,
}

/// How a registry stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The first answer of the cloud is awaited.
    Pending,
    /// There is a credential.
    Valid,
    /// The last call failed. Any credential and hosts from before stay in use.
    Failing(Trouble),
    /// The credential expired before there was another, and was taken out.
    Expired {
        /// When.
        since: Timestamp,
        /// Why there is no other, where a call failed.
        trouble: Option<Trouble>,
    },
}

/// A host that two registries claim, for namespaces that can overlap and with different credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// The host.
    pub host: Host,
    /// Position of the registry that gets it.
    pub winner: usize,
    /// Position of the registry that does not.
    pub loser: usize,
    /// The same in words.
    pub finding: Finding,
}

/// Where tasks post what they know, and everybody else reads it.
#[derive(Debug, Clone)]
pub(super) struct Board(watch::Sender<Arc<Snapshot>>);

impl Entry {
    fn new(registry: Arc<ResolvedRegistry>, key: Arc<CredentialKey>, report: Report) -> Self {
        let hosts = if registry.needs_discovery() {
            report.hosts.clone().unwrap_or_default()
        } else {
            let mut hosts = registry.registry.domains.clone();
            hosts.sort_unstable();
            hosts.dedup();
            hosts.into()
        };
        let status = Status::of(&report, registry.needs_discovery());
        Self { registry, key, issued: report.issued.clone(), hosts, status, report }
    }

    /// Whether one namespace can see different credentials for a host of both. Two lists of `domains` have been
    /// compared when the configuration was read.
    fn clashes_with(&self, other: &Self) -> bool {
        self.key != other.key
            && (self.registry.needs_discovery() || other.registry.needs_discovery())
            && self.may_share_namespaces_with(other)
    }

    /// Two long lists are taken to overlap: comparing them takes time, and the price of an error is a warning too many.
    fn may_share_namespaces_with(&self, other: &Self) -> bool {
        const MOST_COMPARISONS: usize = 10_000;
        let (own, others) = (&self.registry.registry, &other.registry.registry);
        let length = |registry: &Registry| registry.namespaces.as_ref().map_or(1, Vec::len);
        length(own) * length(others) > MOST_COMPARISONS || own.shares_namespaces_with(others)
    }
}

impl Status {
    fn of(report: &Report, needs_discovery: bool) -> Self {
        let Report { issued, expired_since, minting, hosts, discovery } = report;
        match (issued, expired_since, minting) {
            (None, Some(since), trouble) => Self::Expired { since: *since, trouble: trouble.clone() },
            (_, _, Some(trouble)) => Self::Failing(trouble.clone()),
            (None, None, None) => Self::Pending,
            (Some(_), _, None) => match (discovery, hosts) {
                _ if !needs_discovery => Self::Valid,
                (Some(trouble), _) => Self::Failing(trouble.clone()),
                (None, None) => Self::Pending,
                (None, Some(_)) => Self::Valid,
            },
        }
    }
}

impl Board {
    pub(super) fn new() -> Self {
        Self(watch::Sender::default())
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.0.subscribe()
    }

    /// Shows these registries from now on. What is known about keys that stay is kept.
    pub(super) fn show(&self, registries: &[Keyed]) {
        self.0.send_if_modified(|current| {
            let shown = current.entries.iter().map(|entry| (&entry.registry, &entry.key));
            if shown.eq(registries.iter().map(|(registry, key)| (registry, key))) {
                return false;
            }
            let known = |key: &Arc<CredentialKey>| current.entries.iter().find(|entry| entry.key == *key);
            let entries = registries.iter().map(|(registry, key)| {
                let report = known(key).map(|entry| entry.report.clone()).unwrap_or_default();
                Entry::new(Arc::clone(registry), Arc::clone(key), report)
            });
            let entries = entries.collect();
            replace(current, entries);
            true
        });
    }

    /// Says something new about a credential; about one that nobody asks for any more, nothing.
    pub(super) fn post(&self, key: &CredentialKey, report: &Report) {
        self.0.send_if_modified(|current| {
            let is_news = |entry: &Entry| *entry.key == *key && !entry.report.says_the_same(report);
            if !current.entries.iter().any(is_news) {
                return false;
            }
            let entries = current.entries.iter().map(|entry| {
                if !is_news(entry) {
                    return entry.clone();
                }
                let renewed = Entry::new(Arc::clone(&entry.registry), Arc::clone(&entry.key), report.clone());
                log(entry, &renewed);
                renewed
            });
            let entries = entries.collect();
            replace(current, entries);
            true
        });
    }
}

fn replace(current: &mut Arc<Snapshot>, entries: Vec<Entry>) {
    let disputes = disputes(&entries);
    for dispute in disputes.iter().filter(|dispute| !current.disputes.contains(dispute)) {
        tracing::warn!("{}", dispute.finding);
    }
    *current = Arc::new(Snapshot { version: current.version + 1, entries, disputes });
}

/// Every host that one entry claims and an earlier one has.
fn disputes(entries: &[Entry]) -> Vec<Dispute> {
    let mut claims: BTreeMap<&Host, Vec<usize>> = BTreeMap::new();
    let mut disputes = Vec::new();
    for (loser, entry) in entries.iter().enumerate() {
        for host in &*entry.hosts {
            let earlier = claims.entry(host).or_default();
            let clashes = |at: &&usize| entries.get(**at).is_some_and(|other| other.clashes_with(entry));
            if let Some(&winner) = earlier.iter().find(clashes) {
                let finding = finding(host, entries.get(winner), entry);
                disputes.push(Dispute { host: host.clone(), winner, loser, finding });
            }
            earlier.push(loser);
        }
    }
    disputes
}

fn finding(host: &Host, winner: Option<&Entry>, loser: &Entry) -> Finding {
    let place = |entry: &Entry| entry.registry.registry.place.clone();
    let winner = winner.map(place).unwrap_or_default();
    Finding {
        place: place(loser),
        problem: format!("{host} also belongs to {winner}, which comes first and gets it"),
        fix: "list the hosts of each in domains".to_owned(),
    }
}

fn log(before: &Entry, after: &Entry) {
    let place = &after.registry.registry.place;
    let until = |entry: &Entry| entry.issued.as_ref().map(|issued| issued.credential.expires_at);
    match &after.status {
        Status::Valid if before.status != after.status || until(before) != until(after) => {
            if let Some(expires_at) = until(after) {
                tracing::info!("{place}: credential in hand, valid until {expires_at}");
            }
        }
        Status::Failing(trouble) if before.status != after.status => match until(after) {
            Some(expires_at) if !after.hosts.is_empty() => {
                tracing::warn!("{place}: {}; what is known stays in use until {expires_at}", trouble.failure);
            }
            _ => tracing::error!("{place}: {}; there is nothing to use", trouble.failure),
        },
        Status::Expired { .. } if !matches!(before.status, Status::Expired { .. }) => {
            tracing::error!("{place}: the credential has expired and is taken out until there is another");
        }
        Status::Expired { trouble: Some(trouble), .. } if before.status != after.status => {
            tracing::error!("{place}: {}; there is nothing to use", trouble.failure);
        }
        Status::Pending | Status::Valid | Status::Failing(_) | Status::Expired { .. } => {}
    }
}
