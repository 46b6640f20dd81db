//! `/livez` and `/readyz`: does it make progress, and does it do its work?
//!
//! Liveness is about the loops of this process alone. What a restart cannot mend (the cloud, the API server, a mistake in
//! the configuration) is a matter of readiness, which says in words what is missing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::{Entry, Snapshot, Status};
use crate::clock::Moment;

/// Standing of the whole process.
#[derive(Debug, Default)]
pub struct Health(Mutex<Board>);

#[derive(Debug, Default)]
struct Board {
    loops: BTreeMap<&'static str, Beat>,
    gates: BTreeMap<&'static str, Option<String>>,
    notes: BTreeMap<&'static str, Vec<String>>,
    snapshot: Arc<Snapshot>,
    is_leader: bool,
}

#[derive(Debug, Clone, Copy)]
struct Beat {
    last: Instant,
    limit: Duration,
}

/// Where a loop says that it made a round. It stops being watched when this is dropped: a loop that ends on purpose does
/// not hang.
#[derive(Debug)]
pub struct Heartbeat {
    health: Arc<Health>,
    name: &'static str,
}

/// One thing that has to be so for the sidecar to be ready.
#[derive(Debug, Clone)]
pub struct Gate {
    health: Arc<Health>,
    name: &'static str,
}

/// What a probe gets to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether all is well.
    pub ok: bool,
    /// A line for each thing that was looked at; what is missing comes first.
    pub body: String,
}

impl Health {
    /// Nothing runs yet, nothing is asked for.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Watches over a loop that makes a round within `limit` when all is well, whatever it waits for.
    #[must_use]
    pub fn heartbeat(self: &Arc<Self>, name: &'static str, limit: Duration) -> Heartbeat {
        self.board().loops.insert(name, Beat { last: Instant::now(), limit });
        Heartbeat { health: Arc::clone(self), name }
    }

    /// Adds something that has to be so. It is not, until [`Gate::open`] is called: `missing` says what is waited for.
    #[must_use]
    pub fn gate(self: &Arc<Self>, name: &'static str, missing: impl Into<String>) -> Gate {
        self.board().gates.insert(name, Some(missing.into()));
        Gate { health: Arc::clone(self), name }
    }

    /// Says what is wrong about something without which the sidecar does its work all the same; with no lines, nothing is.
    pub fn note(&self, name: &'static str, lines: Vec<String>) {
        self.board().notes.insert(name, lines);
    }

    /// Says how the registries stand; each of them is a gate.
    pub fn show_registries(&self, snapshot: Arc<Snapshot>) {
        self.board().snapshot = snapshot;
    }

    /// Says whether this replica writes. A standby is as ready as the leader.
    pub fn show_leader(&self, is_leader: bool) {
        self.board().is_leader = is_leader;
    }

    /// Whether all loops make progress.
    #[must_use]
    pub fn livez(&self, now: Instant) -> Report {
        let board = self.board();
        let lines = board.loops.iter().map(|(name, Beat { last, limit })| {
            let silent = now.saturating_duration_since(*last);
            let stuck = (silent > *limit).then(|| {
                format!("made no round for {} s, {} s is the limit", silent.as_secs(), limit.as_secs())
            });
            ((*name).to_owned(), stuck)
        });
        Report::of("alive", "stuck", lines.collect(), "")
    }

