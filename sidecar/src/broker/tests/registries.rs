//! Several registries, their hosts, and configurations that change.

use super::*;
use crate::configuration::Finding;

#[tokio::test(start_paused = true)]
async fn registries_of_one_key_share_a_credential() {
    let world = World::start(&[one(), registry("cri-one", &["other.example.com"])]);
    world.pass(HOUR).await;
    assert_eq!(world.cloud.mints(), [0, 2400]);
    let (first, second) = (world.entry(0), world.entry(1));
    assert!(Arc::ptr_eq(&first.issued.unwrap(), &second.issued.unwrap()));
    assert_ne!(first.hosts, second.hosts);
}

#[tokio::test(start_paused = true)]
async fn fifty_credentials_are_minted_at_the_same_time() {
    let cloud = FakeCloud::new();
    cloud.script().delay = SECOND;
    let registries: Vec<_> = (0..50).map(|n| registry(&format!("cri-{n}"), &["a.example.com"])).collect();
    let world = World::start_on(cloud, &registries, HashMap::new());
    world.pass(SECOND + SECOND / 2).await;
    assert_eq!(world.cloud.mints(), [0; 50]);
    assert!(world.snapshots.borrow().entries.iter().all(|entry| entry.status == Status::Valid));
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_mints_only_what_is_new() {
    let world = World::start(&[one()]);
    world.pass(10 * MINUTE).await;
    let mut renamed = one();
    renamed.registry.place = "moved".to_owned();
    world.want(&[two(), renamed]);
    world.pass(SECOND).await;
    assert_eq!(world.cloud.mints(), [0, 600]);
    world.check(0, Some("token-2"), &Status::Valid);
    world.check(1, Some("token-1"), &Status::Valid);
    world.want(&[two()]);
    world.pass(2 * HOUR).await;
    let after: Vec<_> = world.cloud.script().mints.iter().skip(2).map(|(_, key)| key.clone()).collect();
    assert_eq!(after, ["cri-two"; 3], "the first has ended");
}

#[tokio::test(start_paused = true)]
async fn a_call_for_a_registry_that_is_gone_is_given_up() {
    let cloud = FakeCloud::new();
    cloud.script().delay = MINUTE;
    let world = World::start_on(cloud, &[one()], HashMap::new());
    world.pass(SECOND).await;
    world.want(&[two()]);
    world.pass(2 * MINUTE).await;
    assert_eq!(world.cloud.script().answered, ["cri-two"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_threshold_counts_at_once() {
    let world = World::start(&[one()]);
    world.pass(30 * MINUTE).await;
    let mut longer = (*active(&[one()])).clone();
    longer.configuration.expiring_threshold = 35 * MINUTE;
    world.active.send_replace(Some(Arc::new(longer)));
    world.pass(SECOND).await;
    assert_eq!(world.cloud.mints(), [0, 1800]);
}

#[tokio::test(start_paused = true)]
async fn hosts_are_discovered_where_none_are_written_down() {
    let cloud = FakeCloud::new();
    cloud.script().hosts.insert("cri-one", vec!["z.example.com", "a.example.com"]);
    let world = World::start_on(cloud, &[registry("cri-one", &[]), two()], HashMap::new());
    world.pass(SECOND).await;
    assert_eq!(
        world.entry(0).hosts.iter().map(Host::as_str).collect::<Vec<_>>(),
        ["a.example.com", "z.example.com"]
    );
    world.pass(HOUR).await;
    assert_eq!(world.cloud.discoveries(), [0, 2400], "once after each mint");
}

#[tokio::test(start_paused = true)]
async fn hosts_that_a_new_configuration_needs_are_discovered_without_a_mint() {
    let cloud = FakeCloud::new();
    cloud.script().hosts.insert("cri-one", vec!["a.example.com"]);
    let world = World::start_on(cloud, &[one()], HashMap::new());
    world.pass(MINUTE).await;
    assert!(world.cloud.discoveries().is_empty());
    world.want(&[one(), registry("cri-one", &[])]);
    world.pass(SECOND).await;
    world.check(1, Some("token-1"), &Status::Valid);
    assert_eq!((world.cloud.mints(), world.cloud.discoveries()), (vec![0], vec![60]));
}

#[tokio::test(start_paused = true)]
async fn a_failed_discovery_keeps_the_hosts_known_before() {
    let cloud = FakeCloud::new();
    cloud.script().hosts.insert("cri-one", vec!["a.example.com"]);
    let world = World::start_on(cloud, &[registry("cri-one", &[])], HashMap::new());
    world.pass(MINUTE).await;
    world.cloud.script().hosts.clear();
    world.pass(40 * MINUTE).await;
    world.check(0, Some("token-2"), &Status::Failing(trouble(Reason::Unreachable, 40 * MINUTE)));
    assert_eq!(world.entry(0).hosts.len(), 1);
    assert_eq!(world.cloud.mints(), [0, 2400], "discovery is tried again, not the mint");
}

#[tokio::test(start_paused = true)]
async fn a_registry_whose_hosts_were_never_found_is_failing_and_its_neighbour_is_not() {
    let world = World::start(&[registry("cri-one", &[]), one()]);
    world.pass(SECOND).await;
    assert_eq!(world.entry(0).status, Status::Failing(trouble(Reason::Unreachable, Duration::ZERO)));
    assert!(world.entry(0).hosts.is_empty());
    world.check(1, Some("token-1"), &Status::Valid);
    world.cloud.script().hosts.insert("cri-one", Vec::new());
    world.pass(MINUTE).await;
    assert_eq!(world.cloud.discoveries(), [0, 5, 15, 35]);
    let no_hosts = Trouble { failure: MintFailure::NoHosts, since: epoch() };
    assert_eq!(world.entry(0).status, Status::Failing(no_hosts));
}

#[tokio::test(start_paused = true)]
async fn of_two_registries_that_discover_one_host_the_earlier_wins() {
    let cloud = FakeCloud::new();
    cloud.script().hosts.insert("cri-one", vec!["shared.example.com"]);
    cloud.script().hosts.insert("cri-two", vec!["shared.example.com", "two.example.com"]);
    let apart = |instance, namespace: &str| {
        let mut registry = registry(instance, &[]);
        let pattern = acr_credential_core::Pattern::Name(namespace.to_owned().into());
        registry.registry.namespaces = Some(vec![pattern]);
        registry
    };
    let world = World::start_on(cloud, &[registry("cri-one", &[]), registry("cri-two", &[])], HashMap::new());
    world.pass(SECOND).await;
    let shared = HostConflict {
        host: Host::parse("shared.example.com").unwrap(),
        winner: 0,
        loser: 1,
        finding: Finding {
            place: "registry of cri-two".to_owned(),
            problem: "shared.example.com also belongs to registry of cri-one, which comes first and gets it"
                .to_owned(),
            fix: conflicts::WAY_OUT.to_owned(),
        },
    };
    assert_eq!(world.snapshots.borrow().conflicts, [shared]);
    world.want(&[apart("cri-one", "team-a"), apart("cri-two", "team-b")]);
    world.pass(SECOND).await;
    assert_eq!(world.snapshots.borrow().conflicts, []);
    world.want(&[registry("cri-one", &["shared.example.com"]), registry("cri-two", &["shared.example.com"])]);
    world.pass(SECOND).await;
    assert_eq!(world.snapshots.borrow().conflicts, [], "the configuration is judged elsewhere");
}
