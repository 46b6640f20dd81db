//! `/_admin/`: what the methods of the library do, for other processes. JSON in and out.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::fault::Fault;
use crate::message::{Answer, Request};
use crate::oidc::TokenRequest;

const HELP: &str = "\
GET    /_admin/state       what is in the cloud
PATCH  /_admin/state       change it by a JSON merge patch; null removes a member
POST   /_admin/reset       put all back as it was at the start
GET    /_admin/clock       the time
POST   /_admin/clock       {\"set\": \"2026-01-01T00:00:00Z\"} or {\"advanceSeconds\": 60}; {\"frozen\": true} stops it
GET    /_admin/faults      faults that are set
POST   /_admin/faults      {\"action\": \"AssumeRole\", \"times\": 1, \"kind\": \"error\", \"status\": 500}
DELETE /_admin/faults      take all faults away
GET    /_admin/calls       how often each action was called and refused
DELETE /_admin/calls       count from zero
GET    /_admin/requests    the requests so far, with their answers' status and code
DELETE /_admin/requests    forget them
POST   /_admin/oidc-token  {\"subject\": \"system:serviceaccount:kube-system:acr-credential-sidecar\"}

A fault: kind, and action, instance and times to limit it. Kinds:
throttle {status, timeLeftMs, acsRetryAfterMs, retryAfter}, error {status, code, xml}, reset, stall,
delay {ms}, slow {pauseMs}, truncate {bytes}, nonJson, unsuccessful {code}, life {seconds}, emptyPassword, clockSkew {seconds}.
Token: subject, provider (ARN), issuer, audience, expiresIn, signedBy (testKey or stranger).
";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClockChange {
    #[serde(default)]
    set: Option<Timestamp>,
    #[serde(default)]
    advance_seconds: Option<i64>,
    #[serde(default)]
    frozen: Option<bool>,
}

/// Answers a request for this path below `/_admin`.
pub(crate) fn answer(cloud: &mut Cloud, path: &str, request: &Request) -> Answer {
    match attempt(cloud, path, request) {
        Ok(answer) => answer,
        Err(message) => Answer::json(400, &json!({"error": message})),
    }
}

fn attempt(cloud: &mut Cloud, path: &str, request: &Request) -> Result<Answer, String> {
    let body = request.body.as_slice();
    match (request.method.as_str(), path) {
        ("GET", "" | "/") => return Ok(Answer::new(200, "text/plain", HELP)),
        ("GET", "/state") => return shown(cloud.state()),
        ("PATCH", "/state") => cloud.patch(&parsed(body)?).map_err(|error| error.to_string())?,
        ("POST", "/reset") => cloud.reset(),
        ("GET", "/clock") => {}
        ("POST", "/clock") => {
            let ClockChange { set, advance_seconds, frozen } = parsed(body)?;
            if let Some(frozen) = frozen {
                cloud.clock.freeze(frozen);
            }
            if let Some(to) = set {
                cloud.clock.set(to);
            }
            if let Some(seconds) = advance_seconds {
                cloud.clock.advance(SignedDuration::from_secs(seconds));
            }
        }
        ("GET", "/faults") => return shown(cloud.faults.list()),
        ("POST", "/faults") => cloud.faults.add(parsed::<Fault>(body)?),
        ("DELETE", "/faults") => cloud.faults.clear(),
        ("GET", "/calls") => return shown(&cloud.calls),
        ("DELETE", "/calls") => cloud.calls.clear(),
        ("GET", "/requests") => return shown(&cloud.records),
        ("DELETE", "/requests") => cloud.records.clear(),
        ("POST", "/oidc-token") => {
            let token = cloud.mint_oidc_token(&parsed::<TokenRequest>(body)?)?;
            return shown(&json!({"token": token}));
        }
        _ => return Ok(Answer::new(404, "text/plain", HELP)),
    }
    // What changes something answers with the time, which many callers go on to use.
    shown(&json!({"now": cloud.clock.now()}))
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body cannot be read: {error}"))
}

fn shown(value: &(impl serde::Serialize + ?Sized)) -> Result<Answer, String> {
    let value: Value = serde_json::to_value(value).map_err(|error| error.to_string())?;
    Ok(Answer::json(200, &value))
}
