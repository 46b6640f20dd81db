//! Time, as a parameter.

use std::fmt::Debug;

use jiff::Timestamp;
use tokio::time::Instant;

/// Both clocks at one moment: the wall clock, which can be stepped, and the monotonic one, which can be suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// The monotonic clock; tests pause and advance it with `tokio::time`.
    pub monotonic: Instant,
}

/// The source of time.
pub trait Clock: Debug + Send + Sync {
    /// Reads the wall clock.
    fn wall(&self) -> Timestamp;

    /// Reads both clocks.
    fn now(&self) -> Moment {
        Moment { wall: self.wall(), monotonic: Instant::now() }
    }
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}
