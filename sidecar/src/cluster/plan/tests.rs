//! One namespace, `team-a`, in every situation.

mod accounts;
mod invariants;
mod pull_secret;

use jiff::SignedDuration;
use tokio::time::Instant;

use super::*;
use crate::broker::Snapshot;
use crate::clock::Moment;
use crate::configuration;
use crate::docker_config::{DockerConfig, RegistrySet};
use crate::reason::Reason;

const SECRET: &str = "acr-pull";
const MINUTE: Duration = Duration::from_mins(1);

/// A situation, and the rules.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each of them is a case of its own")]
struct World {
    configuration: Configuration,
    adopt: bool,
    spread: Duration,
    namespace: Namespace,
    pull_secret: Option<PullSecret>,
    touched: bool,
    lost: bool,
    is_superseded: bool,
    accounts: Vec<ServiceAccount>,
    taken_out: u32,
    account_hold: Duration,
    hold: Duration,
    waited: Duration,
    settling: bool,
    content: Option<DesiredSecret>,
}

impl World {
    /// The namespace is managed, there is a credential for an hour, and nothing else is there.
    fn new() -> Self {
        Self::configured("watch-namespace: team-*")
    }

    fn configured(text: &str) -> Self {
        Self {
            configuration: configuration::parse(text.as_bytes()).unwrap().configuration,
            adopt: false,
            spread: Duration::ZERO,
            namespace: Namespace::default(),
            pull_secret: None,
            touched: false,
            lost: false,
            accounts: Vec::new(),
            taken_out: 0,
            account_hold: Duration::ZERO,
            is_superseded: false,
            hold: Duration::ZERO,
            waited: Duration::ZERO,
            settling: false,
            content: Some(content("new", Some(60))),
        }
    }

    /// The same, with a pull secret of ours that still holds the last credential.
    fn with_secret(minutes: i64) -> Self {
        Self { pull_secret: Some(found("old", Some(minutes))), ..Self::new() }
    }

    fn plan(&self) -> Plan {
        let situation = Situation {
            name: "team-a",
            namespace: &self.namespace,
            pull_secret: self.pull_secret.as_ref(),
            touched: self.touched,
            lost: self.lost,
            is_superseded: self.is_superseded,
            service_accounts: self
                .accounts
                .iter()
                .map(|facts| AccountSituation { facts, taken_out: self.taken_out, hold: self.account_hold })
                .collect(),
            hold: self.hold,
            waited: self.waited,
            settling: self.settling,
            now: now(),
        };
        let rules = Rules {
            configuration: &self.configuration,
            pull_secret: SECRET,
            adopt: self.adopt,
            spread: self.spread,
        };
        let content = self.content.clone().map(Arc::new);
        Plan::new(&situation, &rules, content.as_ref())
    }

    #[track_caller]
    fn check(&self, expected: &str) {
        assert_eq!(describe(&self.plan()), expected);
    }
}

/// A plan as one line.
fn describe(plan: &Plan) -> String {
    let mut parts = vec![match &plan.pull_secret {
        SecretAction::Leave => "leave".to_owned(),
        SecretAction::Create(_) => "create".to_owned(),
        SecretAction::Update { version, cause, .. } => {
            assert_eq!(
                (&*version.uid, &*version.resource_version),
                ("uid", "7"),
                "the version that was seen"
            );
            format!("{cause:?}").to_lowercase()
        }
        SecretAction::Delete(version) => {
            assert_eq!(
                (&*version.uid, &*version.resource_version),
                ("uid", "7"),
                "the version that was seen"
            );
            "delete".to_owned()
        }
    }];
    parts.extend(plan.service_accounts.iter().map(|action| {
        let verb = if action.attach { "attach" } else { "detach" };
        format!("{verb} {} [{}]", action.name, action.pull_secrets.join(" "))
    }));
    parts.extend(
        plan.notices.iter().chain(&plan.when_written).map(|notice| format!("say {}", notice.reason.name())),
    );
    parts.extend(plan.look_again.map(|delay| format!("again in {} s", delay.as_secs())));
    parts.join(", ")
}

fn now() -> Timestamp {
    "2026-11-24T20:00:00Z".parse().unwrap()
}

fn in_minutes(minutes: i64) -> Timestamp {
    now() + SignedDuration::from_mins(minutes)
}

/// What a pull secret should hold: one credential, or none.
fn content(hash: &str, minutes: Option<i64>) -> DesiredSecret {
    let moment = Moment { wall: now(), monotonic: Instant::now() };
    let mut docker_config =
        DockerConfig::render(&Snapshot::default(), &RegistrySet::new([]), moment).unwrap();
    hash.clone_into(&mut docker_config.hash);
    docker_config.expires_at = minutes.map(in_minutes);
    docker_config.registries = RegistrySet::new(minutes.map(|_| 0));
    DesiredSecret {
        docker_config,
        inputs: "same".to_owned(),
        registries: minutes.map_or("", |_| "cn-a/one").to_owned(),
        awaited: Vec::new(),
        pending: false,
        minted: None,
    }
}

/// A pull secret of ours that nobody else has touched.
fn found(hash: &str, minutes: Option<i64>) -> PullSecret {
    PullSecret {
        uid: "uid".into(),
        resource_version: "7".into(),
        ours: true,
        surely_ours: true,
        intact: true,
        other_manager: None,
        terminating: false,
        hash: hash.into(),
        inputs: "same".into(),
        registries: minutes.map_or("", |_| "cn-a/one").into(),
        expires_at: minutes.map(in_minutes),
    }
}

fn account(name: &str, pull_secrets: &[&str]) -> ServiceAccount {
    ServiceAccount {
        name: name.into(),
        uid: "uid".into(),
        resource_version: "7".into(),
        pull_secrets: pull_secrets.iter().map(|&name| name.into()).collect(),
        is_too_long: false,
        enforces_mountable: false,
        ours_last: false,
        other_manager: None,
    }
}

#[test]
fn a_place_in_a_rotation_stands_still_and_all_of_them_are_spread_evenly() {
    let spread = 100 * MINUTE;
    assert_eq!(slot("team-a", spread), slot("team-a", spread));
    let mut places = [0_u32; 10];
    for at in 0..10_000 {
        let place = slot(&format!("team-{at}"), spread).as_secs() / (10 * 60);
        places[usize::try_from(place).unwrap()] += 1;
    }
    assert!(places.iter().all(|count| (900..1100).contains(count)), "{places:?}");
}
