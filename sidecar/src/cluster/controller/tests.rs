//! Events go in, plans come out. Nothing is written here, and nobody is asked: see `apply` for that.

use std::sync::Mutex;

use http::{Request, Response};
use jiff::SignedDuration;
use kube::client::Body;
use tower_test::mock;

use super::*;
use crate::broker::testing::{FakeCloud, TestClock, epoch, registry};
use crate::broker::{ActiveConfiguration, ResolvedRegistry, mint_once};
use crate::cluster::observed::{Namespace, PullSecret, ServiceAccount};
use crate::cluster::plan::SecretAction;
use crate::cluster::watches::WatchEvent;
use crate::configuration;
use crate::telemetry::health::Health;

type ApiServer = mock::Handle<Request<Body>, Response<Body>>;

struct World {
    controller: Controller,
    plans: Arc<Mutex<Vec<String>>>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    leading: watch::Sender<bool>,
    clock: Arc<TestClock>,
    _stop: watch::Sender<bool>,
    _server: ApiServer,
}

impl World {
    /// Leads, and has read everything; there is no configuration yet.
    fn new() -> Self {
        let (service, server) = mock::pair();
        let snapshots = watch::Sender::default();
        let (leading, stop) = (watch::Sender::new(true), watch::Sender::new(false));
        let (plans, clock) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(TestClock::new()));
        let inputs =
            Inputs { snapshots: snapshots.subscribe(), leading: leading.subscribe(), stop: stop.subscribe() };
        let settings = ControllerSettings {
            pull_secret: "acr-pull".into(),
            adopt: false,
            spread: Duration::ZERO,
            concurrency: 16,
        };
        let shown = Arc::clone(&plans);
        let mode = Mode::DryRun(Box::new(move |namespace, plan| {
            let action = match plan.pull_secret {
                SecretAction::Leave => "leave",
                SecretAction::Create(_) => "create",
                SecretAction::Update { .. } => "update",
                SecretAction::Delete(_) => "delete",
            };
            shown.lock().unwrap().push(format!("{namespace}: {action}"));
        }));
        let client = Client::new(service, "default");
        let mut controller = Controller::new(
            client,
            settings,
            inputs,
            mode,
            Arc::<TestClock>::clone(&clock),
            Observer::new("acr-pull".into(), Arc::default(), Health::new(), None),
        );
        controller.take_in_leadership();
        let mut world = Self { controller, plans, snapshots, leading, clock, _stop: stop, _server: server };
        world.sync();
        world
    }

    fn sync(&mut self) {
        for kind in [Kind::Namespace, Kind::PullSecret] {
            self.controller.see_all(WatchEvent::ListBegins(kind));
            self.controller.see_all(WatchEvent::ListEnds(kind));
        }
    }

    fn configure(&mut self, text: &str, registries: &[ResolvedRegistry]) {
        let configuration = configuration::parse(text.as_bytes()).unwrap().configuration;
        let active = Arc::new(ActiveConfiguration { configuration, registries: registries.into() });
        self.snapshots.send_modify(|snapshot| Arc::make_mut(snapshot).active = Some(active));
        self.controller.take_in_snapshot();
    }

    async fn mint(&mut self, registries: &[ResolvedRegistry]) {
        let clock = Arc::<TestClock>::clone(&self.clock);
        let snapshot = mint_once(Arc::new(FakeCloud::new()), clock, registries.into()).await;
        let active = self.snapshots.borrow().active.clone();
        self.snapshots.send_replace(Arc::new(Snapshot { active, ..(*snapshot).clone() }));
        self.controller.take_in_snapshot();
    }

    fn namespace(&mut self, name: &str) {
        self.controller.see_all(WatchEvent::Namespace(name.into(), Namespace::default()));
    }

    /// What is planned by now.
    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        while self.controller.work() {}
        let mut plans = std::mem::take(&mut *self.plans.lock().unwrap());
        plans.sort();
        assert_eq!(plans, expected);
    }
}

fn one() -> [ResolvedRegistry; 1] {
    [registry("cri-one", &["one.example.com"])]
}

