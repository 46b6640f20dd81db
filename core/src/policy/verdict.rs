//! The outcome of a judgement.

use std::ops::Range;

/// What is decided about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Accept it as it is: no rule acts.
    Accept(Reason),
    /// Accept it as it is, although the list is manual: the settings say so.
    LeaveAlone {
        /// The rule that acted.
        rule: Rule,
        /// What users are told.
        warnings: Vec<String>,
    },
    /// Accept it with one insertion.
    Mutate {
        /// The rule that acted.
        rule: Rule,
        /// The object of the request.
        object: &'a str,
        /// The change of its text.
        splice: Splice,
        /// What users are told.
        warnings: Vec<String>,
    },
    /// Refuse it: the rules forbid it.
    Refuse {
        /// The rule that acted.
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

impl Verdict<'_> {
    /// The refusal of a request that cannot be understood.
    #[must_use]
    pub fn malformed(place: &str, complaint: &str) -> Self {
        Self::Error { code: 400, message: format!("{place}: {complaint}") }
    }
}

/// Why no rule acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The settings do not select its namespace, its service account, or any of its images.
    NotSelected,
    /// A mirror Pod, a workload with an owner, or an object that is being deleted.
    Exempt,
    /// The list has the pull secret.
    Listed,
    /// A workload whose list has no manual entry.
    NothingManual,
    /// An update: its list was manual before, and it adds nothing to it.
    Unchanged,
    /// A workload, with a mode of `ignore`.
    Ignored,
}

/// Which rule acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A Pod whose list held nothing manual got the pull secret.
    PodAppended,
    /// A Pod with a manual list got it.
    PodMerged,
    /// A Pod with a manual list was left alone, as the settings say.
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

impl Rule {
    /// The value of the audit annotation `rule`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PodAppended => "pod-appended",
            Self::PodMerged => "pod-merged",
            Self::PodIgnored => "pod-ignored",
            Self::PodRefused => "pod-refused",
            Self::WorkloadRefused => "workload-refused",
            Self::WorkloadWarned => "workload-warned",
            Self::ServiceAccountAppended => "service-account-appended",
        }
    }
}

/// One change of a text: `text` instead of what is at `at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// The range of bytes that goes.
    pub at: Range<usize>,
    /// What comes instead.
    pub text: String,
}
