//! JSON by reference: texts and values that borrow from the request, and places in it.

mod reader;
mod scanner;
mod tree;

use std::ops::Range;

pub(crate) use reader::{Kind, Reader};
pub(crate) use tree::Tree;

/// Where `part`, a slice of `whole`, lies in it. `None` when it is no slice of it.
pub(crate) fn place_in(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

/// What is wrong with a document, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Such as `spec.imagePullSecrets[0].name`; empty for the whole document.
    pub(crate) path: String,
    /// What is wrong there, without a word of the document.
    pub(crate) complaint: String,
}

impl Malformed {
    /// Something is wrong with the value at hand.
    pub(crate) fn new(complaint: impl Into<String>) -> Self {
        Self { path: String::new(), complaint: complaint.into() }
    }

    /// The value at hand is of another kind.
    pub(crate) fn must_be(kind: Kind) -> Self {
        Self::new(format!("must be {}", kind.name()))
    }

    /// The map at hand is incomplete.
    pub(crate) fn lacks(key: &str) -> Self {
        Self::new(format!("lacks `{key}`"))
    }

    /// The same, seen from one level up.
    #[cold]
    pub(crate) fn below(mut self, parent: &str) -> Self {
        let dot =
            if parent.is_empty() || self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{parent}{dot}{}", self.path);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_and_strangers_are_not() {
        let whole = "some text";
        let (_, part) = whole.split_at(5);
        assert_eq!(place_in(whole, part), Some(5..9));
        assert_eq!(place_in(part, whole), None);
    }
}
