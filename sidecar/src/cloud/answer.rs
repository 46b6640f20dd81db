//! Reads a response: its fields, or why the API refused.
//!
//! The reader is lenient where Alibaba's APIs differ from each other: keys in any case (`TempUsername`, `tempUserName`),
//! numbers as strings and the reverse, `Code` in any case, errors in JSON or XML, and failures with HTTP 200.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::call::Call;
use super::error::{CloudError, Details, identifier};
use super::http::Answer;
use super::refusal::{Refusal, explain};

/// A credential or a session lives for at most 12 hours. A life of more than twice that means that the response was not
/// understood.
pub(super) const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// The fields of a JSON object. It has no `Debug`, because some fields are secrets.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    call: &'a Call,
    map: &'a Map<String, Value>,
}

/// The JSON object of a response, and the call that it belongs to.
pub(super) struct Body {
    call: Call,
    map: Map<String, Value>,
}

impl Body {
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields { call: &self.call, map: &self.map }
    }
}

impl<'a> Fields<'a> {
    /// Returns a field by its name in any case; `null` counts as absent.
    fn get(self, name: &str) -> Option<&'a Value> {
        let found = self.map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// Returns a string, or a number as it is written. An empty string counts as absent.
    pub(super) fn text(self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Returns the text of a required field, or an error if it is absent.
    pub(super) fn required(self, name: &str) -> Result<String, CloudError> {
        self.text(name).ok_or_else(|| self.missing(name))
    }

    pub(super) fn missing(self, name: &str) -> CloudError {
        self.malformed(format!("the answer has no {name}"))
    }

    /// Creates the error for a response with this problem.
    pub(super) fn malformed(self, problem: impl Into<String>) -> CloudError {
        self.call.malformed(problem)
    }

    /// Returns a whole number, also if it is written as a string.
    pub(super) fn integer(self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Returns a boolean, also if it is written as a string.
    pub(super) fn truth(self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Bool(truth) => Some(*truth),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// Returns an object.
    pub(super) fn object(self, name: &str) -> Option<Fields<'a>> {
        Some(Fields { map: self.get(name)?.as_object()?, ..self })
    }

    /// Returns the objects of a list. Other values in the list are left out.
    pub(super) fn objects(self, name: &str) -> impl Iterator<Item = Fields<'a>> {
        let list = self.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_object).map(move |map| Fields { map, ..self })
    }
}

/// Reads an API's response. `now` is used to compute how far the clock is off if the API reports that it is off.
pub(super) fn read(call: &Call, answer: &Answer, now: Timestamp) -> Result<Body, CloudError> {
    let body = match serde_json::from_slice(&answer.body) {
        Ok(Value::Object(map)) => Some(Body { call: call.clone(), map }),
        _ => None,
    };
    let success = (200..300).contains(&answer.status);
    let refusal = match &body {
        Some(body) if success && succeeded(body.fields()) => None,
        Some(body) => Some(in_json(body.fields())),
        None => in_xml(&answer.body),
    };
    match (body, refusal) {
        (Some(body), None) => {
            let request_id = request_id(answer, body.fields().text("RequestId").as_deref());
            tracing::debug!(call.action, call.host, answer.status, request_id, "answered");
            Ok(body)
        }
        (_, refusal) => {
            let refusal = refusal.unwrap_or_default();
            let mut error = explain(call, answer, &refusal, now);
            error.details.request_id = request_id(answer, refusal.request_id.as_deref());
            let Details { host, status, code, request_id, .. } = &*error.details;
            tracing::debug!(
                error.action,
                host,
                status,
                code,
                request_id,
                reason = error.reason.name(),
                "refused"
            );
            Err(error)
        }
    }
}

/// Returns whether the body of an HTTP 200 means success. Failures with this status are documented for ACR.
fn succeeded(fields: Fields<'_>) -> bool {
    let code = fields.text("Code");
    let good = |code: &str| ["success", "ok", "200"].iter().any(|good| code.eq_ignore_ascii_case(good));
    fields.truth("IsSuccess") != Some(false) && code.is_none_or(|code| good(&code))
}

fn in_json(fields: Fields<'_>) -> Refusal {
    Refusal {
        code: fields.text("Code"),
        request_id: fields.text("RequestId"),
        right: fields.object("AccessDeniedDetail").and_then(|detail| detail.text("AuthAction")),
    }
}

/// Reads a refusal in XML: `<Error><Code>…</Code>…</Error>`. The gateway reports some failures in XML whatever format was
/// requested.
fn in_xml(body: &[u8]) -> Option<Refusal> {
    let text = std::str::from_utf8(body).ok().filter(|text| text.contains("<Error>"))?;
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(value, _)| value.trim().to_owned())
    };
    Some(Refusal { code: element("Code"), request_id: element("RequestId"), right: element("AuthAction") })
}

fn request_id(answer: &Answer, in_body: Option<&str>) -> Option<String> {
    let in_header = answer.headers.get("x-acs-request-id").and_then(|value| value.to_str().ok());
    in_body.and_then(identifier).or_else(|| in_header.and_then(identifier))
}

#[cfg(test)]
pub(super) mod tests;
