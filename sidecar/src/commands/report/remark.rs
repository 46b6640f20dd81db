//! Remarks: findings about one thing, without its place.

use super::Mark;

/// A severity and a sentence.
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

/// Returns the remark about something that could not be read.
pub(crate) fn not_checked(why: &str) -> Remark {
    skipped(format!("not checked: {why}"))
}
