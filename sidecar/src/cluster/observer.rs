//! Who listens to the controller's work: metrics, health and Events.

use std::time::Duration;

use super::notice::Notice;
use super::store::Kind;
use crate::kubernetes::Place;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum Write {
    /// A pull secret was created.
    Create,
    /// A pull secret got other content.
    Update,
    /// A pull secret was deleted.
    Delete,
    /// A service account's list got our entry.
    Attach,
    /// A service account's list lost our entry.
    Detach,
}

/// What there is in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Managed namespaces.
    pub managed: usize,
    /// Those of them with a Secret of the pull secret's name that is not ours.
    pub foreign: usize,
    /// Pull secrets and lists that are left alone for a while, since somebody keeps changing them or writes fail.
    pub on_hold: usize,
    /// Selected service accounts that lack the pull secret still.
    pub pending_accounts: usize,
}

/// Listens to the controller's work. Its methods are called on the controller's own task: they must not block.
pub trait Observer: Send + Sync {
    /// People should know something about the object with this uid. Returns whether they are told, so that it belongs into the
    /// log as well: they may have been lately, or there may be too much of it.
    fn notice(&self, namespace: &str, notice: &Notice, uid: Option<&str>) -> bool {
        let _ = (namespace, notice, uid);
        true
    }

    /// Something was written, or failed to be, by the name of the failure.
    fn wrote(&self, write: Write, result: Result<(), &'static str>, took: Duration) {
        let _ = (write, result, took);
    }

    /// A list is complete for the first time.
    fn synced(&self, kind: Kind) {
        let _ = kind;
    }

    /// A list or watch failed, and is tried again.
    fn watch_failed(&self, kind: Kind) {
        let _ = kind;
    }

    /// After a failure, a list or watch works again.
    fn watch_works(&self, kind: Kind) {
        let _ = kind;
    }

    /// An object cannot be read, and is left out. Returns what [`Self::notice`] does.
    fn unreadable(&self, kind: Kind, place: &Place) -> bool {
        let _ = (kind, place);
        true
    }

    /// The controller made a round; it does so every few seconds at least. So many namespaces wait to be looked at.
    fn round(&self, waiting: usize) {
        let _ = waiting;
    }

    /// What there is, where that may have changed since the last round.
    fn counted(&self, counts: Counts) {
        let _ = counts;
    }

    /// All that was in the queue has been looked at, and no write failed.
    fn settled(&self) {}
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Observer for Nobody {}

impl Write {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Attach => "attach",
            Self::Detach => "detach",
        }
    }
}
