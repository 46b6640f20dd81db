//! What arrived and what was answered: for tests, and for the recordings that are replayed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fault::Action;
use crate::message::{Answer, Request};

/// A request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When, by the cloud's clock.
    pub at: Timestamp,
    /// The region of the listener.
    pub region: String,
    /// What was called; nothing for a call of the admin endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Such as `POST`.
    pub method: String,
    /// The path.
    pub path: String,
    /// What follows the question mark, as sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// The headers that matter to the cloud.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// The status answered.
    pub status: u16,
    /// The error code answered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
}

impl Record {
    pub(crate) fn of(
        action: Action,
        at: Timestamp,
        region: &str,
        request: &Request,
        answer: &Answer,
    ) -> Self {
        Self { action: Some(action), ..Self::bare(at, region, request, answer) }
    }

    /// Nothing for calls that only read: they change nothing that a later answer depends on.
    pub(crate) fn of_admin(at: Timestamp, region: &str, request: &Request, answer: &Answer) -> Option<Self> {
        let changes = request.method != "GET"
            && request.path != "/_admin/reset"
            && request.path != "/_admin/oidc-token";
        changes.then(|| Self::bare(at, region, request, answer))
    }

    fn bare(at: Timestamp, region: &str, request: &Request, answer: &Answer) -> Self {
        // Some SDKs sign their user agent; no answer depends on anything else.
        let matters = |name: &str| {
            matches!(name, "host" | "accept" | "content-type" | "authorization" | "user-agent")
                || name.starts_with("x-acs-")
                || name.starts_with("x-aliyun-")
        };
        let names = request.headers.iter().map(|(name, _)| name).filter(|name| matters(name));
        Self {
            at,
            region: region.into(),
            action: None,
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers: names.map(|name| (name.clone(), request.header(name).unwrap_or_default())).collect(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
            status: answer.status,
            code: answer.code.clone(),
        }
    }

    /// The request, to be asked again.
    #[must_use]
    pub fn request(&self) -> Request {
        Request {
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            headers: self.headers.clone().into_iter().collect(),
            body: self.body.clone().into_bytes(),
        }
    }
}
