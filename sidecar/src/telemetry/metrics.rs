//! What Prometheus reads.
//!
//! Labels are bounded: the places of registries in the configuration, and closed sets of results, reasons and verbs.
//! Never a namespace: a cluster may have ten thousand.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::process::Process;
use crate::broker::{Snapshot, Status};
use crate::clock::Moment;
use crate::cloud::CloudError;
use crate::credential::Credential;
use crate::kubernetes::{ApiError, Verb};

/// `Content-Type` of the page.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Before the names of all metrics of ours.
const PREFIX: &str = "acr_credential_sidecar";

/// 1 ms to 16 s: a write takes a few milliseconds, and is given up within seconds.
const WRITE_BUCKETS: [f64; 8] = [0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 4.0, 16.0];

/// All metrics. Plain numbers are fields; what has labels has a function each.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Namespaces that have, or should have, the pull secret.
    pub managed_namespaces: Gauge,
    /// Selected service accounts whose list lacks the pull secret still.
    pub service_accounts_pending: Gauge,
    /// Managed namespaces with a Secret of that name that is not ours.
    pub foreign_secrets: Gauge,
    /// Pull secrets and lists that somebody else keeps changing.
    pub contested: Gauge,
    /// 1 while the configuration in the cluster can be used, 0 while an earlier one, or none, is in use.
    pub configuration_valid: Gauge,
    /// Mistakes in the configuration in the cluster.
    pub configuration_mistakes: Gauge,
    /// Managed namespaces that wait to be looked at.
    pub waiting: Gauge,
    /// 1 while this replica writes.
    pub leader: Gauge,
    /// 0 while the policies in the cluster select other namespaces or service accounts than the configuration.
    pub policies_agree: Gauge,
    /// Rights that are missing.
    pub rights_missing: Gauge,
    /// When the last full pass over all managed namespaces ended without an error, Unix time in seconds; 0 before.
    pub last_sync: Gauge,
    credential_expiry: Family<OfRegistry, Gauge>,
    credential_valid: Family<OfRegistry, Gauge>,
    registry_failing: Family<Failing, Gauge>,
    disputed_hosts: Gauge,
    shown: Mutex<Shown>,
    mints: Family<Mint, Counter>,
    writes: Family<Write, Counter>,
    write_duration: Family<Took, Histogram, fn() -> Histogram>,
    watch_failures: Family<Watch, Counter>,
    unreadable_objects: Family<Watch, Counter>,
    api_errors: Family<FailedCall, Counter>,
    events: Family<Outcome, Counter>,
}

/// Label sets that the last snapshot gave rise to.
#[derive(Debug, Default)]
struct Shown {
    registries: Vec<OfRegistry>,
    failing: Vec<Failing>,
}

