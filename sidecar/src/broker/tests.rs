//! The whole life of credentials, on a paused clock.

mod registries;

use jiff::SignedDuration;
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::testing::{FakeCloud, HOUR, MINUTE, SECOND, TestClock, active, epoch, error, registry};
use super::*;
use crate::cloud::Reason;
use crate::telemetry::logging::testing::{heard, listen};

/// A cloud, a machine and a broker on it.
struct World {
    cloud: Arc<FakeCloud>,
    clock: Arc<TestClock>,
    active: watch::Sender<Option<Arc<ActiveConfiguration>>>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    broker: JoinHandle<()>,
}

impl World {
    /// Credentials live an hour and are renewed 40 minutes after their issue, without jitter.
    fn start(registries: &[ResolvedRegistry]) -> Self {
        Self::start_on(FakeCloud::new(), registries, HashMap::new())
    }

    fn start_on(
        cloud: FakeCloud,
        registries: &[ResolvedRegistry],
        restored: HashMap<CredentialKey, Held>,
    ) -> Self {
        let (cloud, clock) = (Arc::new(cloud), Arc::new(TestClock::new()));
        let publisher = SnapshotPublisher::default();
        let snapshots = publisher.subscribe();
        let mut broker =
            Broker::new(Arc::clone(&cloud), Arc::clone(&clock) as Arc<dyn Clock>, restored, publisher);
        broker.jitter = || 0.0;
        let (active, follow) = watch::channel(Some(active(registries)));
        Self { cloud, clock, active, snapshots, broker: tokio::spawn(broker.run(follow)) }
    }

    /// Lets time pass, and a moment more: then whatever is due at that time has been done.
    async fn pass(&self, time: Duration) {
        sleep(time + Duration::from_millis(1)).await;
    }

    fn want(&self, registries: &[ResolvedRegistry]) {
        self.active.send_replace(Some(active(registries)));
    }

    fn refuse(&self, instance: &'static str, reason: Reason) {
        self.cloud.script().refusals.insert(instance, error(reason));
    }

    fn heal(&self, instance: &str) {
        self.cloud.script().refusals.remove(instance);
    }

    fn step(&self, hours: i64) {
        self.clock.step(SignedDuration::from_hours(hours));
    }

    /// The machine sleeps: true time and wall clock go on, and the monotonic clock stands still.
    fn suspend(&self, time: Duration) {
        self.cloud.script().slept += time;
        self.clock.step(SignedDuration::try_from(time).unwrap());
    }

    fn entry(&self, at: usize) -> RegistryState {
        self.snapshots.borrow().entries[at].clone()
    }

    fn password(&self, at: usize) -> Option<String> {
        self.entry(at).issued.map(|issued| issued.credential.password.expose_secret().to_owned())
    }

    /// Password and status of an entry.
    #[track_caller]
    fn check(&self, at: usize, password: Option<&str>, status: &Status) {
        assert_eq!((self.password(at).as_deref(), &self.entry(at).status), (password, status));
    }
}

fn one() -> ResolvedRegistry {
    registry("cri-one", &["one.example.com"])
}

fn two() -> ResolvedRegistry {
    registry("cri-two", &["two.example.com"])
}

fn trouble(reason: Reason, since: Duration) -> Trouble {
    Trouble { failure: MintFailure::Cloud(error(reason)), since: epoch() + since }
}

