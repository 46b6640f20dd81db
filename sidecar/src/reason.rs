//! What people are told, and by which name: Events, and lines of the log that belong to one. `docs/operations.md` has a row for each.

/// Why there is an Event. The names are stable: people alert on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum Reason {
    /// A changed configuration is in use now.
    ConfigurationApplied,
    /// The configuration in the cluster has mistakes or is gone; the last good one stays in use.
    ConfigurationInvalid,
    /// A registry's credential cannot be renewed; the last one is still good.
    CredentialNotRenewed,
    /// A registry has no credential any more: its images cannot be pulled.
    CredentialUnavailable,
    /// A registry has a credential again.
    CredentialRestored,
    /// Two registries claim one host.
    HostDisputed,
    /// A Secret of the pull secret's name is not ours, and is left alone.
    ForeignPullSecret,
    /// A Secret that was not ours was taken over, as asked.
    PullSecretAdopted,
    /// The pull secret has another type, which can never change.
    PullSecretWrongType,
    /// The pull secret is immutable.
    PullSecretImmutable,
    /// Somebody changed the pull secret; it was put right.
    PullSecretRepaired,
    /// Pods of a service account are refused: it enforces mountable secrets, and does not list the pull secret.
    MountableSecretsEnforced,
    /// The API server does not allow a write.
    WriteForbidden,
    /// A write failed for another reason, and is tried again.
    WriteFailed,
    /// Another manager keeps removing our entry from a service account's list.
    PullSecretListContested,
    /// A service account's list of pull secrets is too long to be written.
    PullSecretListTooLong,
    /// An object cannot be read, and is left out.
    ObjectUnreadable,
    /// Rights are missing.
    RightsMissing,
    /// The policies select other namespaces or service accounts than the configuration.
    PoliciesDisagree,
}

impl Reason {
    /// The name in the Event.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// `Normal` or `Warning`, as Kubernetes has it.
    pub fn severity(self) -> &'static str {
        match self {
            Self::ConfigurationApplied | Self::CredentialRestored | Self::PullSecretAdopted => "Normal",
            _ => "Warning",
        }
    }

    /// What was being done.
    pub fn action(self) -> &'static str {
        match self {
            Self::ConfigurationApplied | Self::ConfigurationInvalid | Self::HostDisputed => "Configure",
            Self::CredentialNotRenewed | Self::CredentialUnavailable | Self::CredentialRestored => "Mint",
            Self::ForeignPullSecret
            | Self::PullSecretAdopted
            | Self::PullSecretWrongType
            | Self::PullSecretImmutable
            | Self::PullSecretRepaired
            | Self::PullSecretListContested
            | Self::PullSecretListTooLong
            | Self::WriteForbidden
            | Self::WriteFailed => "Write",
            Self::ObjectUnreadable
            | Self::MountableSecretsEnforced
            | Self::RightsMissing
            | Self::PoliciesDisagree => "Check",
        }
    }
}
