//! What is kept of the objects that are watched: the few fields that decide something.
//!
//! At 10,000 namespaces the objects' full metadata would be hundreds of MiB, half of it `managedFields`, so each object
//! is reduced as soon as it has been read. No data of a Secret is ever asked for.

use acr_credential_core::selection::Selection;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{LocalObjectReference, ServiceAccount as ServiceAccountKind};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde::Deserialize;
use serde_json::Value;

use crate::configuration::{Configuration, LabelSelector};

/// It must never change: fields that an older release owns would no longer be ours.
pub use crate::operations::FIELD_MANAGER;

/// The label that says whose a Secret is.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// When the first credential in the pull secret expires, as RFC 3339 has it; absent where it holds none.
pub const EXPIRES_AT: &str = "acr-credential-helper.io/expires-at";

/// The registries in the pull secret: `region/instance`, with commas between them.
pub const REGISTRIES: &str = "acr-credential-helper.io/registries";

/// Fingerprint of what the configuration asks for, without the credentials.
pub const INPUTS: &str = "acr-credential-helper.io/inputs";

/// Hash of the docker config and its expiry.
pub const HASH: &str = "acr-credential-helper.io/hash";

/// A Pod of an account with this annotation may list only pull secrets that the account lists too.
pub const ENFORCE_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

/// Every namespace has this label, and its name is the value. It is not kept.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespace {
    /// Its labels.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Whether it is being deleted: nothing can be created in it any more.
    pub terminating: bool,
}

/// A Secret with the name of the pull secret, by its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSecret {
    /// Changes when it is deleted and created again.
    pub uid: Box<str>,
    /// Changes with each write.
    pub resource_version: Box<str>,
    /// Whether it is ours.
    pub ours: bool,
    /// Whether every field that we write is still as we wrote it.
    pub intact: bool,
    /// Who else owns one of these fields, or has made a Secret that is not ours.
    pub other_manager: Option<Box<str>>,
    /// Whether it is being deleted, and waits for a finalizer.
    pub terminating: bool,
    /// [`HASH`]; empty where there is none.
    pub hash: Box<str>,
    /// [`INPUTS`]; empty where there is none.
    pub inputs: Box<str>,
    /// [`REGISTRIES`]; empty where there are none.
    pub registries: Box<str>,
    /// [`EXPIRES_AT`].
    pub expires_at: Option<Timestamp>,
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its name.
    pub name: Box<str>,
    /// Changes when it is deleted and created again.
    pub uid: Box<str>,
    /// Changes with each write.
    pub resource_version: Box<str>,
    /// Names of its pull secrets, in order; a nameless entry is `""`.
    pub pull_secrets: Box<[Box<str>]>,
    /// Whether its Pods may list only pull secrets that it lists.
    pub enforces_mountable: bool,
    /// Whether its list, as a whole, was last written by us: applied by the controller, or patched by `cleanup`.
    pub ours_last: bool,
    /// Who else, but us, last wrote its list.
    pub other_manager: Option<Box<str>>,
}

/// A service account as it is read from the API server: the list of pull secrets is no metadata, so metadata alone
/// would not do.
#[derive(Debug, Clone, Deserialize, kube::Resource)]
#[resource(inherit = ServiceAccountKind)]
#[serde(rename_all = "camelCase")]
pub struct WatchedServiceAccount {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its pull secrets.
    #[serde(default)]
    pub image_pull_secrets: Option<Vec<LocalObjectReference>>,
}

impl Namespace {
    /// Reduces a namespace's metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        let labels = metadata.labels.iter().flatten().filter(|(key, _)| *key != NAMESPACE_NAME);
        Self {
            labels: labels.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect(),
            terminating: metadata.deletion_timestamp.is_some(),
        }
    }

    /// Whether the configuration manages a namespace like this one, of that name.
    #[must_use]
    pub fn is_managed(&self, name: &str, configuration: &Configuration) -> bool {
        self.is_selected(name, &configuration.namespaces, configuration.namespace_selector.as_ref())
    }

    fn is_selected(&self, name: &str, names: &Selection<'_>, labels: Option<&LabelSelector>) -> bool {
        let label = |key: &str| match key {
            NAMESPACE_NAME => Some(name),
            key => self.labels.iter().find(|(known, _)| **known == *key).map(|(_, value)| &**value),
        };
        names.contains(name) && labels.is_none_or(|selector| selector.matches(label))
    }
}

