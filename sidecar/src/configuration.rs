//! What the user wrote, as types whose existence is the proof that it makes sense.
//!
//! `source` finds out in which of its forms a configuration comes, and `wrapping` takes it out of what is around it. `tree` reads
//! YAML, and `typography` finds what only looks like ASCII. `keys` names the keys of each level, `settings` and `registry` turn
//! them into values by the readers of `fields`, `conflicts` compares the registries with each other, and `findings` collects what is
//! wrong on the way.

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
    /// Where the reference to the pull secret is put.
    pub attach: Attach,
    /// A credential is renewed when less than this is left of it.
    pub expiring_threshold: Duration,
    /// The registries, in the order of the file; never empty (an empty list means Personal Edition of the cluster's
    /// region).
    pub registries: Vec<Registry>,
}

/// Where the reference to the pull secret is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attach {
    /// On Pods, by the policy.
    #[default]
    Pod,
    /// On ServiceAccounts, by the sidecar.
    ServiceAccount,
    /// On both.
    Both,
}

/// One entry of `acr-registry-info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// Where it stands in the configuration, such as `acr-registry-info[1]`; messages begin with it.
    pub place: String,
    /// The instance.
    pub instance: Instance,
    /// Its region; the cluster's own where absent.
    pub region: Option<Region>,
    /// Hosts the credential is for; all hosts of the instance where empty.
    pub domains: Vec<Host>,
    /// Namespaces that get this registry, among the managed ones; all of them where absent.
    pub namespaces: Option<Vec<Pattern<'static>>>,
    /// Whose rights are used.
    pub identity: Identity,
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

/// Whose rights are used: where the first keys come from, and the role assumed with them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Where the first keys come from.
    pub source: IdentitySource,
    /// The role assumed with them.
    pub assume_role: Option<AssumeRole>,
}

/// Where the first keys come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum IdentitySource {
    /// Environment, OIDC token file (RRSA), key Secret of a registered cluster, ECS metadata: the first that is there.
    DefaultChain,
    /// `customAccessKey` and `customAccessKeySecret`.
    KeyPair(KeyPair),
    /// `accessKeySecretRef`: a Secret in the sidecar's own namespace with the keys `access-key-id` and
    /// `access-key-secret`.
    KeySecret(SecretName),
    /// `rrsaRoleARN` and `rrsaOIDCProviderRoleARN`: a role assumed with the cluster's OIDC token.
    Rrsa {
        /// The role, in the cluster's account.
        role: RoleArn,
        /// The cluster's OIDC provider.
        provider: OidcProviderArn,
        /// Life of the session, where this is the last role (`expireDuration`); the default of 3600 s else.
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
    /// What the role's trust policy may ask for (`externalId`).
    pub external_id: Option<ExternalId>,
}

/// A configuration that can be used, and what is unwise about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The configuration.
    pub configuration: Configuration,
    /// What works, but should be changed.
    pub warnings: Vec<Finding>,
}

/// Reads a configuration from the `data` of a ConfigMap.
pub fn from_data(data: &BTreeMap<String, String>) -> Result<Parsed, Mistakes> {
    let mut findings = Findings::default();
    let source = Source::from_data(data, &mut findings);
    let Examined { outcome, warnings } = conclude(source, findings);
    outcome.map(|configuration| Parsed { configuration, warnings })
}

/// What came of reading a file, with the warnings whether or not it can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The configuration, or every mistake in it.
    pub outcome: Result<Configuration, Mistakes>,
    /// What works, but should be changed.
    pub warnings: Vec<Finding>,
}

/// Like [`parse`], for those who want the warnings about a configuration with mistakes too.
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
