//! The webhook server: TLS, `/validate/{policy}`, and a log of every review.
//!
//! Behind it sits either the evaluation in this process or a policy-server process; tests see no difference but one:
//! only the former knows what a policy asked of its host.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::environment::{Answer, Environment, HostConfig};
use crate::host_calls::{HostCall, ResourceRequest};
use crate::policy_server::PolicyServer;
use crate::review::AdmissionResponse;

/// A running policy host. Dropping it stops it.
pub struct PolicyHost {
    address: SocketAddr,
    identity: Identity,
    state: Arc<HostState>,
    running: Option<Running>,
}

struct Running {
    handle: Handle<SocketAddr>,
    task: JoinHandle<std::io::Result<()>>,
}

struct HostState {
    backend: Backend,
    log: ReviewLog,
}

enum Backend {
    InProcess { environment: Arc<Environment>, workers: Semaphore },
    PolicyServer(Box<PolicyServer>),
}

impl PolicyHost {
    /// Starts a host on a free port of the loopback interface: in front of policy-server where one is to be had (see
    /// [`PolicyServer::find`]), else in this process.
    ///
    /// # Errors
    /// When a policy cannot be loaded or refuses its settings.
    pub async fn start(config: HostConfig) -> Result<Self> {
        match PolicyServer::find()? {
            Some(binary) => {
                let process = PolicyServer::start(&binary, &config).await?;
                Self::serve(Backend::PolicyServer(Box::new(process))).await
            }
            None => Self::start_in_process(config).await,
        }
    }

    /// Starts a host that evaluates in this process, whatever else there is.
    ///
    /// # Errors
    /// As [`PolicyHost::start`].
    pub async fn start_in_process(config: HostConfig) -> Result<Self> {
        let environment = Arc::new(Environment::load(config).await?);
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self::serve(Backend::InProcess { environment, workers: Semaphore::new(workers) }).await
    }

    async fn serve(backend: Backend) -> Result<Self> {
        let state = Arc::new(HostState { backend, log: ReviewLog::default() });
        let identity = Identity::new()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to open a port")?;
        let address = listener.local_addr().context("failed to read the port")?;
        let running = Running::start(listener, &identity, Arc::clone(&state)).await?;
        Ok(Self { address, identity, state, running: Some(running) })
    }

    /// The URL that reviews for a policy are posted to.
    #[must_use]
    pub fn url(&self, policy: &str) -> String {
        format!("https://{}/validate/{policy}", self.address)
    }

    /// The certificate authority to trust, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.identity.authority
    }

    /// The reviews so far.
    #[must_use]
    pub fn log(&self) -> &ReviewLog {
        &self.state.log
    }

    /// Closes the port; reviews that are under way are answered. Does nothing when it is closed.
    ///
    /// # Errors
    /// When the server had failed before.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(Running { handle, task }) = self.running.take() else { return Ok(()) };
        handle.graceful_shutdown(Some(Duration::from_secs(2)));
        task.await.context("the policy host ended early")?.context("the policy host failed")
    }

    /// Opens the port again, with the same certificate and policies. Does nothing when it is open.
    ///
    /// # Errors
    /// When something else has taken the port.
    pub async fn resume(&mut self) -> Result<()> {
        if self.running.is_none() {
            let listener = TcpListener::bind(self.address)
                .with_context(|| format!("failed to open {} again", self.address))?;
            self.running = Some(Running::start(listener, &self.identity, Arc::clone(&self.state)).await?);
        }
        Ok(())
    }
}

impl Drop for PolicyHost {
    fn drop(&mut self) {
        if let Some(Running { handle, .. }) = &self.running {
            handle.shutdown();
        }
    }
}

impl Running {
    async fn start(listener: TcpListener, identity: &Identity, state: Arc<HostState>) -> Result<Self> {
        listener.set_nonblocking(true).context("failed to prepare the port")?;
        let tls = RustlsConfig::from_pem(
            identity.certificate.clone().into_bytes(),
            identity.key.clone().into_bytes(),
        )
        .await
        .context("failed to set up TLS")?;
        let router = Router::new().route("/validate/{policy}", post(validate)).with_state(state);
        let handle = Handle::new();
        let server = axum_server::from_tcp_rustls(listener, tls)
            .context("failed to listen")?
            .handle(handle.clone())
            .serve(router.into_make_service());
        let task = tokio::spawn(server);
        if handle.listening().await.is_none() {
            bail!("the policy host ended before it listened");
        }
        Ok(Self { handle, task })
    }
}

