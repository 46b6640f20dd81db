//! What is kept of the objects that are watched: the few fields that affect decisions.
//!
//! At 10,000 namespaces the objects' full metadata would be hundreds of MiB, half of it `managedFields`, so each object is
//! reduced as soon as it has been read. The data of a Secret is never requested. The amount that is kept of an object does not
//! depend on what tenants write in it: a value that is longer than our values can be is not ours.

use jiff::Timestamp;
use kube::core::{Selector, SelectorExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::configuration::Configuration;
use crate::kubernetes::{FIELD_MANAGER, ManagedFieldsEntry, Metadata, elements, member, text};

/// The label that names the manager of a Secret.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// When the first credential in the pull secret expires, in the form of RFC 3339; absent if it contains no credential.
pub const EXPIRES_AT: &str = "acr-credential-helper.io/expires-at";

/// The registries in the pull secret: `region/instance`, separated by commas.
pub const REGISTRIES: &str = "acr-credential-helper.io/registries";

/// Fingerprint of what the configuration asks for, without the credentials.
pub const INPUTS: &str = "acr-credential-helper.io/inputs";

/// Hash of the docker config and its expiry.
pub const HASH: &str = "acr-credential-helper.io/hash";

/// A Pod of an account with this annotation may list only pull secrets that the account lists too.
pub const ENFORCE_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

/// The longest length of our annotations, in bytes, except for [`REGISTRIES`].
const LONGEST_ANNOTATION: usize = 128;

/// The longest length of [`REGISTRIES`], in bytes.
pub const LONGEST_REGISTRIES: usize = 32 * 1024;

/// The longest list of pull secrets that is kept and written.
pub const LONGEST_LIST: usize = 100;

/// No name in Kubernetes is longer, in bytes.
const LONGEST_NAME: usize = 253;

/// A namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Namespace {
    /// Whether the configuration has a label selector that does not select it.
    pub is_left_out: bool,
    /// Whether it is being deleted: nothing can be created in it any more.
    pub terminating: bool,
}

/// The metadata of a Secret with the name of the pull secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct PullSecret {
    /// Changes when it is deleted and created again.
    pub uid: Box<str>,
    /// Changes with each write.
    pub resource_version: Box<str>,
    /// Whether it is ours: it has our label, or we are one of its managers.
    pub ours: bool,
    /// Whether it has both of our marks. Tenants can forge either mark, so where our pull secret is not needed, one mark is
    /// not enough to delete it.
    pub surely_ours: bool,
    /// Whether every field that we write is unchanged since we wrote it.
    pub intact: bool,
    /// The other manager that owns one of these fields, or that created a Secret that is not ours.
    pub other_manager: Option<Box<str>>,
    /// Whether it is being deleted, and waits for a finalizer.
    pub terminating: bool,
    /// [`HASH`]; empty if it is absent.
    pub hash: Box<str>,
    /// [`INPUTS`]; empty if it is absent.
    pub inputs: Box<str>,
    /// [`REGISTRIES`]; empty if it is absent.
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
    /// Names of its pull secrets, in order; a nameless entry is `""`. Of a list that is too long, only our entry is kept.
    pub pull_secrets: Box<[Box<str>]>,
    /// Whether the list is longer than [`LONGEST_LIST`], so that it is left alone.
    pub is_too_long: bool,
    /// Whether its Pods may list only pull secrets that it lists.
    pub enforces_mountable: bool,
    /// Whether we last wrote its list as a whole: the controller applied it, or `cleanup` patched it.
    pub ours_last: bool,
    /// The other manager that last wrote its list.
    pub other_manager: Option<Box<str>>,
}

/// The part of a service account that is not metadata.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lists<'a> {
    #[serde(borrow)]
    image_pull_secrets: Option<&'a RawValue>,
}

impl Namespace {
    /// Reduces a namespace's metadata.
    pub fn from_metadata(metadata: &Metadata<'_>, selector: Option<&Selector>) -> Self {
        Self {
            is_left_out: selector.is_some_and(|selector| !selector.matches(&metadata.labels())),
            terminating: metadata.is_terminating(),
        }
    }

    /// Returns whether the configuration manages the namespace of this name. It must be the one whose selector was used to reduce
    /// it.
    pub fn is_managed(self, name: &str, configuration: &Configuration) -> bool {
        !self.is_left_out && configuration.namespaces.contains(name)
    }
}

impl PullSecret {
    /// Reduces a Secret's metadata.
    pub fn from_metadata(metadata: &Metadata<'_>) -> Self {
        let annotation = |name: &str| metadata.annotation(name, LONGEST_ANNOTATION).unwrap_or_default();
        let entries = metadata.managers();
        let is_labelled = metadata.label(MANAGED_BY).is_some_and(|by| by == FIELD_MANAGER);
        // If a tenant removes our label, the Secret is still ours: our entry among the managers remains.
        let is_managed = entries.iter().any(is_ours);
        let ours = is_labelled || is_managed;
        let others = entries.iter().filter(|entry| !is_ours(entry));
        let other = if ours {
            last(others.filter(|entry| WRITTEN.iter().any(|path| entry.owns(path))))
        } else {
            last(others)
        };
        let expires_at = annotation(EXPIRES_AT);
        let registries = metadata.annotation(REGISTRIES, LONGEST_REGISTRIES).filter(|_| ours);
        Self {
            uid: (&*metadata.uid).into(),
            resource_version: (&*metadata.resource_version).into(),
            ours,
            surely_ours: is_labelled && is_managed,
            intact: is_labelled
                && entries.iter().filter(|entry| is_ours(entry)).any(|entry| {
                    WRITTEN.iter().all(|path| entry.owns(path))
                        // Absent if the pull secret contains no credential.
                        && (expires_at.is_empty() || entry.owns(&["f:metadata", "f:annotations", F_EXPIRES_AT]))
                }),
            other_manager: other,
            terminating: metadata.is_terminating(),
            hash: (&*annotation(HASH)).into(),
            inputs: (&*annotation(INPUTS)).into(),
            registries: registries.as_deref().unwrap_or_default().into(),
            expires_at: expires_at.parse().ok(),
        }
    }

