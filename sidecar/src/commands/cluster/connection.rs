//! A client of the cluster that kubectl would find, and errors that name the way to it.

use std::error::Error as StdError;
use std::io;

use http::header::CONTENT_LENGTH;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::client::legacy::{Client as HttpClient, Error as HttpError};
use hyper_util::rt::TokioExecutor;
use kube::client::retry::RetryPolicy;
use kube::client::{AuthError, Body, ClientBuilder, ConfigExt as _, DynBody, RustlsTlsError};
use kube::{Client, Config};
use serde_json::json;
use tower::retry::RetryLayer;
use tower::util::{BoxService, MapErrLayer, MapResponseLayer};
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

use super::kubeconfig::{self, Files, Found, Plugin};
use super::proxy::Proxy;
use crate::cloud::Environment;
use crate::commands::arguments::ClusterArgs;
use crate::commands::setup::CommandError;
use crate::kubernetes::api_error::{describe, with_causes};
use crate::kubernetes::retry_after;

/// Connects to the cluster of the arguments.
pub(in crate::commands) fn connect(args: &ClusterArgs) -> Result<Client, CommandError> {
    client(found(args).map_err(not_found)?).map_err(not_found)
}

/// Returns a client that tries each call only once: the controller itself decides what to do after a failure, and when.
pub(in crate::commands) fn connect_without_retries(args: &ClusterArgs) -> Result<Client, CommandError> {
    let mut found = found(args).map_err(not_found)?;
    found.config.default_retry = false;
    client(found).map_err(not_found)
}

/// Returns the namespace of the kubeconfig's context, if it has one; `None` also if neither the flags nor the kubeconfig choose a
/// context. No cluster is asked.
pub(in crate::commands) fn namespace_of_context(args: &ClusterArgs) -> Result<Option<String>, CommandError> {
    let (files, wanted) = (Files::of_process(args), args.context.as_deref());
    let failed =
        |problem| CommandError::Cluster { action: "find the namespace of the context".to_owned(), problem };
    let kubeconfig = files.read().map_err(failed)?.unwrap_or_default();
    if args.kubeconfig.is_none() && wanted.or(kubeconfig.current_context.as_deref()).is_none() {
        return Ok(None);
    }
    let (_, context) = kubeconfig::context(&kubeconfig, wanted)
        .map_err(|problem| failed(format!("{}: {problem}", files.shown())))?;
    Ok(kubeconfig::namespace(context))
}

fn not_found(problem: String) -> CommandError {
    CommandError::Cluster { action: "find the cluster".to_owned(), problem }
}

/// Finds the cluster: a kubeconfig, or the account of the Pod.
fn found(args: &ClusterArgs) -> Result<Found, String> {
    let environment = Environment::from_process();
    let files = Files::of_process(args);
    let wanted = args.context.as_deref();
    let kubeconfig = files.read()?;
    if kubeconfig.is_some() || args.kubeconfig.is_some() || wanted.is_some() {
        return kubeconfig::find(&kubeconfig.unwrap_or_default(), wanted, &environment)
            .map_err(|problem| format!("{}: {problem}", files.shown()));
    }
    if environment.get("KUBERNETES_SERVICE_HOST").is_none() {
        let looked = files.shown();
        return Err(format!(
            "there is no kubeconfig (looked for {looked}), and this is not a Pod: use --kubeconfig or set KUBECONFIG"
        ));
    }
    let config = Config::incluster().map_err(|error| {
        let problem = with_causes(&error);
        format!("this Pod has no usable service account token: {problem}: check automountServiceAccountToken")
    })?;
    let refused = "it does not accept the token of this Pod's service account".to_owned();
    Ok(Found { config, proxy: None, refused, plugin: None })
}

fn client(found: Found) -> Result<Client, String> {
    let Found { mut config, proxy, refused, plugin } = found;
    let shown = proxy.as_ref().map(Proxy::shown);
    let socks_login = proxy.as_ref().and_then(Proxy::socks_login);
    config.proxy_url =
        proxy.map(|proxy| proxy.uri()).transpose().map_err(|_| "the proxy has no valid URL")?;
    let built = match socks_login {
        Some(login) => through_socks(config, login),
        None => ClientBuilder::try_from(config),
    };
    let builder = built.map_err(|error| of_setup(&error, plugin))?;
    let refused_by_tls = refused.clone();
    Ok(builder
        .with_layer(&MapErrLayer::new(move |error| on_the_way(error, shown.as_deref(), &refused_by_tls)))
        .with_layer(&MapResponseLayer::new(move |response| unauthorized(response, &refused)))
        .with_layer(&MapResponseLayer::new(retry_after::into_status))
        .build())
}

