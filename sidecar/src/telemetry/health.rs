//! `/livez` and `/readyz`: does the process make progress, and does it do its work?
//!
//! Liveness is only about the loops of this process. Problems that a restart cannot fix (the cloud, the API server, a mistake in
//! the configuration) affect readiness, which states in words what is missing.
//!
//! Every client that reaches the port can read both pages: they contain counts and reasons, and no name of anything in the
//! cluster or the cloud. The names are in the log, and in Events about the ConfigMap, which `status` shows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::{RegistryState, Snapshot, Status};
use crate::clock::Moment;

/// The last line, if something is wrong.
const MORE: &str = "for details, see the log or run `acr-credential-sidecar status`\n";

/// The health of the whole process.
#[derive(Debug, Default)]
pub struct Health(Mutex<Conditions>);

#[derive(Debug, Default)]
struct Conditions {
    loops: BTreeMap<&'static str, Beat>,
    gates: BTreeMap<&'static str, Option<String>>,
    notes: BTreeMap<&'static str, String>,
    snapshot: Arc<Snapshot>,
    is_leader: bool,
}

#[derive(Debug, Clone, Copy)]
struct Beat {
    last: Instant,
    limit: Duration,
}

/// Reports the rounds of a loop. The loop is no longer watched when this is dropped: a loop that ends on purpose does not hang.
#[derive(Debug)]
pub struct Heartbeat {
    health: Arc<Health>,
    name: &'static str,
}

/// One condition for the sidecar to be ready.
#[derive(Debug, Clone)]
pub struct Gate {
    health: Arc<Health>,
    name: &'static str,
}

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbePage {
    /// Whether all conditions are met.
    pub ok: bool,
    /// One line for each condition that was checked; unmet conditions come first.
    pub body: String,
}

impl Health {
    /// Creates an empty state: no loop runs yet, and there is no condition.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Watches a loop that makes a round within `limit` when it works, whatever it waits for.
    pub fn heartbeat(self: &Arc<Self>, name: &'static str, limit: Duration) -> Heartbeat {
        self.conditions().loops.insert(name, Beat { last: Instant::now(), limit });
        Heartbeat { health: Arc::clone(self), name }
    }

    /// Adds a condition. It is not met until [`Gate::open`] is called: `missing` states what is missing.
    pub fn gate(self: &Arc<Self>, name: &'static str, missing: impl Into<String>) -> Gate {
        self.show(name, Some(&missing.into()));
        Gate { health: Arc::clone(self), name }
    }

    /// Sets a condition that may change repeatedly: `missing` states what is missing, and is `None` if the condition is met.
    pub fn show(&self, name: &'static str, missing: Option<&str>) {
        self.conditions().gates.insert(name, missing.map(str::to_owned));
    }

    /// Sets a warning about a problem that does not keep the sidecar from doing its work; `None` removes the warning.
    pub fn note(&self, name: &'static str, wrong: Option<String>) {
        let mut conditions = self.conditions();
        match wrong {
            Some(wrong) => conditions.notes.insert(name, wrong),
            None => conditions.notes.remove(name),
        };
    }

    /// Sets the status of the registries; together they are one condition.
    pub fn show_registries(&self, snapshot: Arc<Snapshot>) {
        self.conditions().snapshot = snapshot;
    }

    /// Sets whether this replica writes. A standby is as ready as the leader.
    pub fn show_leader(&self, is_leader: bool) {
        self.conditions().is_leader = is_leader;
    }

    /// Returns whether all loops make progress.
    pub fn livez(&self, now: Instant) -> ProbePage {
        let conditions = self.conditions();
        let lines = conditions.loops.iter().map(|(name, Beat { last, limit })| {
            let silent = now.saturating_duration_since(*last);
            let stuck = (silent > *limit).then(|| {
                format!("has not run for {} s; the limit is {} s", silent.as_secs(), limit.as_secs())
            });
            ((*name).to_owned(), stuck)
        });
        ProbePage::new("alive", "stuck", lines.collect(), "")
    }

    /// Returns whether the sidecar does its work.
    pub fn readyz(&self, now: Moment) -> ProbePage {
        let conditions = self.conditions();
        let gates = conditions.gates.iter().map(|(name, missing)| ((*name).to_owned(), missing.clone()));
        let registries = (!conditions.snapshot.entries.is_empty())
            .then(|| ("registries".to_owned(), lacking(&conditions.snapshot.entries, now)));
        let mut footer = String::new();
        for (name, wrong) in &conditions.notes {
            push_line(&mut footer, '!', name, Some(wrong));
        }
        let disputed = conditions.snapshot.conflicts.len();
        if disputed > 0 {
            push_line(&mut footer, '!', "hosts", Some(&format!("disputed: {disputed}")));
        }
        let is_odd = !footer.is_empty();
        footer.push_str(if conditions.is_leader {
            "leader: this replica writes\n"
        } else {
            "standby: another replica writes, or none does yet\n"
        });
        let mut page = ProbePage::new("ready", "not ready", gates.chain(registries).collect(), &footer);
        if is_odd || !page.ok {
            page.body.push_str(MORE);
        }
        page
    }

