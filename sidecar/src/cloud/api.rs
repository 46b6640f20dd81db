//! Calls an API: signs and sends requests, and retries failures that can pass.

use std::sync::Arc;

use reqwest::Method;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::answer::{self, Body};
use super::call::{Call, Operation};
use super::endpoints::Base;
use super::error::{CloudError, Reason};
use super::http::{Http, HttpRequest};
use super::keys::Session;
use super::retry::retrying;
use super::signature::{self, Attempt, ToSign};
use crate::clock::Clock;

/// The HTTP client and the clock for API calls.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) http: Http,
    pub(super) clock: Arc<dyn Clock>,
}

impl Api {
    /// Calls an operation with these keys. The parameters are sent in the query.
    pub(super) async fn signed(
        &self,
        base: &Base,
        operation: Operation,
        parameters: &[(&str, &str)],
        session: &Session,
    ) -> Result<Body, CloudError> {
        let call = operation.call(base, session.origin.principal());
        let query = signature::canonical_query(parameters);
        let attempt = async || {
            let to_sign = ToSign { operation: &operation, host: &call.host, query: &query };
            let attempt = Attempt { date: self.clock.wall(), nonce: nonce(&call)? };
            let request = HttpRequest {
                method: operation.method.clone(),
                url: base.url(operation.path, &query),
                headers: signature::sign(&to_sign, &session.keys, &attempt).headers,
                form: None,
            };
            self.exchange(&call, request).await
        };
        retrying(&self.http.limits, attempt).await
    }

    /// Calls an operation that needs no keys. The parameters are sent in the body, because proxies do not log it.
    pub(super) async fn anonymous(
        &self,
        base: &Base,
        operation: Operation,
        parameters: &[(&str, &SecretString)],
        principal: String,
    ) -> Result<Body, CloudError> {
        let call = operation.call(base, principal);
        let attempt = async || {
            let (date, nonce) = (signature::date(self.clock.wall()), nonce(&call)?);
            let query = signature::canonical_query(&[
                ("Action", operation.action),
                ("Format", "JSON"),
                ("SignatureNonce", &nonce),
                ("Timestamp", &date),
                ("Version", operation.version),
            ]);
            let request = HttpRequest {
                method: Method::POST,
                url: base.url(operation.path, &query),
                headers: Vec::new(),
                form: Some(form(parameters)),
            };
            self.exchange(&call, request).await
        };
        retrying(&self.http.limits, attempt).await
    }

    async fn exchange(&self, call: &Call, request: HttpRequest) -> Result<Body, CloudError> {
        let answer = self.http.send(call, request, self.http.limits.total).await?;
        answer::read(call, &answer, self.clock.wall())
    }
}

fn form(parameters: &[(&str, &SecretString)]) -> Zeroizing<String> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        form.append_pair(name, value.expose_secret());
    }
    Zeroizing::new(form.finish())
}

/// Returns 128 random bits.
fn nonce(call: &Call) -> Result<String, CloudError> {
    let mut bytes = [0; 16];
    let failed =
        |_| call.error(Reason::ServiceUnavailable).because("the operating system returned no random bytes");
    SystemRandom::new().fill(&mut bytes).map_err(failed)?;
    Ok(crate::hex::hex(&bytes))
}
