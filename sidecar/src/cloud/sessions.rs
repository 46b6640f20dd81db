//! The sessions that are in use. Each session is obtained once, even if many registries need it at the same time.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::error::CloudError;
use super::keys::Session;
use super::sts::OidcRole;
use crate::clock::{Clock, Moment};
use crate::configuration::Identity;

/// The identity of a session: one for each step towards keys that needs a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum SessionKey {
    /// The keys of the node's RAM role.
    Metadata,
    /// A role assumed with the cluster's OIDC token.
    Oidc(OidcRole),
    /// The role that an identity assumes last, with other keys.
    Role(Identity),
}

impl SessionKey {
    /// Returns whether the session is still used. A credential does not live longer than its session, so a session of STS is kept
    /// only for the first tenth of its life. Keys of ECS metadata cannot be renewed; they are read again after a minute. Both
    /// clocks must agree, because one of them may have been stepped or suspended.
    fn keeps(&self, session: &Session, obtained: Moment, now: Moment) -> bool {
        let Some(expires_at) = session.expires_at else { return true };
        let by_wall = now.wall.duration_since(obtained.wall);
        let by_monotonic = now.monotonic.saturating_duration_since(obtained.monotonic);
        let by_monotonic = SignedDuration::try_from(by_monotonic).unwrap_or(SignedDuration::MAX);
        let most = match self {
            Self::Metadata => SignedDuration::from_mins(1),
            Self::Oidc(_) | Self::Role(_) => expires_at.duration_since(obtained.wall) / 10,
        };
        by_wall.max(by_monotonic) <= most && expires_at > now.wall
    }
}

/// The sessions that are in use.
#[derive(Debug)]
pub(super) struct Sessions {
    clock: Arc<dyn Clock>,
    slots: Mutex<HashMap<SessionKey, Arc<Slot>>>,
}

/// The place of one session. The task that obtains the session holds the lock; other tasks wait for the outcome.
type Slot = tokio::sync::Mutex<Option<Attempt>>;

/// The latest attempt to obtain a session.
#[derive(Debug)]
struct Attempt {
    began: Moment,
    ended: Instant,
    outcome: Result<Session, CloudError>,
}

impl Sessions {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, slots: Mutex::default() }
    }

    /// Returns the session of a key: the existing session while it is fresh, otherwise a new session from `obtain`. `obtain` is
    /// not run while the existing session is fresh.
    pub(super) async fn get(
        &self,
        key: SessionKey,
        obtain: impl Future<Output = Result<Session, CloudError>>,
    ) -> Result<Session, CloudError> {
        let asked = self.clock.now().monotonic;
        let slot = self.slot(key.clone());
        let mut latest = slot.lock().await;
        // The clock is read before the call, so that a slow response does not make the session look younger.
        let began = self.clock.now();
        match &*latest {
            Some(Attempt { began: obtained, outcome: Ok(session), .. })
                if key.keeps(session, *obtained, began) =>
            {
                return Ok(session.clone());
            }
            // This attempt failed after the session was requested, so it is not repeated: fifty registries with the same
            // broken identity make one failing call, and not fifty in sequence.
            Some(Attempt { ended, outcome: Err(error), .. }) if *ended > asked => return Err(error.clone()),
            _ => {}
        }
        let outcome = obtain.await.map(|session| Session { kept_as: Some(key), ..session });
        *latest = Some(Attempt { began, ended: self.clock.now().monotonic, outcome: outcome.clone() });
        outcome
    }

    /// Drops a session that an API refused, so that the next call obtains a new session. A session that another task has renewed
    /// in the meantime is kept. Returns whether to try again: keys that do not belong to a session would be the same.
    pub(super) async fn forget(&self, refused: &Session) -> bool {
        let Some(key) = &refused.kept_as else { return false };
        let Some(slot) = self.slots().get(key).cloned() else { return false };
        let mut latest = slot.lock().await;
        let Some(Attempt { outcome: Ok(session), .. }) = &*latest else { return false };
        if session.keys.id == refused.keys.id {
            *latest = None;
        }
        true
    }

    fn slot(&self, key: SessionKey) -> Arc<Slot> {
        let now = self.clock.now().wall;
        let mut slots = self.slots();
        // Sessions of identities that are no longer configured are removed when they have expired.
        slots.retain(|_, slot| Arc::strong_count(slot) > 1 || is_needed(slot, now));
        Arc::clone(slots.entry(key).or_default())
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<SessionKey, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_needed(slot: &Slot, now: Timestamp) -> bool {
    match slot.try_lock().as_deref() {
        Ok(Some(Attempt { outcome: Ok(session), .. })) => session.expires_at.is_none_or(|at| at > now),
        Ok(_) => false,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests;
