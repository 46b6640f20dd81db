//! Decides which replica writes: the holder of a Lease.
//!
//! The rules are those of client-go's leader election. A Lease is changed only in the version that was read, so if two replicas
//! try to take it, one of them gets a conflict. A standby takes it over when it has *seen* no change for the Lease's whole
//! duration, on its own monotonic clock: it never compares times that another machine wrote, so a stepped clock cannot take a
//! Lease away. A leader that cannot renew stops before the Lease expires, and ends the process: no code then has to trust that
//! every loop noticed.
//!
//! If a leader was frozen when its deadline passed, it may still write until it checks a clock again. Therefore every write of
//! the sidecar carries the version that it was decided on, and an outdated write changes nothing.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::api_error::{self, ApiError};
use super::{FIELD_MANAGER, NO_VERSION, Verb};

/// A call that takes longer is cancelled.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Where the Lease is kept: the API server, or a test. It is written only with patches, so that one rule with the name is enough.
pub trait Store: Send + Sync {
    /// Returns the Lease, if there is one.
    fn get(&self) -> impl Future<Output = Result<Option<Lease>, kube::Error>> + Send;

    /// Creates the Lease; a conflict if there is one already.
    fn create(&self, spec: &LeaseSpec) -> impl Future<Output = Result<Lease, kube::Error>> + Send;

    /// Replaces the content of the Lease; a conflict unless it still has this version.
    fn replace(
        &self,
        version: &str,
        spec: &LeaseSpec,
    ) -> impl Future<Output = Result<Lease, kube::Error>> + Send;
}

/// The times of the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The other replicas leave the Lease alone for this long. Whole seconds.
    pub duration: Duration,
    /// A leader that has not renewed for this long stops. It is less than `duration`: the clocks of two machines may drift apart
    /// by the difference within that time.
    pub deadline: Duration,
    /// The time between two renewals.
    pub renewal: Duration,
    /// The time between two checks of a standby, and after a call that failed.
    pub retry: Duration,
}

/// Is called for each call that the API server refused, or that could not be sent.
pub type OnFailure = Box<dyn Fn(Verb, &ApiError) + Send + Sync>;

/// A candidate for the Lease.
pub struct Election<S> {
    store: S,
    identity: String,
    timing: Timing,
    on_failure: OnFailure,
    leads: watch::Sender<bool>,
}

/// Why a replica no longer leads. The process has to end.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Another replica has the Lease.
    #[error("the Lease was taken over by {0:?}: this process stops and restarts as a standby")]
    To(String),
    /// No replica has it, or it was deleted.
    #[error("another process deleted or released the Lease: this process stops and restarts as a standby")]
    ToNobody,
    /// It could not be renewed in time, or this process was frozen.
    #[error(
        "the Lease could not be renewed within {} s: this process stops and restarts as a standby",
        .0.as_secs()
    )]
    NotRenewed(Duration),
}

/// The Lease as it was last seen.
#[derive(Debug)]
struct Seen {
    version: String,
    /// When this version was first seen.
    since: Instant,
}

/// What a replica that does not lead does with a Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Take,
    Wait,
}

impl Default for Timing {
    /// Returns the times of client-go. A leader whose calls fail immediately tries four times before it has to stop, and so
    /// survives six seconds without an API server, whenever they begin. Calls that hang leave time for fewer tries: at worst for
    /// two, and so for four seconds.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            renewal: Duration::from_secs(2),
            retry: Duration::from_secs(2),
        }
    }
}

impl Election<KubernetesLease> {
    /// Creates a candidate for the Lease of this name. The identity has to be different in each replica and should survive a
    /// restart of the container, as the name of the Pod does: a restarted container takes its own Lease back immediately.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: impl Into<String>,
        on_failure: OnFailure,
    ) -> Self {
        let store = KubernetesLease::new(client, namespace, name);
        Self::at(store, identity, Timing::default(), on_failure)
    }
}

impl<S: Store> Election<S> {
    /// Creates a candidate for a Lease that is kept elsewhere.
    pub fn at(store: S, identity: impl Into<String>, timing: Timing, on_failure: OnFailure) -> Self {
        Self { store, identity: identity.into(), timing, on_failure, leads: watch::Sender::new(false) }
    }

