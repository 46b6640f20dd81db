//! How a list of pull secrets stands towards ours.

/// What a list of `imagePullSecrets` means for the pull secret.
///
/// Kubernetes copies a service account's list to a Pod only while the Pod's own list is empty, so one manual entry is
/// enough to keep every other pull secret out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListVerdict<'a> {
    /// The pull secret is in the list.
    Listed,
    /// It is not, and nothing in the list was written by hand: it can be appended without asking.
    Free,
    /// It is not, and these entries (at least one, in their order) were.
    Manual(Vec<&'a str>),
}

impl<'a> ListVerdict<'a> {
    /// Judges a list by the names of its entries; a nameless entry has the name `""` and never counts as manual.
    pub fn of(
        names: impl IntoIterator<Item = &'a str>,
        pull_secret: &str,
        is_allowed: impl Fn(&str) -> bool,
    ) -> Self {
        let mut manual = Vec::new();
        for name in names {
            if name == pull_secret {
                return Self::Listed;
            }
            if !name.is_empty() && !is_allowed(name) {
                manual.push(name);
            }
        }
        if manual.is_empty() { Self::Free } else { Self::Manual(manual) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&'static str], expected: &ListVerdict<'_>) {
        assert_eq!(ListVerdict::of(names.iter().copied(), "ours", |name| name.starts_with("ok-")), *expected);
    }

    #[test]
    fn lists_are_told_apart() {
        check(&[], &ListVerdict::Free);
        check(&["", "ok-1"], &ListVerdict::Free);
        check(&["mine", "ours"], &ListVerdict::Listed);
        check(&["", "mine", "ok-1", "mine"], &ListVerdict::Manual(vec!["mine", "mine"]));
    }
}
