//! Keeps one credential per identity, region and instance fresh. Each credential has its own task, so that no credential is
//! minted twice and no credential waits for another.
//!
//! `schedule` computes the times and `state` decides what to do next; both are pure. `task` acts, and `snapshot` is the view
//! that all other modules read.

pub mod conflicts;
mod schedule;
mod snapshot;
mod state;
mod task;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use self::schedule::Jitter;
use self::state::{Demand, State};
use self::task::Task;
use crate::clock::Clock;
use crate::cloud::{Cloud, CloudError};
use crate::configuration::{Configuration, Host, Region, Registry};
use crate::credential::{Credential, CredentialKey};

pub use self::conflicts::HostConflict;
pub use self::snapshot::{RegistryState, Snapshot, SnapshotPublisher, Status};
pub use self::state::{Held, Issued};

/// The source of credentials: the cloud, or a test.
///
/// Its calls have their own time-outs, and retry only failures that can pass within seconds.
pub trait Minter: Send + Sync + 'static {
    /// Mints a credential.
    fn credential(&self, key: &CredentialKey) -> impl Future<Output = Result<Credential, CloudError>> + Send;

    /// Finds all hosts of an instance. It is called only for registries without `domains`.
    fn hosts(&self, key: &CredentialKey) -> impl Future<Output = Result<Vec<Host>, CloudError>> + Send;
}

impl Minter for Cloud {
    async fn credential(&self, key: &CredentialKey) -> Result<Credential, CloudError> {
        Cloud::credential(self, key).await
    }

    async fn hosts(&self, key: &CredentialKey) -> Result<Vec<Host>, CloudError> {
        Cloud::hosts(self, key).await
    }
}

/// A registry whose region is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedRegistry {
    /// The region in the configuration, or else the cluster's region.
    pub region: Region,
    /// The registry as it is configured.
    pub registry: Registry,
}

/// A configuration in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveConfiguration {
    /// The configuration as the user wrote it.
    pub configuration: Configuration,
    /// Its registries, in the same order, with their regions.
    pub registries: Arc<[ResolvedRegistry]>,
}

/// The tasks that keep credentials fresh.
pub struct Broker<M> {
    minter: Arc<M>,
    clock: Arc<dyn Clock>,
    jitter: fn() -> Jitter,
    restored: HashMap<CredentialKey, Held>,
    publisher: SnapshotPublisher,
    running: HashMap<Arc<CredentialKey>, Running>,
    tasks: JoinSet<()>,
}

struct Running {
    demand: watch::Sender<Demand>,
    task: AbortHandle,
}

impl ResolvedRegistry {
    /// Returns what the registry's credential is minted for.
    pub fn key(&self) -> CredentialKey {
        let Registry { instance, identity, place: _, region: _, domains: _, namespaces: _ } = &self.registry;
        CredentialKey { identity: identity.clone(), region: self.region.clone(), instance: instance.clone() }
    }

    /// Returns whether the hosts must be discovered, because the configuration does not list them.
    fn needs_discovery(&self) -> bool {
        !self.registry.lists_hosts()
    }
}

impl<M: Minter> Broker<M> {
    /// Creates a broker that starts with the credentials of an earlier process. They are not minted again before they are due.
    pub fn new(
        minter: Arc<M>,
        clock: Arc<dyn Clock>,
        restored: HashMap<CredentialKey, Held>,
        publisher: SnapshotPublisher,
    ) -> Self {
        Self {
            minter,
            clock,
            jitter: fastrand::f64,
            restored,
            publisher,
            running: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Keeps the credentials fresh, and follows the configuration until its sender is gone. Credentials that a new
    /// configuration still needs are not minted again.
    ///
    /// # Panics
    /// Panics when a task panics, which is a bug: nothing would keep that task's credential fresh.
    pub async fn run(mut self, mut active: watch::Receiver<Option<Arc<ActiveConfiguration>>>) {
        loop {
            let current = active.borrow_and_update().clone();
            if let Some(current) = current {
                // Applying the same configuration twice changes nothing.
                self.configure(&current);
            }
            tokio::select! {
                changed = active.changed() => if changed.is_err() { return },
                Some(ended) = self.tasks.join_next() => pass_panic_on(ended),
            }
        }
    }

    fn configure(&mut self, active: &Arc<ActiveConfiguration>) {
        let (registries, demands) = grouped(&active.registries, active.configuration.expiring_threshold);
        self.running.retain(|key, running| {
            let stays = demands.iter().any(|(wanted, _)| wanted == key);
            if !stays {
                running.task.abort();
            }
            stays
        });
        self.publisher.show(Some(active), &registries);
        for (key, demand) in demands {
            match self.running.get(&key) {
                Some(running) => {
                    running.demand.send_if_modified(|current| std::mem::replace(current, demand) != demand);
                }
                None => self.start(key, demand),
            }
        }
    }

    fn start(&mut self, key: Arc<CredentialKey>, demand: Demand) {
        let state = match self.restored.remove(&key) {
            Some(held) => State::resume(held, self.clock.now(), (self.jitter)()),
            None => State::default(),
        };
        self.publisher.post(&key, &state.report());
        let (sender, receiver) = watch::channel(demand);
        let task = self.task(Arc::clone(&key));
        let task = self.tasks.spawn(task.keep_fresh(state, receiver));
        self.running.insert(key, Running { demand: sender, task });
    }

    fn task(&self, key: Arc<CredentialKey>) -> Task<M> {
        Task {
            key,
            minter: Arc::clone(&self.minter),
            clock: Arc::clone(&self.clock),
            jitter: self.jitter,
            publisher: self.publisher.clone(),
        }
    }
}

/// Mints the credentials of all these registries once, concurrently, and returns the results.
pub async fn mint_once<M: Minter>(
    minter: Arc<M>,
    clock: Arc<dyn Clock>,
    registries: Arc<[ResolvedRegistry]>,
) -> Arc<Snapshot> {
    let mut broker = Broker::new(minter, clock, HashMap::new(), SnapshotPublisher::default());
    // Nothing is renewed here, so the threshold has no effect.
    let (registries, demands) = grouped(&registries, Duration::ZERO);
    broker.publisher.show(None, &registries);
    for (key, demand) in demands {
        let task = broker.task(key);
        broker.tasks.spawn(task.mint_once(demand.discover));
    }
    while let Some(ended) = broker.tasks.join_next().await {
        pass_panic_on(ended);
    }
    Arc::clone(&broker.publisher.subscribe().borrow())
}

type Keyed = (Arc<ResolvedRegistry>, Arc<CredentialKey>);

/// Returns the registries, each with its key, and what they demand of each distinct key. Both are in the order of the
/// configuration.
fn grouped(
    registries: &[ResolvedRegistry],
    threshold: Duration,
) -> (Vec<Keyed>, Vec<(Arc<CredentialKey>, Demand)>) {
    let keyed = registries.iter().map(|registry| (Arc::new(registry.clone()), Arc::new(registry.key())));
    let keyed: Vec<Keyed> = keyed.collect();
    let mut demands: Vec<(Arc<CredentialKey>, Demand)> = Vec::new();
    for (registry, key) in &keyed {
        let discover = registry.needs_discovery();
        if let Some((_, demand)) = demands.iter_mut().find(|(known, _)| known == key) {
            demand.discover |= discover;
        } else {
            demands.push((Arc::clone(key), Demand { threshold, discover }));
        }
    }
    (keyed, demands)
}

/// Panics if the task has panicked. A task that was cancelled is ignored.
fn pass_panic_on(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
pub use self::state::{MintFailure, Trouble};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
