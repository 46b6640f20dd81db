//! Manages one credential: carries out what `state` decides, one call at a time.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::sleep;

use super::Minter;
use super::schedule::Jitter;
use super::snapshot::SnapshotPublisher;
use super::state::{Demand, State, Step};
use crate::clock::Clock;
use crate::credential::CredentialKey;

/// What a task needs.
pub(super) struct Task<M> {
    pub(super) key: Arc<CredentialKey>,
    pub(super) minter: Arc<M>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) jitter: fn() -> Jitter,
    pub(super) publisher: SnapshotPublisher,
}

impl<M: Minter> Task<M> {
    /// Keeps the credential fresh while a registry uses it.
    pub(super) async fn keep_fresh(self, mut state: State, mut demand: watch::Receiver<Demand>) {
        loop {
            self.look(&mut state);
            let wanted = *demand.borrow_and_update();
            match state.next(self.clock.now(), wanted) {
                Step::Mint => self.mint(&mut state).await,
                Step::Discover => self.discover(&mut state).await,
                Step::Wait(nap) => tokio::select! {
                    () = sleep(nap) => {}
                    changed = demand.changed() => if changed.is_err() { return },
                },
            }
        }
    }

    /// Mints once, and discovers once if hosts are needed.
    pub(super) async fn mint_once(self, needs_discovery: bool) {
        let mut state = State::default();
        self.mint(&mut state).await;
        if needs_discovery && state.report().issued.is_some() {
            self.discover(&mut state).await;
        }
        self.look(&mut state);
    }

    async fn mint(&self, state: &mut State) {
        let answer = self.answer(state, self.minter.credential(&self.key)).await;
        state.minted(answer, self.clock.now(), (self.jitter)());
    }

    async fn discover(&self, state: &mut State) {
        let answer = self.answer(state, self.minter.hosts(&self.key)).await;
        state.discovered(answer, self.clock.now(), (self.jitter)());
    }

    /// Waits for an answer, even a slow one, and keeps checking the clock: the credential can expire meanwhile.
    async fn answer<T>(&self, state: &mut State, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        loop {
            tokio::select! {
                answer = &mut call => return answer,
                () = sleep(state.nap(self.clock.now())) => self.look(state),
            }
        }
    }

    fn look(&self, state: &mut State) {
        state.drop_expired(self.clock.now());
        self.publisher.post(&self.key, &state.report());
    }
}
