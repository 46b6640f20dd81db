//! What is known about one credential, and what to do next. This module is pure: `task` carries the steps out.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::schedule::{Jitter, LEAST_GAP, LONGEST_NAP, Term, retry_delay};
use crate::clock::Moment;
use crate::cloud::{CloudError, Reason};
use crate::configuration::Host;
use crate::credential::Credential;

/// A credential that this process holds.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "the time when it was issued")]
pub struct Issued {
    /// User and password; never empty.
    pub credential: Credential,
    /// When it arrived, by the wall clock.
    pub issued_at: Timestamp,
    /// How long it is valid.
    pub term: Term,
    /// When this process minted it; `None` if an earlier process did.
    pub minted: Option<Instant>,
}

/// What an earlier process knew, so that a restart needs no call to the cloud.
#[derive(Debug)]
pub struct Held {
    /// The credential.
    pub credential: Credential,
    /// When it arrived, by the wall clock.
    pub issued_at: Timestamp,
    /// The discovered hosts; `None` if none were looked up.
    pub hosts: Option<Arc<[Host]>>,
}

/// Why there is no new credential, or no host for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum MintFailure {
    /// The cloud did not answer, or it refused.
    #[cfg_attr(test, strum(disabled))]
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The credential had already expired when it arrived.
    #[error(
        "the cloud returned a credential that expired at {0}: compare this machine's clock with the true time"
    )]
    ExpiredOnArrival(Timestamp),
    /// The user or the password is missing or cannot be used. A user name cannot contain a colon: the colon ends the
    /// name in a docker config.
    #[error(
        "the cloud returned a credential without a usable user and password: try again; if this persists, contact Alibaba Cloud"
    )]
    PartialCredential,
    /// The instance has no host to log in to.
    #[error(
        "the instance has no enabled domain: enable one of its endpoints, or list its hosts in \"domains\""
    )]
    NoHosts,
}

impl MintFailure {
    /// Returns a stable name for metrics, Events and JSON: the name of the cloud's reason, or of the variant.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Cloud(error) => error.reason.name(),
            Self::ExpiredOnArrival(_) | Self::PartialCredential | Self::NoHosts => self.into(),
        }
    }
}

/// A failure that has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The last failure.
    pub failure: MintFailure,
    /// When the first failure in a row happened.
    pub since: Timestamp,
}

/// What the configuration asks for one credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    /// The credential is renewed once it is valid for less than this.
    pub(super) threshold: Duration,
    /// Whether a registry needs its hosts to be discovered.
    pub(super) discover: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask for a credential.
    Mint,
    /// Ask for the hosts.
    Discover,
    /// Wait for this long, then look again.
    Wait(Duration),
}

/// What is known about one credential.
#[derive(Debug, Default)]
pub(super) struct State {
    issued: Option<Arc<Issued>>,
    /// Drawn once for each credential, so that its due time does not move.
    jitter: Jitter,
    /// When the cloud last issued a credential, usable or not. It is on the monotonic clock only: jumps of the wall
    /// clock cannot cause a mint.
    minted: Option<Instant>,
    minting: Option<Retry>,
    expired_since: Option<Timestamp>,
    hosts: Option<Arc<[Host]>>,
    /// Whether the hosts were looked up since the last mint.
    hosts_are_fresh: bool,
    discovery: Option<Retry>,
}

/// The part of a [`State`] that the rest of the sidecar may know.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Report {
    pub(super) issued: Option<Arc<Issued>>,
    pub(super) expired_since: Option<Timestamp>,
    pub(super) minting: Option<Trouble>,
    pub(super) hosts: Option<Arc<[Host]>>,
    pub(super) discovery: Option<Trouble>,
}

/// A call that failed, and the time of the next try.
#[derive(Debug)]
struct Retry {
    trouble: Trouble,
    failures: u32,
    at: Instant,
}

impl Issued {
    /// Returns whether the credential has not expired yet.
    pub fn is_good(&self, now: Moment) -> bool {
        !self.term.left(now).is_zero()
    }
}

/// Two credentials are equal when they are the same object.
impl PartialEq for Issued {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl State {
    /// Creates a state from what an earlier process knew, as far as that is still usable.
    pub(super) fn resume(held: Held, now: Moment, jitter: Jitter) -> Self {
        let Held { credential, issued_at, hosts } = held;
        let hosts = hosts.filter(|hosts| !hosts.is_empty());
        let term = Term::resumed(now, issued_at, credential.expires_at);
        let issued = term.filter(|_| is_whole(&credential)).map(|term| Issued {
            credential,
            issued_at,
            term,
            minted: None,
        });
        Self {
            hosts_are_fresh: issued.is_some() && hosts.is_some(),
            issued: issued.map(Arc::new),
            jitter,
            hosts,
            ..Self::default()
        }
    }

    /// Decides what to do next.
    pub(super) fn next(&self, now: Moment, demand: Demand) -> Step {
        let until_mint = self.until_mint(now, demand.threshold);
        if until_mint.is_zero() {
            return Step::Mint;
        }
        let until_discovery = if demand.discover { self.until_discovery(now) } else { Duration::MAX };
        if until_discovery.is_zero() {
            return Step::Discover;
        }
        Step::Wait(self.nap(now).min(until_mint).min(until_discovery))
    }

