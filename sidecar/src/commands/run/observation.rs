//! Reports what happens: to metrics, to health, and to people by Events.

mod policies;
mod registries;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Wiring;
use crate::broker::ActiveConfiguration;
use crate::cluster::configuration::ConfigMapStatus;
use crate::cluster::controller::{ControllerSettings, Ended};
use crate::cluster::observer::Observer;
use crate::cluster::saved_state::STATE_SECRET;
use crate::configuration::{Attach, Mistakes};
use crate::kubernetes::FIELD_MANAGER;
use crate::kubernetes::api_error::describe;
use crate::kubernetes::rights::{self, Needs};
use crate::reason::Reason;
use crate::telemetry::events::{self, Events, Regarding};
use crate::telemetry::health::{Gate, Health};
use crate::telemetry::metrics::{Metrics, count};
use crate::telemetry::policies::POLICIES;

/// A problem is reported again after this long, while it lasts: Events are kept for an hour, and an equal one is not written
/// again within ten minutes.
const AGAIN: Duration = Duration::from_mins(11);

/// Missing rights are checked again after this long.
const RIGHTS_AGAIN: Duration = Duration::from_mins(1);

/// The limit for all reviews of rights together.
const RIGHTS_LIMIT: Duration = Duration::from_secs(30);

/// Starts to observe everything. Returns the observer that the controller calls, and the tasks, none of which should end.
pub(super) fn start(
    parts: &Wiring,
    settings: &ControllerSettings,
    replica: String,
    metrics: &Arc<Metrics>,
    health: &Arc<Health>,
    leading: &watch::Receiver<bool>,
) -> (Observer, JoinSet<Ended>) {
    let (events, recorder) = events::channel(parts.client.clone(), replica, Arc::clone(metrics));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        recorder.run().await;
        Ended("the recorder of Events")
    });
    tasks.spawn(configuration(
        parts.follower.standing(),
        parts.follower.active(),
        Regarding::config_map(&parts.namespace, &parts.config_map),
        health.gate("configuration", "the ConfigMap has not been read yet"),
        Arc::clone(metrics),
        events.clone(),
    ));
    tasks.spawn(registries::watch(
        parts.snapshots.subscribe(),
        leading.clone(),
        Regarding::config_map(&parts.namespace, &parts.config_map),
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
        Regarding::config_map(&parts.namespace, &parts.config_map),
        Arc::clone(health),
        Arc::clone(metrics),
        events.clone(),
    ));
    let pull_secret = Arc::clone(&settings.pull_secret);
    (Observer::new(pull_secret, Arc::clone(metrics), Arc::clone(health), Some(events)), tasks)
}

/// Reports the status of the ConfigMap. A mistake does not make the sidecar unready while an earlier configuration is in use.
async fn configuration(
    mut standing: watch::Receiver<ConfigMapStatus>,
    mut active: watch::Receiver<Option<Arc<ActiveConfiguration>>>,
    about: Regarding,
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
                // The status will show in a moment that it is good.
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

/// Returns the same without any name, because all clients may read it.
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
    /// Checks the rights at the start, whenever the configuration changes the needed rights, and again while some are missing.
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
        let about = Regarding::config_map(&self.namespace, &self.config_map);
        self.events.say(Reason::RightsMissing, about, text.as_str());
        self.gate.close(format!("missing: {}", missing.len()));
        false
    }
}
