//! A clock that tests move.

use jiff::{SignedDuration, Timestamp};

/// The cloud's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    offset: SignedDuration,
    frozen: Option<Timestamp>,
}

impl Clock {
    /// A clock that shows this time, or the machine's, and runs.
    #[must_use]
    pub fn starting_at(start: Option<Timestamp>) -> Self {
        let offset = start.map_or(SignedDuration::ZERO, |start| start.duration_since(Timestamp::now()));
        Self { offset, frozen: None }
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.frozen.unwrap_or_else(|| Timestamp::now().saturating_add(self.offset).unwrap_or(Timestamp::MAX))
    }

    /// Moves it, and lets it run or stand as before.
    pub fn set(&mut self, to: Timestamp) {
        match &mut self.frozen {
            Some(frozen) => *frozen = to,
            None => self.offset = to.duration_since(Timestamp::now()),
        }
    }

    /// Moves it by so much, back if negative.
    pub fn advance(&mut self, by: SignedDuration) {
        let to = self.now().saturating_add(by).unwrap_or(Timestamp::MAX);
        self.set(to);
    }

    /// Stops it where it stands, or lets it run on from there.
    pub fn freeze(&mut self, frozen: bool) {
        let now = self.now();
        self.frozen = frozen.then_some(now);
        self.set(now);
    }
}
