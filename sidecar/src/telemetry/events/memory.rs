//! Remembers which Events were sent recently, and how many. This module is pure.
//!
//! Tenants cause Events about their own objects. Each namespace has its own budget, and all namespaces together have one; Events
//! about the sidecar's own objects have another budget. Therefore a flood in one namespace cannot silence the others.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::metrics::EventOutcome;

/// The same Event is not sent again within this time.
const SILENCE: Duration = Duration::from_mins(10);

/// The budget of one namespace: a burst of this many Events, and then one in each interval.
const OF_ONE: Budget = Budget { burst: 5, refill: Duration::from_mins(1) };

/// The budget of all namespaces together: Events about ten thousand namespaces must not burden the API server.
const OF_ALL: Budget = Budget { burst: 50, refill: Duration::from_secs(1) };

/// The budget of the sidecar's own objects.
const OF_OURS: Budget = OF_ALL;

/// The group of people that an Event concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Concern {
    /// The administrator: the Event is about an object of the sidecar.
    Ours,
    /// The people who work in this namespace.
    Namespace(Box<str>),
}

/// The recent Events. Its size is limited by the bursts and the refills within the silence.
#[derive(Debug, Default)]
pub(super) struct Memory {
    said: HashMap<String, Instant>,
    ours: Spent,
    all: Spent,
    namespaces: HashMap<Box<str>, Spent>,
}

struct Budget {
    burst: u32,
    refill: Duration,
}

/// When the whole burst is available again.
#[derive(Debug, Default, Clone, Copy)]
struct Spent(Option<Instant>);

impl Memory {
    /// Admits an Event, which counts as written from now on, or returns why it is not written.
    pub(super) fn admit(&mut self, concern: &Concern, key: &str, now: Instant) -> Result<(), EventOutcome> {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < SILENCE;
        if self.said.get(key).is_some_and(is_recent) {
            return Err(EventOutcome::Repeated);
        }
        let is_within = match concern {
            Concern::Ours => self.ours.spend(&OF_OURS, now),
            Concern::Namespace(namespace) => {
                self.namespaces.retain(|_, spent| spent.0.is_some_and(|whole_at| whole_at > now));
                let own = self.namespaces.entry(namespace.clone()).or_default();
                // An Event that one namespace's budget refuses costs the others nothing.
                own.clone().spend(&OF_ONE, now) && self.all.spend(&OF_ALL, now) && own.spend(&OF_ONE, now)
            }
        };
        if !is_within {
            return Err(EventOutcome::Dropped);
        }
        self.said.retain(|_, at| is_recent(at));
        self.said.insert(key.to_owned(), now);
        Ok(())
    }

    /// Forgets an Event that was not written after all.
    pub(super) fn forget(&mut self, key: &str) {
        self.said.remove(key);
    }
}

impl Spent {
    /// Spends one Event, if the budget allows it.
    fn spend(&mut self, budget: &Budget, now: Instant) -> bool {
        let whole_at = self.0.map_or(now, |at| at.max(now)) + budget.refill;
        let is_within = whole_at <= now + budget.refill * budget.burst;
        if is_within {
            self.0 = Some(whole_at);
        }
        is_within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(namespace: &str) -> Concern {
        Concern::Namespace(namespace.into())
    }

    /// Returns how many of a thousand different Events may be written.
    fn flood(memory: &mut Memory, concern: &Concern, now: Instant) -> usize {
        let admitted = (0..1000).map(|n| memory.admit(concern, &format!("{concern:?} {now:?} {n}"), now));
        admitted.flatten().count()
    }

    #[test]
    fn the_same_is_said_once_in_ten_minutes() {
        let mut memory = Memory::default();
        let start = Instant::now();
        let mut admit =
            |key, seconds| memory.admit(&Concern::Ours, key, start + Duration::from_secs(seconds));
        assert_eq!(admit("a", 0), Ok(()));
        assert_eq!(admit("a", 599), Err(EventOutcome::Repeated));
        assert_eq!(admit("b", 599), Ok(()));
        assert_eq!(admit("a", 600), Ok(()));
        assert_eq!(memory.said.len(), 2);
    }

    #[test]
    fn what_could_not_be_written_may_be_said_again() {
        let mut memory = Memory::default();
        let now = Instant::now();
        assert_eq!(memory.admit(&Concern::Ours, "a", now), Ok(()));
        memory.forget("a");
        assert_eq!(memory.admit(&Concern::Ours, "a", now), Ok(()));
    }

    #[test]
    fn a_flood_about_the_sidecar_is_cut_to_a_burst_and_then_one_a_second() {
        let mut memory = Memory::default();
        let start = Instant::now();
        assert_eq!(flood(&mut memory, &Concern::Ours, start), 50);
        assert_eq!(flood(&mut memory, &Concern::Ours, start + Duration::from_secs(7)), 7);
        assert_eq!(flood(&mut memory, &Concern::Ours, start + Duration::from_hours(1)), 50);
    }

    #[test]
    fn noise_of_one_namespace_silences_nobody_else() {
        let mut memory = Memory::default();
        let start = Instant::now();
        assert_eq!(flood(&mut memory, &of("noisy"), start), 5);
        assert_eq!(memory.admit(&of("other"), "other", start), Ok(()));
        assert_eq!(memory.admit(&Concern::Ours, "ours", start), Ok(()));
        assert_eq!(flood(&mut memory, &of("noisy"), start + Duration::from_mins(2)), 2);
    }

    #[test]
    fn a_thousand_noisy_namespaces_leave_the_sidecars_own_budget_alone_and_are_forgotten() {
        let mut memory = Memory::default();
        let start = Instant::now();
        let written: usize = (0..1000).map(|n| flood(&mut memory, &of(&format!("noisy-{n}")), start)).sum();
        assert_eq!(written, 50);
        assert_eq!(flood(&mut memory, &Concern::Ours, start), 50);
        flood(&mut memory, &of("later"), start + Duration::from_hours(1));
        assert_eq!((memory.namespaces.len(), memory.said.len()), (1, 5));
    }
}
