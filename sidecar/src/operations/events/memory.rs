//! What was said lately, and how much. Pure.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// The same is not said again within this time.
const SILENCE: Duration = Duration::from_mins(10);

/// So many may be written at once.
const BURST: u32 = 50;

/// And then one in this time: an API server that ten thousand namespaces have Events about is not to feel it.
const REFILL: Duration = Duration::from_secs(1);

/// What becomes of something that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Write,
    Repeated,
    TooMany,
}

/// What was written lately. Bounded, since no more than the burst and the refills of the silence are.
#[derive(Debug, Default)]
pub(super) struct Memory {
    said: HashMap<String, Instant>,
    /// When the burst will be whole again.
    whole_at: Option<Instant>,
}

impl Memory {
    /// Judges what is said now; what is to be written counts as said.
    pub(super) fn judge(&mut self, key: &str, now: Instant) -> Verdict {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < SILENCE;
        if self.said.get(key).is_some_and(is_recent) {
            return Verdict::Repeated;
        }
        let whole_at = self.whole_at.map_or(now, |at| at.max(now));
        if whole_at + REFILL > now + REFILL * BURST {
            return Verdict::TooMany;
        }
        self.whole_at = Some(whole_at + REFILL);
        self.said.retain(|_, at| is_recent(at));
        self.said.insert(key.to_owned(), now);
        Verdict::Write
    }

    /// It was not written after all.
    pub(super) fn forget(&mut self, key: &str) {
        self.said.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_in_ten_minutes() {
        let mut memory = Memory::default();
        let start = Instant::now();
        assert_eq!(memory.judge("a", start), Verdict::Write);
        assert_eq!(memory.judge("a", start + Duration::from_secs(599)), Verdict::Repeated);
        assert_eq!(memory.judge("b", start + Duration::from_secs(599)), Verdict::Write);
        assert_eq!(memory.judge("a", start + SILENCE), Verdict::Write);
        assert_eq!(memory.said.len(), 2);
    }

    #[test]
    fn what_could_not_be_written_may_be_said_again() {
        let mut memory = Memory::default();
        let now = Instant::now();
        assert_eq!(memory.judge("a", now), Verdict::Write);
        memory.forget("a");
        assert_eq!(memory.judge("a", now), Verdict::Write);
    }

    #[test]
    fn a_flood_is_cut_to_a_burst_and_then_one_a_second() {
        let mut memory = Memory::default();
        let start = Instant::now();
        let mut flood = |from: u32, now| {
            let verdicts = (from..from + 1000).map(|n| memory.judge(&n.to_string(), now));
            verdicts.filter(|verdict| *verdict == Verdict::Write).count()
        };
        assert_eq!(flood(0, start), 50);
        assert_eq!(flood(1000, start + Duration::from_secs(7)), 7);
        assert_eq!(flood(2000, start + Duration::from_hours(1)), 50);
    }
}
