//! What faults do to a call.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::error::{ApiError, Envelope};
use crate::fault::FaultKind;
use crate::message::{Answer, Delivery};

/// The answer that is given instead of the call's own, by faults that keep it from being looked at.
pub(super) fn instead(fault: &FaultKind, envelope: &Envelope, now: Timestamp) -> Option<Answer> {
    match fault {
        FaultKind::Reset => Some(silent(Delivery::Reset, "Reset")),
        FaultKind::Stall => Some(silent(Delivery::Stall, "Stall")),
        FaultKind::Throttle { status, time_left_ms, acs_retry_after_ms, retry_after } => {
            let message = "Request was denied due to user flow control.";
            let error = ApiError::new(status.unwrap_or(400), "Throttling.User", message);
            let limit = |left| format!("Limit:1,Remain:0,TimeLeft:{left},Reset:{}", now.as_second());
            let hints = [
                ("x-ratelimit-user-api", time_left_ms.map(limit)),
                ("x-acs-retry-after", acs_retry_after_ms.map(|left| left.to_string())),
                ("retry-after", retry_after.map(|seconds| seconds.to_string())),
            ];
            let mut answer = envelope.failure(error);
            answer
                .headers
                .extend(hints.into_iter().filter_map(|(name, hint)| Some((name.to_owned(), hint?))));
            Some(answer)
        }
        FaultKind::Error { status, code, xml } => {
            let code = code.as_deref().unwrap_or("ServiceUnavailable");
            let message = "The request has failed due to a temporary failure of the server.";
            let envelope = Envelope { xml: *xml || envelope.xml, ..envelope.clone() };
            Some(envelope.failure(ApiError::new(status.unwrap_or(503), code, message)))
        }
        FaultKind::NonJson => {
            let page = "<html><body><h1>It works!</h1></body></html>";
            Some(Answer { code: "NonJson".into(), ..Answer::new(200, "text/html", page) })
        }
        FaultKind::Unsuccessful { code } => {
            let error = ApiError::new(200, code, "The operation has failed.");
            Some(envelope.failure(error.with("IsSuccess", json!(false))))
        }
        FaultKind::Delay { .. }
        | FaultKind::Slow { .. }
        | FaultKind::Truncate { .. }
        | FaultKind::Life { .. }
        | FaultKind::EmptyPassword
        | FaultKind::ClockSkew { .. } => None,
    }
}

impl FaultKind {
    /// By how much the server's idea of the time is off.
    pub(super) fn skew(&self) -> Option<SignedDuration> {
        let Self::ClockSkew { seconds } = self else { return None };
        Some(SignedDuration::from_secs(*seconds))
    }

    /// How long lives what is handed out.
    pub(super) fn life(&self) -> Option<SignedDuration> {
        let Self::Life { seconds } = self else { return None };
        Some(SignedDuration::from_secs(*seconds))
    }

    /// How the answer travels.
    pub(super) fn delivery(&self) -> Delivery {
        match self {
            Self::Delay { ms } => Delivery::Late(Duration::from_millis(*ms)),
            Self::Slow { pause_ms } => Delivery::Slow(Duration::from_millis(*pause_ms)),
            Self::Truncate { bytes } => Delivery::Truncated(*bytes),
            _ => Delivery::Whole,
        }
    }
}

fn silent(delivery: Delivery, code: &str) -> Answer {
    Answer { delivery, code: code.into(), ..Answer::new(503, "text/plain", "") }
}
