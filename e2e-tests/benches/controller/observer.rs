//! Watches Secrets of one name, as the benchmark's own eyes: what counts is when a watch sees a write, not when its writer
//! says so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use acr_e2e_tests::wait::wait_until;
use anyhow::{Result, ensure};
use futures::{StreamExt as _, pin_mut};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::bed::PATIENCE;

/// A watch that cannot be opened is tried again after so long.
const RETRY: Duration = Duration::from_millis(100);

/// A Secret, as a watch saw it last.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    /// When, on the monotonic clock.
    pub(crate) at: Instant,
    /// When, on the wall clock.
    pub(crate) wall: Timestamp,
    /// Its uid.
    pub(crate) uid: String,
    /// Its version.
    pub(crate) version: String,
    /// The annotation with the hash of what it holds.
    pub(crate) hash: String,
}

/// What there is, by namespace.
pub(crate) struct Observer {
    seen: Arc<Mutex<HashMap<String, Sight>>>,
    task: JoinHandle<()>,
}

impl Observer {
    /// Watches Secrets of this name.
    pub(crate) async fn start(client: &Client, name: &str) -> Result<Self> {
        let secrets: Api<Secret> = Api::all(client.clone());
        let selector = format!("metadata.name={name}");
        let version = version_now(&secrets, &selector).await?;
        let seen = Arc::<Mutex<HashMap<String, Sight>>>::default();
        let sights = Arc::clone(&seen);
        let task = tokio::spawn(follow(secrets, selector, version, move |event| {
            let mut sights = sights.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let namespace = object.metadata.namespace.clone().unwrap_or_default();
                    sights.insert(namespace, Sight::of(object));
                }
                WatchEvent::Deleted(object) => {
                    sights.remove(&object.metadata.namespace.unwrap_or_default());
                }
                WatchEvent::Bookmark(_) | WatchEvent::Error(_) => {}
            }
        }));
        Ok(Self { seen, task })
    }

    /// What there is now.
    pub(crate) fn all(&self) -> HashMap<String, Sight> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until each of so many namespaces has a Secret that is as it should be, and returns them.
    pub(crate) async fn until(
        &self,
        what: &str,
        count: usize,
        is_so: impl Fn(&Sight) -> bool,
    ) -> Result<HashMap<String, Sight>> {
        wait_until(what, PATIENCE, async || {
            self.check()?;
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let so_far = seen.values().filter(|sight| is_so(sight)).count();
            Ok((so_far == count && seen.len() == count).then(|| seen.clone()))
        })
        .await
    }

    /// Waits until this namespace has a Secret that holds something.
    pub(crate) async fn until_in(&self, namespace: &str) -> Result<Sight> {
        wait_until(&format!("{namespace} has its Secret"), PATIENCE, async || {
            self.check()?;
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(seen.get(namespace).cloned())
        })
        .await
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.task.is_finished(), "the watch of the benchmark has lost its place");
        Ok(())
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sight {
    fn of(object: PartialObjectMeta<Secret>) -> Self {
        let mut annotations = object.metadata.annotations.unwrap_or_default();
        let mut annotation =
            |name: &str| annotations.remove(&format!("acr-credential-helper.io/{name}")).unwrap_or_default();
        Self {
            at: Instant::now(),
            wall: Timestamp::now(),
            hash: annotation("hash"),
            uid: object.metadata.uid.unwrap_or_default(),
            version: object.metadata.resource_version.unwrap_or_default(),
        }
    }
}

/// The version from which a watch misses nothing that happens after this call.
pub(crate) async fn version_now<K>(api: &Api<K>, selector: &str) -> Result<String>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let one = ListParams::default().fields(selector).limit(1);
    Ok(api.list_metadata(&one).await?.metadata.resource_version.unwrap_or_default())
}

/// Watches from this version on. A watch that ends is taken up where it was; it is over when the API server has forgotten
/// what came next.
pub(crate) async fn follow<K>(
    api: Api<K>,
    selector: String,
    mut version: String,
    mut see: impl FnMut(WatchEvent<PartialObjectMeta<K>>) + Send,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let parameters = WatchParams { bookmarks: true, ..WatchParams::default().fields(&selector) };
    loop {
        let Ok(events) = api.watch_metadata(&parameters, &version).await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        pin_mut!(events);
        while let Some(Ok(event)) = events.next().await {
            match &event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
                    version = object.metadata.resource_version.clone().unwrap_or(version);
                }
                WatchEvent::Bookmark(bookmark) => version.clone_from(&bookmark.metadata.resource_version),
                WatchEvent::Error(_) => return,
            }
            see(event);
        }
    }
}
