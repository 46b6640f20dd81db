//! Passes on what happens: to metrics, to health, and to people by Events.

mod policies;
mod registries;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Wiring;
use crate::cluster::configuration::{ActiveConfiguration, ConfigMapStatus};
use crate::cluster::controller::{Ended, Settings};
use crate::cluster::notice::{About as AboutWhat, Notice};
use crate::cluster::observer::{Counts, Observer, Write};
use crate::cluster::state::STATE_SECRET;
use crate::cluster::store::Kind;
use crate::configuration::{Attach, Mistakes};
use crate::kubernetes::Place;
use crate::kubernetes::api_error::describe;
use crate::kubernetes::rights::{self, Needs};
use crate::reason::Reason;
use crate::telemetry::FIELD_MANAGER;
use crate::telemetry::events::{self, About, Events};
use crate::telemetry::health::{Gate, Health, Heartbeat};
use crate::telemetry::metrics::{Metrics, count};
use crate::telemetry::policies::POLICIES;

/// A loop that makes a round every five seconds and has made none for so long hangs.
const STUCK_AFTER: Duration = Duration::from_mins(1);

/// A watch that fails for longer makes the sidecar unready.
const FAILING_FOR_LONG: Duration = Duration::from_mins(1);

/// What is wrong is said again after so long, while it lasts: Events are kept for an hour, and the same one is not written
/// again within ten minutes.
const AGAIN: Duration = Duration::from_mins(11);

/// Missing rights are looked at again after so long.
const RIGHTS_AGAIN: Duration = Duration::from_mins(1);

/// All reviews of rights together.
const RIGHTS_LIMIT: Duration = Duration::from_secs(30);

/// Listens to the controller.
pub(super) struct Observation {
    pull_secret: Arc<str>,
    metrics: Arc<Metrics>,
    events: Events,
    heartbeat: Heartbeat,
    health: Arc<Health>,
    /// Since when the watches fail, by [`Kind`].
    failing: Mutex<[Option<Instant>; 3]>,
}

impl Observation {
    /// Starts to observe everything but the controller, which is to call what is returned.
    pub(super) fn start(
        parts: &Wiring,
        settings: &Settings,
        replica: String,
        metrics: &Arc<Metrics>,
        health: &Arc<Health>,
        leading: &watch::Receiver<bool>,
    ) -> (Self, JoinSet<Ended>) {
        let (events, recorder) = events::channel(parts.client.clone(), replica, Arc::clone(metrics));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            recorder.run().await;
            Ended("the recorder of Events")
        });
        tasks.spawn(configuration(
            parts.follower.standing(),
            parts.follower.active(),
            About::config_map(&parts.namespace, &parts.config_map),
            health.gate("configuration", "the ConfigMap has not been read yet"),
            Arc::clone(metrics),
            events.clone(),
        ));
        tasks.spawn(registries::watch(
            parts.snapshots.subscribe(),
            leading.clone(),
            About::config_map(&parts.namespace, &parts.config_map),
            Arc::clone(health),
            Arc::clone(metrics),
            events.clone(),
        ));
        tasks.spawn(
            Rights {
                client: parts.client.clone(),
                namespace: Arc::clone(&parts.namespace),
                config_map: Arc::clone(&parts.config_map),
                pull_secret: Arc::clone(&settings.pull_secret),
                gate: health.gate("rights", "they have not been checked yet"),
                metrics: Arc::clone(metrics),
                events: events.clone(),
            }
            .watch(parts.follower.active()),
        );
        tasks.spawn(policies::watch(
            parts.client.clone(),
            parts.follower.active(),
            Arc::clone(&settings.pull_secret),
            About::config_map(&parts.namespace, &parts.config_map),
            Arc::clone(health),
            Arc::clone(metrics),
            events.clone(),
        ));
        let observation = Self {
            pull_secret: Arc::clone(&settings.pull_secret),
            metrics: Arc::clone(metrics),
            events,
            heartbeat: health.heartbeat("controller", STUCK_AFTER),
            health: Arc::clone(health),
            failing: Mutex::default(),
        };
        for kind in [Kind::Namespace, Kind::PullSecret] {
            health.show(kind.name(), Some("the first list of them is awaited"));
        }
        (observation, tasks)
    }
}

impl Observation {
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
}

impl Observer for Observation {
    fn notice(&self, namespace: &str, notice: &Notice, uid: Option<&str>) -> bool {
        let Notice { about, reason, message } = notice;
        let about = match about {
            AboutWhat::PullSecret => About::secret(namespace, &self.pull_secret),
            AboutWhat::ServiceAccount(name) => About::service_account(namespace, name),
        };
        self.events.say(*reason, about.with_uid(uid), message.as_str())
    }

    fn wrote(&self, write: Write, result: Result<(), &'static str>, took: Duration) {
        self.metrics.wrote(write.name(), result, took);
    }

    fn synced(&self, kind: Kind) {
        self.show_failing(kind, None);
        match kind {
            Kind::Namespace | Kind::PullSecret => self.health.show(kind.name(), None),
            // They come when the configuration asks for them, and nothing else waits for them.
            Kind::ServiceAccount => {}
        }
    }

    fn watch_failed(&self, kind: Kind) {
        self.metrics.watch_failed(kind.name());
        self.show_failing(kind, Some(Instant::now()));
    }

    fn watch_works(&self, kind: Kind) {
        self.show_failing(kind, None);
        self.health.show(kind.name(), None);
    }