    /// Whether the sidecar does its work.
    #[must_use]
    pub fn readyz(&self, now: Moment) -> Report {
        let board = self.board();
        let gates = board.gates.iter().map(|(name, missing)| ((*name).to_owned(), missing.clone()));
        let registries = board
            .snapshot
            .entries
            .iter()
            .map(|entry| (entry.registry.registry.place.clone(), lack_of(entry, now)));
        let mut footer = String::new();
        for (name, lines) in &board.notes {
            for line in lines {
                push_line(&mut footer, '!', name, Some(line));
            }
        }
        for dispute in &board.snapshot.disputes {
            push_line(&mut footer, '!', &dispute.finding.place, Some(&dispute.finding.problem));
        }
        footer.push_str(if board.is_leader {
            "leader: this replica writes\n"
        } else {
            "standby: another replica writes, or none does yet\n"
        });
        Report::of("ready", "not ready", gates.chain(registries).collect(), &footer)
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // Every change of the board is one assignment, so it is whole even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heartbeat {
    /// The loop made a round.
    pub fn beat(&self) {
        if let Some(beat) = self.health.board().loops.get_mut(self.name) {
            beat.last = Instant::now();
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.health.board().loops.remove(self.name);
    }
}

impl Gate {
    /// It is so.
    pub fn open(&self) {
        self.health.board().gates.insert(self.name, None);
    }

    /// It is not so, and this is what is wrong and how to mend it.
    pub fn close(&self, missing: impl Into<String>) {
        self.health.board().gates.insert(self.name, Some(missing.into()));
    }
}

impl Report {
    fn of(ok: &str, not_ok: &str, mut lines: Vec<(String, Option<String>)>, footer: &str) -> Self {
        // What is missing first; otherwise in the order in which they came.
        lines.sort_by_key(|(_, missing)| missing.is_none());
        let is_ok = lines.iter().all(|(_, missing)| missing.is_none());
        let mut body = format!("{}\n", if is_ok { ok } else { not_ok });
        for (name, missing) in lines {
            push_line(&mut body, if missing.is_some() { '✗' } else { '✓' }, &name, missing.as_deref());
        }
        body.push_str(footer);
        Self { ok: is_ok, body }
    }
}

fn push_line(body: &mut String, mark: char, name: &str, text: Option<&str>) {
    // Writing to a String cannot fail.
    let _ = match text {
        Some(text) => writeln!(body, "{mark} {name}: {text}"),
        None => writeln!(body, "{mark} {name}"),
    };
}

/// What keeps Pods from pulling from a registry. A failure while the last credential is still good does not.
fn lack_of(entry: &Entry, now: Moment) -> Option<String> {
    let good = entry.issued.as_ref().is_some_and(|issued| issued.is_good(now));
    match &entry.status {
        _ if good && !entry.hosts.is_empty() => None,
        Status::Pending => Some("the first answer of the cloud is awaited".to_owned()),
        Status::Failing(trouble) => Some(format!("{} (since {})", trouble.failure, trouble.since)),
        Status::Expired { since, trouble: Some(trouble) } => {
            Some(format!("the credential expired at {since}: {}", trouble.failure))
        }
        Status::Expired { since, trouble: None } => {
            Some(format!("the credential expired at {since}, and there is no other yet"))
        }
        Status::Valid if good => Some("there is no host for the credential: list \"domains\"".to_owned()),
        Status::Valid => Some("the credential has just expired, and there is no other yet".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::mint_once;
    use crate::broker::testing::{FakeCloud, HOUR, SECOND, TestClock, error, registry};
    use crate::clock::Clock as _;
    use crate::cloud::Reason;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_makes_no_round_is_named() {
        let health = Health::new();
        let watch = health.heartbeat("watch of namespaces", 30 * SECOND);
        let renewal = health.heartbeat("renewal of the lease", 30 * SECOND);
        tokio::time::advance(20 * SECOND).await;
        renewal.beat();
        assert!(health.livez(Instant::now()).ok);
        tokio::time::advance(20 * SECOND).await;
        let report = health.livez(Instant::now());
        assert!(!report.ok);
        assert_eq!(
            report.body,
            "stuck\n✗ watch of namespaces: made no round for 40 s, 30 s is the limit\n✓ renewal of the lease\n"
        );
        drop(watch);
        assert!(health.livez(Instant::now()).ok, "a loop that ended is not stuck");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_comes_first_and_in_words() {
        let health = Health::new();
        let configured = health.gate("configured", "no configuration was read yet");
        let synced = health.gate("synced", "the first list of namespaces is awaited");
        configured.open();
        assert_eq!(
            health.readyz(TestClock::new().now()).body,
            "not ready\n✗ synced: the first list of namespaces is awaited\n✓ configured\n\
             standby: another replica writes, or none does yet\n"
        );
        synced.open();
        health.show_leader(true);
        let report = health.readyz(TestClock::new().now());
        assert!(report.ok);
        assert_eq!(report.body, "ready\n✓ configured\n✓ synced\nleader: this replica writes\n");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_only_odd_is_said_and_does_not_make_it_unready() {
        let health = Health::new();
        health.note("policies", vec!["they select something else".to_owned()]);
        let report = health.readyz(TestClock::new().now());
        assert!(report.ok);
        assert!(
            report.body.starts_with("ready\n! policies: they select something else\n"),
            "{}",
            report.body
        );
        health.note("policies", Vec::new());
        assert!(!health.readyz(TestClock::new().now()).body.contains("policies"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_standby_is_ready() {
        let health = Health::new();
        health.show_leader(false);
        assert!(health.readyz(TestClock::new().now()).ok);
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_without_a_credential_makes_the_sidecar_unready_and_says_why() {
        let health = Health::new();
        let clock = TestClock::new();
        let cloud = Arc::new(FakeCloud::new());
        cloud.script().refusals.insert("cri-b", error(Reason::NotAuthorized));
        let registries = [registry("cri-a", &["a.example.com"]), registry("cri-b", &["b.example.com"])];
        health.show_registries(mint_once(cloud, Arc::new(TestClock::new()), registries.into()).await);
        let report = health.readyz(clock.now());
        assert!(!report.ok);
        let mut lines = report.body.lines();
        assert_eq!(lines.next(), Some("not ready"));
        let missing = lines.next().unwrap();
        assert!(
            missing.starts_with("✗ registry of cri-b: GetAuthorizationToken: not authorized"),
            "{missing}"
        );
        assert_eq!(lines.next(), Some("✓ registry of cri-a"));
        tokio::time::advance(2 * HOUR).await;
        assert!(
            health.readyz(clock.now()).body.contains("registry of cri-a: the credential has just expired"),
            "expiry counts before the broker has said so"
        );
    }
}
