//! The signature `ACS3-HMAC-SHA256` of Alibaba Cloud's APIs, as a pure function.
//!
//! Source: <https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature>.

use std::fmt;

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::call::Operation;
use super::http::Headers;
use super::keys::Keys;
use crate::hex::hex;

/// The parts of a request that are signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToSign<'a> {
    /// The operation that is called.
    pub(super) operation: &'a Operation,
    /// Host header, with the port if it is not the scheme's default port.
    pub(super) host: &'a str,
    /// Query as [`canonical_query`] writes it. It must be sent exactly in this form.
    pub(super) query: &'a str,
}

/// The values that must be new for each attempt: the API refuses a nonce that it has already received, and a date that is
/// 15 minutes off.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The time, to the second.
    pub date: Timestamp,
    /// A text that was never used before.
    pub nonce: String,
}

/// The headers to send, with names in lower case. `host` is not included, because the HTTP client writes it.
///
/// `Debug` shows only the names, because the values contain the session's token.
pub(super) struct Signed {
    /// The signed `x-acs-…` headers and `authorization`.
    pub(super) headers: Headers,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.headers.iter().map(|(name, _)| name)).finish()
    }
}

/// Signs a request.
pub(super) fn sign(request: &ToSign<'_>, keys: &Keys, attempt: &Attempt) -> Signed {
    let mut headers = headers(request, keys, attempt);
    let names = signed_names(&headers);
    let hash = hex(digest::digest(&digest::SHA256, canonical_request(request, &headers).as_bytes()).as_ref());
    let key = hmac::Key::new(hmac::HMAC_SHA256, keys.secret.expose_secret().as_bytes());
    let signature = hex(hmac::sign(&key, format!("{ALGORITHM}\n{hash}").as_bytes()).as_ref());
    let authorization =
        format!("{ALGORITHM} Credential={},SignedHeaders={names},Signature={signature}", keys.id);
    headers.retain(|(name, _)| *name != "host");
    headers.push(("authorization", Zeroizing::new(authorization)));
    Signed { headers }
}

/// Returns a query string, sorted by name and encoded by RFC 3986: it contains only unreserved characters, and `name=` for an
/// empty value.
pub fn canonical_query(parameters: &[(&str, &str)]) -> String {
    let mut sorted = parameters.to_vec();
    sorted.sort_unstable();
    let mut query = String::new();
    for (name, value) in sorted {
        if !query.is_empty() {
            query.push('&');
        }
        query.extend(encode(name));
        query.push('=');
        query.extend(encode(value));
    }
    query
}

/// Returns the date in the form that the signature needs: UTC, whole seconds.
pub fn date(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// SHA-256 of an empty body, because no signed request has a body.
const HASH_OF_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The characters that are encoded: all except the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn encode(text: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(text, RESERVED)
}

/// Returns all headers that are signed, sorted by name.
fn headers(request: &ToSign<'_>, keys: &Keys, attempt: &Attempt) -> Headers {
    let mut headers = vec![
        ("host", Zeroizing::new(request.host.to_owned())),
        ("x-acs-action", Zeroizing::new(request.operation.action.to_owned())),
        ("x-acs-content-sha256", Zeroizing::new(HASH_OF_BODY.to_owned())),
        ("x-acs-date", Zeroizing::new(date(attempt.date))),
    ];
    // This name is between "date" and "signature-nonce" in alphabetical order.
    if let Some(token) = &keys.token {
        headers.push(("x-acs-security-token", Zeroizing::new(token.expose_secret().to_owned())));
    }
    headers.push(("x-acs-signature-nonce", Zeroizing::new(attempt.nonce.clone())));
    headers.push(("x-acs-version", Zeroizing::new(request.operation.version.to_owned())));
    headers
}

fn signed_names(headers: &Headers) -> String {
    headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";")
}

fn canonical_request(request: &ToSign<'_>, headers: &Headers) -> Zeroizing<String> {
    let ToSign { operation: Operation { method, path, .. }, query, .. } = request;
    let mut text = Zeroizing::new(format!("{method}\n{path}\n{query}\n"));
    for (name, value) in headers {
        text.push_str(name);
        text.push(':');
        text.push_str(value);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&signed_names(headers));
    text.push('\n');
    text.push_str(HASH_OF_BODY);
    text
}

#[cfg(test)]
mod tests;
