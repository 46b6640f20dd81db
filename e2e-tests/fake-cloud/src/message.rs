//! Requests and answers as values, so that everything that decides is tested without a connection.

use std::time::Duration;

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Such as `POST`.
    pub method: String,
    /// The path, as sent.
    pub path: String,
    /// What follows the question mark, as sent.
    pub query: String,
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value, several of one name joined by a comma.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.trim()).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// The parameters of the query, decoded.
    #[must_use]
    pub fn query_parameters(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }

    /// A parameter of the query or, where the body is a form, of the body.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let is_form = self
            .header("content-type")
            .is_some_and(|value| value.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
        let form = if is_form { self.body.as_slice() } else { &[] };
        let mut all = form_urlencoded::parse(self.query.as_bytes()).chain(form_urlencoded::parse(form));
        all.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    }
}

/// What is answered, and how it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers besides the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The error's code, or the empty string: for tests and records, never on the wire.
    pub code: String,
    /// How it travels.
    pub delivery: Delivery,
}

/// How an answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// At once.
    #[default]
    Whole,
    /// After so long.
    Late(Duration),
    /// Not at all: the connection is reset.
    Reset,
    /// Not at all: the connection stays open and silent.
    Stall,
    /// One byte at a time, with this pause between two.
    Slow(Duration),
    /// So many bytes of the body, then the connection ends.
    Truncated(usize),
}

impl Answer {
    /// A plain answer.
    #[must_use]
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), content_type.into())],
            body: body.into(),
            code: String::new(),
            delivery: Delivery::Whole,
        }
    }

    /// A JSON answer.
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json;charset=utf-8", body.to_string())
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}
