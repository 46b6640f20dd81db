//! Errors in the shapes of the real services.

use serde_json::{Map, Value, json};

use crate::message::Answer;

/// An error of an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// Further members of the body, such as `AccessDeniedDetail`.
    pub(crate) more: Map<String, Value>,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), more: Map::new() }
    }

    /// A parameter that has to be there.
    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(400, &format!("Missing{parameter}"), format!("{parameter} is mandatory for this action."))
    }

    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.into(), value);
        self
    }
}

/// The two spellings of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `Code`, `Message`, `RequestId`, `HostId`.
    Rpc,
    /// `code`, `message`, `requestId`.
    Roa,
}

/// How and to whom an answer is written.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) style: Style,
    pub(crate) xml: bool,
    pub(crate) request_id: String,
    pub(crate) host: String,
    pub(crate) action: &'static str,
}

impl Envelope {
    pub(crate) fn success(&self, mut body: Map<String, Value>) -> Answer {
        let key = match self.style {
            Style::Rpc => "RequestId",
            Style::Roa => "requestId",
        };
        body.insert(key.into(), json!(self.request_id));
        self.write(200, &format!("{}Response", self.action), body)
    }

    pub(crate) fn failure(&self, error: ApiError) -> Answer {
        let ApiError { status, code, message, more } = error;
        let mut body = Map::new();
        match self.style {
            Style::Rpc => {
                let recommend = format!("https://api.aliyun.com/troubleshoot?q={code}&product=fake-cloud");
                body.insert("RequestId".into(), json!(self.request_id));
                body.insert("HostId".into(), json!(self.host));
                body.insert("Code".into(), json!(code));
                body.insert("Message".into(), json!(message));
                body.insert("Recommend".into(), json!(recommend));
                body.extend(more);
            }
            Style::Roa => {
                body.insert("requestId".into(), json!(self.request_id));
                body.insert("code".into(), json!(code));
                body.insert("message".into(), json!(message));
                body.extend(more.into_iter().map(|(name, value)| (lower_first(&name), value)));
            }
        }
        Answer { code, ..self.write(status, "Error", body) }
    }

    fn write(&self, status: u16, root: &str, body: Map<String, Value>) -> Answer {
        let answer = if self.xml {
            let text = format!("<?xml version='1.0' encoding='UTF-8'?>{}", xml(root, &Value::Object(body)));
            Answer::new(status, "text/xml;charset=utf-8", text)
        } else {
            Answer::json(status, &Value::Object(body))
        };
        answer.with_header("x-acs-request-id", self.request_id.clone())
    }
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

/// An element. A list is its element, repeated.
fn xml(name: &str, value: &Value) -> String {
    let content = match value {
        Value::Array(items) => return items.iter().map(|item| xml(name, item)).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| xml(name, value)).collect(),
        Value::String(text) => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    format!("<{name}>{content}</{name}>")
}
