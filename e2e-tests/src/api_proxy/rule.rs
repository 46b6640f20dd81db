//! What goes wrong, for which calls, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio::time::timeout;

use super::calls::{Call, Calls};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The API server does not hear of it, and this is the answer, worded as the API server words it.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// The header `Retry-After`, in seconds.
        retry_after: Option<u32>,
    },
    /// The API server does not hear of it, and a watch is told that its place in the history is gone.
    Outdate,
    /// It is passed on so much later.
    Delay(Duration),
    /// It is passed on when the rule is lifted.
    Hold,
    /// It is passed on, and the answer comes when the rule is lifted.
    HoldAnswer,
    /// It is passed on, and instead of the answer comes the end of the connection.
    LoseAnswer,
}

/// A fault, and the calls that it meets.
#[derive(Debug, Clone)]
pub struct Rule {
    calls: Calls,
    fault: Fault,
    spared: u32,
    times: u32,
}

impl Rule {
    /// For all such calls, until it is lifted.
    #[must_use]
    pub fn new(calls: Calls, fault: Fault) -> Self {
        Self { calls, fault, spared: 0, times: u32::MAX }
    }

    /// Spares the first ones.
    #[must_use]
    pub fn after(self, spared: u32) -> Self {
        Self { spared, ..self }
    }

    /// Meets so many and no more.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }
}

/// A rule that was set.
#[derive(Debug, Clone)]
pub struct Set(Arc<State>);

#[derive(Debug)]
struct State {
    rule: Rule,
    /// Calls that matched.
    seen: AtomicU32,
    /// Calls that it met.
    met: watch::Sender<u32>,
    lifted: watch::Sender<bool>,
}

impl Set {
    pub(super) fn new(rule: Rule) -> Self {
        Self(Arc::new(State {
            rule,
            seen: AtomicU32::new(0),
            met: watch::Sender::default(),
            lifted: watch::Sender::default(),
        }))
    }

    /// How many calls it has met.
    #[must_use]
    pub fn met(&self) -> u32 {
        *self.0.met.borrow()
    }

    /// Waits until it has met so many calls.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until_met(&self, times: u32, patience: Duration) -> Result<()> {
        let mut met = self.0.met.subscribe();
        let waited = timeout(patience, met.wait_for(|met| *met >= times)).await;
        waited.with_context(|| format!("{:?} met {} calls, not {times}", self.0.rule, self.met()))?.ok();
        Ok(())
    }

    /// Ends it: from now on it meets no call, and those that it holds go on.
    pub fn lift(&self) {
        self.0.lifted.send_replace(true);
    }

    pub(super) fn fault(&self) -> Fault {
        self.0.rule.fault
    }

    /// Counts a call, if the rule is for it, and tells whether it meets it.
    pub(super) fn takes(&self, call: &Call) -> bool {
        let State { rule, seen, met, lifted } = &*self.0;
        if *lifted.borrow() || !rule.calls.include(call) {
            return false;
        }
        let before = seen.fetch_add(1, Ordering::Relaxed);
        before >= rule.spared && before - rule.spared < rule.times && {
            met.send_modify(|met| *met += 1);
            true
        }
    }

    pub(super) async fn until_lifted(&self) {
        // The sender is a neighbour, so it does not go away.
        self.0.lifted.subscribe().wait_for(|lifted| *lifted).await.ok();
    }
}
