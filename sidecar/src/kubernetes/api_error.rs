//! Errors of the Kubernetes API: a closed set of reasons, and one line for people.

use kube::Error;
use kube::client::AuthError;

/// A stable name for what went wrong, for metrics.
pub fn reason(error: &Error) -> &'static str {
    match error {
        Error::Api(status) => match status.code {
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            410 => "Gone",
            422 => "Invalid",
            429 => "TooManyRequests",
            400..=499 => "Refused",
            _ => "ServerError",
        },
        Error::HyperError(_) | Error::Service(_) | Error::ReadEvents(_) => "Unreachable",
        Error::SerdeError(_) | Error::FromUtf8(_) | Error::LinesCodecMaxLineLengthExceeded => {
            "MalformedAnswer"
        }
        _ => "Other",
    }
}

/// The error as one line: what the API server said, or all causes. kube's own text shows a status twice.
pub fn describe(error: &Error) -> String {
    match error {
        Error::Api(status) if status.message.is_empty() => {
            format!("the API server answered {} {}", status.code, reason(error))
        }
        Error::Api(status) => format!("the API server answered {}: {}", status.code, status.message),
        _ => of_plugin(error).unwrap_or_else(|| {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(error) = cause {
                let more = error.to_string();
                // Many a wrapper repeats its cause.
                if !text.contains(&more) {
                    text = format!("{text}: {more}");
                }
                cause = error.source();
            }
            text
        }),
    }
}

/// What went wrong with the exec plugin of a kubeconfig. kube's own texts hold what the plugin wrote, tokens included, and
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

/// Whether the API server answered with this HTTP status.
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
    fn reasons_follow_the_status_and_not_its_text() {
        let check = |code, expected| assert_eq!(reason(&answered(code, "")), expected);
        check(403, "Forbidden");
        check(409, "Conflict");
        check(418, "Refused");
        check(500, "ServerError");
        check(503, "ServerError");
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
        assert_eq!(describe(&answered(500, "")), "the API server answered 500 ServerError");
    }
}
