//! Versions of a ConfigMap, one after the other.

use std::sync::Mutex;

use super::*;
use crate::broker::testing::error;
use crate::cloud::Reason;

const GOOD: &str = "- instanceId: cri-one\n  regionId: cn-hangzhou\n";

/// A cluster whose region is known, or not yet.
#[derive(Debug, Default)]
struct Cluster(Mutex<Option<&'static str>>);

impl Regions for Cluster {
    async fn region(&self) -> Result<Region, CloudError> {
        let region = *self.0.lock().unwrap();
        region.map(|region| Region::parse(region).unwrap()).ok_or_else(|| error(Reason::Unreachable))
    }
}

struct World {
    cluster: Arc<Cluster>,
    follower: ConfigurationWatcher<Cluster>,
}

impl World {
    fn new() -> Self {
        let cluster = Arc::new(Cluster::default());
        Self {
            follower: ConfigurationWatcher::new("acr-configuration".into(), Arc::clone(&cluster)),
            cluster,
        }
    }

    async fn see(&mut self, data: Option<&[(&str, &str)]>) {
        let data =
            data.map(|data| data.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect());
        self.follower.read(data);
        self.follower.resolve().await;
    }

    fn regions(&self) -> Option<Vec<String>> {
        let active = self.follower.active().borrow().clone()?;
        Some(active.registries.iter().map(|registry| registry.region.to_string()).collect())
    }

    fn lines(&self) -> Vec<String> {
        self.follower.standing().borrow().lines()
    }

    fn is_good(&self) -> bool {
        self.follower.standing().borrow().is_good()
    }
}

#[tokio::test]
async fn a_good_configuration_is_put_into_use() {
    let mut world = World::new();
    world.see(Some(&[("acr-registry-info", GOOD)])).await;
    assert_eq!(world.regions().unwrap(), ["cn-hangzhou"]);
    assert!(world.is_good());
    let active = world.follower.active().borrow().clone().unwrap();
    assert_eq!(active.configuration.expiring_threshold, Duration::from_mins(15));
}

#[tokio::test]
async fn the_last_good_configuration_stays_in_use_and_every_mistake_is_said() {
    let mut world = World::new();
    world.see(None).await;
    assert_eq!((world.regions(), world.is_good()), (None, false));
    assert_eq!(world.lines().len(), 1);
    world.see(Some(&[("acr-registry-info", GOOD)])).await;
    world.see(Some(&[("acr-registry-info", "nonsense"), ("attach", "everywhere"), ("bogus", "x")])).await;
    assert_eq!(world.regions().unwrap(), ["cn-hangzhou"]);
    assert_eq!(world.lines().len(), 3, "{:?}", world.lines());
    world.see(None).await;
    assert_eq!(world.regions().unwrap(), ["cn-hangzhou"]);
    assert!(world.lines()[0].starts_with("ConfigMap acr-configuration: is missing"));
}

#[tokio::test]
async fn warnings_are_said_and_do_not_matter() {
    let mut world = World::new();
    world.see(Some(&[("acr-registry-info", GOOD), ("acr-api-version", "2020-01-01")])).await;
    assert!(world.is_good() && !world.lines().is_empty());
}

#[tokio::test]
async fn a_registry_without_a_region_waits_for_that_of_the_cluster() {
    let mut world = World::new();
    world.see(Some(&[])).await;
    assert_eq!(world.regions(), None);
    assert!(world.lines()[0].starts_with("region of the cluster: "), "{:?}", world.lines());
    *world.cluster.0.lock().unwrap() = Some("cn-beijing");
    world.follower.resolve().await;
    assert_eq!(world.regions().unwrap(), ["cn-beijing"]);
    assert!(world.is_good());
}

#[tokio::test]
async fn a_version_that_waits_for_its_region_gives_way_to_the_next() {
    let mut world = World::new();
    world.see(Some(&[])).await;
    world.see(Some(&[("acr-registry-info", GOOD)])).await;
    *world.cluster.0.lock().unwrap() = Some("cn-beijing");
    world.follower.resolve().await;
    assert_eq!(world.regions().unwrap(), ["cn-hangzhou"]);
}

#[tokio::test]
async fn the_same_again_is_no_change() {
    let mut world = World::new();
    world.see(Some(&[("acr-registry-info", GOOD)])).await;
    let active = world.follower.active();
    world.see(Some(&[("acr-registry-info", GOOD), ("notify-email", "a@example.com")])).await;
    assert!(!active.has_changed().unwrap());
}
