//! How long something is left alone after it went wrong.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Credentials are renewed long before they expire, so a pause that ends within this does no harm.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// After so long without a strike, all is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);

/// What went wrong of late, and until when nothing is tried.
#[derive(Debug, Default)]
pub struct Strikes(Option<Box<State>>);

#[derive(Debug)]
struct State {
    count: u32,
    last: Instant,
    until: Instant,
    blocked: bool,
}

impl Strikes {
    /// Something went wrong once more.
    pub fn strike(&mut self, now: Instant) {
        self.pause(now, Duration::ZERO, false);
    }

    /// Somebody else was faster. That is no reason to wait, unless it happens again and again.
    pub fn race(&mut self, now: Instant) {
        self.strike(now);
        if let Some(state) = self.0.as_mut().filter(|state| state.count <= 2) {
            state.until = now;
        }
    }

    /// Something went wrong once more, and should not be tried again before that time. Whoever asks for more than the
    /// longest pause, such as a load balancer in front of an API server, is asked again after that.
    pub fn strike_for(&mut self, now: Instant, at_least: Duration) {
        self.pause(now, at_least.min(LONGEST_PAUSE), false);
    }

    /// It cannot go right before what is there is changed.
    pub fn block(&mut self, now: Instant) {
        self.pause(now, LONGEST_PAUSE, true);
    }

    /// What is there was changed.
    pub fn lift_block(&mut self) {
        if self.0.as_ref().is_some_and(|state| state.blocked) {
            self.0 = None;
        }
    }

    /// How long nothing is tried from now on.
    #[must_use]
    pub fn hold(&self, now: Instant) -> Duration {
        self.0.as_ref().map(|state| state.until.saturating_duration_since(now)).unwrap_or_default()
    }

    /// How often something went wrong of late.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.as_ref().map(|state| state.count).unwrap_or_default()
    }

    fn pause(&mut self, now: Instant, at_least: Duration, blocked: bool) {
        let known = self.0.take().filter(|state| now.saturating_duration_since(state.last) < FORGOTTEN_AFTER);
        let count = known.map(|state| state.count).unwrap_or_default().saturating_add(1);
        // 2^9 s is more than the longest pause.
        let pause = (FIRST_PAUSE * 2_u32.pow((count - 1).min(9))).min(LONGEST_PAUSE).max(at_least);
        self.0 = Some(Box::new(State { count, last: now, until: now + pause, blocked }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_ask_for_more_than_the_longest_pause() {
        let (mut strikes, now) = (Strikes::default(), Instant::now());
        strikes.strike_for(now, Duration::from_secs(30));
        assert_eq!(strikes.hold(now), Duration::from_secs(30));
        strikes.strike_for(now, Duration::from_hours(24));
        assert_eq!(strikes.hold(now), LONGEST_PAUSE);
    }

    #[test]
    fn pauses_grow_to_five_minutes_and_are_forgotten_after_a_quiet_time() {
        let (mut strikes, mut now) = (Strikes::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..11 {
            strikes.strike(now);
            let pause = strikes.hold(now);
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(strikes.hold(now), Duration::ZERO);
        strikes.strike(now + FORGOTTEN_AFTER);
        assert_eq!(strikes.count(), 1);
    }

    #[test]
    fn a_block_ends_when_what_is_there_changes() {
        let (mut strikes, now) = (Strikes::default(), Instant::now());
        strikes.block(now);
        assert_eq!(strikes.hold(now), LONGEST_PAUSE);
        strikes.lift_block();
        assert_eq!(strikes.hold(now), Duration::ZERO);
        strikes.strike(now);
        strikes.lift_block();
        assert_eq!(strikes.hold(now), FIRST_PAUSE, "what only has to wait still waits");
    }
}
