//! The outcome of a decision.

use serde::Serialize;

use super::Splice;
use crate::json::Malformed;

/// The decision about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Accept it as it is: the settings do not select its namespace, its service account, or any of its images.
    NotSelected,
    /// Accept it as it is: no rule applies.
    Accept,
    /// Accept it as it is, although the list is manual: the settings require it.
    LeaveAlone {
        /// The rule that applied.
        rule: Rule,
        /// The warnings for the user.
        warnings: Vec<String>,
    },
    /// Accept it with one insertion.
    Mutate {
        /// The rule that applied.
        rule: Rule,
        /// The object of the request.
        object: &'a str,
        /// The change of the object's text.
        splice: Splice,
        /// The warnings for the user.
        warnings: Vec<String>,
    },
    /// Refuse it: the rules forbid it.
    Refuse {
        /// The rule that applied.
        rule: Rule,
        /// Why, and how to fix it.
        message: String,
    },
    /// Refuse it: the request cannot be understood (code 400), or the settings are wrong (500).
    Error {
        /// An HTTP status.
        code: u16,
        /// What is wrong, and where.
        message: String,
    },
}

impl<'a> Verdict<'a> {
    /// Creates the verdict to accept the object with this insertion.
    pub(super) fn mutate(
        rule: Rule,
        object: &'a str,
        splice: Option<Splice>,
        warnings: Vec<String>,
    ) -> Result<Self, Malformed> {
        match splice {
            Some(splice) => Ok(Self::Mutate { rule, object, splice, warnings }),
            None => Err(Malformed::new("cannot be found in the object").below("imagePullSecrets")),
        }
    }

    /// Creates the refusal of a request that cannot be understood.
    #[must_use]
    pub fn malformed(place: &str, complaint: &str) -> Self {
        Self::Error { code: 400, message: format!("{place}: {complaint}") }
    }
}

/// The rule that applied: the value of the audit annotation `rule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A Pod whose list had no manual entries got the pull secret.
    PodAppended,
    /// A Pod with a manual list got the pull secret.
    PodMerged,
    /// A Pod with a manual list was left alone, as the settings require.
    PodIgnored,
    /// A Pod with a manual list was refused.
    PodRefused,
    /// A workload with a manual list was refused.
    WorkloadRefused,
    /// A workload with a manual list was accepted with a warning.
    WorkloadWarned,
    /// A service account got the pull secret.
    ServiceAccountAppended,
}