    fn conditions(&self) -> MutexGuard<'_, Conditions> {
        // Every change of the conditions is one assignment, so they are complete even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heartbeat {
    /// Records that the loop made a round.
    pub fn beat(&self) {
        if let Some(beat) = self.health.conditions().loops.get_mut(self.name) {
            beat.last = Instant::now();
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.health.conditions().loops.remove(self.name);
    }
}

impl Gate {
    /// Marks the condition as met.
    pub fn open(&self) {
        self.health.show(self.name, None);
    }

    /// Marks the condition as not met. `missing` states the kind of problem, or its size, and contains no names.
    pub fn close(&self, missing: impl Into<String>) {
        self.health.show(self.name, Some(&missing.into()));
    }
}

impl ProbePage {
    fn new(ok: &str, not_ok: &str, mut lines: Vec<(String, Option<String>)>, footer: &str) -> Self {
        // Unmet conditions come first; otherwise the order does not change.
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

/// Returns how many registries Pods cannot pull from, and why.
fn lacking(entries: &[RegistryState], now: Moment) -> Option<String> {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in entries.iter().filter_map(|entry| lack_of(entry, now)) {
        *reasons.entry(reason).or_default() += 1;
    }
    let lacking: usize = reasons.values().sum();
    let reasons: Vec<_> = reasons.into_iter().map(|(reason, count)| format!("{reason} ({count})")).collect();
    (lacking > 0)
        .then(|| format!("{lacking} of {} cannot be pulled from: {}", entries.len(), reasons.join(", ")))
}

/// Returns why Pods cannot pull from a registry. A failure does not matter while the last credential is still good.
fn lack_of(entry: &RegistryState, now: Moment) -> Option<&'static str> {
    let good = entry.issued.as_ref().is_some_and(|issued| issued.is_good(now));
    if good && !entry.hosts.is_empty() {
        return None;
    }
    Some(match (entry.status.trouble(), &entry.status) {
        (Some(trouble), _) => trouble.failure.reason(),
        (None, Status::Pending) => "the cloud has not answered yet",
        (None, Status::Valid) if good => "NoHosts",
        // The broker has not noticed it yet, or has just asked again.
        (None, _) => "expired",
    })
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
            "stuck\n✗ watch of namespaces: has not run for 40 s; the limit is 30 s\n✓ renewal of the lease\n"
        );
        drop(watch);
        assert!(health.livez(Instant::now()).ok, "a loop that ended is not stuck");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_comes_first_and_in_words() {
        let health = Health::new();
        let configured = health.gate("configured", "no configuration was read yet");
        let synced = health.gate("synced", "the first list has not been read yet");
        configured.open();
        assert_eq!(
            health.readyz(TestClock::new().now()).body,
            "not ready\n✗ synced: the first list has not been read yet\n✓ configured\n\
             standby: another replica writes, or none does yet\n\
             for details, see the log or run `acr-credential-sidecar status`\n"
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
        health.note("policies", Some("they select something else".to_owned()));
        let report = health.readyz(TestClock::new().now());
        assert!(report.ok);
        assert!(
            report.body.starts_with("ready\n! policies: they select something else\n"),
            "{}",
            report.body
        );
        health.note("policies", None);
        assert!(!health.readyz(TestClock::new().now()).body.contains("policies"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_standby_is_ready() {
        let health = Health::new();
        health.show_leader(false);
        assert!(health.readyz(TestClock::new().now()).ok);
    }

    #[tokio::test(start_paused = true)]
    async fn registries_without_a_credential_make_the_sidecar_unready_and_are_counted_by_reason() {
        let health = Health::new();
        let clock = TestClock::new();
        let cloud = Arc::new(FakeCloud::new());
        let mut refusal = error(Reason::NotAuthorized);
        refusal.details.principal = Some("acs:ram::1000000000000001:role/puller".to_owned());
        cloud.script().refusals.insert("cri-b", refusal.clone());
        cloud.script().refusals.insert("cri-c", error(Reason::RoleNotFound));
        cloud.script().refusals.insert("cri-d", refusal);
        let registries = [
            registry("cri-a", &["a.example.com"]),
            registry("cri-b", &["b.example.com"]),
            registry("cri-c", &["c.example.com"]),
            registry("cri-d", &["d.example.com"]),
        ];
        health.show_registries(mint_once(cloud, Arc::new(TestClock::new()), registries.into()).await);
        let report = health.readyz(clock.now());
        assert!(!report.ok);
        let mut lines = report.body.lines();
        assert_eq!(lines.next(), Some("not ready"));
        let missing = "✗ registries: 3 of 4 cannot be pulled from: NotAuthorized (2), RoleNotFound (1)";
        assert_eq!(lines.next(), Some(missing));
        for name in ["cri-", "example.com", "puller", "1000000000000001", "GetAuthorizationToken"] {
            assert!(!report.body.contains(name), "{name} is on the page: {}", report.body);
        }
        tokio::time::advance(2 * HOUR).await;
        let missing = "4 of 4 cannot be pulled from: NotAuthorized (2), RoleNotFound (1), expired (1)";
        assert!(
            health.readyz(clock.now()).body.contains(missing),
            "expiry counts before the broker has said so"
        );
    }
}
