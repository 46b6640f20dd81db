//! Decides when a credential is renewed, when it has expired, and how long to wait after a failure. This module is
//! pure: the time and the random numbers are parameters.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::Timestamp;

use crate::clock::Moment;

/// The least time between two mints of one credential, even if the cloud issues credentials with very short lives.
pub(super) const LEAST_GAP: Duration = Duration::from_mins(1);

/// The longest wait. A step of the wall clock wakes no task, so the clock is checked this often.
pub(super) const LONGEST_NAP: Duration = Duration::from_secs(30);

/// The limit for the wait that the cloud asks for: an hour is the usual life of a credential.
const LONGEST_HINT: Duration = Duration::from_hours(1);

/// The clocks of two machines may differ by this much before one replica distrusts the records of the other.
const TOLERANCE: Duration = Duration::from_mins(1);

/// The backoff of later retries. The cloud client has already retried failures that pass within seconds.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_secs(5))
    .with_factor(2.0)
    .with_max_delay(Duration::from_mins(5))
    .without_max_times();

/// A number from 0 to 1. It keeps replicas and credentials from acting at the same time.
pub(super) type Jitter = f64;

/// The life of a credential, on both clocks.
///
/// The wall clock can be stepped, and the monotonic clock does not advance while the machine is suspended. The clock
/// that shows less remaining time is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    expires: Moment,
    life: Duration,
}

impl Term {
    /// Returns the term of a credential that arrives now; `None` if it has expired on the way.
    ///
    /// Its life is computed with the wall clock. The API refuses a clock that is off by more than 15 minutes. Of a
    /// credential that lasts an hour, the last 20 minutes are for renewal, so an error that the API accepts is
    /// harmless.
    pub fn starting(now: Moment, expires_at: Timestamp) -> Option<Self> {
        Self::resumed(now, now.wall, expires_at)
    }

    /// Returns the term of a credential from a record of an earlier process. Returns `None` if the credential has
    /// expired, or if it was issued in the future: then the wall clock has been set back, and the remaining time is
    /// unknown.
    pub fn resumed(now: Moment, issued_at: Timestamp, expires_at: Timestamp) -> Option<Self> {
        let life = span(issued_at, expires_at);
        let left = span(now.wall, expires_at).min(life);
        if left.is_zero() || span(now.wall, issued_at) > TOLERANCE {
            return None;
        }
        Some(Self { expires: Moment { wall: expires_at, monotonic: now.monotonic + left }, life })
    }

    /// Returns the remaining time, on the clock that shows less; zero once it has expired.
    pub fn left(&self, now: Moment) -> Duration {
        let on_the_wall = span(now.wall, self.expires.wall);
        on_the_wall.min(self.expires.monotonic.saturating_duration_since(now.monotonic))
    }

    /// Returns the time until the renewal is due; zero once it is due.
    pub(super) fn until_due(&self, now: Moment, threshold: Duration, jitter: Jitter) -> Duration {
        let left_when_due = self.life.saturating_sub(due(self.life, threshold, jitter));
        self.left(now).saturating_sub(left_when_due)
    }
}

/// Returns how long after its issue a credential with this life is due. It is due once less than `threshold` is left,
/// but not in the first third of its life, and at two thirds of its life at the latest. Jitter makes this earlier by up
/// to a twentieth of the life.
pub(super) fn due(life: Duration, threshold: Duration, jitter: Jitter) -> Duration {
    let third = life / 3;
    let wanted = third.max(life.saturating_sub(threshold).min(2 * third));
    wanted.saturating_sub(scaled(life / 20, jitter)).max(LEAST_GAP)
}

/// Returns how long to wait after this many failures in a row. The step grows exponentially up to 5 minutes, and the
/// wait is between half of the step and all of it. It is longer if the cloud asks for that.
pub(super) fn retry_delay(failures: u32, hint: Option<Duration>, jitter: Jitter) -> Duration {
    // The step does not grow beyond this number of failures.
    let steps = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(16);
    let step = BACKOFF.build().nth(steps).unwrap_or(LONGEST_NAP);
    let delay = step.saturating_sub(scaled(step / 2, jitter));
    delay.max(hint.unwrap_or_default().min(LONGEST_HINT))
}

/// Returns the time from one time of the wall clock to a later one; zero if it is not later.
fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

