//! What to do in one namespace. Pure: no client, no clock, no memory.

mod accounts;
mod pull_secret;

use std::hash::Hasher as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::desired::DesiredSecret;
use super::notice::Notice;
use super::observed::{Namespace, PullSecret, ServiceAccount};
use crate::configuration::Configuration;

/// The rules that hold for all namespaces.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// What the user asks for.
    pub configuration: &'a Configuration,
    /// Name of the pull secret.
    pub pull_secret: &'a str,
    /// Whether a Secret of that name which is not ours is made ours.
    pub adopt: bool,
    /// A renewed credential reaches the last namespace after so long, and the others evenly before that.
    pub spread: Duration,
}

/// One namespace, as it is.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct Situation<'a> {
    /// Its name.
    pub name: &'a str,
    /// The rest of it.
    pub namespace: &'a Namespace,
    /// The Secret with the name of the pull secret.
    pub pull_secret: Option<&'a PullSecret>,
    /// Whether somebody has written to that Secret since we last did, as far as this process can tell.
    pub touched: bool,
    /// Whether all of the content was minted after it was first seen that the Secret holds something this process does not know.
    pub is_superseded: bool,
    /// The service accounts that are known: none in the mode `pod`.
    pub service_accounts: Vec<Account<'a>>,
    /// Nothing is written to the pull secret for so long: a write failed, or somebody keeps undoing ours.
    pub hold: Duration,
    /// Whether somebody deleted the pull secret.
    pub lost: bool,
    /// Time since it was first seen that newer credentials are there.
    pub waited: Duration,
    /// Whether the first answers of the cloud may still come at any moment, so that it pays to wait for them.
    pub settling: bool,
    /// The wall clock.
    pub now: Timestamp,
}

/// A service account, as it is.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// The service account.
    pub facts: &'a ServiceAccount,
    /// How often our entry was taken out again, of late.
    pub taken_out: u32,
    /// Nothing is written to it for so long.
    pub hold: Duration,
}

/// What to do, in this order: pods may come to refer to the pull secret only after it is there.
#[derive(Debug, Default)]
pub struct Plan {
    /// What to do about the pull secret.
    pub pull_secret: SecretAction,
    /// What to do about service accounts.
    pub service_accounts: Vec<AccountAction>,
    /// What people should know.
    pub notices: Vec<Notice>,
    /// What people should know once the pull secret has been written.
    pub when_written: Option<Notice>,
    /// Whether newer credentials wait for the namespace's turn.
    pub waits_for_turn: bool,
    /// When to plan again, if nothing happens before.
    pub look_again: Option<Duration>,
}

/// What to do about the pull secret.
#[derive(Debug, Default)]
pub enum SecretAction {
    /// Nothing.
    #[default]
    Leave,
    /// Create it, unless somebody else was faster.
    Create(Arc<DesiredSecret>),
    /// Write exactly this version of it.
    Update {
        /// What it gets.
        content: Arc<DesiredSecret>,
        /// What it is now.
        version: Version,
        /// Why.
        cause: Cause,
    },
    /// Delete exactly this version of it.
    Delete(Version),
}

/// One version of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Changes when it is deleted and created again.
    pub uid: Box<str>,
    /// Changes with each write.
    pub resource_version: Box<str>,
}

/// Why a pull secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It should hold something else.
    Changed,
    /// The same, with newer credentials.
    Renewed,
    /// Somebody changed it.
    Repaired,
    /// It was not ours.
    Adopted,
}

/// Give a service account another list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountAction {
    /// Its name.
    pub name: Box<str>,
    /// What it is now.
    pub version: Version,
    /// The names of its pull secrets, all of them; `""` is a nameless entry.
    pub pull_secrets: Box<[Box<str>]>,
    /// Whether our entry comes or goes.
    pub attach: bool,
}

impl Plan {
    /// Decides what to do. Without content, because nothing is known about the registries yet, nothing is written that
    /// needs it.
    pub fn of(situation: &Situation<'_>, rules: &Rules<'_>, content: Option<&Arc<DesiredSecret>>) -> Self {
        let mut plan = Self::default();
        if situation.namespace.terminating {
            return plan;
        }
        let is_managed = situation.namespace.is_managed(situation.name, rules.configuration);
        plan.pull_secret = if is_managed {
            pull_secret::when_managed(situation, rules, content, &mut plan)
        } else {
            pull_secret::when_deselected(situation, &mut plan)
        };
        if plan.pull_secret.is_a_write() && !situation.hold.is_zero() {
            plan.pull_secret = SecretAction::Leave;
            plan.when_written = None;
            plan.again_in(situation.hold);
        }
        accounts::decide(situation, rules, is_managed, &mut plan);
        plan
    }

    /// Whether there is nothing to write.
    pub fn is_idle(&self) -> bool {
        !self.pull_secret.is_a_write() && self.service_accounts.is_empty()
    }

    fn again_in(&mut self, delay: Duration) {
        self.look_again = Some(self.look_again.map_or(delay, |other| other.min(delay)));
    }
}

impl SecretAction {
    /// Whether it changes the cluster.
    pub fn is_a_write(&self) -> bool {
        !matches!(self, Self::Leave)
    }
}

impl Cause {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Renewed => "renewed",
            Self::Repaired => "repaired",
            Self::Adopted => "adopted",
        }
    }
}

impl PullSecret {
    fn version(&self) -> Version {
        Version { uid: self.uid.clone(), resource_version: self.resource_version.clone() }
    }
}

/// The place of a namespace in a rotation, from 0 to `spread`: always the same one, so that the time between two writes
/// to a namespace is that between two renewals.
fn slot(namespace: &str, spread: Duration) -> Duration {
    let mut hasher = Fnv::default();
    hasher.write(namespace.as_bytes());
    // The low bits of this hash are its best.
    let share = hasher.finish() % 10_000;
    spread.mul_f64(f64::from(u16::try_from(share).unwrap_or_default()) / 10_000.0)
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>): stable between releases, unlike the standard library's.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl std::hash::Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