impl PullSecret {
    /// Reduces a Secret's metadata; none if it lacks what every object has.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let annotation = |name: &str| {
            metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(name))
                .map(String::as_str)
                .unwrap_or_default()
        };
        let entries = metadata.managed_fields.as_deref().unwrap_or_default();
        let ours_is_there = entries.iter().any(is_ours);
        let is_labelled = metadata
            .labels
            .as_ref()
            .and_then(|all| all.get(MANAGED_BY))
            .is_some_and(|by| by == FIELD_MANAGER);
        // Who takes our label off has not made the Secret himself: our entry among the managers remains.
        let ours = is_labelled || ours_is_there;
        let others = entries.iter().filter(|entry| !is_ours(entry));
        let other = if ours {
            last(others.filter(|entry| WRITTEN.iter().any(|path| owns(entry, path))))
        } else {
            last(others)
        };
        Some(Self {
            uid: metadata.uid.as_deref()?.into(),
            resource_version: metadata.resource_version.as_deref()?.into(),
            ours,
            intact: is_labelled
                && entries.iter().filter(|entry| is_ours(entry)).any(|entry| {
                    WRITTEN.iter().all(|path| owns(entry, path))
                        // Absent where the pull secret holds no credential.
                        && (annotation(EXPIRES_AT).is_empty() || owns(entry, &["f:metadata", "f:annotations", F_EXPIRES_AT]))
                }),
            other_manager: other,
            terminating: metadata.deletion_timestamp.is_some(),
            hash: annotation(HASH).into(),
            inputs: annotation(INPUTS).into(),
            registries: annotation(REGISTRIES).into(),
            expires_at: annotation(EXPIRES_AT).parse().ok(),
        })
    }

    /// Whether the pull secret holds this registry, as [`REGISTRIES`] names it.
    #[must_use]
    pub fn holds(&self, registry: &str) -> bool {
        self.registries.split(',').any(|known| known == registry)
    }
}

impl ServiceAccount {
    /// Reduces a service account; none if it lacks what every object has.
    #[must_use]
    pub fn of(account: &WatchedServiceAccount) -> Option<Self> {
        let WatchedServiceAccount { metadata, image_pull_secrets } = account;
        let entries = metadata.managed_fields.as_deref().unwrap_or_default();
        // Under our name by whatever operation: `cleanup` patches the list.
        let (ours, others): (Vec<_>, Vec<_>) = entries
            .iter()
            .filter(|entry| owns(entry, &["f:imagePullSecrets"]))
            .partition(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
        Some(Self {
            name: metadata.name.as_deref()?.into(),
            uid: metadata.uid.as_deref()?.into(),
            resource_version: metadata.resource_version.as_deref()?.into(),
            pull_secrets: image_pull_secrets
                .iter()
                .flatten()
                .map(|entry| entry.name.as_str().into())
                .collect(),
            enforces_mountable: metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(ENFORCE_MOUNTABLE))
                .is_some_and(|value| value == "true"),
            ours_last: !ours.is_empty(),
            other_manager: last(others.into_iter()),
        })
    }

    /// Whether it lists this pull secret.
    #[must_use]
    pub fn lists(&self, pull_secret: &str) -> bool {
        self.pull_secrets.iter().any(|name| **name == *pull_secret)
    }
}

/// Whether the version of an object that arrives is older than the one that is known. The API server's versions are
/// numbers; where one is not, the one that arrives counts.
#[must_use]
pub fn is_older(arriving: &str, known: &str) -> bool {
    matches!((arriving.parse::<u64>(), known.parse::<u64>()), (Ok(arriving), Ok(known)) if arriving < known)
}

const F_EXPIRES_AT: &str = "f:acr-credential-helper.io/expires-at";

/// What we always write, as paths in `managedFields`.
const WRITTEN: [&[&str]; 6] = [
    &["f:data", "f:.dockerconfigjson"],
    &["f:type"],
    &["f:metadata", "f:labels", "f:app.kubernetes.io/managed-by"],
    &["f:metadata", "f:annotations", "f:acr-credential-helper.io/hash"],
    &["f:metadata", "f:annotations", "f:acr-credential-helper.io/inputs"],
    &["f:metadata", "f:annotations", "f:acr-credential-helper.io/registries"],
];

/// Of a Secret: an update of one under our name would be somebody else's, since we only ever apply them. (Lists of service
/// accounts are also patched, by `cleanup`, and so is the Lease.)
fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply")
}

fn owns(entry: &ManagedFieldsEntry, path: &[&str]) -> bool {
    let mut at: Option<&Value> = entry.fields_v1.as_ref().map(|fields| &fields.0);
    for step in path {
        at = at.and_then(|value| value.get(step));
    }
    at.is_some()
}

/// The manager that wrote last.
fn last<'a>(entries: impl Iterator<Item = &'a ManagedFieldsEntry>) -> Option<Box<str>> {
    let entry = entries.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    Some(entry.manager.as_deref().unwrap_or("somebody without a name").into())
}

#[cfg(test)]
mod tests;
