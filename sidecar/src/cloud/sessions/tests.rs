use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::super::error::Reason;
use super::super::keys::{Keys, Source};
use super::*;
use crate::configuration::{AssumeRole, IdentitySource, RoleArn};

/// A wall clock that tests set; the monotonic one is tokio's.
#[derive(Debug)]
struct Wall(Mutex<Timestamp>);

impl Clock for Wall {
    fn wall(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// Sessions, their wall clock, and how many were obtained.
struct Fixture {
    sessions: Sessions,
    wall: Arc<Wall>,
    obtained: AtomicU32,
}

impl Fixture {
    fn new() -> Self {
        let wall = Arc::new(Wall(Mutex::new("2026-11-23T12:00:00Z".parse().unwrap())));
        Self { sessions: Sessions::new(wall.clone()), wall, obtained: AtomicU32::new(0) }
    }

    /// The id of the session of a key; a new one lives for an hour.
    async fn get(&self, key: SessionKey) -> Result<String, CloudError> {
        let obtain = async {
            let number = self.obtained.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(Session {
                keys: Keys::new(&format!("STS.{number}"), "secret", Some("token")).unwrap(),
                expires_at: Some(self.wall.wall() + SignedDuration::from_hours(1)),
                origin: Source::Environment.into(),
                kept_as: None,
            })
        };
        self.sessions.get(key, obtain).await.map(|session| session.keys.id)
    }

    /// Moves the clocks, each by its own.
    async fn pass(&self, wall: i64, monotonic: u64) {
        *self.wall.0.lock().unwrap() += SignedDuration::from_secs(wall);
        tokio::time::advance(Duration::from_secs(monotonic)).await;
    }
}

fn role(name: &str) -> SessionKey {
    SessionKey::Role(Identity {
        source: IdentitySource::DefaultChain,
        assume_role: Some(AssumeRole {
            role: RoleArn::parse(&format!("acs:ram::1000000000000001:role/{name}")).unwrap(),
            duration: Duration::from_hours(1),
            external_id: None,
        }),
    })
}

/// After both clocks have moved so far, the session is the same one or a new one.
async fn check(key: SessionKey, wall: i64, monotonic: u64, same: bool) {
    let fixture = Fixture::new();
    let first = fixture.get(key.clone()).await.unwrap();
    fixture.pass(wall, monotonic).await;
    let second = fixture.get(key).await.unwrap();
    assert_eq!(first == second, same, "{wall} s by the wall clock, {monotonic} s by the monotonic one");
}

#[tokio::test(start_paused = true)]
async fn a_session_of_ours_is_used_for_a_tenth_of_its_life_on_both_clocks() {
    check(role("a"), 350, 350, true).await;
    check(role("a"), 361, 361, false).await;
    // A suspended machine: only the wall clock went on.
    check(role("a"), 361, 0, false).await;
    // A clock that was stepped back.
    check(role("a"), -3_000, 300, true).await;
    check(role("a"), -3_000, 361, false).await;
}

#[tokio::test(start_paused = true)]
async fn keys_of_ecs_metadata_are_used_for_a_minute() {
    check(SessionKey::Metadata, 59, 59, true).await;
    check(SessionKey::Metadata, 61, 61, false).await;
    check(SessionKey::Metadata, -600, 61, false).await;
}

#[tokio::test(start_paused = true)]
async fn fifty_wishes_at_once_obtain_one_session() {
    let fixture = Arc::new(Fixture::new());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let fixture = fixture.clone();
        tasks.spawn(async move { fixture.get(role("a")).await.unwrap() });
    }
    assert!(tasks.join_all().await.iter().all(|id| id == "STS.0"));
    assert_eq!(fixture.get(role("b")).await.unwrap(), "STS.1", "another role is another session");
}

#[tokio::test(start_paused = true)]
async fn fifty_wishes_at_once_share_one_failure_and_the_next_one_tries_again() {
    let fixture = Arc::new(Fixture::new());
    let calls = Arc::new(AtomicU32::new(0));
    let failing = |fixture: Arc<Fixture>, calls: Arc<AtomicU32>| async move {
        let obtain = async {
            calls.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(CloudError::new(Reason::NotAuthorized, "AssumeRole"))
        };
        fixture.sessions.get(role("a"), obtain).await.unwrap_err()
    };
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        tasks.spawn(failing(fixture.clone(), calls.clone()));
    }
    assert!(tasks.join_all().await.iter().all(|error| error.reason == Reason::NotAuthorized));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(fixture.get(role("a")).await.unwrap(), "STS.0");
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_is_given_up_lets_the_next_one_go_on() {
    let fixture = Fixture::new();
    let given_up = tokio::time::timeout(Duration::from_millis(1), fixture.get(role("a"))).await;
    assert!(given_up.is_err());
    assert_eq!(fixture.get(role("a")).await.unwrap(), "STS.1");
}

#[tokio::test(start_paused = true)]
async fn a_refused_session_is_dropped_unless_it_was_renewed_already() {
    let fixture = Fixture::new();
    let key = role("a");
    fixture.get(key.clone()).await.unwrap();
    let first = |kept_as: Option<SessionKey>| {
        let keys = Keys::new("STS.0", "secret", None).unwrap();
        Session { kept_as, ..Session::without_expiry(keys, Source::Environment) }
    };
    assert!(fixture.sessions.forget(&first(Some(key.clone()))).await);
    assert_eq!(fixture.get(key.clone()).await.unwrap(), "STS.1");
    assert!(fixture.sessions.forget(&first(Some(key.clone()))).await, "there is a newer one to try with");
    assert_eq!(fixture.get(key.clone()).await.unwrap(), "STS.1");
    assert!(!fixture.sessions.forget(&first(Some(role("b")))).await);
    assert!(!fixture.sessions.forget(&first(None)).await, "keys of a user are not renewed");
}

#[tokio::test(start_paused = true)]
async fn sessions_of_identities_that_are_gone_are_dropped_when_they_have_expired() {
    let fixture = Fixture::new();
    fixture.get(role("a")).await.unwrap();
    fixture.get(role("b")).await.unwrap();
    assert_eq!(fixture.sessions.slots().len(), 2);
    fixture.pass(3601, 3601).await;
    fixture.get(role("b")).await.unwrap();
    assert_eq!(fixture.sessions.slots().len(), 1);
}
