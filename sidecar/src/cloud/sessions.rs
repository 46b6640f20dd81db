//! The sessions that are in use: each is obtained once, however many registries need it at the same time.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;

use super::error::CloudError;
use super::keys::Session;
use super::sts::OidcRole;
use crate::clock::{Clock, Moment};
use crate::configuration::Identity;

/// One step towards keys that takes a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum SessionKey {
    /// The keys of the node's RAM role.
    Metadata,
    /// A role assumed with the cluster's OIDC token.
    Oidc(OidcRole),
    /// The role that an identity assumes last, with other keys.
    Role(Identity),
}

/// The sessions that are in use.
#[derive(Debug)]
pub(super) struct Sessions {
    clock: Arc<dyn Clock>,
    slots: Mutex<HashMap<SessionKey, Arc<Slot>>>,
}

/// The place of one session. Whoever obtains it holds the lock; the others wait for the outcome.
#[derive(Debug, Default)]
struct Slot {
    /// Attempts that have ended.
    ended: AtomicU64,
    latest: tokio::sync::Mutex<Option<Result<Held, CloudError>>>,
}

#[derive(Debug, Clone)]
struct Held {
    session: Session,
    obtained: Moment,
}

impl Sessions {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, slots: Mutex::default() }
    }

    /// The session of a hop: the one at hand while it is fresh, else a new one from `obtain`, which is not run otherwise.
    pub(super) async fn get(
        &self,
        hop: SessionKey,
        obtain: impl Future<Output = Result<Session, CloudError>>,
    ) -> Result<Session, CloudError> {
        let metadata = hop == SessionKey::Metadata;
        let slot = self.slot(hop);
        let ended_before = slot.ended.load(Ordering::Acquire);
        let mut latest = slot.latest.lock().await;
        match &*latest {
            Some(Ok(held)) if held.is_fresh(self.clock.now(), metadata) => return Ok(held.session.clone()),
            // This failure is younger than the wish for a session: fifty registries with one broken identity make one
            // failing call, not fifty one after the other.
            Some(Err(error)) if slot.ended.load(Ordering::Acquire) > ended_before => {
                return Err(error.clone());
            }
            _ => {}
        }
        // The clock is read before the call, so that a slow answer does not make the session look younger.
        let obtained = self.clock.now();
        let result = obtain.await;
        slot.ended.fetch_add(1, Ordering::Release);
        *latest = Some(result.clone().map(|session| Held { session, obtained }));
        result
    }

    /// Drops a session that an API refused, so that the next one is a new one. Says whether there was one to drop; a
    /// session that somebody has renewed in the meantime stays.
    pub(super) async fn forget(&self, hop: &SessionKey, refused: &Session) -> bool {
        let slot = self.slots().get(hop).cloned();
        let Some(slot) = slot else { return false };
        let mut latest = slot.latest.lock().await;
        match &*latest {
            Some(Ok(held)) if held.session.keys.id == refused.keys.id => {
                *latest = None;
                true
            }
            Some(Ok(_)) => true,
            _ => false,
        }
    }

    fn slot(&self, hop: SessionKey) -> Arc<Slot> {
        let now = self.clock.now();
        let mut slots = self.slots();
        // Sessions of identities that are no longer configured go when they have expired.
        slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.is_needed(now));
        Arc::clone(slots.entry(hop).or_default())
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<SessionKey, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn is_needed(&self, now: Moment) -> bool {
        match self.latest.try_lock().as_deref() {
            Ok(Some(Ok(held))) => held.session.expires_at.is_none_or(|at| at > now.wall),
            Ok(_) => false,
            Err(_) => true,
        }
    }
}

impl Held {
    /// Whether a credential minted with this session has its full life. Sessions of ours: a tenth of their life may have
    /// passed, since a credential lives no longer than its session. Keys of ECS metadata are not ours and cannot be
    /// renewed; they are read anew once a minute. Both clocks must agree, in case one was stepped or suspended.
    fn is_fresh(&self, now: Moment, metadata: bool) -> bool {
        let Some(expires_at) = self.session.expires_at else { return true };
        let by_wall = now.wall.duration_since(self.obtained.wall);
        let by_monotonic = now.monotonic.saturating_duration_since(self.obtained.monotonic);
        let by_monotonic = SignedDuration::try_from(by_monotonic).unwrap_or(SignedDuration::MAX);
        let life = expires_at.duration_since(self.obtained.wall);
        let most = if metadata { SignedDuration::from_secs(60) } else { life / 10 };
        by_wall.max(by_monotonic) <= most && expires_at > now.wall
    }
}

#[cfg(test)]
mod tests;