    /// Returns the manager that changed it since we wrote it; `None` if it is unchanged, or if it is not ours.
    pub fn contested_by(&self) -> Option<&str> {
        (self.ours && !self.intact).then(|| self.other_manager.as_deref().unwrap_or("an unknown manager"))
    }

    /// Returns whether the pull secret contains this registry, as [`REGISTRIES`] names it.
    pub fn holds(&self, registry: &str) -> bool {
        self.registries.split(',').any(|known| known == registry)
    }
}

impl ServiceAccount {
    /// Reduces a service account. Its text is needed, because the list of pull secrets is not metadata.
    pub fn from_object(
        object: &str,
        metadata: &Metadata<'_>,
        pull_secret: &str,
    ) -> Result<Self, serde_json::Error> {
        let Lists { image_pull_secrets } = serde_json::from_str(object)?;
        let (pull_secrets, is_too_long) = names(image_pull_secrets, pull_secret);
        Ok(Self { pull_secrets, is_too_long, ..Self::without_list(metadata) })
    }

    /// Reduces a service account whose list is known because it has just been written.
    pub fn written(metadata: &Metadata<'_>, pull_secrets: Box<[Box<str>]>) -> Self {
        Self { pull_secrets, ..Self::without_list(metadata) }
    }

    fn without_list(metadata: &Metadata<'_>) -> Self {
        let entries = metadata.managers();
        // Any operation under our name counts: `cleanup` patches the list.
        let (ours, others): (Vec<_>, Vec<_>) = entries
            .iter()
            .filter(|entry| entry.owns(&["f:imagePullSecrets"]))
            .partition(|entry| entry.manager == FIELD_MANAGER);
        let enforces = metadata.annotation(ENFORCE_MOUNTABLE, LONGEST_ANNOTATION);
        Self {
            name: (&*metadata.name).into(),
            uid: (&*metadata.uid).into(),
            resource_version: (&*metadata.resource_version).into(),
            pull_secrets: Box::default(),
            is_too_long: false,
            enforces_mountable: enforces.is_some_and(|value| value == "true"),
            ours_last: !ours.is_empty(),
            other_manager: last(others.into_iter()),
        }
    }

    /// Returns whether it lists this pull secret.
    pub fn lists(&self, pull_secret: &str) -> bool {
        self.pull_secrets.iter().any(|name| **name == *pull_secret)
    }
}

/// Returns whether an arriving version of an object is older than the known one. The API server's versions are numbers; if one of
/// them is not a number, the arriving version is used.
pub fn is_older(arriving: &str, known: &str) -> bool {
    matches!((arriving.parse::<u64>(), known.parse::<u64>()), (Ok(arriving), Ok(known)) if arriving < known)
}

const F_EXPIRES_AT: &str = "f:acr-credential-helper.io/expires-at";

/// The fields that we always write, as paths in `managedFields`.
const WRITTEN: [&[&str]; 6] = [
    &["f:data", "f:.dockerconfigjson"],
    &["f:type"],
    &["f:metadata", "f:labels", "f:app.kubernetes.io/managed-by"],
    &["f:metadata", "f:annotations", "f:acr-credential-helper.io/hash"],
    &["f:metadata", "f:annotations", "f:acr-credential-helper.io/inputs"],
    &["f:metadata", "f:annotations", "f:acr-credential-helper.io/registries"],
];

/// Returns whether an entry of a Secret is ours. An update of a Secret under our name would come from another writer, since we
/// only apply Secrets. (Lists of service accounts are also patched, by `cleanup`, and so is the Lease.)
fn is_ours(entry: &ManagedFieldsEntry<'_>) -> bool {
    entry.manager == FIELD_MANAGER && entry.operation == "Apply"
}

/// Returns the manager that wrote last.
fn last<'a>(entries: impl Iterator<Item = &'a ManagedFieldsEntry<'a>>) -> Option<Box<str>> {
    let entry = entries.max_by_key(|entry| entry.time())?;
    Some(if entry.manager.is_empty() { "a manager without a name" } else { &*entry.manager }.into())
}

/// Returns the names in a list, and whether the list is too long: then only our name is kept, if it is there.
fn names(list: Option<&RawValue>, ours: &str) -> (Box<[Box<str>]>, bool) {
    let (mut names, mut size, mut count, mut has_ours) = (Vec::new(), 0, 0, false);
    let mut keep = |entry: &RawValue| {
        let name = member(entry, "name").and_then(text).unwrap_or_default();
        (count, size) = (count + 1, size + name.len());
        has_ours |= name == ours;
        if is_kept(count, size) {
            names.push((&*name).into());
        }
    };
    if let Some(list) = list {
        elements(list, &mut keep);
    }
    if is_kept(count, size) {
        return (names.into(), false);
    }
    (has_ours.then(|| ours.into()).into_iter().collect(), true)
}

fn is_kept(count: usize, size: usize) -> bool {
    count <= LONGEST_LIST && size <= LONGEST_LIST * LONGEST_NAME
}

#[cfg(test)]
mod tests;
