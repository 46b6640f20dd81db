//! Reports where the policies disagree with the configuration.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::broker::ActiveConfiguration;
use crate::cluster::controller::Ended;
use crate::kubernetes::api_error::describe;
use crate::reason::Reason;
use crate::telemetry::events::{Events, Regarding};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::policies;

/// Policies are compared again after this long: they are not watched, because most clusters never change them.
const POLICIES_AGAIN: Duration = Duration::from_mins(10);

/// The limit for all calls of one comparison together.
const POLICIES_LIMIT: Duration = Duration::from_secs(15);

/// Reports where the policies in the cluster select something else than the configuration.
pub(super) async fn watch(
    client: Client,
    mut active: watch::Receiver<Option<Arc<ActiveConfiguration>>>,
    pull_secret: Arc<str>,
    about: Regarding,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    events: Events,
) -> Ended {
    let mut before = Vec::new();
    loop {
        let now = active.borrow_and_update().clone();
        if let Some(active) = now {
            let looked =
                timeout(POLICIES_LIMIT, policies::differences(&client, &active.configuration, &pull_secret));
            let problem = match looked.await {
                Ok(Ok(differences)) => {
                    metrics.policies_agree.set(differences.is_empty().into());
                    for difference in &differences {
                        if !before.contains(difference) {
                            tracing::warn!("{difference}");
                        }
                        events.say(Reason::PoliciesDisagree, about.clone(), difference.as_str());
                    }
                    let count = differences.len();
                    health.note(
                        "policies",
                        (count > 0).then(|| format!("differences from the configuration: {count}")),
                    );
                    before = differences;
                    None
                }
                Ok(Err(error)) => Some(describe(&error)),
                Err(_) => Some(format!("no answer within {} s", POLICIES_LIMIT.as_secs())),
            };
            if let Some(problem) = problem {
                let not_compared = "they could not be compared with the configuration";
                tracing::warn!("policies: {not_compared}: {problem}");
                health.note("policies", Some(not_compared.to_owned()));
            }
        }
        tokio::select! {
            changed = active.changed() => if changed.is_err() { return Ended("the watch of the configuration") },
            () = sleep(POLICIES_AGAIN) => {}
        }
    }
}
