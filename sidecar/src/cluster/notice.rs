//! What somebody should know about a namespace.

use crate::kubernetes::ApiError;
use crate::reason::Reason;

/// Something that people should know. It ends up in an Event on its object, and in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub about: About,
    /// Why.
    pub reason: Reason,
    /// What was found, and how to fix it. Never holds a secret.
    pub message: String,
}

impl Notice {
    /// What people should know about a write that failed; nothing about a race.
    pub fn of_failed_write(error: &ApiError, about: About) -> Option<Self> {
        let reason = match error {
            ApiError::Conflict | ApiError::Terminating | ApiError::Gone => return None,
            ApiError::WrongType => Reason::PullSecretWrongType,
            ApiError::Immutable => Reason::PullSecretImmutable,
            ApiError::Forbidden(_) => Reason::WriteForbidden,
            ApiError::Quota(_) | ApiError::Refused(_) | ApiError::Busy { .. } | ApiError::Unreachable(_) => {
                Reason::WriteFailed
            }
        };
        Some(Self { about, reason, message: error.to_string() })
    }

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
