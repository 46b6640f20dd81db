//! What somebody should know about a namespace.

use crate::reason::Reason;

/// Something that people should know. It ends up in an Event on its object, and in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub about: About,
    /// Why.
    pub reason: Reason,
    /// What is so, and how to mend it. Never holds a secret.
    pub message: String,
}

impl Notice {
    /// Whether the other one says no more than this one: its message may name what somebody else chose.
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        self.about == other.about && self.reason == other.reason
    }
}

/// What a notice is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum About {
    /// The Secret with the name of the pull secret.
    PullSecret,
    /// The service account of this name.
    ServiceAccount(Box<str>),
}
