//! Looks after the pull secrets of a stage while things go wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use acr_e2e_tests::cluster::PATIENCE;
use anyhow::{Context as _, Result, bail, ensure};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use crate::sidecar::stage::{Stage, annotation, logins};

/// The label of our pull secrets: tenants may have made others of this name, which no common client can decode.
pub const OURS: &str = "app.kubernetes.io/managed-by=acr-credential-sidecar";

/// How the name of a namespace ends whose pull secret is spoilt on purpose, and not guarded.
pub const SPOILT: &str = "-spoilt";

/// How often expiries are looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// Sees every version of every pull secret, by a watch. None of them may be missing, empty or expired, and no expiry may
/// go down.
pub struct Guard {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Versions>>,
}

/// How many versions of each namespace's pull secret the guard has seen, besides those that were there before.
pub type Versions = BTreeMap<String, usize>;

struct Watch {
    secrets: Api<Secret>,
    name: String,
    expiries: BTreeMap<String, Timestamp>,
    /// The version of each that was seen last.
    last: BTreeMap<String, String>,
    versions: Versions,
}

impl Guard {
    /// Begins. All pull secrets of the stage are filled by now.
    pub async fn over(stage: &Stage) -> Result<Self> {
        let mut watch = Watch {
            secrets: Api::all(stage.client.clone()),
            name: stage.name.clone(),
            expiries: BTreeMap::new(),
            last: BTreeMap::new(),
            versions: Versions::new(),
        };
        let from = watch.list().await?;
        ensure!(!watch.expiries.is_empty(), "there is nothing to guard");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            tokio::select! {
                result = watch.follow(from) => result?,
                _ = stopped => {}
            }
            // What the stream has not brought yet.
            watch.list().await?;
            watch.look_at_expiries()?;
            Ok(watch.versions)
        });
        Ok(Self { stop, task })
    }

    /// Fails if anything was amiss so far; what it was, [`Guard::end`] tells.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.task.is_finished(), "the guard has seen what should not be");
        Ok(())
    }

    /// Ends, and fails if anything was amiss.
    pub async fn end(self) -> Result<Versions> {
        // It is gone if it has found something.
        self.stop.send(()).ok();
        timeout(PATIENCE, self.task).await.context("the guard does not end")?.context("the guard is gone")?
    }
}

impl Watch {
    /// Looks at all that is there. Returns the version from which to watch.
    async fn list(&mut self) -> Result<String> {
        let by_name = format!("metadata.name={}", self.name);
        let found = self.secrets.list(&ListParams::default().fields(&by_name).labels(OURS)).await?;
        let mut missing: Vec<_> = self.expiries.keys().cloned().collect();
        for secret in &found.items {
            missing.retain(|namespace| secret.namespace().as_ref() != Some(namespace));
            self.look_at(secret)?;
        }
        ensure!(missing.is_empty(), "pull secrets are missing in {missing:?}");
        found.metadata.resource_version.context("the list has no version")
    }

    async fn follow(&mut self, from: String) -> Result<()> {
        let by_name = WatchParams::default().fields(&format!("metadata.name={}", self.name)).labels(OURS);
        let (secrets, mut from) = (self.secrets.clone(), from);
        loop {
            let mut events = std::pin::pin!(secrets.watch(&by_name, &from).await?);
            let mut ticks = interval(INTERVAL);
            loop {
                tokio::select! {
                    event = events.try_next() => match event? {
                        Some(WatchEvent::Added(secret) | WatchEvent::Modified(secret)) => {
                            self.look_at(&secret)?;
                        }
                        Some(WatchEvent::Deleted(secret)) => {
                            bail!("the pull secret of {:?} was deleted", secret.namespace());
                        }
                        Some(WatchEvent::Bookmark(_)) => {}
                        Some(WatchEvent::Error(status)) => bail!("the guard's watch failed: {status:?}"),
                        // The API server ends each watch after some minutes.
                        None => break,
                    },
                    _ = ticks.tick() => self.look_at_expiries()?,
                }
            }
            from = self.list().await?;
        }
    }

    fn look_at(&mut self, secret: &Secret) -> Result<()> {
        let namespace = secret.namespace().context("a Secret without a namespace")?;
        if namespace.ends_with(SPOILT) {
            return Ok(());
        }
        let logins = logins(secret);
        ensure!(!logins.is_empty(), "the pull secret of {namespace} is empty");
        ensure!(logins.values().all(|password| !password.is_empty()), "{namespace} has an empty password");
        let expiry: Timestamp = annotation(secret, "expires-at").parse()?;
        let version = secret.resource_version().context("a Secret without a version")?;
        if self.last.insert(namespace.clone(), version.clone()).is_some_and(|last| last != version) {
            *self.versions.entry(namespace.clone()).or_default() += 1;
        }
        let before = self.expiries.insert(namespace.clone(), expiry);
        if let Some(before) = before {
            ensure!(before <= expiry, "the expiry in {namespace} went down, from {before} to {expiry}");
        }
        Ok(())
    }

    fn look_at_expiries(&self) -> Result<()> {
        let now = Timestamp::now();
        let expired = self.expiries.iter().find(|(_, expiry)| **expiry <= now);
        ensure!(expired.is_none(), "a pull secret has expired: {expired:?}");
        Ok(())
    }
}
