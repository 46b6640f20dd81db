//! HTTP with limits: on time, on size, on where a request may go.

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, NoProxy, Proxy};
use tokio::sync::OnceCell;
use url::Url;
use zeroize::Zeroizing;

use super::settings::{Environment, Limits};

/// One request. Its headers and its body may hold secrets, so it has no `Debug`.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, Zeroizing<String>)>,
    /// A form, already encoded.
    pub(super) form: Option<Zeroizing<String>>,
}

/// One answer, whatever its status. Its body may hold secrets, so it has no `Debug`.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// No answer. The text says why and holds nothing of the request but its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing came, or only a part.
    Unreachable(String),
    /// More came than an answer may hold.
    TooLarge,
}

/// The clients. Each is built when it is first needed: reading the system's root certificates takes some milliseconds.
pub(super) struct Http {
    limits: Limits,
    proxy: Option<Proxy>,
    /// Over TLS, through the environment's proxy.
    secure: OnceCell<Client>,
    /// For this machine and ECS metadata: without TLS, and never through a proxy.
    plain: OnceCell<Client>,
}

/// Shows the limits only: the URL of a proxy may hold a password, and the client's own `Debug` shows it.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Why the environment's proxy cannot be used. The value is not shown: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}: is no URL of an HTTP proxy: write http://HOST:PORT")]
pub struct ProxyError(&'static str);

impl Http {
    pub(super) fn new(limits: Limits, environment: &Environment) -> Result<Self, ProxyError> {
        Ok(Self { limits, proxy: proxy(environment)?, secure: OnceCell::new(), plain: OnceCell::new() })
    }

    /// Sends one request within `total`, and reads its answer to the end. Redirects are not followed: our headers would
    /// go where the answer says.
    pub(super) async fn send(&self, request: Request, total: Duration) -> Result<Answer, Fault> {
        let Request { method, url, headers, form } = request;
        let (started, host) = (Instant::now(), url.authority().to_owned());
        let secure = url.scheme() == "https";
        let carries_body = method == Method::POST || method == Method::PUT;
        let client = if secure { self.secure().await? } else { self.plain().await? };
        let mut builder = client.request(method, url).timeout(total).headers(sensitive(headers)?);
        builder = match form {
            Some(form) => {
                builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(String::clone(&form))
            }
            // hyper leaves this out, and there are gateways that refuse a POST without it (HTTP 411).
            None if carries_body => builder.header(CONTENT_LENGTH, "0"),
            None => builder,
        };
        let result = match builder.send().await {
            Ok(response) => self.read(response, total).await,
            Err(error) => Err(fault(error, total)),
        };
        let milliseconds = started.elapsed().as_millis();
        match &result {
            Ok(answer) => tracing::trace!(host, status = answer.status, milliseconds, "HTTP answer"),
            Err(fault) => tracing::trace!(host, ?fault, milliseconds, "HTTP fault"),
        }
        result
    }

    async fn read(&self, mut response: reqwest::Response, total: Duration) -> Result<Answer, Fault> {
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| fault(error, total))? {
            if body.len() + chunk.len() > self.limits.answer_bytes {
                return Err(Fault::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }

    async fn secure(&self) -> Result<&Client, Fault> {
        let build = async || {
            let client = client(self.limits.connect, self.limits.read).https_only(true);
            match self.proxy.clone() {
                Some(proxy) => client.proxy(proxy),
                None => client,
            }
            .build()
        };
        self.secure.get_or_try_init(build).await.map_err(|error| no_client(&error))
    }

    async fn plain(&self) -> Result<&Client, Fault> {
        // With no root certificates to load, this one is built within a fraction of a millisecond.
        let build = async || client(self.limits.metadata, self.limits.read).tls_certs_only([]).build();
        self.plain.get_or_try_init(build).await.map_err(|error| no_client(&error))
    }
}

fn client(connect: Duration, read: Duration) -> ClientBuilder {
    let accept = HeaderValue::from_static("application/json");
    Client::builder()
        .user_agent(concat!("acr-credential-sidecar/", env!("CARGO_PKG_VERSION")))
        .default_headers(HeaderMap::from_iter([(ACCEPT, accept)]))
        .redirect(Policy::none())
        .referer(false)
        // The environment was read by us, so that tests can do without it.
        .no_proxy()
        .connect_timeout(connect)
        .read_timeout(read)
}

/// The proxy for HTTPS, from the variables that curl reads. Only HTTP proxies: the client is built without SOCKS.
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

/// Headers that no part of the client ever prints.
fn sensitive(headers: Vec<(&'static str, Zeroizing<String>)>) -> Result<HeaderMap, Fault> {
    headers
        .into_iter()
        .map(|(name, value)| {
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| Fault::Unreachable(format!("the header {name} cannot be sent")))?;
            value.set_sensitive(true);
            Ok((HeaderName::from_static(name), value))
        })
        .collect()
}

fn no_client(error: &reqwest::Error) -> Fault {
    Fault::Unreachable(format!("TLS cannot be set up: {}", cause(error)))
}

fn fault(error: reqwest::Error, total: Duration) -> Fault {
    let error = error.without_url();
    Fault::Unreachable(match () {
        () if error.is_timeout() && error.is_connect() => "no connection in time".to_owned(),
        () if error.is_timeout() => format!("no whole answer within {total:?}"),
        () if error.is_body() || error.is_decode() => {
            "the connection ended in the middle of the answer".to_owned()
        }
        () => cause(&error),
    })
}

/// The innermost cause, which is the operating system's or the TLS library's: one short line without our request in it.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string().chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(160).collect()
}
