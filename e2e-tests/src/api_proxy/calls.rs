//! Calls, and kinds of them.

use std::time::Instant;

use axum::http::request::Parts;

/// A call of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When it came.
    pub at: Instant,
    /// Such as `PATCH`.
    pub method: String,
    /// The path, and what follows the question mark.
    pub path: String,
    /// The status that the caller was sent, or the API server's where that was kept from the caller; none without an answer.
    pub status: Option<u16>,
}

/// A kind of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls {
    verb: Verb,
    part: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Any,
    Read,
    Watch,
    Write,
}

impl Call {
    pub(super) fn of(request: &Parts) -> Self {
        let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
        Self {
            at: Instant::now(),
            method: request.method.as_str().to_owned(),
            path: path.to_owned(),
            status: None,
        }
    }

    pub(super) fn is_watch(&self) -> bool {
        self.verb() == Verb::Watch
    }

    fn verb(&self) -> Verb {
        match self.method.as_str() {
            "GET" if self.path.contains("watch=true") => Verb::Watch,
            "GET" => Verb::Read,
            _ => Verb::Write,
        }
    }
}

impl Calls {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self::with(Verb::Any)
    }

    /// Those that read once, lists among them.
    #[must_use]
    pub fn reads() -> Self {
        Self::with(Verb::Read)
    }

    /// Watches.
    #[must_use]
    pub fn watches() -> Self {
        Self::with(Verb::Watch)
    }

    /// Those that change something.
    #[must_use]
    pub fn writes() -> Self {
        Self::with(Verb::Write)
    }

    /// Of these, those with this in their path or behind the question mark.
    #[must_use]
    pub fn of(self, part: &str) -> Self {
        Self { part: Some(part.to_owned()), ..self }
    }

    /// Whether a call is one of them.
    #[must_use]
    pub fn include(&self, call: &Call) -> bool {
        let Self { verb, part } = self;
        (*verb == Verb::Any || *verb == call.verb())
            && part.as_ref().is_none_or(|part| call.path.contains(part))
    }

    fn with(verb: Verb) -> Self {
        Self { verb, part: None }
    }
}