async fn validate(State(state): State<Arc<HostState>>, Path(policy): Path<String>, body: Bytes) -> Response {
    match state.backend.answer(&policy, body.clone()).await {
        Ok(answer) => {
            let response = (
                StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY),
                [(header::CONTENT_TYPE, "application/json")],
                answer.body.clone(),
            );
            state.log.add(Exchange { policy, request: body, answer });
            response.into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

impl Backend {
    async fn answer(&self, policy: &str, body: Bytes) -> Result<Answer> {
        match self {
            Self::InProcess { environment, workers } => {
                let _permit = workers.acquire().await.context("the policy host is closing")?;
                let environment = Arc::clone(environment);
                let policy = policy.to_owned();
                tokio::task::spawn_blocking(move || environment.validate(&policy, &body))
                    .await
                    .context("the policy's thread ended early")
            }
            Self::PolicyServer(policy_server) => policy_server.validate(policy, body).await,
        }
    }
}

/// A review and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The policy that was asked.
    pub policy: String,
    /// The `AdmissionReview`, byte for byte.
    pub request: Bytes,
    /// What was answered.
    pub answer: Answer,
}

impl Exchange {
    /// The `request` of the review.
    ///
    /// # Errors
    /// When the review is no JSON object with a request.
    pub fn admission_request(&self) -> Result<Value> {
        let mut review: Value =
            serde_json::from_slice(&self.request).context("failed to parse the review that was logged")?;
        review.get_mut("request").map(Value::take).context("the review that was logged has no request")
    }

    /// The `response` of the answer.
    ///
    /// # Errors
    /// When the answer was none, as for an unknown policy.
    pub fn admission_response(&self) -> Result<AdmissionResponse> {
        let mut review: Value = serde_json::from_slice(&self.answer.body)
            .context("failed to parse the answer that was logged")?;
        let response = review.get_mut("response").map(Value::take).unwrap_or_default();
        serde_json::from_value(response).context("the answer that was logged is no AdmissionReview")
    }

    /// The objects that the policy read; `None` where policy-server proper evaluates.
    #[must_use]
    pub fn lookups(&self) -> Option<Vec<ResourceRequest>> {
        let only_lookups = |call: &HostCall| match call {
            HostCall::GetResource { request, .. } => Some(request.clone()),
            HostCall::Log(_) | HostCall::Refused(_) => None,
        };
        self.answer.host_calls.as_ref().map(|calls| calls.iter().filter_map(only_lookups).collect())
    }
}

/// All reviews of a host, in the order of their answers.
#[derive(Debug, Default)]
pub struct ReviewLog(Mutex<Vec<Exchange>>);

impl ReviewLog {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Exchange> {
        self.entries().clone()
    }

    /// Those of one policy.
    #[must_use]
    pub fn of(&self, policy: &str) -> Vec<Exchange> {
        self.entries().iter().filter(|exchange| exchange.policy == policy).cloned().collect()
    }

    /// How often a policy was asked.
    #[must_use]
    pub fn count(&self, policy: &str) -> usize {
        self.entries().iter().filter(|exchange| exchange.policy == policy).count()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.entries().clear();
    }

    fn add(&self, exchange: Exchange) {
        self.entries().push(exchange);
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A certificate for the loopback address, and the authority that signed it, all in PEM.
struct Identity {
    authority: String,
    certificate: String,
    key: String,
}

impl Identity {
    fn new() -> Result<Self> {
        Self::generate().context("failed to make a certificate")
    }

    fn generate() -> Result<Self, rcgen::Error> {
        let ca_key = KeyPair::generate()?;
        let mut ca_params = CertificateParams::new(Vec::new())?;
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = ca_params.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca_params, ca_key);
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec![Ipv4Addr::LOCALHOST.to_string()])?.signed_by(&key, &issuer)?;
        Ok(Self { authority: ca.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
    }
}