    fn unreadable(&self, kind: Kind, place: &Place) -> bool {
        let Place { namespace, name } = place;
        self.metrics.unreadable(kind.name());
        let about = match kind {
            Kind::Namespace => About::namespace(name),
            Kind::PullSecret => About::secret(namespace, name),
            Kind::ServiceAccount => About::service_account(namespace, name),
        };
        let note = "it cannot be read, so it is left out: delete it and create it again";
        self.events.say(Reason::ObjectUnreadable, about, note)
    }

    fn round(&self, waiting: usize) {
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

    fn counted(&self, counts: Counts) {
        let Counts { managed, foreign, on_hold, pending_accounts } = counts;
        self.metrics.managed_namespaces.set(count(managed));
        self.metrics.foreign_secrets.set(count(foreign));
        self.metrics.contested.set(count(on_hold));
        self.metrics.service_accounts_pending.set(count(pending_accounts));
    }

    fn settled(&self) {
        self.metrics.last_sync_timestamp_seconds.set(Timestamp::now().as_second());
    }
}

/// Tells how the ConfigMap stands. A mistake does not make the sidecar unready while an earlier configuration is in use.
async fn configuration(
    mut standing: watch::Receiver<ConfigMapStatus>,
    mut active: watch::Receiver<Option<Arc<ActiveConfiguration>>>,
    about: About,
    gate: Gate,
    metrics: Arc<Metrics>,
    events: Events,
) -> Ended {
    let mut was_good = false;
    let mut in_use = None;
    loop {
        tokio::select! {
            changed = standing.changed() => if changed.is_err() { break },
            changed = active.changed() => match changed {
                Ok(()) if standing.borrow().is_good() => {}
                // That it is good is said in a moment.
                Ok(()) => continue,
                Err(_) => break,
            },
            () = sleep(AGAIN) => {}
        }
        let now = standing.borrow_and_update().clone();
        let lines = now.lines();
        metrics.configuration_valid.set(now.is_good().into());
        metrics.configuration_mistakes.set(if now.is_good() { 0 } else { count(lines.len()) });
        if now.is_good() {
            let before = std::mem::replace(&mut in_use, active.borrow_and_update().clone());
            if before.is_some() && (before != in_use || !was_good) {
                events.say(Reason::ConfigurationApplied, about.clone(), "this configuration is in use");
            }
            gate.open();
        } else if !lines.is_empty() {
            events.say(Reason::ConfigurationInvalid, about.clone(), lines.join("\n"));
            if in_use.is_none() {
                gate.close(in_short(&now));
            }
        }
        was_good = now.is_good();
    }
    Ended("the watch of the configuration")
}

/// The same without any name, for everybody.
fn in_short(standing: &ConfigMapStatus) -> String {
    match standing {
        ConfigMapStatus::Awaited | ConfigMapStatus::Good { .. } => {
            "the ConfigMap has not been read yet".to_owned()
        }
        ConfigMapStatus::Missing(_) => "there is no ConfigMap".to_owned(),
        ConfigMapStatus::Wrong(Mistakes(mistakes)) => format!("mistakes: {}", mistakes.len()),
        ConfigMapStatus::NoRegion(error) => {
            format!("the region of the cluster is unknown: {}", error.reason.name())
        }
    }
}

/// Checks the sidecar's own rights.
struct Rights {
    client: Client,
    namespace: Arc<str>,
    config_map: Arc<str>,
    pull_secret: Arc<str>,
    gate: Gate,
    metrics: Arc<Metrics>,
    events: Events,
}

impl Rights {
    /// Checks them at the start, whenever the configuration changes what is needed, and again while some are missing.
    async fn watch(self, mut active: watch::Receiver<Option<Arc<ActiveConfiguration>>>) -> Ended {
        loop {
            let attaches = active
                .borrow_and_update()
                .as_ref()
                .is_some_and(|active| active.configuration.attach != Attach::Pod);
            let is_complete = self.check(attaches).await;
            tokio::select! {
                changed = active.changed() => if changed.is_err() { return Ended("the watch of the configuration") },
                () = sleep(RIGHTS_AGAIN), if !is_complete => {}
            }
        }
    }

    async fn check(&self, service_accounts: bool) -> bool {
        let needs = Needs {
            namespace: &self.namespace,
            pull_secret: &self.pull_secret,
            config_map: &self.config_map,
            state_secret: STATE_SECRET,
            lease: FIELD_MANAGER,
            policies: &POLICIES,
            service_accounts,
        };
        let missing = match timeout(RIGHTS_LIMIT, rights::missing(&self.client, rights::needed(&needs))).await
        {
            Ok(Ok(missing)) => missing,
            Ok(Err(error)) => {
                tracing::warn!("rights could not be checked, trying again: {}", describe(&error));
                return false;
            }
            Err(_) => {
                tracing::warn!("rights could not be checked in time, trying again");
                return false;
            }
        };
        self.metrics.rights_missing.set(count(missing.len()));
        if missing.is_empty() {
            self.gate.open();
            return true;
        }
        let lines: Vec<_> = missing.iter().map(ToString::to_string).collect();
        let text = format!("missing: {}", lines.join("; "));
        tracing::error!("rights: {text}: bind the roles that are shipped with this release");
        let about = About::config_map(&self.namespace, &self.config_map);
        self.events.say(Reason::RightsMissing, about, text.as_str());
        self.gate.close(format!("missing: {}", missing.len()));
        false
    }
}
