//! What pull secrets should hold, from the snapshots of a broker.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::*;
use crate::broker::mint_once;
use crate::broker::testing::{FakeCloud, HOUR, TestClock, error, registry};
use crate::clock::Clock as _;
use crate::cloud::Reason;
use crate::configuration;

/// What a namespace gets once all of its registries have answered, some with a refusal.
async fn after_answers(refused: &[&'static str]) -> (Arc<Snapshot>, TestClock) {
    let cloud = FakeCloud::new();
    cloud.script().refusals =
        refused.iter().map(|instance| (*instance, error(Reason::NotAuthorized))).collect::<BTreeMap<_, _>>();
    cloud.script().hosts.insert("cri-two", vec!["two.example.com"]);
    let registries = [registry("cri-one", &["one.example.com"]), registry("cri-two", &[])];
    let snapshot = mint_once(Arc::new(cloud), Arc::new(TestClock::new()), registries.into()).await;
    (snapshot, TestClock::new())
}

#[tokio::test(start_paused = true)]
async fn a_namespace_gets_the_registries_that_answered() {
    let (snapshot, clock) = after_answers(&[]).await;
    let content = DesiredSecrets::default().for_namespace(&snapshot, "team-a", clock.now()).unwrap();
    assert_eq!(content.registries, "cn-hangzhou/cri-one,cn-hangzhou/cri-two");
    assert!(content.awaited.is_empty() && !content.pending && !content.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_refused_is_awaited() {
    let (snapshot, clock) = after_answers(&["cri-one"]).await;
    let content = DesiredSecrets::default().for_namespace(&snapshot, "team-a", clock.now()).unwrap();
    assert_eq!(content.registries, "cn-hangzhou/cri-two");
    assert_eq!(content.awaited, ["cn-hangzhou/cri-one"]);
    assert!(!content.pending);
}

#[tokio::test(start_paused = true)]
async fn inputs_are_what_was_asked_for_and_not_what_came() {
    let (all, clock) = after_answers(&[]).await;
    let (part, _) = after_answers(&["cri-one"]).await;
    let inputs = |snapshot: &Snapshot| {
        DesiredSecrets::default().for_namespace(snapshot, "team-a", clock.now()).unwrap().inputs.clone()
    };
    assert_eq!(inputs(&all), inputs(&part));
    assert_ne!(inputs(&all), inputs(&Snapshot::default()));
}

#[tokio::test(start_paused = true)]
async fn namespaces_with_the_same_registries_share_one_content_until_it_expires() {
    let (snapshot, clock) = after_answers(&[]).await;
    let mut contents = DesiredSecrets::default();
    let mut content = |clock: &TestClock, name| contents.for_namespace(&snapshot, name, clock.now()).unwrap();
    let first = content(&clock, "team-a");
    assert!(Arc::ptr_eq(&first, &content(&clock, "team-b")));
    tokio::time::advance(2 * HOUR).await;
    assert!(content(&clock, "team-a").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_expired_credential_is_left_out_even_before_a_snapshot_says_so() {
    let (snapshot, clock) = after_answers(&[]).await;
    let mut contents = DesiredSecrets::default();
    let mut content = |clock: &TestClock| contents.for_namespace(&snapshot, "team-a", clock.now()).unwrap();
    assert!(content(&clock).docker_config.expires_at.is_some());
    clock.step(SignedDuration::from_hours(2));
    assert_eq!(*content(&clock).docker_config.bytes, br#"{"auths":{}}"#);
    clock.step(SignedDuration::from_hours(-2));
    assert!(content(&clock).docker_config.expires_at.is_some(), "and back again");
}

#[tokio::test(start_paused = true)]
async fn a_set_is_rendered_once_for_each_snapshot() {
    let (snapshot, clock) = after_answers(&[]).await;
    let mut contents = DesiredSecrets::default();
    let mut content = |snapshot: &Snapshot| contents.for_namespace(snapshot, "team-a", clock.now()).unwrap();
    let one = content(&snapshot);
    assert!(Arc::ptr_eq(&one, &content(&snapshot)));
    let again = content(&Snapshot { version: snapshot.version + 1, ..(*snapshot).clone() });
    assert!(!Arc::ptr_eq(&one, &again));
    let (one, again) = (&one.docker_config, &again.docker_config);
    assert_eq!((&*one.bytes, &one.hash), (&*again.bytes, &again.hash), "byte-stable");
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_shows_no_password() {
    let (snapshot, clock) = after_answers(&[]).await;
    let mut contents = DesiredSecrets::default();
    let content = contents.for_namespace(&snapshot, "team-a", clock.now()).unwrap();
    let printed = format!("{contents:?}");
    assert!(printed.contains(&content.docker_config.hash) && !printed.contains("token-"), "{printed}");
}

#[test]
fn a_fingerprint_holds_every_part_of_an_identity_but_no_secret() {
    let key = |text: &str| {
        let configuration = configuration::parse(text.as_bytes()).unwrap().configuration;
        let registry = configuration.registries[0].clone();
        let region = registry.region.clone().unwrap();
        Fingerprint::of_key(&crate::broker::ResolvedRegistry { region, registry }.key())
    };
    let entry = |more: &str| {
        key(&format!("acr-registry-info: |\n  - instanceId: cri-1\n    regionId: cn-hangzhou\n{more}"))
    };
    let pair = |id: &str, secret: &str| {
        entry(&format!("    customAccessKey: {id}\n    customAccessKeySecret: {secret}\n"))
    };
    assert_eq!(pair("LTAI5tEXAMPLE", "EXAMPLEsecret1"), pair("LTAI5tEXAMPLE", "EXAMPLEsecret2"));
    let distinct = [
        entry(""),
        key("acr-registry-info: |\n  - instanceId: cri-2\n    regionId: cn-hangzhou\n"),
        key("acr-registry-info: |\n  - instanceId: cri-1\n    regionId: cn-beijing\n"),
        pair("LTAI5tEXAMPLE", "EXAMPLEsecret1"),
        pair("LTAI5tEXAMPLF", "EXAMPLEsecret1"),
        entry("    accessKeySecretRef: keys\n"),
        entry("    assumeRoleARN: acs:ram::1234567890123456:role/puller\n"),
        entry("    assumeRoleARN: acs:ram::1234567890123456:role/puller\n    externalId: ours\n"),
    ];
    let all: std::collections::BTreeSet<_> = distinct.iter().collect();
    assert_eq!(all.len(), distinct.len());
}
