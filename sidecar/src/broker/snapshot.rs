//! What the broker publishes to the rest of the sidecar: each registry with its credential, hosts and status.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::conflicts::{self, HostClaim, HostConflict};
use super::state::{Issued, Report, Trouble};
use super::{ActiveConfiguration, Keyed, ResolvedRegistry};
use crate::configuration::Host;
use crate::credential::CredentialKey;

/// All registries at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// 0 while only `active` is known: in a standby, and in a leader that still loads the state. Then it increases with every change.
    pub version: u64,
    /// The configuration that all fields belong to; `None` before the first good one, and in [`mint_once`](super::mint_once).
    pub active: Option<Arc<ActiveConfiguration>>,
    /// One entry for each registry, in the order of the configuration.
    pub entries: Vec<RegistryState>,
    /// Hosts that more than one registry claims. A registry that lists the host in `domains` gets it, otherwise the
    /// earlier one.
    pub conflicts: Vec<HostConflict>,
}

/// One registry.
#[derive(Debug, Clone)]
pub struct RegistryState {
    /// The registry as configured.
    pub registry: Arc<ResolvedRegistry>,
    /// What its credential is minted for.
    pub key: Arc<CredentialKey>,
    /// The credential. It may expire before the next snapshot shows that, so check it when it is used.
    pub issued: Option<Arc<Issued>>,
    /// Hosts of the credential: `domains` if it is set, otherwise the discovered hosts. It is empty until hosts are
    /// discovered. Sorted.
    pub hosts: Arc<[Host]>,
    /// Its status.
    pub status: Status,
    report: Report,
}

/// The status of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The first answer of the cloud has not arrived yet.
    Pending,
    /// There is a credential.
    Valid,
    /// The last call failed. The earlier credential and hosts, if any, stay in use.
    Failing(Trouble),
    /// The credential expired before a new one arrived, and was removed.
    Expired {
        /// When it expired.
        since: Timestamp,
        /// Why there is no new one, if a call failed.
        trouble: Option<Trouble>,
    },
}

/// The place where tasks publish what they know. The rest of the sidecar reads it.
#[derive(Debug, Clone, Default)]
pub struct SnapshotPublisher(watch::Sender<Arc<Snapshot>>);

impl RegistryState {
    fn new(registry: Arc<ResolvedRegistry>, key: Arc<CredentialKey>, report: Report) -> Self {
        let hosts = if registry.needs_discovery() {
            report.hosts.clone().unwrap_or_default()
        } else {
            let mut hosts = registry.registry.domains.clone();
            hosts.sort_unstable();
            hosts.dedup();
            hosts.into()
        };
        let status = Status::new(&report, registry.needs_discovery());
        Self { registry, key, issued: report.issued.clone(), hosts, status, report }
    }

    fn claim(&self) -> HostClaim<'_> {
        HostClaim { registry: &self.registry, key: &self.key, hosts: &self.hosts }
    }
}

impl Status {
    /// Returns why there is no new credential, or no host for it, if a call failed.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Failing(trouble) => Some(trouble),
            Self::Expired { trouble, .. } => trouble.as_ref(),
            Self::Pending | Self::Valid => None,
        }
    }

    fn new(report: &Report, needs_discovery: bool) -> Self {
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

impl SnapshotPublisher {
    /// Returns a receiver of snapshots. A snapshot is sent when something changed.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.0.subscribe()
    }

    /// Publishes only the configuration before there is a broker, so that a standby knows what it has to watch.
    pub async fn follow(&self, mut active: watch::Receiver<Option<Arc<ActiveConfiguration>>>) {
        loop {
            let snapshot = Snapshot { active: active.borrow_and_update().clone(), ..Snapshot::default() };
            self.0.send_replace(Arc::new(snapshot));
            if active.changed().await.is_err() {
                return;
            }
        }
    }

    /// Publishes these registries from now on. What is known about keys that remain is kept.
    pub(super) fn show(&self, active: Option<&Arc<ActiveConfiguration>>, registries: &[Keyed]) {
        self.0.send_if_modified(|current| {
            let shown = current.entries.iter().map(|entry| (&entry.registry, &entry.key));
            if current.version > 0
                && current.active.as_ref() == active
                && shown.eq(registries.iter().map(|(registry, key)| (registry, key)))
            {
                return false;
            }
            let known = |key: &Arc<CredentialKey>| current.entries.iter().find(|entry| entry.key == *key);
            let entries = registries.iter().map(|(registry, key)| {
                let report = known(key).map(|entry| entry.report.clone()).unwrap_or_default();
                RegistryState::new(Arc::clone(registry), Arc::clone(key), report)
            });
            let entries = entries.collect();
            replace(current, active.cloned(), entries);
            true
        });
    }

    /// Publishes a report about a credential, unless no registry uses that credential any more.
    pub(super) fn post(&self, key: &CredentialKey, report: &Report) {
        self.0.send_if_modified(|current| {
            let is_news = |entry: &RegistryState| *entry.key == *key && entry.report != *report;
            if !current.entries.iter().any(is_news) {
                return false;
            }
            let entries = current.entries.iter().map(|entry| {
                if !is_news(entry) {
                    return entry.clone();
                }
                let renewed =
                    RegistryState::new(Arc::clone(&entry.registry), Arc::clone(&entry.key), report.clone());
                log(entry, &renewed);
                renewed
            });
            let entries = entries.collect();
            replace(current, current.active.clone(), entries);
            true
        });
    }
}

fn replace(
    current: &mut Arc<Snapshot>,
    active: Option<Arc<ActiveConfiguration>>,
    entries: Vec<RegistryState>,
) {
    let claims: Vec<_> = entries.iter().map(RegistryState::claim).collect();
    let conflicts = conflicts::among(&claims);
    for conflict in conflicts.iter().filter(|conflict| !current.conflicts.contains(conflict)) {
        tracing::warn!("{}", conflict.finding);
    }
    *current = Arc::new(Snapshot { version: current.version + 1, active, entries, conflicts });
}

fn log(before: &RegistryState, after: &RegistryState) {
    let place = &after.registry.registry.place;
    let until = |entry: &RegistryState| entry.issued.as_ref().map(|issued| issued.credential.expires_at);
    match &after.status {
        Status::Valid if before.status != after.status || until(before) != until(after) => {
            if let Some(expires_at) = until(after) {
                tracing::info!("{place}: the credential is valid until {expires_at}");
            }
        }
        Status::Failing(trouble) if before.status != after.status => match until(after) {
            Some(expires_at) if !after.hosts.is_empty() => {
                tracing::warn!(
                    "{place}: {}; the last known credential and hosts stay in use until {expires_at}",
                    trouble.failure
                );
            }
            Some(_) => {
                tracing::error!("{place}: {}; no host is known for the credential", trouble.failure);
            }
            None => tracing::error!("{place}: {}; there is no credential", trouble.failure),
        },
        Status::Expired { .. } if !matches!(before.status, Status::Expired { .. }) => {
            tracing::error!("{place}: the credential has expired and is removed until there is a new one");
        }
        Status::Expired { trouble: Some(trouble), .. } if before.status != after.status => {
            tracing::error!("{place}: {}; there is no credential", trouble.failure);
        }
        Status::Pending | Status::Valid | Status::Failing(_) | Status::Expired { .. } => {}
    }
}
