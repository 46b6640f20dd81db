use std::collections::HashMap;
use std::time::Duration;

use acr_credential_core::Pattern;
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::Value;
use tokio::sync::watch;

use super::*;
use crate::broker::testing::{FakeCloud, HOUR, MINUTE, SECOND, TestClock, active, epoch, error, registry};
use crate::broker::{Broker, Minter, SnapshotPublisher, mint_once};
use crate::clock::Clock;
use crate::cloud::{CloudError, Reason};
use crate::configuration::Host;
use crate::credential::{Credential, CredentialKey};

/// Three registries: the second cannot be minted, and the third has one host that the first has too.
async fn example() -> (Arc<Snapshot>, Arc<TestClock>) {
    let cloud = FakeCloud::new();
    cloud.script().refusals.insert("cri-two", error(Reason::NotAuthorized));
    let clock = Arc::new(TestClock::new());
    let registries = [
        registry("cri-one", &["one.example.com", "a.example.com:5000"]),
        registry("cri-two", &["two.example.com"]),
        registry("cri-one", &["three.example.com", "one.example.com"]),
    ];
    (mint_once(Arc::new(cloud), clock.clone(), registries.into()).await, clock)
}

fn text(config: &DockerConfig) -> &str {
    std::str::from_utf8(&config.bytes).unwrap()
}

fn render(snapshot: &Snapshot, positions: &[usize], now: Moment) -> DockerConfig {
    DockerConfig::render(snapshot, &RegistrySet::new(positions.iter().copied()), now).unwrap()
}

