//! What somebody should know about a namespace.

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

/// Why something should be known. A closed set: its names are those of the Events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum Reason {
    /// A Secret of the pull secret's name is not ours, and stays as it is.
    ForeignPullSecret,
    /// Such a Secret was made ours.
    Adopted,
    /// Somebody changed or deleted our Secret, and it was written again.
    Repaired,
    /// The Secret has another type, which cannot be changed.
    WrongType,
    /// The Secret is marked immutable.
    Immutable,
    /// Somebody keeps taking our entry out of a service account.
    Contested,
    /// A service account's list is too long to be written.
    ListTooLong,
    /// Pods of this service account are refused, since it does not list the pull secret.
    MountableSecretsEnforced,
    /// The API server does not allow a write.
    Forbidden,
    /// A write failed for another reason, and is tried again.
    WriteFailed,
}

impl Reason {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ForeignPullSecret => "ForeignPullSecret",
            Self::Adopted => "PullSecretAdopted",
            Self::Repaired => "PullSecretRepaired",
            Self::WrongType => "PullSecretWrongType",
            Self::Immutable => "PullSecretImmutable",
            Self::Contested => "PullSecretListContested",
            Self::ListTooLong => "PullSecretListTooLong",
            Self::MountableSecretsEnforced => "MountableSecretsEnforced",
            Self::Forbidden => "WriteForbidden",
            Self::WriteFailed => "WriteFailed",
        }
    }

    /// Whether somebody has to act.
    pub fn is_warning(self) -> bool {
        !matches!(self, Self::Adopted)
    }
}
