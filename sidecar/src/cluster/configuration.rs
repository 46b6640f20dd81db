//! The configuration of a running sidecar: follows its ConfigMap, and keeps the last valid configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::broker::{ActiveConfiguration, ResolvedRegistry};
use crate::cloud::{Cloud, CloudError};
use crate::configuration::{self, Finding, Mistakes, Parsed, Region};
use crate::kubernetes::{Change, Collection, follow};

/// The data of the ConfigMap.
#[derive(Deserialize)]
struct Data {
    data: Option<BTreeMap<String, String>>,
}

/// The status of the ConfigMap. The last valid configuration always stays in use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ConfigMapStatus {
    /// It has not been read yet.
    #[default]
    Awaited,
    /// It is in use.
    Good {
        /// Warnings about it.
        warnings: Vec<Finding>,
    },
    /// There is no ConfigMap of this name.
    Missing(Arc<str>),
    /// It is not valid.
    Wrong(Mistakes),
    /// It needs the region of the cluster, which is not known yet.
    NoRegion(CloudError),
}

/// A source for the region of the cluster.
pub trait Regions: Send + Sync {
    /// Returns the region.
    fn region(&self) -> impl Future<Output = Result<Region, CloudError>> + Send;
}

impl Regions for Cloud {
    async fn region(&self) -> Result<Region, CloudError> {
        self.region().await
    }
}

impl ConfigMapStatus {
    /// Returns whether it is in use.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Good { .. })
    }

    /// Returns its mistakes and warnings, one on each line.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Awaited => Vec::new(),
            Self::Good { warnings } => warnings.iter().map(ToString::to_string).collect(),
            Self::Missing(name) => vec![format!(
                "ConfigMap {name}: is missing: create it; {{}} as its data means Personal Edition of the cluster's region"
            )],
            Self::Wrong(Mistakes(mistakes)) => mistakes.iter().map(ToString::to_string).collect(),
            Self::NoRegion(error) => vec![format!("region of the cluster: {error}")],
        }
    }

    fn log(&self, has_last: bool) {
        let kept = if has_last {
            "the last good configuration stays in use"
        } else {
            "nothing is done until it is fixed"
        };
        for line in self.lines() {
            if self.is_good() {
                tracing::warn!("{line}");
            } else {
                tracing::error!("{line}; {kept}");
            }
        }
    }
}

/// Follows the ConfigMap, and looks up the cluster's region for registries without a region.
#[derive(Debug)]
pub struct ConfigurationWatcher<R> {
    name: Arc<str>,
    regions: Arc<R>,
    active: watch::Sender<Option<Arc<ActiveConfiguration>>>,
    standing: watch::Sender<ConfigMapStatus>,
    /// A configuration that was read, but lacks the region that it needs.
    waiting: Option<Parsed>,
}

impl<R: Regions> ConfigurationWatcher<R> {
    /// Creates a follower of the ConfigMap with this name.
    pub fn new(name: Arc<str>, regions: Arc<R>) -> Self {
        Self {
            name,
            regions,
            active: watch::Sender::default(),
            standing: watch::Sender::default(),
            waiting: None,
        }
    }

    /// Returns the configuration in use; `None` before the first valid one.
    pub fn active(&self) -> watch::Receiver<Option<Arc<ActiveConfiguration>>> {
        self.active.subscribe()
    }

    /// Returns the status of the ConfigMap.
    pub fn standing(&self) -> watch::Receiver<ConfigMapStatus> {
        self.standing.subscribe()
    }

    /// Follows the ConfigMap of this namespace, without end.
    pub async fn run(mut self, client: Client, namespace: &str) {
        let config_map = Collection::whole::<ConfigMap>(Some(namespace)).named(&self.name);
        let (to, mut versions) = mpsc::channel(1);
        let mut watch = JoinSet::new();
        watch.spawn(follow(client, config_map, "the configuration", to, version()));
        let mut pauses = pauses();
        loop {
            if self.waiting.is_none() {
                pauses = self::pauses();
            }
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            tokio::select! {
                version = versions.recv() => match version {
                    Some(data) => {
                        self.read(data);
                        self.resolve().await;
                    }
                    None => return,
                },
                () = tokio::time::sleep(pause), if self.waiting.is_some() => self.resolve().await,
            }
        }
    }

    /// Takes in one version of the ConfigMap's data; `None` means that there is no ConfigMap.
    fn read(&mut self, data: Option<BTreeMap<String, String>>) {
        self.waiting = None;
        match data.map(|data| configuration::from_data(&data)) {
            None => self.say(ConfigMapStatus::Missing(Arc::clone(&self.name))),
            Some(Err(mistakes)) => self.say(ConfigMapStatus::Wrong(mistakes)),
            Some(Ok(parsed)) => self.waiting = Some(parsed),
        }
    }

    /// Activates the configuration that was read, once all regions are known.
    async fn resolve(&mut self) {
        let Some(Parsed { configuration, warnings }) = self.waiting.take() else { return };
        let needs_region = configuration.registries.iter().any(|registry| registry.region.is_none());
        let own = match if needs_region { self.regions.region().await.map(Some) } else { Ok(None) } {
            Ok(own) => own,
            Err(error) => {
                self.waiting = Some(Parsed { configuration, warnings });
                self.say(ConfigMapStatus::NoRegion(error));
                return;
            }
        };
        let resolved = configuration.registries.iter().filter_map(|registry| {
            let region = registry.region.clone().or_else(|| own.clone())?;
            Some(ResolvedRegistry { region, registry: registry.clone() })
        });
        let registries = resolved.collect();
        let active = Arc::new(ActiveConfiguration { configuration, registries });
        let is_new = self.active.borrow().as_ref() != Some(&active);
        if is_new {
            tracing::info!("configuration in use, {} registries", active.registries.len());
            self.active.send_replace(Some(active));
        }
        self.say(ConfigMapStatus::Good { warnings });
    }

    fn say(&self, standing: ConfigMapStatus) {
        let has_last = self.active.borrow().is_some();
        self.standing.send_if_modified(|current| {
            let is_news = *current != standing;
            if is_news {
                standing.log(has_last);
                *current = standing;
            }
            is_news
        });
    }
}

/// Returns the ConfigMap's data after a change. If a list ends without the ConfigMap, or if it is deleted, it is
/// missing.
fn version() -> impl Fn(Change<'_>) -> Option<Option<BTreeMap<String, String>>> {
    let is_listed = AtomicBool::new(false);
    move |change| match change {
        Change::ListBegins => {
            is_listed.store(false, Ordering::Relaxed);
            None
        }
        Change::There(object) => {
            is_listed.store(true, Ordering::Relaxed);
            match serde_json::from_str(object) {
                Ok(Data { data }) => Some(Some(data.unwrap_or_default())),
                Err(error) => {
                    tracing::error!("the ConfigMap cannot be read, so it stays as it was: {error}");
                    None
                }
            }
        }
        Change::Gone(_) => Some(None),
        Change::ListEnds => (!is_listed.load(Ordering::Relaxed)).then_some(None),
        Change::Failed | Change::Works => None,
    }
}

const LONGEST_PAUSE: Duration = Duration::from_mins(5);

fn pauses() -> backon::ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(5))
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests;
