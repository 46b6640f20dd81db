//! Reports about a namespace.

use crate::kubernetes::ApiError;
use crate::reason::Reason;

/// A fact that people should know. It becomes an Event on its object, and a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The object that it is about.
    pub about: About,
    /// The reason.
    pub reason: Reason,
    /// What was found, and how to fix it. It never contains a secret.
    pub message: String,
}

impl Notice {
    /// Returns the notice about a write that failed; `None` for a race.
    pub fn of_failed_write(error: &ApiError, about: About) -> Option<Self> {
        let reason = match error {
            ApiError::Conflict | ApiError::Terminating | ApiError::Gone => return None,
            ApiError::WrongType => Reason::PullSecretWrongType,
            ApiError::Immutable => Reason::PullSecretImmutable,
            ApiError::Forbidden(_) => Reason::WriteForbidden,
            ApiError::Quota(_)
            | ApiError::Invalid(_)
            | ApiError::Refused(_)
            | ApiError::Busy { .. }
            | ApiError::Unreachable(_) => Reason::WriteFailed,
        };
        Some(Self { about, reason, message: error.to_string() })
    }

    /// Returns whether the other notice adds nothing to this one. Messages are not compared, because they may contain
    /// names that tenants chose.
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        self.about == other.about && self.reason == other.reason
    }
}

/// The object that a notice is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum About {
    /// The Secret with the name of the pull secret.
    PullSecret,
    /// The service account of this name.
    ServiceAccount(Box<str>),
}