fn scaled(most: Duration, jitter: Jitter) -> Duration {
    Duration::try_from_secs_f64(most.as_secs_f64() * jitter).unwrap_or_default().min(most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const HOUR: Duration = Duration::from_hours(1);

    fn epoch() -> Moment {
        Moment { wall: "2026-11-24T20:00:00Z".parse().unwrap(), monotonic: Instant::now() }
    }

    fn later(from: Moment, wall: Duration, monotonic: Duration) -> Moment {
        Moment { wall: from.wall + wall, monotonic: from.monotonic + monotonic }
    }

    #[track_caller]
    fn check_due(life_minutes: u32, threshold_minutes: u32, expected_minutes: u32) {
        assert_eq!(due(life_minutes * MINUTE, threshold_minutes * MINUTE, 0.0), expected_minutes * MINUTE);
    }

    #[test]
    fn a_refresh_is_due_at_the_threshold_within_the_second_third_of_the_life() {
        check_due(60, 30, 30);
        check_due(60, 15, 40);
        check_due(60, 55, 20);
        check_due(720, 15, 480);
        check_due(15, 15, 5);
        check_due(2, 15, 1);
    }

    #[test]
    fn jitter_makes_a_refresh_up_to_a_twentieth_of_the_life_earlier() {
        assert_eq!(due(HOUR, 15 * MINUTE, 1.0), 37 * MINUTE);
        assert_eq!(due(HOUR, 15 * MINUTE, 0.5), 38 * MINUTE + MINUTE / 2);
    }

    #[test]
    fn the_clock_that_says_less_is_believed() {
        let start = epoch();
        let term = Term::starting(start, start.wall + HOUR).unwrap();
        let left = |wall, monotonic| term.left(later(start, wall, monotonic));
        assert_eq!(left(MINUTE, MINUTE), 59 * MINUTE);
        assert_eq!(left(50 * MINUTE, MINUTE), 10 * MINUTE, "suspended, or stepped forward");
        assert_eq!(left(MINUTE, 50 * MINUTE), 10 * MINUTE, "stepped back");
        assert_eq!(left(HOUR, MINUTE), Duration::ZERO);
        assert_eq!(left(MINUTE, HOUR), Duration::ZERO);
    }

    #[test]
    fn a_credential_that_has_expired_has_no_term() {
        let now = epoch();
        assert_eq!(Term::starting(now, now.wall), None);
        assert_eq!(Term::resumed(now, now.wall - 2 * HOUR, now.wall - HOUR), None);
    }

    #[test]
    fn a_resumed_term_goes_on_where_it_was() {
        let now = epoch();
        let term = Term::resumed(now, now.wall - 20 * MINUTE, now.wall + 40 * MINUTE).unwrap();
        assert_eq!(term.left(now), 40 * MINUTE);
        assert_eq!(term.until_due(now, 15 * MINUTE, 0.0), 20 * MINUTE);
    }

    #[test]
    fn a_record_from_the_future_is_not_resumed() {
        let now = epoch();
        assert!(Term::resumed(now, now.wall + Duration::from_secs(1), now.wall + HOUR).is_some());
        assert_eq!(Term::resumed(now, now.wall + 2 * HOUR, now.wall + 3 * HOUR), None);
    }

    #[test]
    fn retries_back_off_up_to_five_minutes_without_end() {
        let delays = [1, 2, 3, 4, 5, 6, 7, 8, 1000, u32::MAX].map(|n| retry_delay(n, None, 0.0).as_secs());
        assert_eq!(delays, [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]);
        assert_eq!(retry_delay(1, None, 1.0), Duration::from_millis(2500));
    }

    #[test]
    fn a_hint_of_the_cloud_lengthens_the_wait_but_not_beyond_an_hour() {
        assert_eq!(retry_delay(1, Some(MINUTE), 0.5), MINUTE);
        assert_eq!(retry_delay(9, Some(MINUTE), 0.0), 5 * MINUTE);
        assert_eq!(retry_delay(1, Some(100 * HOUR), 0.5), HOUR);
    }

    proptest! {
        #[test]
        fn a_refresh_is_due_after_the_least_gap_and_before_expiry(
            life in 121_u64..200_000, threshold in 0_u64..200_000, jitter in 0.0..=1.0,
        ) {
            let life = Duration::from_secs(life);
            let due = due(life, Duration::from_secs(threshold), jitter);
            prop_assert!(due >= LEAST_GAP);
            prop_assert!(due < life);
            prop_assert!(due <= (life / 3 * 2).max(LEAST_GAP), "two tries fit in before expiry");
        }

        #[test]
        fn a_longer_life_a_smaller_threshold_or_less_jitter_is_never_due_earlier(
            life in 0_u64..200_000, more in 0_u64..10_000, threshold in 0_u64..100_000, jitter in 0.0..=1.0,
        ) {
            let secs = Duration::from_secs;
            let base = due(secs(life), secs(threshold), jitter);
            // For each second of life, the two thirds grow faster than the jitter's twentieth.
            prop_assert!(due(secs(life + more), secs(threshold), jitter) >= base);
            prop_assert!(due(secs(life), secs(threshold + more), jitter) <= base);
            prop_assert!(due(secs(life), secs(threshold), jitter / 2.0) >= base);
        }

        #[test]
        fn a_term_never_outlives_its_expiry_on_either_clock(
            life in 1_u64..100_000, wall in -200_000_i64..200_000, monotonic in 0_u64..200_000,
        ) {
            let start = epoch();
            let life = Duration::from_secs(life);
            let term = Term::starting(start, start.wall + life).unwrap();
            let now = Moment {
                wall: start.wall + jiff::SignedDuration::from_secs(wall),
                monotonic: start.monotonic + Duration::from_secs(monotonic),
            };
            let expired = now.wall >= start.wall + life || now.monotonic >= start.monotonic + life;
            prop_assert_eq!(term.left(now).is_zero(), expired);
            prop_assert!(term.until_due(now, MINUTE, 0.0) <= term.left(now));
        }

        #[test]
        fn a_retry_waits_between_two_seconds_and_five_minutes(failures: u32, jitter in 0.0..=1.0) {
            let delay = retry_delay(failures, None, jitter);
            prop_assert!(delay >= Duration::from_secs(2) && delay <= 5 * MINUTE);
        }
    }
}
