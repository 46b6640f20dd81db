//! Reacts to events: plans for the namespace in which something happened, and writes the difference.
//!
//! One task owns all knowledge, plans, and never waits for a write; writes run beside it. `events` finds the namespaces
//! that an event concerns, `work` plans for one namespace, `outcome` takes in the results of the plan, and `report` counts.

mod events;
mod outcome;
mod report;
mod work;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use self::outcome::Done;
use super::apply::Writer;
use super::desired::DesiredSecrets;
use super::observer::Observer;
use super::plan::Plan;
use super::queue::Queue;
use super::store::{Kind, Store};
use super::watches::Watches;
use crate::broker::{ActiveConfiguration, Snapshot};
use crate::clock::Clock;
use crate::configuration::Attach;

/// How many namespaces are planned, and how many events are taken in, before other work gets its turn.
const BATCH: usize = 128;

/// Several registries seldom get their first answers at the same moment, so the controller waits, and one write is
/// enough for all of them.
const SETTLING: Duration = Duration::from_secs(5);

/// When the process ends, it waits this long for writes that have begun.
const DRAIN: Duration = Duration::from_secs(15);

/// The loop makes a round this often, so that health checks see that it is still running.
const ROUND: Duration = Duration::from_secs(5);

/// Lists of all service accounts are expensive, so there is at least this long between them, unless the configuration
/// changes.
const BETWEEN_LISTS: Duration = Duration::from_secs(30);

/// The settings of the controller.
#[derive(Debug, Clone)]
pub struct ControllerSettings {
    /// Name of the pull secret.
    pub pull_secret: Arc<str>,
    /// Whether foreign Secrets of that name are taken over.
    pub adopt: bool,
    /// Renewed credentials reach the last namespace after this long.
    pub spread: Duration,
    /// Number of writes at the same time.
    pub concurrency: usize,
}

/// The inputs of the controller.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The configuration in use, and its credentials.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Whether this replica writes.
    pub leading: watch::Receiver<bool>,
    /// Whether the process is to end.
    pub stop: watch::Receiver<bool>,
}

/// What happens to plans, and how long the controller runs.
pub enum Mode {
    /// Plans are written until the process ends.
    Forever,
    /// Plans are written until nothing is left to do.
    Once(ShowProgress),
    /// Plans are shown until each namespace was planned for. Nothing is written.
    DryRun(Show),
}

/// Shows the plan for a namespace.
pub type Show = Box<dyn FnMut(&str, &Plan) + Send>;

/// Shows how many writes were done, and how many namespaces are left.
pub type ShowProgress = fn(Summary, usize);

/// Counts of what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Writes that succeeded.
    pub written: usize,
    /// Writes that failed.
    pub failed: usize,
    /// Registries that had no credential at the end.
    pub without_credential: usize,
}

/// A task that should never end has ended: the process cannot do its work any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} has ended unexpectedly: this process stops")]
pub struct Ended(pub &'static str);

/// The controller.
pub struct Controller {
    settings: ControllerSettings,
    inputs: Inputs,
    mode: Mode,
    clock: Arc<dyn Clock>,
    observer: Observer,
    writer: Writer,
    watches: Watches,
    store: Store,
    queue: Queue,
    contents: DesiredSecrets,
    running: JoinSet<Done>,
    snapshot: Arc<Snapshot>,
    leads: bool,
    synced: Synced,
    /// When service accounts must be listed again, because accounts that were dropped may matter now.
    accounts_due: Option<Instant>,
    /// Until when plans wait for the first answers.
    settles_at: Option<Instant>,
    summary: Summary,
    /// Whether anything may have changed since the objects were last counted.
    is_uncounted: bool,
    /// When work began, and the summary at that time.
    busy_since: Option<(Instant, Summary)>,
}

#[derive(Debug, Default)]
struct Synced {
    namespaces: bool,
    pull_secrets: bool,
    service_accounts: bool,
}

impl Synced {
    fn get_mut(&mut self, kind: Kind) -> &mut bool {
        match kind {
            Kind::Namespace => &mut self.namespaces,
            Kind::PullSecret => &mut self.pull_secrets,
            Kind::ServiceAccount => &mut self.service_accounts,
        }
    }
}

impl Controller {
    /// Creates a controller. It watches before it leads, so that a standby knows the cluster when it becomes the
    /// leader.
    pub fn new(
        client: Client,
        settings: ControllerSettings,
        inputs: Inputs,
        mode: Mode,
        clock: Arc<dyn Clock>,
        observer: Observer,
    ) -> Self {
        Self {
            watches: Watches::start(client.clone(), Arc::clone(&settings.pull_secret)),
            writer: Writer::new(client, Arc::clone(&settings.pull_secret)),
            queue: Queue::new(settings.concurrency),
            settings,
            inputs,
            mode,
            clock,
            observer,
            store: Store::default(),
            contents: DesiredSecrets::default(),
            running: JoinSet::new(),
            snapshot: Arc::default(),
            leads: false,
            synced: Synced::default(),
            accounts_due: None,
            settles_at: None,
            summary: Summary::default(),
            is_uncounted: false,
            busy_since: None,
        }
    }

    /// Works until the process ends, or in the other modes, until nothing is left to do.
    pub async fn run(mut self) -> Result<Summary, Ended> {
        self.take_in_snapshot();
        self.leads = *self.inputs.leading.borrow_and_update();
        let mut rounds = tokio::time::interval(ROUND);
        loop {
            let has_more = self.work();
            if self.is_finished() {
                break;
            }
            let alarm = self.queue.next_alarm();
            tokio::select! {
                () = told_to_stop(&mut self.inputs.stop) => break,
                seen = self.watches.next() => self.see_all(seen.ok_or(Ended("a watch of the cluster"))?),
                Some(done) = self.running.join_next() => self.finish_all(done),
                changed = self.inputs.snapshots.changed() => {
                    changed.map_err(|_| Ended("the renewal of credentials"))?;
                    self.take_in_snapshot();
                }
                changed = self.inputs.leading.changed() => {
                    changed.map_err(|_| Ended("the election of a leader"))?;
                    self.take_in_leadership();
                }
                () = at(alarm) => self.ring(),
                () = at(self.settles_at) => self.settle(),
                _ = rounds.tick() => self.round(),
                () = tokio::task::yield_now(), if has_more => {}
            }
        }
        self.drain().await;
        let lacks = self.snapshot.entries.iter().filter(|entry| entry.issued.is_none());
        self.summary.without_credential = lacks.count();
        Ok(self.summary)
    }

    /// Waits for writes that have begun.
    async fn drain(&mut self) {
        let until = Instant::now() + DRAIN;
        while let Ok(Some(done)) =
            timeout(until.saturating_duration_since(Instant::now()), self.running.join_next()).await
        {
            self.finish_all(done);
        }
    }

    fn active(&self) -> Option<&ActiveConfiguration> {
        self.snapshot.active.as_deref()
    }

    /// Returns whether service accounts matter, which they also may while no configuration is known.
    fn attaches(&self) -> bool {
        self.active().is_none_or(|active| active.configuration.attach != Attach::Pod)
    }

    /// Returns whether all requested work is done.
    fn is_finished(&self) -> bool {
        !matches!(self.mode, Mode::Forever)
            && self.can_work()
            && (self.synced.service_accounts || !self.attaches())
            && self.snapshot.version > 0
            && !self.is_pending()
            && self.queue.is_empty()
    }
}

/// Waits until the process has to end, or until the sender is gone.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits until this time, or without end if there is no time.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