    /// Returns a receiver that shows whether this replica leads.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    /// Waits for the Lease and keeps it until `stop` ends; then the Lease is released, so that a standby takes over immediately.
    /// The caller ends `stop` when its last write is done.
    pub async fn run(&self, stop: impl Future<Output = ()>) -> Result<(), Lost> {
        tokio::pin!(stop);
        let mut seen = None;
        let (held, since) = loop {
            if let Some(taken) = self.reach(&mut seen).await {
                break taken;
            }
            tokio::select! {
                () = &mut stop => return Ok(()),
                () = sleep(self.timing.retry) => {}
            }
        };
        tracing::info!("this replica leads from now on, as {}", self.identity);
        self.leads.send_replace(true);
        let outcome = self.keep(held, since, stop).await;
        self.leads.send_replace(false);
        match outcome {
            Ok(held) => {
                self.release(&held).await;
                Ok(())
            }
            Err(lost) => Err(lost),
        }
    }

    /// Takes the Lease if it is free. Also returns when the call that took it began: the Lease is valid from then on.
    async fn reach(&self, seen: &mut Option<Seen>) -> Option<(Lease, Instant)> {
        let began = Instant::now();
        let attempt = async {
            let Some(lease) = self.store.get().await.map_err(|error| (Verb::Get, error))? else {
                let created = self.store.create(&self.claim(None)).await;
                return created.map(Some).map_err(|error| (Verb::Create, error));
            };
            match judge(&lease, &self.identity, seen, Instant::now()) {
                Step::Wait => Ok(None),
                Step::Take => {
                    let claim = self.claim(lease.spec.as_ref());
                    let taken = self.store.replace(version(&lease), &claim).await;
                    taken.map(Some).map_err(|error| (Verb::Patch, error))
                }
            }
        };
        match timeout_at(began + CALL_LIMIT, attempt).await {
            Ok(Ok(taken)) => taken.map(|lease| (lease, began)),
            // Another replica was faster.
            Ok(Err((_, error))) if api_error::is_status(&error, 409) => None,
            Ok(Err((verb, error))) => {
                self.failed(verb, &error);
                None
            }
            Err(_) => {
                tracing::warn!("lease: the API server did not answer within {} s", CALL_LIMIT.as_secs());
                None
            }
        }
    }

    /// Renews the Lease until `stop` ends.
    async fn keep(
        &self,
        mut held: Lease,
        mut renewed: Instant,
        mut stop: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Lease, Lost> {
        let Timing { deadline, renewal, retry, .. } = self.timing;
        let mut pause = renewal;
        loop {
            tokio::select! {
                () = &mut stop => return Ok(held),
                () = sleep(pause) => {}
            }
            let began = Instant::now();
            let end = renewed + deadline;
            if began >= end {
                return Err(Lost::NotRenewed(deadline));
            }
            let outcome = timeout_at(end.min(began + CALL_LIMIT), self.renew(&held)).await;
            match outcome {
                Ok(Ok(lease)) => {
                    held = lease;
                    renewed = began;
                    pause = renewal;
                }
                Ok(Err(Failure::Lost(lost))) => return Err(lost),
                Ok(Err(Failure::Call(verb, error))) => {
                    self.failed(verb, &error);
                    pause = retry;
                }
                Err(_) => {
                    tracing::warn!("lease: the API server did not answer in time");
                    pause = retry;
                }
            }
            // The loop never sleeps past the deadline.
            pause = pause.min((renewed + deadline).saturating_duration_since(Instant::now()));
        }
    }

    async fn renew(&self, held: &Lease) -> Result<Lease, Failure> {
        match self.store.replace(version(held), &self.claim(held.spec.as_ref())).await {
            Ok(lease) => return Ok(lease),
            Err(error) if api_error::is_status(&error, 404) => return Err(Failure::Lost(Lost::ToNobody)),
            Err(error) if !api_error::is_status(&error, 409) => {
                return Err(Failure::Call(Verb::Patch, error));
            }
            Err(_) => {}
        }
        // Another writer changed it: a user changed a label, or another replica took it.
        let lease = self.store.get().await.map_err(|error| Failure::Call(Verb::Get, error))?;
        let lease = lease.ok_or(Failure::Lost(Lost::ToNobody))?;
        match holder(&lease) {
            None => Err(Failure::Lost(Lost::ToNobody)),
            Some(other) if other != self.identity => Err(Failure::Lost(Lost::To(other.to_owned()))),
            Some(_) => {
                let renewed = self.store.replace(version(&lease), &self.claim(lease.spec.as_ref())).await;
                renewed.map_err(|error| Failure::Call(Verb::Patch, error))
            }
        }
    }

    /// Releases the Lease. If this fails, the standby only waits for the Lease's duration.
    async fn release(&self, held: &Lease) {
        let now = MicroTime(Timestamp::now());
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            renew_time: Some(now),
            lease_duration_seconds: Some(1),
            ..held.spec.clone().unwrap_or_default()
        };
        match timeout_at(Instant::now() + CALL_LIMIT, self.store.replace(version(held), &spec)).await {
            Ok(Ok(_)) => tracing::info!("the lease is released"),
            Ok(Err(error)) => self.failed(Verb::Patch, &error),
            Err(_) => tracing::warn!("lease: not released, the API server did not answer in time"),
        }
    }

