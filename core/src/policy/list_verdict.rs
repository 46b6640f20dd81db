//! What a list of `imagePullSecrets` means for our pull secret.

use std::borrow::Cow;

use super::Settings;

/// What a list of `imagePullSecrets` means for the pull secret.
///
/// Kubernetes copies a service account's list to a Pod only while the Pod's own list is empty, so one manual entry is
/// enough to keep every other pull secret out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListVerdict<'a> {
    /// The pull secret is in the list.
    Listed,
    /// The pull secret is not in the list, and no entry was written by hand: it can be appended without asking.
    Free,
    /// The pull secret is not in the list, and these entries (at least one, in the order of the list) were written by hand.
    Manual(Vec<&'a str>),
}

impl<'a> ListVerdict<'a> {
    /// Classifies a list by the names of its entries. An entry without a name has the name `""` and never counts as manual.
    pub(super) fn new(names: &'a [Cow<'_, str>], settings: &Settings<'_>) -> Self {
        let mut manual = Vec::new();
        for name in names {
            if *name == settings.pull_secret {
                return Self::Listed;
            }
            if !name.is_empty() && !settings.manual.allowed.iter().any(|pattern| pattern.matches(name)) {
                manual.push(&**name);
            }
        }
        if manual.is_empty() { Self::Free } else { Self::Manual(manual) }
    }
}
