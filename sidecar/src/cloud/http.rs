//! HTTP with limits on time, on size and on the destination of a request.

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, NoProxy, Proxy};
use tokio::sync::OnceCell;
use url::Url;
use zeroize::Zeroizing;

use super::call::Call;
use super::error::CloudError;
use super::settings::{Environment, Limits};

/// Header names in lower case, with their values.
pub(super) type Headers = Vec<(&'static str, Zeroizing<String>)>;

/// One request. Its headers and its body may contain secrets, so it has no `Debug`.
pub(super) struct HttpRequest {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Headers,
    /// A form, already encoded.
    pub(super) form: Option<Zeroizing<String>>,
}

/// One response with any status. Its body may contain secrets, so it has no `Debug`.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// The clients. Each client is built at its first use, because reading the system's root certificates takes some milliseconds.
pub(super) struct Http {
    pub(super) limits: Limits,
    proxy: Option<Proxy>,
    /// The client for TLS, through the environment's proxy.
    secure: OnceCell<Client>,
    /// The client for this machine and ECS metadata: without TLS, and never through a proxy.
    plain: OnceCell<Client>,
}

/// Shows only the limits: the URL of a proxy may contain a password, and the client's own `Debug` shows it.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Why the environment's proxy cannot be used. The value is not shown, because it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}: is not the URL of an HTTP proxy: write http://HOST:PORT")]
pub struct ProxyError(&'static str);

impl Http {
    pub(super) fn new(limits: Limits, environment: &Environment) -> Result<Self, ProxyError> {
        Ok(Self { limits, proxy: proxy(environment)?, secure: OnceCell::new(), plain: OnceCell::new() })
    }

    /// Sends one request within `total`, and reads the complete response. Redirects are not followed: the response would decide
    /// where our headers are sent. An error contains nothing of the request except its host.
    pub(super) async fn send(
        &self,
        call: &Call,
        request: HttpRequest,
        total: Duration,
    ) -> Result<Answer, CloudError> {
        let HttpRequest { method, url, headers, form } = request;
        let (started, host) = (Instant::now(), &call.host);
        let carries_body = method == Method::POST || method == Method::PUT;
        let client = if url.scheme() == "https" { self.secure().await } else { self.plain().await };
        let client = client
            .map_err(|error| call.unanswered(format_args!("TLS cannot be set up: {}", cause(&error))))?;
        let mut builder = client.request(method, url).timeout(total).headers(sensitive(call, headers)?);
        builder = match form {
            Some(form) => {
                builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(String::clone(&form))
            }
            // hyper leaves this header out, and some gateways refuse a POST without it (HTTP 411).
            None if carries_body => builder.header(CONTENT_LENGTH, "0"),
            None => builder,
        };
        let result = match builder.send().await {
            Ok(response) => self.read(call, response, total).await,
            Err(error) => Err(unanswered(call, error, total)),
        };
        let milliseconds = started.elapsed().as_millis();
        match &result {
            Ok(answer) => tracing::trace!(host, status = answer.status, milliseconds, "HTTP answer"),
            Err(error) => {
                tracing::trace!(host, fault = error.details.problem, milliseconds, "HTTP fault");
            }
        }
        result
    }

    async fn read(
        &self,
        call: &Call,
        mut response: reqwest::Response,
        total: Duration,
    ) -> Result<Answer, CloudError> {
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(call, error, total))? {
            if body.len() + chunk.len() > self.limits.answer_bytes {
                return Err(call.malformed("the answer is too large for this API"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }

    async fn secure(&self) -> reqwest::Result<&Client> {
        let build = async || {
            let client = client(self.limits.connect, self.limits.read).https_only(true);
            match self.proxy.clone() {
                Some(proxy) => client.proxy(proxy),
                None => client,
            }
            .build()
        };
        self.secure.get_or_try_init(build).await
    }

    async fn plain(&self) -> reqwest::Result<&Client> {
        // This client loads no root certificates, so it is built within a fraction of a millisecond.
        let build = async || client(self.limits.metadata, self.limits.read).tls_certs_only([]).build();
        self.plain.get_or_try_init(build).await
    }
}

fn client(connect: Duration, read: Duration) -> ClientBuilder {
    let accept = HeaderValue::from_static("application/json");
    Client::builder()
        .user_agent(concat!("acr-credential-sidecar/", env!("CARGO_PKG_VERSION")))
        .default_headers(HeaderMap::from_iter([(ACCEPT, accept)]))
        .redirect(Policy::none())
        .referer(false)
        // Our own code reads the environment, so that tests do not depend on it.
        .no_proxy()
        .connect_timeout(connect)
        .read_timeout(read)
}

/// Returns the proxy for HTTPS, from the variables that curl reads. Only HTTP proxies are supported, because the client is
/// built without SOCKS.
fn proxy(environment: &Environment) -> Result<Option<Proxy>, ProxyError> {
    let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let Some((name, text)) = names.into_iter().find_map(|name| Some((name, environment.get(name)?))) else {
        return Ok(None);
    };
    let text = text.trim();
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    let url = url.ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or(ProxyError(name))?;
    let proxy = Proxy::https(url).map_err(|_| ProxyError(name))?;
    let except = environment.get("NO_PROXY").or_else(|| environment.get("no_proxy"));
    Ok(Some(proxy.no_proxy(except.and_then(NoProxy::from_string))))
}

/// Marks the headers as sensitive, so that no part of the client prints them.
fn sensitive(call: &Call, headers: Headers) -> Result<HeaderMap, CloudError> {
    headers
        .into_iter()
        .map(|(name, value)| {
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| call.unanswered(format_args!("the header {name} cannot be sent")))?;
            value.set_sensitive(true);
            Ok((HeaderName::from_static(name), value))
        })
        .collect()
}

fn unanswered(call: &Call, error: reqwest::Error, total: Duration) -> CloudError {
    let error = error.without_url();
    match () {
        () if error.is_timeout() && error.is_connect() => call.unanswered("no connection in time"),
        () if error.is_timeout() => call.unanswered(format_args!("no complete answer within {total:?}")),
        () if error.is_body() || error.is_decode() => {
            call.unanswered("the connection ended in the middle of the answer")
        }
        () => call.unanswered(cause(&error)),
    }
}

/// Returns the innermost cause, from the operating system or the TLS library. It is one short line that does not contain our
/// request.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string().chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(160).collect()
}