/// The service of kube's clients. kube does not export its name.
type Service = BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>;

/// Does what kube does for a SOCKS proxy, and logs in there, which kube does not.
fn through_socks(
    config: Config,
    (user, password): (String, String),
) -> Result<ClientBuilder<Service>, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(config.connect_timeout);
    let socks = SocksV5::new(config.proxy_url.clone().unwrap_or_default(), tcp).with_auth(user, password);
    let https = config.rustls_https_connector_with_connector(socks)?;
    let client: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(https);
    let retries = config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry()));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(retries)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client)
        .map_response(|response: Response<Incoming>| {
            response.map(|body| Box::new(body.map_err(BoxError::from)) as Box<DynBody>)
        });
    Ok(ClientBuilder::new(service.boxed(), config.default_namespace))
}

/// Describes why no client can be built. The exec plugin has run by then.
fn of_setup(error: &kube::Error, plugin: Option<Plugin>) -> String {
    match (error, plugin) {
        (kube::Error::Auth(AuthError::AuthExecStart(error)), Some(Plugin { command, install_hint })) => {
            let hint = install_hint.map_or_else(|| "install it".to_owned(), |hint| hint.trim().to_owned());
            format!("the exec plugin {command} of the kubeconfig cannot be started: {error}: {hint}")
        }
        (kube::Error::Auth(_), Some(Plugin { command, .. })) => format!("{}: {command}", describe(error)),
        // The text of the parser quotes the file.
        (kube::Error::RustlsTls(RustlsTlsError::InvalidIdentityPem(_)), _) => {
            "the client certificate or the client key in the kubeconfig is not PEM".to_owned()
        }
        (kube::Error::InferKubeconfig(error), _) => kubeconfig::problem_of(error),
        _ => describe(error),
    }
}

/// An error between here and the API server, with a word about what was on the way.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
struct OnTheWay {
    context: String,
    source: BoxError,
}

fn on_the_way(error: BoxError, proxy: Option<&str>, refused: &str) -> BoxError {
    let is_connect = error.downcast_ref::<HttpError>().is_some_and(HttpError::is_connect);
    let context = match proxy {
        _ if is_refused_by_tls(&*error) => format!("the API server closed the connection: {refused}"),
        Some(proxy) if is_connect => format!("no connection to the API server through the proxy {proxy}"),
        _ => return error,
    };
    OnTheWay { context, source: error }.into()
}

/// Returns whether the other side ended TLS because of the certificate that it was shown, or because it was shown none.
fn is_refused_by_tls(error: &(dyn StdError + 'static)) -> bool {
    use rustls::AlertDescription as A;
    let mut causes = std::iter::successors(Some(error), |cause| StdError::source(*cause));
    let of_tls = causes.find_map(|cause| match cause.downcast_ref::<io::Error>() {
        // Its source is not what it contains, but the source of that.
        Some(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()),
        None => cause.downcast_ref::<rustls::Error>(),
    });
    let alerts = [
        A::AccessDenied,
        A::BadCertificate,
        A::CertificateExpired,
        A::CertificateRequired,
        A::CertificateRevoked,
        A::CertificateUnknown,
        A::UnknownCA,
    ];
    matches!(of_tls, Some(rustls::Error::AlertReceived(alert)) if alerts.contains(alert))
}

/// Adds to the answer 401 whose credential it is about. The API server's own text is only "Unauthorized".
fn unauthorized<B>(response: Response<B>, refused: &str) -> Response<Either<String, B>> {
    if response.status() != StatusCode::UNAUTHORIZED {
        return response.map(Either::Right);
    }
    let message = format!("Unauthorized: {refused}");
    let status = json!({ "status": "Failure", "message": message, "reason": "Unauthorized", "code": 401 });
    let (mut head, _) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, Either::Left(status.to_string()))
}

#[cfg(test)]
mod tests;
