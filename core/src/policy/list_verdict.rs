//! What a list of pull secrets means for ours.

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
    /// It is not, and nothing in the list was written by hand: it can be appended without asking.
    Free,
    /// It is not, and these entries (at least one, in their order) were.
    Manual(Vec<&'a str>),
}

impl<'a> ListVerdict<'a> {
    /// Judges a list by the names of its entries; a nameless entry has the name `""` and never counts as manual.
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