    /// Returns the content of the Lease when it is ours.
    fn claim(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let mut spec = before.cloned().unwrap_or_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |count| count.saturating_add(1)));
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.renew_time = Some(now);
        spec.lease_duration_seconds = i32::try_from(self.timing.duration.as_secs()).ok();
        spec
    }

    fn failed(&self, verb: Verb, error: &kube::Error) {
        (self.on_failure)(verb, &ApiError::from(error));
        tracing::warn!("lease: {}", api_error::describe(error));
    }
}

enum Failure {
    Lost(Lost),
    Call(Verb, kube::Error),
}

/// Decides whether a Lease is free: it has no holder, it is our own from before a restart, or it is unchanged for its whole
/// duration.
fn judge(lease: &Lease, identity: &str, seen: &mut Option<Seen>, now: Instant) -> Step {
    let version = version(lease);
    let since = match seen {
        Some(seen) if seen.version == version => seen.since,
        _ => {
            *seen = Some(Seen { version: version.to_owned(), since: now });
            now
        }
    };
    match holder(lease) {
        None => Step::Take,
        Some(holder) if holder == identity => Step::Take,
        Some(_) if now.saturating_duration_since(since) >= duration(lease) => Step::Take,
        Some(_) => Step::Wait,
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

fn duration(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(Timing::default().duration, Duration::from_secs)
}

fn version(lease: &Lease) -> &str {
    lease.metadata.resource_version.as_deref().unwrap_or_default()
}

/// A Lease in a cluster.
#[derive(Debug, Clone)]
pub struct KubernetesLease {
    api: Api<Lease>,
    name: String,
}

impl KubernetesLease {
    /// Creates the store for the Lease of this name.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned() }
    }

    fn manifest(&self, version: &str, spec: &LeaseSpec) -> serde_json::Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": self.name, "resourceVersion": version },
            "spec": spec,
        })
    }
}

impl Store for KubernetesLease {
    async fn get(&self) -> Result<Option<Lease>, kube::Error> {
        self.api.get_opt(&self.name).await
    }

    /// Creates the Lease by server-side apply, because a right to POST cannot be restricted to a name.
    async fn create(&self, spec: &LeaseSpec) -> Result<Lease, kube::Error> {
        let manifest = self.manifest(NO_VERSION, spec);
        self.api.patch(&self.name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&manifest)).await
    }

    async fn replace(&self, version: &str, spec: &LeaseSpec) -> Result<Lease, kube::Error> {
        let manifest = self.manifest(version, spec);
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.api.patch(&self.name, &parameters, &Patch::Merge(&manifest)).await
    }
}

#[cfg(test)]
mod tests;
