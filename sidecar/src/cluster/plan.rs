//! Plans what to do in one namespace. This module is pure: no client, no clock, no memory.

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

/// The rules for all namespaces.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The configuration of the user.
    pub configuration: &'a Configuration,
    /// Name of the pull secret.
    pub pull_secret: &'a str,
    /// Whether a foreign Secret of that name is taken over.
    pub adopt: bool,
    /// A renewed credential reaches the last namespace after this long, and the others evenly before that.
    pub spread: Duration,
}

/// The current state of one namespace.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct Situation<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its other facts.
    pub namespace: &'a Namespace,
    /// The Secret with the name of the pull secret.
    pub pull_secret: Option<&'a PullSecret>,
    /// Whether another writer has written to that Secret since we last did, as far as this process knows.
    pub touched: bool,
    /// Whether all of the content was minted after it was first seen that the Secret contains something this process does not
    /// know.
    pub is_superseded: bool,
    /// The service accounts that are known; empty in the mode `pod`.
    pub service_accounts: Vec<AccountSituation<'a>>,
    /// Nothing is written to the pull secret for this long: a write failed, or another writer keeps undoing our writes.
    pub hold: Duration,
    /// Whether another writer deleted the pull secret.
    pub lost: bool,
    /// Time since it was first seen that there are newer credentials.
    pub waited: Duration,
    /// Whether the first answers of the cloud may still come at any moment, so that the plan waits for them.
    pub settling: bool,
    /// The wall clock.
    pub now: Timestamp,
}

/// The current state of a service account.
#[derive(Debug, Clone, Copy)]
pub struct AccountSituation<'a> {
    /// The service account.
    pub facts: &'a ServiceAccount,
    /// How often our entry was recently removed.
    pub taken_out: u32,
    /// Nothing is written to it for this long.
    pub hold: Duration,
}

/// The actions, in their order: Pods may refer to the pull secret only after it exists.
#[derive(Debug, Default)]
pub struct Plan {
    /// The action for the pull secret.
    pub pull_secret: SecretAction,
    /// The actions for service accounts.
    pub service_accounts: Vec<AccountAction>,
    /// Notices for people.
    pub notices: Vec<Notice>,
    /// A notice for people once the pull secret has been written.
    pub when_written: Option<Notice>,
    /// Whether newer credentials wait for the turn of the namespace.
    pub waits_for_turn: bool,
    /// When to plan again, if nothing happens before.
    pub look_again: Option<Duration>,
}

/// An action for the pull secret.
#[derive(Debug, Default)]
pub enum SecretAction {
    /// Nothing.
    #[default]
    Leave,
    /// Create it, unless another writer was faster.
    Create(Arc<DesiredSecret>),
    /// Write only over this version of it.
    Update {
        /// Its new content.
        content: Arc<DesiredSecret>,
        /// Its current version.
        version: Version,
        /// The reason.
        cause: Cause,
    },
    /// Delete only this version of it.
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
    /// Its content should be different.
    Changed,
    /// Its content should be the same with newer credentials.
    Renewed,
    /// Another writer changed it.
    Repaired,
    /// It was not ours.
    Adopted,
}

/// Replaces the list of a service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountAction {
    /// Its name.
    pub name: Box<str>,
    /// Its current version.
    pub version: Version,
    /// The names of all its pull secrets; `""` is a nameless entry.
    pub pull_secrets: Box<[Box<str>]>,
    /// Whether our entry is added (true) or removed (false).
    pub attach: bool,
}

impl Plan {
    /// Decides what to do. There is no content while nothing is known about the registries; then nothing is written that needs
    /// it.
    pub fn new(situation: &Situation<'_>, rules: &Rules<'_>, content: Option<&Arc<DesiredSecret>>) -> Self {
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

    /// Returns whether there is nothing to write.
    pub fn is_idle(&self) -> bool {
        !self.pull_secret.is_a_write() && self.service_accounts.is_empty()
    }

    fn again_in(&mut self, delay: Duration) {
        self.look_again = Some(self.look_again.map_or(delay, |other| other.min(delay)));
    }
}

impl SecretAction {
    /// Returns whether it changes the cluster.
    pub fn is_a_write(&self) -> bool {
        !matches!(self, Self::Leave)
    }
}

impl Cause {
    /// Returns its stable name.
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

/// Returns the place of a namespace in a rotation, from 0 to `spread`. It is always the same place, so that the time between two
/// writes to a namespace equals the time between two renewals.
fn slot(namespace: &str, spread: Duration) -> Duration {
    let mut hasher = Fnv::default();
    hasher.write(namespace.as_bytes());
    // The low bits of this hash are the best ones.
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
