//! Why a write failed, as far as it decides what to do next.

use std::time::Duration;

use kube::Error;
use kube::core::Status;

use crate::cluster::notice::{About, Notice};
use crate::kubernetes::api_error::describe;
use crate::reason::Reason;

/// Why a write failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum Failure {
    /// It is not the version that was planned for, or somebody else's: what is known is out of date.
    #[error("another writer was faster")]
    Conflict,
    /// The namespace is being deleted.
    #[error("the namespace is being deleted")]
    Terminating,
    /// The object, or its namespace, is gone.
    #[error("it is gone")]
    Gone,
    /// The Secret has another type, which cannot be changed.
    #[error(
        "it is not of the type kubernetes.io/dockerconfigjson: delete it, and the sidecar creates it again"
    )]
    WrongType,
    /// The Secret is marked immutable.
    #[error("it is marked immutable, so it cannot be renewed: delete it, and the sidecar creates it again")]
    Immutable,
    /// A right is missing, or an admission policy refuses.
    #[error("the API server forbids it: {0}")]
    Forbidden(String),
    /// A quota of the namespace leaves no room for it.
    #[error(
        "a ResourceQuota of the namespace leaves no room for it: raise its limit, or delete what it counts: {0}"
    )]
    Quota(String),
    /// The API server takes no such object.
    #[error("the API server refuses it: {0}")]
    Refused(String),
    /// The API server has too much to do, or does not work.
    #[error("the API server cannot do it now: {message}")]
    Busy {
        /// What it said.
        message: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// There was no answer, or none that makes sense.
    #[error("the API server did not answer: {0}")]
    Unreachable(String),
}

impl Failure {
    /// Judges an error of the client.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Api(status) => Self::of_status(status),
            error => Self::Unreachable(describe(error)),
        }
    }

    fn of_status(status: &Status) -> Self {
        let details = status.details.as_ref();
        let causes = details.map(|details| details.causes.as_slice()).unwrap_or_default();
        let message = status.message.clone();
        match status.code {
            409 => Self::Conflict,
            404 | 410 => Self::Gone,
            403 if causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
                || message.contains("because it is being terminated") =>
            {
                Self::Terminating
            }
            // https://github.com/kubernetes/apiserver/blob/master/pkg/admission/plugin/resourcequota/controller.go
            403 if message.contains("exceeded quota") => Self::Quota(message),
            401 | 403 => Self::Forbidden(message),
            422 if causes.iter().any(|cause| cause.field == "type") => Self::WrongType,
            422 if message.contains("field is immutable when `immutable` is set") => Self::Immutable,
            429 | 500.. => {
                let seconds =
                    details.map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
                Self::Busy {
                    message,
                    retry_after: seconds.map(|seconds| Duration::from_secs(seconds.into())),
                }
            }
            _ => Self::Refused(message),
        }
    }

    pub(in crate::cluster) fn malformed() -> Self {
        Self::Unreachable("its answer is not that of a Kubernetes API".to_owned())
    }

    pub(in crate::cluster) fn too_slow(limit: Duration) -> Self {
        Self::Unreachable(format!("nothing came within {} s", limit.as_secs()))
    }

    /// Whether it goes away with what is seen next: an event, or another look.
    pub fn is_a_race(&self) -> bool {
        matches!(self, Self::Conflict | Self::Terminating | Self::Gone)
    }

    /// A stable name, for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conflict => "Conflict",
            Self::Terminating => "Terminating",
            Self::Gone => "Gone",
            Self::WrongType => "WrongType",
            Self::Immutable => "Immutable",
            Self::Forbidden(_) => "Forbidden",
            Self::Quota(_) => "Quota",
            Self::Refused(_) => "Refused",
            Self::Busy { .. } => "Busy",
            Self::Unreachable(_) => "Unreachable",
        }
    }

    /// What people should know of it; nothing of a race.
    pub fn notice(&self, about: About) -> Option<Notice> {
        let reason = match self {
            Self::Conflict | Self::Terminating | Self::Gone => return None,
            Self::WrongType => Reason::PullSecretWrongType,
            Self::Immutable => Reason::PullSecretImmutable,
            Self::Forbidden(_) => Reason::WriteForbidden,
            Self::Quota(_) | Self::Refused(_) | Self::Busy { .. } | Self::Unreachable(_) => {
                Reason::WriteFailed
            }
        };
        Some(Notice { about, reason, message: self.to_string() })
    }
}
