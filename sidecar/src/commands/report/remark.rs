//! Remarks: what was found about one thing, without the place.

use super::Mark;

/// How good it is, and a sentence.
pub(crate) type Remark = (Mark, String);

pub(crate) fn ok(message: impl Into<String>) -> Remark {
    (Mark::Ok, message.into())
}

pub(crate) fn warning(message: impl Into<String>) -> Remark {
    (Mark::Warning, message.into())
}

pub(crate) fn error(message: impl Into<String>) -> Remark {
    (Mark::Error, message.into())
}

pub(crate) fn skipped(message: impl Into<String>) -> Remark {
    (Mark::Skipped, message.into())
}
