//! The reasons of Events and of the log lines that belong to them. `docs/operations.md` has a row for each.

/// The reason of an Event. The names are stable, because alerts depend on them.
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
    /// Two registries claim the same host.
    HostDisputed,
    /// A Secret with the pull secret's name is not ours, and is left alone.
    ForeignPullSecret,
    /// A Secret that was not ours was taken over, as the user requested.
    PullSecretAdopted,
    /// The pull secret has another type, which can never change.
    PullSecretWrongType,
    /// The pull secret is immutable.
    PullSecretImmutable,
    /// Another writer changed the pull secret; the change was reverted.
    PullSecretRepaired,
    /// Pods of a service account are refused, because it enforces mountable secrets and does not list the pull secret.
    MountableSecretsEnforced,
    /// The API server does not allow a write.
    WriteForbidden,
    /// A write failed for another reason, and is retried.
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
    /// Returns the name in the Event.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the type of the Event in Kubernetes, `Normal` or `Warning`.
    pub fn severity(self) -> &'static str {
        match self {
            Self::ConfigurationApplied | Self::CredentialRestored | Self::PullSecretAdopted => "Normal",
            _ => "Warning",
        }
    }

    /// Returns the action of the Event: what the sidecar was doing.
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
