//! The metrics for Prometheus.
//!
//! The values of labels are limited: the places of registries in the configuration, and closed sets of results, reasons and
//! verbs. There is never a label with a namespace: a cluster may have ten thousand.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::process::Process;
use crate::broker::Snapshot;
use crate::clock::Moment;
use crate::cloud::CloudError;
use crate::credential::Credential;
use crate::kubernetes::{ApiError, Verb};

/// `Content-Type` of the page.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The prefix of all our metrics.
const PREFIX: &str = "acr_credential_sidecar";

/// Buckets from 1 ms to 16 s: a write takes a few milliseconds, and is cancelled within seconds.
const WRITE_BUCKETS: [f64; 8] = [0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 4.0, 16.0];

/// Counters with labels: their names and values.
type Counters<const N: usize> = Family<[(&'static str, &'static str); N], Counter>;

/// Gauges of registries, with labels.
type Gauges<const N: usize> = Family<[(&'static str, String); N], Gauge>;

/// Durations with one label.
type Durations = Family<[(&'static str, &'static str); 1], Histogram, fn() -> Histogram>;

/// Declares [`Metrics`], each metric once: its name is the name of the field, its help is the comment, and it begins at zero
/// unless another value is given.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $visibility:vis $name:ident: $type:ty $(= $value:expr)?,)+) => {
        /// All metrics. Those without labels are fields that other modules set; those with labels have a function each.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            /// The lock while the registries change and while the page is written: the page shows all of them or none.
            registries: Mutex<()>,
            $($(#[doc = $help])+ $visibility $name: $type,)+
        }

        impl Metrics {
            /// Creates all metrics with their first values.
            pub fn new() -> Self {
                let mut registry = Registry::default();
                registry.register_collector(Box::new(Process::started_now()));
                let own = registry.sub_registry_with_prefix(PREFIX);
                own.register("build", "What runs", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
                $(
                    let $name: $type = or_default!($($value)?);
                    // The encoder adds the full stop again.
                    let help = concat!($($help),+).trim().trim_end_matches('.');
                    own.register(stringify!($name), help, $name.clone());
                )+
                Self { registry, registries: Mutex::default(), $($name),+ }
            }
        }
    };
}

macro_rules! or_default {
    () => {
        Default::default()
    };
    ($value:expr) => {
        $value
    };
}

metrics! {
    /// Managed namespaces.
    pub managed_namespaces: Gauge,
    /// Selected service accounts whose list still lacks the pull secret.
    pub service_accounts_pending: Gauge,
    /// Managed namespaces with a Secret of that name that is not ours.
    pub foreign_secrets: Gauge,
    /// Pull secrets and lists of service accounts on hold: another manager keeps changing them, or a write failed.
    pub contested: Gauge,
    /// 1 while the configuration in the cluster can be used.
    pub configuration_valid: Gauge,
    /// Mistakes in the configuration in the cluster.
    pub configuration_mistakes: Gauge,
    /// Managed namespaces that wait to be looked at.
    pub namespaces_waiting: Gauge,
    /// 1 while this replica writes.
    pub leader: Gauge,
    /// 0 while the policies select other namespaces or service accounts than the configuration.
    pub policies_agree: Gauge = agreed_until_compared(),
    /// Rights that are missing.
    pub rights_missing: Gauge,
    /// When the last full pass without an error ended, Unix time.
    pub last_sync_timestamp_seconds: Gauge,
    /// When the credential in hand expires, Unix time; absent without one.
    credential_expiry_timestamp_seconds: Gauges<1>,
    /// 1 while there is a credential and a host for it.
    credential_valid: Gauges<1>,
    /// 1 for the reason why the last call failed.
    registry_failing: Gauges<2>,
    /// Hosts that more than one registry claims.
    disputed_hosts: Gauge,
    /// Credentials asked of the cloud.
    mints: Counters<2>,
    /// Writes of pull secrets and of service accounts.
    writes: Counters<2>,
    /// How long a write took.
    write_duration_seconds: Durations = Durations::new_with_constructor(|| Histogram::new(WRITE_BUCKETS)),
    /// Lists and watches that failed.
    watch_failures: Counters<1>,
    /// Objects that could not be read and were left out.
    unreadable_objects: Counters<1>,
    /// Calls for the Lease and for Events that failed.
    api_errors: Counters<2>,
    /// Events, and what came of them.
    events: Counters<1>,
}

/// What happened to an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum EventOutcome {
    /// Written.
    Written,
    /// An equal Event was sent within the last minutes.
    Repeated,
    /// There were too many Events.
    Dropped,
    /// The API server did not accept it.
    Failed,
}

impl Metrics {
    /// Returns the page that Prometheus reads.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let _registries = self.registries();
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }

    /// Shows the status of the registries, and removes those that are no longer configured.
    pub fn show_registries(&self, snapshot: &Snapshot, now: Moment) {
        let _registries = self.registries();
        self.credential_expiry_timestamp_seconds.clear();
        self.credential_valid.clear();
        self.registry_failing.clear();
        for entry in &snapshot.entries {
            let registry = [("registry", entry.registry.registry.place.clone())];
            let good = entry.issued.as_ref().filter(|issued| issued.is_good(now));
            if let Some(issued) = good {
                let expiry = issued.credential.expires_at.as_second();
                self.credential_expiry_timestamp_seconds.get_or_create(&registry).set(expiry);
            }
            let valid = good.is_some() && !entry.hosts.is_empty();
            self.credential_valid.get_or_create(&registry).set(valid.into());
            if let Some(trouble) = entry.status.trouble() {
                let [registry] = registry;
                let reason = ("reason", trouble.failure.reason().to_owned());
                self.registry_failing.get_or_create(&[registry, reason]).set(1);
            }
        }
        self.disputed_hosts.set(count(snapshot.conflicts.len()));
    }

    fn registries(&self) -> MutexGuard<'_, ()> {
        self.registries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a write, by its name such as `update`, and by the name of its failure.
    pub fn wrote(&self, write: &'static str, result: Result<(), &'static str>, took: Duration) {
        let (write, result) = (("write", write), ("result", result.err().unwrap_or("success")));
        self.writes.get_or_create(&[write, result]).inc();
        self.write_duration_seconds.get_or_create(&[write]).observe(took.as_secs_f64());
    }

    /// Counts a failed list or watch of these objects.
    pub fn watch_failed(&self, objects: &'static str) {
        self.watch_failures.get_or_create(&[("objects", objects)]).inc();
    }

    /// Counts one of these objects that could not be read.
    pub fn unreadable(&self, objects: &'static str) {
        self.unreadable_objects.get_or_create(&[("objects", objects)]).inc();
    }

    /// Counts an Event.
    pub fn event(&self, outcome: EventOutcome) {
        self.events.get_or_create(&[("result", outcome.into())]).inc();
    }

    /// Counts a failed call to the API server.
    pub fn api_error(&self, verb: Verb, error: &ApiError) {
        self.api_errors.get_or_create(&[("verb", verb.name()), ("reason", error.name())]).inc();
    }

    pub(super) fn minted(&self, outcome: &Result<Credential, CloudError>) {
        let (result, reason) = match outcome {
            Ok(_) => ("success", ""),
            Err(error) => ("failure", error.reason.name()),
        };
        self.mints.get_or_create(&[("result", result), ("reason", reason)]).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Converts a number of things to the type of gauges.
pub fn count(things: usize) -> i64 {
    i64::try_from(things).unwrap_or(i64::MAX)
}

/// Returns the first value: before the first comparison, no difference is known.
fn agreed_until_compared() -> Gauge {
    let gauge = Gauge::default();
    gauge.set(1);
    gauge
}

#[cfg(test)]
mod tests;