/// What came of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum EventOutcome {
    /// Written.
    Written,
    /// Said within the last minutes already.
    Repeated,
    /// Too many at once.
    Dropped,
    /// The API server did not take it.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRegistry {
    registry: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failing {
    registry: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Mint {
    result: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailedCall {
    verb: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    write: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Took {
    write: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watch {
    objects: &'static str,
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process::started_now()));
        let own = registry.sub_registry_with_prefix(PREFIX);
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        own.register("build", "What runs", build);
        Self {
            managed_namespaces: added(own, "managed_namespaces", "Managed namespaces"),
            service_accounts_pending: added(
                own,
                "service_accounts_pending",
                "Selected service accounts whose list lacks the pull secret still",
            ),
            foreign_secrets: added(
                own,
                "foreign_secrets",
                "Managed namespaces with a Secret of that name that is not ours",
            ),
            contested: added(
                own,
                "contested",
                "Pull secrets and lists of service accounts on hold: another manager keeps changing them, or a write failed",
            ),
            configuration_valid: added(
                own,
                "configuration_valid",
                "1 while the configuration in the cluster can be used",
            ),
            configuration_mistakes: added(
                own,
                "configuration_mistakes",
                "Mistakes in the configuration in the cluster",
            ),
            waiting: added(own, "namespaces_waiting", "Managed namespaces that wait to be looked at"),
            leader: added(own, "leader", "1 while this replica writes"),
            policies_agree: {
                let gauge: Gauge = added(
                    own,
                    "policies_agree",
                    "0 while the policies select other namespaces or service accounts than the configuration",
                );
                // Until somebody has looked, nothing is known to be wrong.
                gauge.set(1);
                gauge
            },
            rights_missing: added(own, "rights_missing", "Rights that are missing"),
            last_sync: added(
                own,
                "last_sync_timestamp_seconds",
                "When the last full pass without an error ended, Unix time",
            ),
            credential_expiry: added(
                own,
                "credential_expiry_timestamp_seconds",
                "When the credential in hand expires, Unix time; absent without one",
            ),
            credential_valid: added(
                own,
                "credential_valid",
                "1 while there is a credential and a host for it",
            ),
            registry_failing: added(own, "registry_failing", "1 for the reason why the last call failed"),
            disputed_hosts: added(own, "disputed_hosts", "Hosts that more than one registry claims"),
            shown: Mutex::default(),
            mints: added(own, "mints", "Credentials asked of the cloud"),
            writes: added(own, "writes", "Writes of pull secrets and of service accounts"),
            write_duration: {
                let histogram: fn() -> Histogram = || Histogram::new(WRITE_BUCKETS);
                let family = Family::new_with_constructor(histogram);
                own.register("write_duration_seconds", "How long a write took", family.clone());
                family
            },
            watch_failures: added(own, "watch_failures", "Lists and watches that failed"),
            unreadable_objects: added(
                own,
                "unreadable_objects",
                "Objects that could not be read and were left out",
            ),
            api_errors: added(own, "api_errors", "Calls for the Lease and for Events that failed"),
            events: added(own, "events", "Events, and what came of them"),
            registry,
        }
    }

    /// The page that Prometheus reads.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }

    /// Shows how the registries stand. What the last snapshot showed and this one does not is taken off.
    pub fn show_registries(&self, snapshot: &Snapshot, now: Moment) {
        let mut shown = Shown::default();
        for entry in &snapshot.entries {
            let of = OfRegistry { registry: entry.registry.registry.place.clone() };
            let good = entry.issued.as_ref().filter(|issued| issued.is_good(now));
            match good {
                Some(issued) => {
                    let expiry = issued.credential.expires_at.as_second();
                    self.credential_expiry.get_or_create(&of).set(expiry);
                }
                None => {
                    self.credential_expiry.remove(&of);
                }
            }
            let valid = good.is_some() && !entry.hosts.is_empty();
            self.credential_valid.get_or_create(&of).set(valid.into());
            let (Status::Failing(trouble) | Status::Expired { trouble: Some(trouble), .. }) = &entry.status
            else {
                shown.registries.push(of);
                continue;
            };
            let failing = Failing { registry: of.registry.clone(), reason: trouble.failure.reason() };
            self.registry_failing.get_or_create(&failing).set(1);
            shown.failing.push(failing);
            shown.registries.push(of);
        }
        self.disputed_hosts.set(count(snapshot.conflicts.len()));
        self.take_off_what_is_not_in(shown);
    }

    fn take_off_what_is_not_in(&self, shown: Shown) {
        let mut before = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in before.registries.iter().filter(|of| !shown.registries.contains(of)) {
            self.credential_expiry.remove(gone);
            self.credential_valid.remove(gone);
        }
        for gone in before.failing.iter().filter(|failing| !shown.failing.contains(failing)) {
            self.registry_failing.remove(gone);
        }
        *before = shown;
    }

    /// Counts a write, by its name such as `update`, and by the name of its failure.
    pub fn wrote(&self, write: &'static str, result: Result<(), &'static str>, took: Duration) {
        let result = result.err().unwrap_or("success");
        self.writes.get_or_create(&Write { write, result }).inc();
        self.write_duration.get_or_create(&Took { write }).observe(took.as_secs_f64());
    }

    /// Counts a list or watch of these objects that failed.
    pub fn watch_failed(&self, objects: &'static str) {
        self.watch_failures.get_or_create(&Watch { objects }).inc();
    }

    /// Counts an object of these that could not be read.
    pub fn unreadable(&self, objects: &'static str) {
        self.unreadable_objects.get_or_create(&Watch { objects }).inc();
    }

    /// Counts an Event.
    pub fn event(&self, outcome: EventOutcome) {
        self.events.get_or_create(&Outcome { result: outcome.name() }).inc();
    }

    /// Counts a call to the API server that failed.
    pub fn api_error(&self, verb: Verb, error: &ApiError) {
        let call = FailedCall { verb: verb.name(), reason: error.name() };
        self.api_errors.get_or_create(&call).inc();
    }

    pub(super) fn minted(&self, outcome: &Result<Credential, CloudError>) {
        let (result, reason) = match outcome {
            Ok(_) => ("success", ""),
            Err(error) => ("failure", error.reason.name()),
        };
        self.mints.get_or_create(&Mint { result, reason }).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl EventOutcome {
    fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Repeated => "repeated",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

/// A number of things, as gauges have it.
pub fn count(things: usize) -> i64 {
    i64::try_from(things).unwrap_or(i64::MAX)
}

fn added<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests;