/// One of ours, four minutes before its credential expires.
fn old_secret() -> PullSecret {
    PullSecret {
        uid: "u".into(),
        resource_version: "7".into(),
        ours: true,
        surely_ours: true,
        intact: true,
        other_manager: None,
        terminating: false,
        hash: "old".into(),
        inputs: "".into(),
        registries: "".into(),
        expires_at: Some(epoch() + SignedDuration::from_mins(4)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_namespace_is_looked_at_by_its_event() {
    let mut world = World::new();
    world.configure("watch-namespace: team-*", &one());
    world.mint(&one()).await;
    world.check(&[]);
    world.namespace("team-a");
    world.namespace("other");
    world.check(&["team-a: create"]);
    world.namespace("team-a");
    world.check(&[]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_planned_before_everything_is_known_and_this_replica_leads() {
    let mut world = World::new();
    world.namespace("team-a");
    world.check(&[]);
    world.leading.send_replace(false);
    world.controller.take_in_leadership();
    world.configure("watch-namespace: team-*", &one());
    world.mint(&one()).await;
    world.check(&[]);
    world.leading.send_replace(true);
    world.controller.take_in_leadership();
    world.check(&["team-a: create"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_this_replica_keeps_credentials() {
    let mut world = World::new();
    world.namespace("team-a");
    world.configure("watch-namespace: team-*", &one());
    world.check(&[]);
    world.mint(&one()).await;
    world.check(&["team-a: create"]);
}

#[tokio::test(start_paused = true)]
async fn a_deselected_namespace_is_looked_at_when_its_credential_expires() {
    let mut world = World::new();
    world.configure("watch-namespace: other", &one());
    world.mint(&one()).await;
    world.namespace("team-a");
    world.controller.see_all(WatchEvent::PullSecret("team-a".into(), old_secret()));
    world.check(&[]);
    tokio::time::advance(Duration::from_secs(239)).await;
    world.controller.ring();
    world.check(&[]);
    tokio::time::advance(Duration::from_secs(1)).await;
    world.controller.ring();
    world.check(&["team-a: delete"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_two_hours_causes_no_write() {
    let mut world = World::new();
    world.configure("watch-namespace: team-*", &one());
    world.mint(&one()).await;
    world.namespace("team-a");
    world.check(&["team-a: create"]);
    let Controller { contents, snapshot, .. } = &mut world.controller;
    let content = contents.for_namespace(snapshot, "team-a", world.clock.now()).unwrap();
    let secret = PullSecret {
        hash: content.docker_config.hash.as_str().into(),
        inputs: content.inputs.as_str().into(),
        registries: content.registries.as_str().into(),
        expires_at: content.docker_config.expires_at,
        ..old_secret()
    };
    world.controller.see_all(WatchEvent::PullSecret("team-a".into(), secret));
    world.check(&[]);
    world.clock.step(SignedDuration::from_hours(-2));
    for _ in 0..4 {
        tokio::time::advance(Duration::from_mins(1)).await;
        world.controller.take_in_snapshot();
        world.check(&[]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_configuration_is_applied_everywhere() {
    let mut world = World::new();
    world.configure("watch-namespace: other", &one());
    world.mint(&one()).await;
    for name in ["team-a", "team-b", "default"] {
        world.namespace(name);
    }
    world.check(&[]);
    world.configure("watch-namespace: team-*", &one());
    world.check(&["team-a: create", "team-b: create"]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_ends_when_every_namespace_was_looked_at() {
    let mut world = World::new();
    world.namespace("team-a");
    world.configure("watch-namespace: team-*", &one());
    assert!(!world.controller.is_finished(), "the cloud has not answered yet");
    world.mint(&one()).await;
    assert!(!world.controller.is_finished(), "a namespace waits");
    world.check(&["team-a: create"]);
    assert!(world.controller.is_finished());
}

fn account(name: &str, pull_secrets: &[&str]) -> ServiceAccount {
    let pull_secrets = pull_secrets.iter().map(|&name| name.into()).collect();
    let (uid, resource_version) = ("u".into(), "7".into());
    ServiceAccount {
        name: name.into(),
        uid,
        resource_version,
        pull_secrets,
        is_too_long: false,
        enforces_mountable: false,
        ours_last: false,
        other_manager: None,
    }
}

impl World {
    fn account(&mut self, namespace: &str, account: ServiceAccount) {
        self.controller.see_all(WatchEvent::ServiceAccount(namespace.into(), account));
    }

    fn kept(&self, namespace: &str) -> usize {
        self.controller.store.get(namespace).map_or(0, |entry| entry.accounts().len())
    }

    /// Whether service accounts were listed since the last time that this was asked.
    fn lists_accounts(&mut self, last: &mut Option<Instant>) -> bool {
        let began = self.controller.watches.began(Kind::ServiceAccount);
        std::mem::replace(last, began) != began
    }
}

const ATTACHING: &str = "watch-namespace: team-*\nattach: both\n";

#[tokio::test(start_paused = true)]
async fn no_service_account_of_a_namespace_that_is_not_managed_is_kept() {
    let mut world = World::new();
    world.configure(ATTACHING, &one());
    world.account("team-a", account("default", &[]));
    assert_eq!(world.kept("team-a"), 1, "an account may come before its namespace");
    world.namespace("team-a");
    world.account("other", account("default", &[]));
    assert_eq!((world.kept("team-a"), world.kept("other")), (1, 1));
    world.namespace("other");
    assert_eq!(world.kept("other"), 0, "now it is known that it does not matter");
    world.account("other", account("default", &["acr-pull"]));
    assert_eq!(world.kept("other"), 0, "our entry may be a tenant's own");
    world.account("other", ServiceAccount { ours_last: true, ..account("default", &["acr-pull"]) });
    assert_eq!(world.kept("other"), 1, "an entry that we wrote is taken out");
}

#[tokio::test(start_paused = true)]
async fn what_was_dropped_is_listed_again_when_it_matters() {
    let (mut world, mut last) = (World::new(), None);
    world.configure(ATTACHING, &one());
    assert!(world.lists_accounts(&mut last));
    world.configure(&format!("{ATTACHING}expiring-threshold: 20m\n"), &one());
    assert!(!world.lists_accounts(&mut last), "nothing that is selected changes");
    for change in ["service-account: '*'\n", "exclude-namespace: team-x\n"] {
        tokio::time::advance(Duration::from_secs(1)).await;
        world.configure(&format!("{ATTACHING}{change}"), &one());
        assert!(world.lists_accounts(&mut last), "{change}");
    }
}

#[tokio::test(start_paused = true)]
async fn service_accounts_are_watched_after_a_change_to_pod_until_the_right_is_gone() {
    let mut world = World::new();
    world.configure(ATTACHING, &one());
    world.namespace("team-a");
    world.account("team-a", account("default", &["acr-pull"]));
    world.controller.see_all(WatchEvent::Failed(Kind::ServiceAccount));
    assert!(world.controller.watches.is_watching(Kind::ServiceAccount), "they matter, so it is tried again");
    world.configure("watch-namespace: team-*\nattach: pod\n", &one());
    assert!(world.controller.watches.is_watching(Kind::ServiceAccount), "our entries have to be removed");
    assert_eq!(world.kept("team-a"), 1);
    world.controller.see_all(WatchEvent::Failed(Kind::ServiceAccount));
    assert!(!world.controller.watches.is_watching(Kind::ServiceAccount));
    assert_eq!(world.kept("team-a"), 0);
    world.configure(ATTACHING, &one());
    assert!(world.controller.watches.is_watching(Kind::ServiceAccount));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_comes_to_be_managed_gets_its_accounts_listed() {
    let (mut world, mut last) = (World::new(), None);
    world.configure(&format!("{ATTACHING}watch-namespace-selector: team\n"), &one());
    world.sync();
    world.lists_accounts(&mut last);
    let left_out = |is_left_out| Namespace { is_left_out, terminating: false };
    for is_left_out in [true, false] {
        world.controller.see_all(WatchEvent::Namespace("team-a".into(), left_out(is_left_out)));
    }
    assert!(!world.lists_accounts(&mut last), "such lists are expensive");
    tokio::time::advance(BETWEEN_LISTS).await;
    world.controller.round();
    assert!(world.lists_accounts(&mut last));
    world.namespace("team-b");
    tokio::time::advance(BETWEEN_LISTS).await;
    world.controller.round();
    assert!(!world.lists_accounts(&mut last), "accounts of a new namespace come as events");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deselected_before_namespaces_were_listed_for_a_new_selector() {
    let mut world = World::new();
    world.configure("watch-namespace: team-*", &one());
    world.mint(&one()).await;
    world.namespace("team-a");
    world.check(&["team-a: create"]);
    world.configure("watch-namespace: team-*\nwatch-namespace-selector: team\n", &one());
    world
        .controller
        .see_all(WatchEvent::PullSecret("team-a".into(), PullSecret { expires_at: None, ..old_secret() }));
    world.check(&[]);
    world.controller.see_all(WatchEvent::ListBegins(Kind::Namespace));
    world.namespace("team-a");
    world.check(&[]);
    world.controller.see_all(WatchEvent::ListEnds(Kind::Namespace));
    world.check(&["team-a: update"]);
}
