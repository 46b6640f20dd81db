//! The configuration as types that only a valid configuration can have.
//!
//! `source` determines the form of a configuration, and `wrapping` removes what surrounds it. `tree` reads YAML, and
//! `typography` finds characters that only look like ASCII. `keys` names the keys of each level, and `settings` and `registry`
//! turn them into values with the readers of `fields`. `conflicts` compares the registries with each other, and `findings`
//! collects all mistakes and warnings.

mod conflicts;
mod duration;
mod fields;
mod findings;
mod keys;
mod registry;
mod selector;
mod settings;
mod source;
mod tree;
mod typography;
pub mod values;
mod wrapping;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use acr_credential_core::{Pattern, Selection};
use kube::core::Selector;

pub use conflicts::PERSONAL_EDITION_TWICE;
pub use findings::{Finding, Mistakes};
pub use values::{
    AccessKeyId, ExternalId, Host, InstanceId, KeyPair, OidcProviderArn, Origin, Region, RoleArn, SecretName,
    without_token_api,
};

use findings::Findings;
pub use source::MAX_BYTES;
use source::Source;

/// The configuration of the sidecar, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Managed namespaces: `watch-namespace` without `exclude-namespace`.
    pub namespaces: Selection<'static>,
    /// Label selector that narrows the managed namespaces further: `watch-namespace-selector`.
    pub namespace_selector: Option<Selector>,
    /// Selected service accounts: `service-account`.
    pub service_accounts: Selection<'static>,
    /// Where the reference to the pull secret is added.
    pub attach: Attach,
    /// A credential is renewed when its remaining life is shorter than this.
    pub expiring_threshold: Duration,
    /// The registries, in the order of the file; never empty (an empty list means Personal Edition of the cluster's
    /// region).
    pub registries: Vec<Registry>,
}

/// Where the reference to the pull secret is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attach {
    /// To Pods, by the policy.
    #[default]
    Pod,
    /// To ServiceAccounts, by the sidecar.
    ServiceAccount,
    /// To both.
    Both,
}

/// One entry of `acr-registry-info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// Its place in the configuration, such as `acr-registry-info[1]`. Messages begin with it.
    pub place: String,
    /// The instance.
    pub instance: Instance,
    /// Its region; the cluster's region if absent.
    pub region: Option<Region>,
    /// Hosts that the credential is for; all hosts of the instance if empty.
    pub domains: Vec<Host>,
    /// Managed namespaces that get this registry; all managed namespaces if absent.
    pub namespaces: Option<Vec<Pattern<'static>>>,
    /// The identity whose rights are used.
    pub identity: Identity,
}

impl Registry {
    /// Returns whether a managed namespace gets this registry.
    pub fn is_for(&self, namespace: &str) -> bool {
        let patterns = self.namespaces.as_ref();
        patterns.is_none_or(|all| all.iter().any(|pattern| pattern.matches(namespace)))
    }
}

/// An ACR instance within a region.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Instance {
    /// Personal Edition: one per account and region.
    Personal,
    /// Enterprise Edition.
    Enterprise(InstanceId),
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Personal => f.write_str("Personal Edition"),
            Self::Enterprise(id) => id.fmt(f),
        }
    }
}

/// The identity whose rights are used: the source of the first keys, and the role assumed with them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The source of the first keys.
    pub source: IdentitySource,
    /// The role assumed with them.
    pub assume_role: Option<AssumeRole>,
}

/// The source of the first keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum IdentitySource {
    /// The first source that exists of: environment, OIDC token file (RRSA), key Secret of a registered cluster, ECS metadata.
    DefaultChain,
    /// `customAccessKey` and `customAccessKeySecret`.
    KeyPair(KeyPair),
    /// `accessKeySecretRef`: a Secret in the sidecar's namespace with the keys `access-key-id` and `access-key-secret`.
    KeySecret(SecretName),
    /// `rrsaRoleARN` and `rrsaOIDCProviderRoleARN`: a role assumed with the cluster's OIDC token.
    Rrsa {
        /// The role, in the cluster's account.
        role: RoleArn,
        /// The cluster's OIDC provider.
        provider: OidcProviderArn,
        /// Life of the session if this is the last role (`expireDuration`); otherwise the default of 3600 s.
        duration: Duration,
    },
}

/// A role assumed with other keys: `assumeRoleARN`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AssumeRole {
    /// The role.
    pub role: RoleArn,
    /// Life of the session, 900 s to 43,200 s (`expireDuration`).
    pub duration: Duration,
    /// The external id that the role's trust policy may require (`externalId`).
    pub external_id: Option<ExternalId>,
}

/// A configuration that can be used, with its warnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The configuration.
    pub configuration: Configuration,
    /// Settings that work, but should be changed.
    pub warnings: Vec<Finding>,
}

/// Reads a configuration from the `data` of a ConfigMap.
pub fn from_data(data: &BTreeMap<String, String>) -> Result<Parsed, Mistakes> {
    let mut findings = Findings::default();
    let source = Source::from_data(data, &mut findings);
    let Examined { outcome, warnings } = conclude(source, findings);
    outcome.map(|configuration| Parsed { configuration, warnings })
}

/// The result of reading a file. It has the warnings even if the configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The configuration, or every mistake in it.
    pub outcome: Result<Configuration, Mistakes>,
    /// Settings that work, but should be changed.
    pub warnings: Vec<Finding>,
}

/// Reads a configuration like [`parse`], but also returns the warnings about a configuration with mistakes.
pub fn examine(text: &[u8]) -> Examined {
    let mut findings = Findings::default();
    let source = Source::from_file(text, &mut findings);
    conclude(source, findings)
}

fn conclude(source: Option<Source>, mut findings: Findings) -> Examined {
    let configuration = source.map(|source| settings::read(source, &mut findings));
    let (mistakes, warnings) = findings.finish();
    let outcome = match configuration {
        Some(configuration) if mistakes.is_empty() => Ok(configuration),
        _ => Err(Mistakes(mistakes)),
    };
    Examined { outcome, warnings }
}

/// Reads a configuration from the text of a file: a ConfigMap manifest (YAML or JSON), its bare `data`, or the managed
/// add-on's JSON.
#[cfg(test)]
pub fn parse(text: &[u8]) -> Result<Parsed, Mistakes> {
    let Examined { outcome, warnings } = examine(text);
    outcome.map(|configuration| Parsed { configuration, warnings })
}

#[cfg(test)]
mod tests;
