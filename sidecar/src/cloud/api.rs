//! Calls of an API: signs, sends, repeats what can heal.

use std::sync::Arc;

use reqwest::Method;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::answer::{self, Body, Context};
use super::endpoints::Base;
use super::error::{CloudError, Reason};
use super::http::{Fault, Http, Request};
use super::keys::Session;
use super::retry::retrying;
use super::settings::Limits;
use super::signature::{self, Attempt};
use crate::clock::Clock;

/// The way to the APIs.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) http: Http,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
}

/// An operation of an API.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) action: &'static str,
    pub(super) version: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
}

impl Operation {
    /// An operation of an RPC-style product.
    pub(super) const fn rpc(action: &'static str, version: &'static str) -> Self {
        Self { action, version, method: "POST", path: "/" }
    }

    pub(super) fn context(&self, base: &Base) -> Context {
        Context { action: self.action, host: base.authority(), personal: self.version == "2016-06-07" }
    }
}

impl Api {
    /// Calls an operation with these keys; the parameters go into the query.
    pub(super) async fn signed(
        &self,
        base: &Base,
        operation: Operation,
        parameters: &[(&str, &str)],
        session: &Session,
    ) -> Result<Body, CloudError> {
        let context = operation.context(base);
        let query = signature::canonical_query(parameters);
        let attempt = async || {
            let to_sign = signature::Request {
                method: operation.method,
                host: &context.host,
                path: operation.path,
                query: &query,
                action: operation.action,
                version: operation.version,
            };
            let attempt = Attempt { date: self.clock.wall(), nonce: nonce(&context)? };
            let request = Request {
                method: Method::from_bytes(operation.method.as_bytes()).unwrap_or(Method::POST),
                url: base.url(operation.path, &query),
                headers: signature::sign(&to_sign, &session.keys, &attempt).headers,
                form: None,
            };
            self.exchange(&context, request).await
        };
        let result = retrying(&self.limits, attempt).await;
        result.map_err(|error| error.by(session.origin.principal()))
    }

    /// Calls an operation that needs no keys; the parameters go into the body, where no proxy logs them.
    pub(super) async fn anonymous(
        &self,
        base: &Base,
        operation: Operation,
        parameters: &[(&str, &SecretString)],
    ) -> Result<Body, CloudError> {
        let context = operation.context(base);
        let attempt = async || {
            let (date, nonce) = (signature::date(self.clock.wall()), nonce(&context)?);
            let query = signature::canonical_query(&[
                ("Action", operation.action),
                ("Format", "JSON"),
                ("SignatureNonce", &nonce),
                ("Timestamp", &date),
                ("Version", operation.version),
            ]);
            let request = Request {
                method: Method::POST,
                url: base.url(operation.path, &query),
                headers: Vec::new(),
                form: Some(form(parameters)),
            };
            self.exchange(&context, request).await
        };
        retrying(&self.limits, attempt).await
    }

    async fn exchange(&self, context: &Context, request: Request) -> Result<Body, CloudError> {
        let answer = self.http.send(request, self.limits.total).await;
        let answer = answer.map_err(|fault| unanswered(context, fault))?;
        answer::read(context, &answer, self.clock.wall())
    }
}

/// The failure of a call that brought no answer.
pub(super) fn unanswered(context: &Context, fault: Fault) -> CloudError {
    match fault {
        Fault::Unreachable(cause) => {
            let mut error = context.error(Reason::Unreachable);
            error.details.problem = Some(format!("no answer, {cause}"));
            error
        }
        Fault::TooLarge => context.malformed("the answer is larger than any of this API"),
    }
}

fn form(parameters: &[(&str, &SecretString)]) -> Zeroizing<String> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        form.append_pair(name, value.expose_secret());
    }
    Zeroizing::new(form.finish())
}

/// 128 random bits.
fn nonce(context: &Context) -> Result<String, CloudError> {
    let mut bytes = [0; 16];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        let mut error = context.error(Reason::ServiceUnavailable);
        error.details.problem = Some("the operating system gives no random bytes".to_owned());
        return Err(error);
    }
    Ok(crate::hex::hex(&bytes))
}