fn held(
    registry: &ResolvedRegistry,
    issued_at: jiff::Timestamp,
    hosts: Option<&[&str]>,
) -> HashMap<CredentialKey, Held> {
    let credential = Credential {
        user: "cr_temp_user".to_owned(),
        password: "token-kept".into(),
        expires_at: issued_at + HOUR,
    };
    let hosts = hosts.map(|hosts| hosts.iter().map(|host| Host::parse(host).unwrap()).collect());
    HashMap::from([(registry.key(), Held { credential, issued_at, hosts })])
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_minted_once_in_each_period() {
    let world = World::start(&[one()]);
    world.pass(SECOND).await;
    world.check(0, Some("token-1"), &Status::Valid);
    world.pass(3 * HOUR).await;
    assert_eq!(world.cloud.mints(), [0, 2400, 4800, 7200, 9600]);
    world.check(0, Some("token-5"), &Status::Valid);
}

/// What is planned in namespaces needs both, and each of them alone would be half of an answer.
#[tokio::test(start_paused = true)]
async fn a_snapshot_holds_the_registries_of_its_configuration() {
    let mut world = World::start(&[one()]);
    for registries in [&[one(), two()][..], &[two()], &[one()]] {
        world.active.send_replace(Some(active(registries)));
        let end = Instant::now() + SECOND;
        while let Ok(changed) = tokio::time::timeout_at(end, world.snapshots.changed()).await {
            changed.unwrap();
            let snapshot = Arc::clone(&world.snapshots.borrow_and_update());
            let expected = &snapshot.active.as_ref().unwrap().registries;
            assert!(snapshot.entries.iter().map(|entry| &*entry.registry).eq(expected.iter()));
        }
        assert_eq!(world.snapshots.borrow().entries.len(), registries.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_anything_in_the_configuration_is_published() {
    let world = World::start(&[one()]);
    world.pass(SECOND).await;
    let before = Arc::clone(&world.snapshots.borrow());
    let mut other = (*active(&[one()])).clone();
    other.configuration.expiring_threshold = 14 * MINUTE;
    world.active.send_replace(Some(Arc::new(other.clone())));
    world.pass(SECOND).await;
    let after = Arc::clone(&world.snapshots.borrow());
    assert_eq!((after.version, after.active.as_deref()), (before.version + 1, Some(&other)));
    assert!(after.entries[0].issued.is_some(), "what is known stays");
}

/// A standby has to know what to watch, and must not publish a credential.
#[tokio::test(start_paused = true)]
async fn a_standby_publishes_the_configuration_alone_until_it_leads() {
    let (cloud, clock) = (Arc::new(FakeCloud::new()), Arc::new(TestClock::new()));
    let publisher = SnapshotPublisher::default();
    let snapshots = publisher.subscribe();
    let (sender, follow) = watch::channel(None);
    {
        let standby = publisher.follow(follow.clone());
        tokio::pin!(standby);
        for registries in [&[one()][..], &[two()]] {
            sender.send_replace(Some(active(registries)));
            tokio::select! {
                () = &mut standby => unreachable!("the sender is there"),
                () = sleep(SECOND) => {}
            }
            let snapshot = Arc::clone(&snapshots.borrow());
            assert_eq!(snapshot.active, Some(active(registries)));
            assert_eq!((snapshot.version, snapshot.entries.len()), (0, 0));
        }
    }
    // It changes while the state is loaded.
    sender.send_replace(Some(active(&[one(), two()])));
    let broker = Broker::new(Arc::clone(&cloud), clock as Arc<dyn Clock>, HashMap::new(), publisher);
    let broker = tokio::spawn(broker.run(follow));
    sleep(SECOND).await;
    let snapshot = Arc::clone(&snapshots.borrow());
    assert_eq!(snapshot.active, Some(active(&[one(), two()])));
    assert!(snapshot.version > 0 && snapshot.entries.iter().all(|entry| entry.issued.is_some()));
    broker.abort();
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_goes_out_only_when_something_changed() {
    let mut world = World::start(&[one()]);
    world.pass(SECOND).await;
    world.snapshots.mark_unchanged();
    world.pass(39 * MINUTE).await;
    assert!(!world.snapshots.has_changed().unwrap());
    let version = world.snapshots.borrow().version;
    world.pass(MINUTE).await;
    assert!(world.snapshots.has_changed().unwrap());
    assert_eq!(world.snapshots.borrow().version, version + 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_credential_stays_until_its_expiry_and_is_then_taken_out() {
    let world = World::start(&[one()]);
    world.pass(MINUTE).await;
    world.refuse("cri-one", Reason::Unreachable);
    world.pass(50 * MINUTE).await;
    let trouble = trouble(Reason::Unreachable, 40 * MINUTE);
    world.check(0, Some("token-1"), &Status::Failing(trouble.clone()));
    world.pass(10 * MINUTE).await;
    let expired = Status::Expired { since: epoch() + HOUR, trouble: Some(trouble) };
    world.check(0, None, &expired);
    world.heal("cri-one");
    world.pass(5 * MINUTE).await;
    assert!(matches!(world.entry(0).status, Status::Valid));
    assert!(world.password(0).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failing_key_backs_off_without_end_and_touches_no_other() {
    let cloud = FakeCloud::new();
    cloud.script().refusals.insert("cri-two", error(Reason::NotAuthorized));
    let world = World::start_on(cloud, &[one(), two()], HashMap::new());
    world.pass(2 * HOUR).await;
    world.check(0, Some(&world.password(0).unwrap()), &Status::Valid);
    world.check(1, None, &Status::Failing(trouble(Reason::NotAuthorized, Duration::ZERO)));
    let tries: Vec<u64> = world
        .cloud
        .script()
        .mints
        .iter()
        .filter(|(_, key)| key == "cri-two")
        .map(|(at, _)| at.as_secs())
        .collect();
    assert_eq!(tries[..9], [0, 5, 15, 35, 75, 155, 315, 615, 915]);
    assert_eq!(tries.last(), Some(&6_915));
}

#[tokio::test(start_paused = true)]
async fn the_cloud_is_left_alone_for_as_long_as_it_asks() {
    let cloud = FakeCloud::new();
    let throttled = Reason::Throttled { retry_after: Some(7 * MINUTE) };
    cloud.script().refusals.insert("cri-one", error(throttled));
    let world = World::start_on(cloud, &[one()], HashMap::new());
    world.pass(20 * MINUTE).await;
    assert_eq!(world.cloud.mints(), [0, 420, 840]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_stepped_forward_ends_a_credential_within_half_a_minute() {
    let world = World::start(&[one()]);
    world.pass(10 * MINUTE).await;
    world.step(2);
    world.pass(31 * SECOND).await;
    // The cloud still tells the true time, so what it hands out seems to have expired.
    assert!(matches!(world.entry(0).status, Status::Expired { trouble: Some(_), .. }));
    assert_eq!(world.password(0), None);
    world.step(-2);
    world.pass(5 * MINUTE).await;
    assert_eq!(world.entry(0).status, Status::Valid);
}

#[tokio::test(start_paused = true)]
async fn a_clock_stepped_back_does_not_lengthen_a_life() {
    let world = World::start(&[one()]);
    world.pass(10 * MINUTE).await;
    world.step(-2);
    world.refuse("cri-one", Reason::ClockSkew);
    world.pass(49 * MINUTE).await;
    assert!(matches!(world.entry(0).status, Status::Failing(_)));
    assert_eq!(world.password(0).as_deref(), Some("token-1"));
    world.pass(MINUTE).await;
    assert_eq!(world.password(0), None);
    assert!(matches!(world.entry(0).status, Status::Expired { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_suspended_machine_wakes_up_to_a_new_credential() {
    let world = World::start(&[one()]);
    world.pass(10 * MINUTE).await;
    world.refuse("cri-one", Reason::Unreachable);
    world.suspend(2 * HOUR);
    world.pass(31 * SECOND).await;
    assert_eq!(world.password(0), None);
    world.heal("cri-one");
    world.pass(10 * SECOND).await;
    assert_eq!(world.entry(0).status, Status::Valid);
    assert!(world.entry(0).issued.unwrap().term.left(world.clock.now()) > 59 * MINUTE, "a whole life");
}

#[tokio::test(start_paused = true)]
async fn a_short_sleep_brings_the_refresh_forward() {
    let world = World::start(&[one()]);
    world.pass(10 * MINUTE).await;
    world.suspend(30 * MINUTE);
    world.pass(31 * SECOND).await;
    world.check(0, Some("token-2"), &Status::Valid);
}

#[tokio::test(start_paused = true)]
async fn a_swinging_clock_causes_no_more_than_one_mint_a_minute() {
    let world = World::start(&[one()]);
    for _ in 0..60 {
        world.step(2);
        world.pass(31 * SECOND).await;
        world.step(-2);
        world.pass(31 * SECOND).await;
    }
    let mints = world.cloud.mints();
    assert!(mints.windows(2).all(|pair| pair[1] - pair[0] >= 60), "{mints:?}");
}

#[tokio::test(start_paused = true)]
async fn short_credentials_are_minted_at_least_a_minute_apart() {
    for life in [SECOND, 30 * SECOND, MINUTE, 100 * SECOND] {
        let cloud = FakeCloud::new();
        cloud.script().life = life;
        let world = World::start_on(cloud, &[one()], HashMap::new());
        world.pass(10 * MINUTE + SECOND).await;
        assert_eq!(world.cloud.mints(), [0, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600], "{life:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_no_use_is_refused_and_asked_for_again_a_minute_later() {
    let cloud = FakeCloud::new();
    cloud.script().user = "";
    let world = World::start_on(cloud, &[one()], HashMap::new());
    world.pass(59 * SECOND).await;
    assert_eq!(world.cloud.mints(), [0]);
    let failing = Status::Failing(Trouble { failure: MintFailure::PartialCredential, since: epoch() });
    world.check(0, None, &failing);
    world.cloud.script().user = "cr_temp_user";
    world.pass(2 * SECOND).await;
    world.check(0, Some("token-2"), &Status::Valid);
}

#[tokio::test(start_paused = true)]
async fn a_credential_expires_while_a_slow_answer_is_awaited() {
    let world = World::start(&[one()]);
    world.pass(MINUTE).await;
    world.cloud.script().delay = 30 * MINUTE;
    world.pass(HOUR).await;
    world.check(0, None, &Status::Expired { since: epoch() + HOUR, trouble: None });
    assert_eq!(world.cloud.mints(), [0, 2400], "one call at a time");
    world.pass(10 * MINUTE).await;
    world.check(0, Some("token-2"), &Status::Valid);
}

#[tokio::test(start_paused = true)]
async fn a_restart_costs_no_call_while_the_credential_is_good() {
    let registry = registry("cri-one", &[]);
    let restored = held(&registry, epoch() - 10 * MINUTE, Some(&["a.example.com"]));
    let world = World::start_on(FakeCloud::new(), &[registry], restored);
    world.pass(29 * MINUTE).await;
    world.check(0, Some("token-kept"), &Status::Valid);
    assert_eq!((world.cloud.mints(), world.cloud.discoveries()), (vec![], vec![]));
    world.pass(MINUTE + SECOND).await;
    assert_eq!(world.cloud.mints(), [1800], "due where it would have been");
}

#[tokio::test(start_paused = true)]
async fn what_a_restart_cannot_use_is_minted_at_once() {
    for issued_at in [epoch() - 2 * HOUR, epoch() + 2 * HOUR] {
        let world = World::start_on(FakeCloud::new(), &[one()], held(&one(), issued_at, None));
        world.pass(SECOND).await;
        world.check(0, Some("token-1"), &Status::Valid);
    }
}

#[tokio::test(start_paused = true)]
async fn minting_once_is_concurrent_and_tells_each_registry_its_result() {
    let cloud = FakeCloud::new();
    cloud.script().delay = SECOND;
    cloud.script().refusals.insert("cri-7", error(Reason::InstanceNotFound));
    let registries: Vec<_> = (0..50).map(|n| registry(&format!("cri-{n}"), &["a.example.com"])).collect();
    let (cloud, start) = (Arc::new(cloud), Instant::now());
    let snapshot = mint_once(Arc::clone(&cloud), Arc::new(TestClock::new()), registries.into()).await;
    assert!(start.elapsed() < 2 * SECOND);
    for (n, entry) in snapshot.entries.iter().enumerate() {
        let expected = match n {
            7 => Status::Failing(trouble(Reason::InstanceNotFound, SECOND)),
            _ => Status::Valid,
        };
        assert_eq!(entry.status, expected, "cri-{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_broker_ends_with_its_configuration_and_leaves_no_task_behind() {
    let World { cloud, active, broker, .. } = World::start(&[one()]);
    sleep(SECOND).await;
    drop(active);
    broker.await.unwrap();
    sleep(2 * HOUR).await;
    assert_eq!(cloud.mints(), [0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_can_be_printed_holds_a_password() {
    let world = World::start(&[one()]);
    world.pass(SECOND).await;
    let printed = format!("{:?}", world.snapshots.borrow());
    assert!(printed.contains("cr_temp_user") && !printed.contains("token-"), "{printed}");
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_each_change_once_and_holds_no_password() {
    listen();
    let cloud = FakeCloud::new();
    cloud.script().hosts.insert("cri-one", vec!["shared.example.com"]);
    cloud.script().hosts.insert("cri-two", vec!["shared.example.com"]);
    cloud.script().refusals.insert("cri-three", error(Reason::NotAuthorized));
    let registries = ["cri-one", "cri-two", "cri-three"].map(|instance| registry(instance, &[]));
    let world = World::start_on(cloud, &registries, HashMap::new());
    world.pass(MINUTE).await;
    world.refuse("cri-one", Reason::Unreachable);
    world.pass(70 * MINUTE).await;
    world.heal("cri-one");
    world.pass(5 * MINUTE).await;
    let log = heard();
    assert!(!log.contains("token-"));
    insta::assert_snapshot!(log, @r#"
     INFO registry of cri-one: the credential is valid until 2026-11-24T21:00:00Z
     INFO registry of cri-two: the credential is valid until 2026-11-24T21:00:00Z
     WARN registry of cri-two: shared.example.com also belongs to registry of cri-one, which comes first and gets it: list the hosts of each in domains, or give them different namespaces
    ERROR registry of cri-three: GetAuthorizationToken: not authorized: check the rights of the identity in the RAM console; there is no credential
     WARN registry of cri-one: GetAuthorizationToken: no answer: check DNS, firewall, HTTPS_PROXY and SSL_CERT_FILE, or use --vpc-endpoints inside a VPC; the last known credential and hosts stay in use until 2026-11-24T21:00:00Z
     INFO registry of cri-two: the credential is valid until 2026-11-24T21:40:00Z
    ERROR registry of cri-one: the credential has expired and is removed until there is a new one
     INFO registry of cri-one: the credential is valid until 2026-11-24T22:15:15Z
    "#);
}
