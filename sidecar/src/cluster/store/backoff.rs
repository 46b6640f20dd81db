//! How long an object is left alone after a failure.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause; each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Credentials are renewed long before they expire, so a pause of at most this length does no harm.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// If another writer has left its changes alone for this long, it may have stopped: a repair before the end of the pause shows
/// it. Each such repair that is undone doubles the time.
const QUIET: Duration = Duration::from_secs(5);

/// After this long without a failure, all failures are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);

/// The recent failures, and until when nothing is tried.
#[derive(Debug, Default)]
pub struct WriteBackoff(Option<Box<State>>);

#[derive(Debug)]
struct State {
    count: u32,
    last: Instant,
    until: Instant,
    blocked: bool,
    /// The fight with another writer, if there is one.
    fight: Option<Fight>,
}

#[derive(Debug, Clone, Copy)]
struct Fight {
    /// When the other writer was last seen to write.
    seen: Instant,
    /// How many repairs before the end of a pause were undone.
    in_vain: u32,
}

impl WriteBackoff {
    /// Records a failure.
    pub fn strike(&mut self, now: Instant) {
        self.pause(now, Duration::ZERO, false);
    }

    /// Records that a change of another writer was repaired.
    pub fn repaired(&mut self, now: Instant) {
        let known = self.recent(now);
        let before = known.and_then(|state| state.fight).map_or(0, |fight| fight.in_vain);
        let was_early = known.is_some_and(|state| now < state.until);
        self.strike(now);
        if let Some(state) = &mut self.0 {
            state.fight = Some(Fight { seen: now, in_vain: (before + u32::from(was_early)).min(6) });
        }
    }

    /// Records that the other writer wrote again.
    pub fn seen(&mut self, now: Instant) {
        if let Some(fight) = self.0.as_mut().and_then(|state| state.fight.as_mut()) {
            fight.seen = now;
        }
    }

    /// Records that another writer was faster. That is no reason to wait, unless it happens repeatedly.
    pub fn race(&mut self, now: Instant) {
        self.repaired(now);
        if let Some(state) = self.0.as_mut().filter(|state| state.count <= 2) {
            state.until = now;
        }
    }

    /// Records a failure that should not be retried for this long. If a server, such as a load balancer in front of an API
    /// server, asks for more than the longest pause, it is asked again after the longest pause.
    pub fn strike_for(&mut self, now: Instant, at_least: Duration) {
        self.pause(now, at_least.min(LONGEST_PAUSE), false);
    }

    /// Records a failure that cannot go away before the object is changed.
    pub fn block(&mut self, now: Instant) {
        self.pause(now, LONGEST_PAUSE, true);
    }

    /// Records that the object was changed.
    pub fn lift_block(&mut self) {
        if self.0.as_ref().is_some_and(|state| state.blocked) {
            self.0 = None;
        }
    }

    /// Returns for how long nothing is tried from now on.
    pub fn hold(&self, now: Instant) -> Duration {
        let Some(state) = &self.0 else { return Duration::ZERO };
        let quiet_at = state.fight.map(|Fight { seen, in_vain }| seen + QUIET * 2_u32.pow(in_vain));
        quiet_at.map_or(state.until, |quiet_at| quiet_at.min(state.until)).saturating_duration_since(now)
    }

    /// Returns the number of recent failures.
    pub fn count(&self) -> u32 {
        self.0.as_ref().map(|state| state.count).unwrap_or_default()
    }

    /// Returns what is not forgotten yet.
    fn recent(&self, now: Instant) -> Option<&State> {
        let state = self.0.as_deref()?;
        (now.saturating_duration_since(state.last) < FORGOTTEN_AFTER).then_some(state)
    }

    fn pause(&mut self, now: Instant, at_least: Duration, blocked: bool) {
        let count = self.recent(now).map(|state| state.count).unwrap_or_default().saturating_add(1);
        // 2^9 s is more than the longest pause.
        let pause = (FIRST_PAUSE * 2_u32.pow((count - 1).min(9))).min(LONGEST_PAUSE).max(at_least);
        self.0 = Some(Box::new(State { count, last: now, until: now + pause, blocked, fight: None }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_ask_for_more_than_the_longest_pause() {
        let (mut backoff, now) = (WriteBackoff::default(), Instant::now());
        backoff.strike_for(now, Duration::from_secs(30));
        assert_eq!(backoff.hold(now), Duration::from_secs(30));
        backoff.strike_for(now, Duration::from_hours(24));
        assert_eq!(backoff.hold(now), LONGEST_PAUSE);
    }

    #[test]
    fn pauses_grow_to_five_minutes_and_are_forgotten_after_a_quiet_time() {
        let (mut backoff, mut now) = (WriteBackoff::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..11 {
            backoff.strike(now);
            let pause = backoff.hold(now);
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.hold(now), Duration::ZERO);
        backoff.strike(now + FORGOTTEN_AFTER);
        assert_eq!(backoff.count(), 1);
    }

    /// Simulates another writer that changes the Secret as soon as it was repaired, until that writer stops. Returns the pauses.
    fn fight(backoff: &mut WriteBackoff, now: &mut Instant, repairs: u32) -> Vec<u64> {
        let pauses = (0..repairs).map(|_| {
            backoff.repaired(*now);
            backoff.seen(*now);
            let pause = backoff.hold(*now);
            *now += pause;
            pause.as_secs()
        });
        pauses.collect()
    }

    #[test]
    fn a_fight_with_somebody_who_only_answers_is_backed_off() {
        let (mut backoff, mut now) = (WriteBackoff::default(), Instant::now());
        assert_eq!(fight(&mut backoff, &mut now, 12), [1, 2, 4, 5, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn a_fight_is_forgotten_after_a_quiet_time_as_all_is() {
        let (mut backoff, mut now) = (WriteBackoff::default(), Instant::now());
        fight(&mut backoff, &mut now, 12);
        now += FORGOTTEN_AFTER;
        assert_eq!(fight(&mut backoff, &mut now, 5), [1, 2, 4, 5, 10]);
    }

    #[test]
    fn somebody_who_writes_without_a_break_is_waited_for_to_the_end_of_the_pause_and_no_longer_once_he_stops()
    {
        let (mut backoff, mut now) = (WriteBackoff::default(), Instant::now());
        for _ in 0..6 {
            backoff.repaired(now);
            while !backoff.hold(now).is_zero() {
                backoff.seen(now);
                now += Duration::from_millis(100);
            }
        }
        backoff.repaired(now);
        backoff.seen(now);
        assert_eq!(backoff.hold(now), QUIET, "the pause itself is {:?}", FIRST_PAUSE * 64);
    }

    #[test]
    fn what_failed_for_another_reason_is_not_tried_earlier() {
        let (mut backoff, now) = (WriteBackoff::default(), Instant::now());
        backoff.repaired(now);
        backoff.strike_for(now, Duration::from_mins(1));
        backoff.seen(now);
        assert_eq!(backoff.hold(now), Duration::from_mins(1));
    }

    #[test]
    fn a_block_ends_when_what_is_there_changes() {
        let (mut backoff, now) = (WriteBackoff::default(), Instant::now());
        backoff.block(now);
        assert_eq!(backoff.hold(now), LONGEST_PAUSE);
        backoff.lift_block();
        assert_eq!(backoff.hold(now), Duration::ZERO);
        backoff.strike(now);
        backoff.lift_block();
        assert_eq!(backoff.hold(now), FIRST_PAUSE, "what only has to wait still waits");
    }
}