#[tokio::test(start_paused = true)]
async fn hosts_are_in_order_and_registries_without_a_credential_are_left_out() {
    let (snapshot, clock) = example().await;
    let config = render(&snapshot, &[2, 1, 0], clock.now());
    assert_eq!(config.registries.positions(), [0, 2]);
    assert_eq!(config.expires_at, Some(epoch() + HOUR));
    // An example, not a secret: `cr_temp_user:token-…` of the tests' own cloud.
    assert_snapshot!(text(&config), @r#"{"auths":{"a.example.com:5000":{"auth":"Y3JfdGVtcF91c2VyOnRva2VuLTE=","password":"token-1","username":"cr_temp_user"},"one.example.com":{"auth":"Y3JfdGVtcF91c2VyOnRva2VuLTE=","password":"token-1","username":"cr_temp_user"},"three.example.com":{"auth":"Y3JfdGVtcF91c2VyOnRva2VuLTE=","password":"token-1","username":"cr_temp_user"}}}"#);
}

#[tokio::test(start_paused = true)]
async fn each_set_holds_the_hosts_of_its_own_registries_only() {
    let (snapshot, clock) = example().await;
    let hosts = |positions: &[usize]| {
        let document: Value =
            serde_json::from_slice(&render(&snapshot, positions, clock.now()).bytes).unwrap();
        document["auths"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(hosts(&[0]), ["a.example.com:5000", "one.example.com"]);
    assert_eq!(hosts(&[2]), ["one.example.com", "three.example.com"]);
    assert_eq!(hosts(&[1]), [""; 0]);
    assert_eq!(hosts(&[99]), [""; 0], "a position of an older configuration");
}

#[tokio::test(start_paused = true)]
async fn nothing_to_log_in_with_is_an_empty_document() {
    let (snapshot, clock) = example().await;
    let config = render(&snapshot, &[1], clock.now());
    assert_eq!(text(&config), r#"{"auths":{}}"#);
    assert_eq!((config.expires_at, config.registries.positions()), (None, [].as_slice()));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_two_registries_discovered_goes_to_the_earlier_one() {
    let cloud = FakeCloud::new();
    cloud.script().hosts.insert("cri-one", vec!["shared.example.com"]);
    cloud.script().hosts.insert("cri-two", vec!["shared.example.com"]);
    let registries = [registry("cri-one", &[]), registry("cri-two", &[])];
    let clock = Arc::new(TestClock::new());
    let snapshot = mint_once(Arc::new(cloud), clock.clone(), registries.into()).await;
    let both = render(&snapshot, &[0, 1], clock.now());
    assert_eq!(both.registries.positions(), [0]);
    assert_eq!(*both.bytes, *render(&snapshot, &[0], clock.now()).bytes);
    // Where the earlier one is not given, the later one has the host.
    assert_eq!(render(&snapshot, &[1], clock.now()).registries.positions(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_listed_beats_one_that_an_earlier_registry_discovered() {
    let cloud = FakeCloud::new();
    cloud.script().hosts.insert("cri-one", vec!["shared.example.com", "one.example.com"]);
    let registries = [registry("cri-one", &[]), registry("cri-two", &["shared.example.com"])];
    let clock = Arc::new(TestClock::new());
    let snapshot = mint_once(Arc::new(cloud), clock.clone(), registries.into()).await;
    let both: Value = serde_json::from_slice(&render(&snapshot, &[0, 1], clock.now()).bytes).unwrap();
    let alone: Value = serde_json::from_slice(&render(&snapshot, &[1], clock.now()).bytes).unwrap();
    assert_eq!(both["auths"]["shared.example.com"], alone["auths"]["shared.example.com"]);
    assert_ne!(both["auths"]["shared.example.com"], both["auths"]["one.example.com"]);
    let [dispute] = snapshot.conflicts.as_slice() else { panic!("{:?}", snapshot.conflicts) };
    assert_eq!((dispute.winner, dispute.loser), (1, 0));
    assert_eq!(
        dispute.finding.problem,
        "shared.example.com also belongs to registry of cri-two, which lists its hosts in domains and gets it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_registry_has_no_credential_is_not_given_to_another() {
    let cloud = FakeCloud::new();
    cloud.script().hosts.insert("cri-two", vec!["shared.example.com"]);
    cloud.script().refusals.insert("cri-one", error(Reason::NotAuthorized));
    let registries = [registry("cri-one", &["shared.example.com"]), registry("cri-two", &[])];
    let clock = Arc::new(TestClock::new());
    let snapshot = mint_once(Arc::new(cloud), clock.clone(), registries.into()).await;
    assert_eq!(text(&render(&snapshot, &[0, 1], clock.now())), r#"{"auths":{}}"#);
}

#[tokio::test(start_paused = true)]
async fn the_hash_changes_with_the_credential() {
    let cloud = Arc::new(FakeCloud::new());
    let clock: Arc<dyn Clock> = Arc::new(TestClock::new());
    let publisher = SnapshotPublisher::default();
    let snapshots = publisher.subscribe();
    let broker = Broker::new(cloud, Arc::clone(&clock), HashMap::new(), publisher);
    let (_active, follow) = watch::channel(Some(active(&[registry("cri-one", &["one.example.com"])])));
    tokio::spawn(broker.run(follow));
    let hash = async |after: Duration| {
        tokio::time::sleep(after).await;
        render(&snapshots.borrow(), &[0], clock.now()).hash
    };
    let hashes = [hash(SECOND).await, hash(MINUTE).await, hash(HOUR).await];
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2]);
    assert!(hashes[0].len() == 64 && hashes[0].chars().all(|c| c.is_ascii_hexdigit()));
}

#[test]
fn namespaces_get_the_registries_whose_patterns_match() {
    let with = |patterns: Option<Vec<Pattern<'static>>>| {
        let mut registry = registry("cri-one", &["one.example.com"]);
        registry.registry.namespaces = patterns;
        registry
    };
    let registries = [
        with(None),
        with(Some(vec![Pattern::Glob("team-*".into())])),
        with(Some(vec![Pattern::Name("default".into()), Pattern::Name("team-b".into())])),
    ];
    let get = |namespace| RegistrySet::for_namespace(&registries, namespace).positions().to_vec();
    assert_eq!(get("default"), [0, 2]);
    assert_eq!(get("team-a"), [0, 1]);
    assert_eq!(get("team-b"), [0, 1, 2]);
    assert_eq!(get("other"), [0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_can_be_printed_holds_a_password() {
    let (snapshot, clock) = example().await;
    let config = render(&snapshot, &[0], clock.now());
    let printed = format!("{config:?}");
    assert!(printed.contains(&config.hash));
    assert!(!printed.contains("token-") && !printed.contains("Y3JfdGVtcF91c2Vy"), "{printed}");
}

/// A cloud that always hands out the same credential.
struct Fixed(Credential);

impl Minter for Fixed {
    async fn credential(&self, _: &CredentialKey) -> Result<Credential, CloudError> {
        Ok(self.0.clone())
    }

    async fn hosts(&self, _: &CredentialKey) -> Result<Vec<Host>, CloudError> {
        Err(error(Reason::Unreachable))
    }
}

proptest! {
    #[test]
    fn any_user_and_password_come_out_as_they_went_in(user in "[^:]+", password in ".+|\\PC+|[\0-\x1f\"\\\\]+") {
        let credential = Credential {
            user: user.clone(),
            password: password.clone().into(),
            expires_at: epoch() + HOUR,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let config = runtime.block_on(async {
            let clock = Arc::new(TestClock::new());
            let registries = [registry("cri-one", &["b.example.com", "a.example.com"])].into();
            let snapshot = mint_once(Arc::new(Fixed(credential)), clock.clone(), registries).await;
            render(&snapshot, &[0], clock.now())
        });
        let document: Value = serde_json::from_slice(&config.bytes).unwrap();
        let entry = &document["auths"]["a.example.com"];
        prop_assert_eq!(entry, &document["auths"]["b.example.com"]);
        prop_assert_eq!(entry["username"].as_str(), Some(&*user));
        prop_assert_eq!(entry["password"].as_str(), Some(&*password));
        let auth = STANDARD.decode(entry["auth"].as_str().unwrap()).unwrap();
        prop_assert_eq!(auth, format!("{user}:{password}").into_bytes());
        prop_assert!(text(&config).find("a.example.com") < text(&config).find("b.example.com"));
    }

    #[test]
    fn the_buffer_never_grows(password in "[\0-\x1f\"\\\\a]{1,200}") {
        let auth = STANDARD.encode(&password);
        let login = || Login { auth: &auth, password: &password, username: &password };
        let document = Logins { auths: [("a.example.com", login()), ("b.example.com", login())].into() };
        prop_assert!(serde_json::to_vec(&document).unwrap().len() <= most_bytes(&document));
    }
}
