//! What is written down, and what a later process makes of it.

use std::sync::Arc;

use jiff::SignedDuration;

use super::*;
use crate::broker::mint_once;
use crate::broker::testing::{FakeCloud, HOUR, SECOND, TestClock, epoch, registry};

fn registries() -> [ResolvedRegistry; 2] {
    [registry("cri-one", &["one.example.com"]), registry("cri-two", &[])]
}

/// What is known after both registries have answered.
async fn minted() -> Arc<Snapshot> {
    let cloud = FakeCloud::new();
    cloud.script().hosts.insert("cri-two", vec!["two.example.com"]);
    mint_once(Arc::new(cloud), Arc::new(TestClock::new()), registries().into()).await
}

async fn document() -> SavedState {
    SavedState::default().updated(&*minted().await, epoch())
}

/// Written down, and read again.
fn reread(document: &SavedState) -> SavedState {
    SavedState::parse(&document.to_bytes().unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_written_down_can_be_used_again() {
    let document = document().await;
    let again = reread(&document);
    assert!(again == document);
    let restored = again.restore(&registries(), epoch() + SECOND);
    let [one, two] = registries().map(|registry| registry.key());
    assert_eq!(restored[&one].credential.user, "cr_temp_user");
    assert!(restored[&one].credential.password.expose_secret().starts_with("token-"));
    assert_eq!(restored[&one].issued_at, epoch());
    assert_eq!(restored[&one].hosts, None, "its hosts are in the configuration");
    assert_eq!(restored[&two].hosts.as_deref().unwrap(), [Host::parse("two.example.com").unwrap()]);
}

#[tokio::test(start_paused = true)]
async fn what_expired_or_nobody_asks_for_is_not_used() {
    let document = document().await;
    assert!(document.restore(&registries(), epoch() + HOUR).is_empty());
    let other = [registry("cri-three", &[]), registry("cri-one", &[])];
    assert_eq!(document.restore(&other, epoch()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_in_hand_again_yet_is_not_forgotten() {
    let document = document().await;
    assert!(document.updated(&Snapshot::default(), epoch()).len() == 0, "nobody asks for anything");
    let refused = FakeCloud::new();
    for instance in ["cri-one", "cri-two"] {
        let error = crate::broker::testing::error(crate::cloud::Reason::Unreachable);
        refused.script().refusals.insert(instance, error);
    }
    let snapshot = mint_once(Arc::new(refused), Arc::new(TestClock::new()), registries().into()).await;
    assert!(document.updated(&snapshot, epoch()) == document);
    let later = epoch() + SignedDuration::from_hours(1);
    assert!(document.updated(&snapshot, later).len() == 0, "but an expired one is");
}

#[tokio::test(start_paused = true)]
async fn two_registries_with_one_credential_are_written_down_once() {
    let registries = [registry("cri-one", &["one.example.com"]), registry("cri-one", &[])];
    let cloud = FakeCloud::new();
    cloud.script().hosts.insert("cri-one", vec!["one.example.com"]);
    let snapshot = mint_once(Arc::new(cloud), Arc::new(TestClock::new()), registries.clone().into()).await;
    let document = SavedState::default().updated(&snapshot, epoch());
    assert_eq!(document.len(), 1);
    let restored = document.restore(&registries, epoch());
    assert!(restored[&registries[0].key()].hosts.is_some());
}

#[test]
fn what_is_no_state_of_ours_is_not_used() {
    let check = |text: &[u8], expected| assert_eq!(SavedState::parse(text), Err(expected));
    check(b"", Unusable::Damaged);
    check(b"{", Unusable::Damaged);
    check(br#"{"credentials":[]}"#, Unusable::Damaged);
    check(br#"{"version":1,"credentials":[{}]}"#, Unusable::Damaged);
    check(br#"{"version":2,"credentials":"whatever"}"#, Unusable::OtherVersion(2));
}

#[tokio::test(start_paused = true)]
async fn no_password_is_shown() {
    let document = document().await;
    assert!(!format!("{document:?}").contains("token-"));
}