    /// Returns how long to wait so that no expiry goes unnoticed.
    pub(super) fn nap(&self, now: Moment) -> Duration {
        self.issued.as_ref().map_or(LONGEST_NAP, |issued| issued.term.left(now).min(LONGEST_NAP))
    }

    /// Drops an expired credential.
    pub(super) fn drop_expired(&mut self, now: Moment) {
        if self.issued.take_if(|issued| !issued.is_good(now)).is_some() {
            self.expired_since = Some(now.wall);
        }
    }

    /// Takes in the answer to [`Step::Mint`]. A failure keeps the last good credential.
    pub(super) fn minted(&mut self, answer: Result<Credential, CloudError>, now: Moment, jitter: Jitter) {
        let is_of_no_use = |error: &CloudError| error.reason == Reason::MalformedAnswer;
        if answer.as_ref().err().is_none_or(is_of_no_use) {
            self.minted = Some(now.monotonic);
        }
        match answer.map_err(MintFailure::from).and_then(|credential| accept(credential, now)) {
            Ok(issued) => {
                self.issued = Some(Arc::new(issued));
                self.jitter = jitter;
                self.minting = None;
                self.expired_since = None;
                self.hosts_are_fresh = false;
            }
            Err(failure) => self.minting = Some(Retry::after(self.minting.take(), failure, now, jitter)),
        }
    }

    /// Takes in the answer to [`Step::Discover`]. A failure keeps the hosts that were known before.
    pub(super) fn discovered(&mut self, answer: Result<Vec<Host>, CloudError>, now: Moment, jitter: Jitter) {
        let answer = answer.map_err(MintFailure::from);
        match answer.and_then(|hosts| if hosts.is_empty() { Err(MintFailure::NoHosts) } else { Ok(hosts) }) {
            Ok(mut hosts) => {
                hosts.sort_unstable();
                hosts.dedup();
                self.hosts = Some(hosts.into());
                self.hosts_are_fresh = true;
                self.discovery = None;
            }
            Err(failure) => self.discovery = Some(Retry::after(self.discovery.take(), failure, now, jitter)),
        }
    }

    /// Returns the part that the rest of the sidecar may know.
    pub(super) fn report(&self) -> Report {
        let trouble = |retry: &Option<Retry>| retry.as_ref().map(|retry| retry.trouble.clone());
        Report {
            issued: self.issued.clone(),
            expired_since: self.expired_since,
            minting: trouble(&self.minting),
            hosts: self.hosts.clone(),
            discovery: trouble(&self.discovery),
        }
    }

    fn until_mint(&self, now: Moment, threshold: Duration) -> Duration {
        let wanted_in = match (&self.minting, &self.issued) {
            (Some(retry), _) => retry.at.saturating_duration_since(now.monotonic),
            (None, Some(issued)) => issued.term.until_due(now, threshold, self.jitter),
            (None, None) => Duration::ZERO,
        };
        let gap = self
            .minted
            .map_or(Duration::ZERO, |minted| (minted + LEAST_GAP).saturating_duration_since(now.monotonic));
        wanted_in.max(gap)
    }

    fn until_discovery(&self, now: Moment) -> Duration {
        match &self.discovery {
            Some(retry) => retry.at.saturating_duration_since(now.monotonic),
            None if self.hosts_are_fresh => Duration::MAX,
            None => Duration::ZERO,
        }
    }
}

impl Retry {
    fn after(earlier: Option<Self>, failure: MintFailure, now: Moment, jitter: Jitter) -> Self {
        let (since, failures) = match earlier {
            Some(earlier) => (earlier.trouble.since, earlier.failures.saturating_add(1)),
            None => (now.wall, 1),
        };
        let at = now.monotonic + retry_delay(failures, failure.hint(), jitter);
        Self { trouble: Trouble { failure, since }, failures, at }
    }
}

impl MintFailure {
    /// Returns how long the cloud asks to wait.
    fn hint(&self) -> Option<Duration> {
        match self {
            Self::Cloud(CloudError { reason: Reason::Throttled { retry_after }, .. }) => *retry_after,
            Self::Cloud(_) | Self::ExpiredOnArrival(_) | Self::PartialCredential | Self::NoHosts => None,
        }
    }
}

fn accept(credential: Credential, now: Moment) -> Result<Issued, MintFailure> {
    if !is_whole(&credential) {
        return Err(MintFailure::PartialCredential);
    }
    match Term::starting(now, credential.expires_at) {
        Some(term) => Ok(Issued { credential, issued_at: now.wall, term, minted: Some(now.monotonic) }),
        None => Err(MintFailure::ExpiredOnArrival(credential.expires_at)),
    }
}

fn is_whole(credential: &Credential) -> bool {
    let Credential { user, password, expires_at: _ } = credential;
    !user.is_empty() && !user.contains(':') && !password.expose_secret().is_empty()
}

#[cfg(test)]
mod tests;
