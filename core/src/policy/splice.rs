//! The change of an object's text: one insertion. Every other byte stays as it is.

use std::ops::Range;

use crate::json::place_in;

/// One change of a text: `text` replaces the bytes at `at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// The range of bytes that is replaced.
    pub at: Range<usize>,
    /// The text that replaces them.
    pub text: String,
}

// `list`, `parent` and `sibling` are slices of the object's text.
impl Splice {
    /// Adds the pull secret after the entries of `imagePullSecrets`, or replaces its `null`.
    pub(super) fn append(list: &str, object: &str, pull_secret: &str) -> Option<Self> {
        let Range { start, end } = place_in(object, list)?;
        if list == "null" {
            return Some(Self { at: start..end, text: format!(r#"[{{"name":"{pull_secret}"}}]"#) });
        }
        let comma = comma(list.strip_prefix('[')?.strip_suffix(']')?);
        let end = end.checked_sub(1)?;
        Some(Self { at: end..end, text: format!(r#"{comma}{{"name":"{pull_secret}"}}"#) })
    }

    /// Adds `imagePullSecrets` as the first field of its parent.
    pub(super) fn insert_first(parent: &str, object: &str, pull_secret: &str) -> Option<Self> {
        let start = place_in(object, parent)?.start.checked_add(1)?;
        let comma = comma(parent.strip_prefix('{')?.strip_suffix('}')?);
        Some(Self { at: start..start, text: format!("{}{comma}", field(pull_secret)) })
    }

    /// Adds `imagePullSecrets` after another field of its parent.
    pub(super) fn insert_after(sibling: &str, object: &str, pull_secret: &str) -> Option<Self> {
        let end = place_in(object, sibling)?.end;
        Some(Self { at: end..end, text: format!(",{}", field(pull_secret)) })
    }
}

fn field(pull_secret: &str) -> String {
    format!(r#""imagePullSecrets":[{{"name":"{pull_secret}"}}]"#)
}

/// Returns the separator between a new entry and the others of a list or a map.
fn comma(others: &str) -> &'static str {
    if others.trim().is_empty() { "" } else { "," }
}
