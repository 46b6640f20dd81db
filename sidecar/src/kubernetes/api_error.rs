//! Errors of the Kubernetes API: a closed set of names, and one line for people.

use std::time::Duration;

use kube::Error;
use kube::client::AuthError;
use kube::core::Status;

/// Why a call failed, in as much detail as the next step needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum ApiError {
    /// The object has another version than the plan expected, or another owner: our knowledge is out of date.
    #[error("another writer was faster")]
    Conflict,
    /// The namespace is being deleted.
    #[error("the namespace is being deleted")]
    Terminating,
    /// The object, or its namespace, is gone.
    #[error("it is gone")]
    Gone,
    /// The Secret has another type, and the type cannot be changed.
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
    /// The API server does not accept such an object.
    #[error("the API server refuses it: {0}")]
    Refused(String),
    /// The object is not valid.
    #[error("the API server refuses it: {0}")]
    Invalid(String),
    /// The API server is overloaded, or does not work.
    #[error("the API server cannot do it now: {message}")]
    Busy {
        /// The message of the API server.
        message: String,
        /// How long it asks clients to wait.
        retry_after: Option<Duration>,
    },
    /// There was no answer, or an unexpected one.
    #[error("the API server did not answer: {0}")]
    Unreachable(String),
}

impl ApiError {
    fn from_status(status: &Status) -> Self {
        let details = status.details.as_ref();
        let causes = details.map(|details| details.causes.as_slice()).unwrap_or_default();
        let message =
            if status.message.is_empty() { format!("HTTP {}", status.code) } else { status.message.clone() };
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
            422 => Self::Invalid(message),
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

    /// Returns the error for an answer that does not have the form of the Kubernetes API.
    pub fn malformed() -> Self {
        Self::Unreachable("its answer is not that of a Kubernetes API".to_owned())
    }

    /// Returns whether the next observation, an event or another look, resolves it.
    pub fn is_a_race(&self) -> bool {
        matches!(self, Self::Conflict | Self::Terminating | Self::Gone)
    }

    /// Returns a stable name for metrics.
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
            Self::Invalid(_) => "Invalid",
            Self::Busy { .. } => "Busy",
            Self::Unreachable(_) => "Unreachable",
        }
    }
}

impl From<&Error> for ApiError {
    fn from(error: &Error) -> Self {
        match error {
            Error::Api(status) => Self::from_status(status),
            error => Self::Unreachable(describe(error)),
        }
    }
}

/// Waits for the answer to a call for a limited time: an endless call of the controller would block its namespace.
pub async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, ApiError> {
    const LIMIT: Duration = Duration::from_secs(10);
    match tokio::time::timeout(LIMIT, call).await {
        Ok(result) => result.map_err(|error| ApiError::from(&error)),
        Err(_) => {
            Err(ApiError::Unreachable(format!("no complete answer arrived within {} s", LIMIT.as_secs())))
        }
    }
}

/// Returns the error as one line: the message of the API server, or all causes. kube's own text shows a status twice.
pub fn describe(error: &Error) -> String {
    match error {
        Error::Api(status) if status.message.is_empty() => {
            format!("the API server answered {}", status.code)
        }
        Error::Api(status) => format!("the API server answered {}: {}", status.code, status.message),
        // kube's own text only adds `ServiceError`.
        Error::Service(cause) => of_plugin(error).unwrap_or_else(|| with_causes(&**cause)),
        _ => of_plugin(error).unwrap_or_else(|| with_causes(error)),
    }
}

/// Returns an error and all its causes as one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| {
        let more = cause.to_string();
        // Many wrappers repeat their cause.
        if text.contains(&more) { text } else { format!("{text}: {more}") }
    })
}

/// Returns the failure of a kubeconfig's exec plugin. kube's own texts contain the output of the plugin, including tokens, and
/// the environment that it was given.
fn of_plugin(error: &Error) -> Option<String> {
    let first: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |error| error.source());
    match causes.find_map(|error| error.downcast_ref::<AuthError>())? {
        AuthError::AuthExecRun { out, .. } => {
            Some(format!("the exec plugin of the kubeconfig failed with {}: run it by hand", out.status))
        }
        AuthError::AuthExecParse(_) => {
            Some("the exec plugin of the kubeconfig wrote no ExecCredential: run it by hand".to_owned())
        }
        _ => None,
    }
}

/// Returns whether the API server answered with this HTTP status.
pub fn is_status(error: &Error, code: u16) -> bool {
    matches!(error, Error::Api(status) if status.code == code)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answered(code: u16, message: &str) -> Error {
        Error::Api(Status::failure(message, "Whatever").with_code(code).boxed())
    }

    #[test]
    fn names_follow_the_status_where_its_text_is_empty() {
        let check = |code, expected| assert_eq!(ApiError::from(&answered(code, "")).name(), expected);
        check(401, "Forbidden");
        check(403, "Forbidden");
        check(404, "Gone");
        check(409, "Conflict");
        check(410, "Gone");
        check(418, "Refused");
        check(422, "Invalid");
        check(429, "Busy");
        check(500, "Busy");
        check(503, "Busy");
    }

    #[test]
    fn what_an_exec_plugin_wrote_is_never_shown() {
        let out = std::process::Output {
            status: std::process::ExitStatus::default(),
            stdout: b"MARKER".to_vec(),
            stderr: b"MARKER".to_vec(),
        };
        let failed = AuthError::AuthExecRun { cmd: "TOKEN=MARKER plugin".to_owned(), out: Box::new(out) };
        let unread = serde_saphyr::from_str::<u8>("token: MARKER").unwrap_err();
        assert!(unread.to_string().contains("MARKER"), "the text of the parser shows it");
        for error in [failed, AuthError::AuthExecParse(Box::new(unread))] {
            let text = describe(&Error::Auth(error));
            assert!(text.starts_with("the exec plugin of the kubeconfig"), "{text}");
            assert!(!text.contains("MARKER"), "{text}");
        }
    }

    #[test]
    fn the_line_says_what_the_server_said_once() {
        let error = answered(403, "secrets \"a\" is forbidden");
        assert_eq!(describe(&error), "the API server answered 403: secrets \"a\" is forbidden");
        assert_eq!(describe(&answered(500, "")), "the API server answered 500");
    }
}
