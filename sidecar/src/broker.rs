//! Keeps one credential per identity, region and instance fresh: one task for each, so that none is minted twice and
//! none waits for another.
//!
//! `schedule` says when, `state` decides what to do next, both of them pure; `task` does it, and `snapshot` is what
//! everybody else gets to see.

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
use self::snapshot::SnapshotPublisher;
use self::state::{Demand, State};
use self::task::Task;
use crate::clock::Clock;
use crate::cloud::{Cloud, CloudError};
use crate::configuration::{Host, Region, Registry};
use crate::credential::{Credential, CredentialKey};

pub use self::conflicts::HostConflict;
pub use self::snapshot::{Entry, Snapshot, Status};
pub use self::state::{Held, Issued};
#[cfg(test)]
pub use self::state::{MintFailure, Trouble};

/// Where credentials come from: the cloud, or a test.
///
/// Its calls end by themselves, in time-outs of its own, and retry only what heals within seconds.
pub trait Minter: Send + Sync + 'static {
    /// Mints a credential.
    fn credential(&self, key: &CredentialKey) -> impl Future<Output = Result<Credential, CloudError>> + Send;

    /// Finds all hosts of an instance; asked only for registries without `domains`.
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
    /// Its region: its own, or else the cluster's.
    pub region: Region,
    /// The rest.
    pub registry: Registry,
}

/// What the configuration asks of the broker.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The registries, in the order of the configuration.
    pub registries: Arc<[ResolvedRegistry]>,
    /// A credential is renewed when less than this is left of it.
    pub expiring_threshold: Duration,
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
    /// What its credential is minted for.
    pub fn key(&self) -> CredentialKey {
        let Registry { instance, identity, place: _, region: _, domains: _, namespaces: _ } = &self.registry;
        CredentialKey { identity: identity.clone(), region: self.region.clone(), instance: instance.clone() }
    }

    /// Of registries that claim a host, the one with the least rank gets it; of equal ones, the first. A list in `domains` beats
    /// discovery.
    pub fn claim_rank(&self) -> u8 {
        u8::from(self.needs_discovery())
    }

    /// Whether its hosts are not written down.
    fn needs_discovery(&self) -> bool {
        self.registry.domains.is_empty()
    }
}

impl<M: Minter> Broker<M> {
    /// A broker that begins with what an earlier process knew: none of that is minted again before it is due.
    pub fn new(minter: Arc<M>, clock: Arc<dyn Clock>, restored: HashMap<CredentialKey, Held>) -> Self {
        Self {
            minter,
            clock,
            jitter: fastrand::f64,
            restored,
            publisher: SnapshotPublisher::new(),
            running: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Snapshots, each of them sent when something changed.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.publisher.subscribe()
    }

    /// Keeps the credentials fresh, and follows the configuration until its sender is gone. Credentials that a new
    /// configuration still asks for are not minted anew.
    ///
    /// # Panics
    /// When a task panics, which is a bug: nothing would keep its credential fresh.
    pub async fn run(mut self, mut wanted: watch::Receiver<Wanted>) {
        loop {
            let now_wanted = wanted.borrow_and_update().clone();
            // To configure the same twice changes nothing.
            self.configure(&now_wanted);
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                Some(ended) = self.tasks.join_next() => pass_panic_on(ended),
            }
        }
    }

    fn configure(&mut self, wanted: &Wanted) {
        let (registries, demands) = grouped(wanted);
        self.running.retain(|key, running| {
            let stays = demands.iter().any(|(wanted, _)| wanted == key);
            if !stays {
                running.task.abort();
            }
            stays
        });
        self.publisher.show(&registries);
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

/// Mints the credentials of all these registries once, concurrently, and tells what came of it.
pub async fn mint_once<M: Minter>(
    minter: Arc<M>,
    clock: Arc<dyn Clock>,
    registries: Arc<[ResolvedRegistry]>,
) -> Arc<Snapshot> {
    let mut broker = Broker::new(minter, clock, HashMap::new());
    // Nothing is renewed here, so the threshold says nothing.
    let (registries, demands) = grouped(&Wanted { registries, expiring_threshold: Duration::ZERO });
    broker.publisher.show(&registries);
    for (key, demand) in demands {
        let task = broker.task(key);
        broker.tasks.spawn(task.mint_once(demand.discover));
    }
    while let Some(ended) = broker.tasks.join_next().await {
        pass_panic_on(ended);
    }
    Arc::clone(&broker.subscribe().borrow())
}

type Keyed = (Arc<ResolvedRegistry>, Arc<CredentialKey>);

/// The registries, each with its key, and what they ask of each distinct key; both in the order of the configuration.
fn grouped(wanted: &Wanted) -> (Vec<Keyed>, Vec<(Arc<CredentialKey>, Demand)>) {
    let Wanted { registries, expiring_threshold } = wanted;
    let keyed = registries.iter().map(|registry| (Arc::new(registry.clone()), Arc::new(registry.key())));
    let keyed: Vec<Keyed> = keyed.collect();
    let mut demands: Vec<(Arc<CredentialKey>, Demand)> = Vec::new();
    for (registry, key) in &keyed {
        let discover = registry.needs_discovery();
        if let Some((_, demand)) = demands.iter_mut().find(|(known, _)| known == key) {
            demand.discover |= discover;
        } else {
            demands.push((Arc::clone(key), Demand { threshold: *expiring_threshold, discover }));
        }
    }
    (keyed, demands)
}

/// A panic of a task is a panic of ours; a task that was told to end is nothing.
fn pass_panic_on(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
