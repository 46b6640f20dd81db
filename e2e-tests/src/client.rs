//! A small HTTP client with keep-alive, for what talks to a policy host: tests, the benchmark, and the recording front
//! of policy-server.

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Posts JSON and reads the answer. Clones share their connections.
#[derive(Clone)]
pub struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl HttpClient {
    /// Trusts nobody: for plain HTTP.
    #[must_use]
    pub fn plain() -> Self {
        Self::with_roots(RootCertStore::empty())
    }

    /// Trusts the certificate authorities in this PEM text.
    ///
    /// # Errors
    /// When the text holds no certificate.
    pub fn trusting(ca_pem: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            let certificate = certificate.context("failed to parse the certificate authority")?;
            roots.add(certificate).context("failed to trust the certificate authority")?;
        }
        ensure!(!roots.is_empty(), "there is no certificate of an authority");
        Ok(Self::with_roots(roots))
    }

    fn with_roots(roots: RootCertStore) -> Self {
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Self(Client::builder(TokioExecutor::new()).build(https))
    }

    /// Posts a JSON body; returns the status and the body of the answer, whatever the status is.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, url: &str, body: Bytes) -> Result<(u16, Bytes)> {
        let request = Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .with_context(|| format!("failed to make a request to {url}"))?;
        self.send(url, request).await
    }

    /// Patches with a JSON body; otherwise as [`HttpClient::post`].
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn patch(&self, url: &str, body: Bytes) -> Result<(u16, Bytes)> {
        let request = Request::patch(url)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .with_context(|| format!("failed to make a request to {url}"))?;
        self.send(url, request).await
    }

    /// Gets a document; otherwise as [`HttpClient::post`].
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, url: &str) -> Result<(u16, Bytes)> {
        let request = Request::get(url)
            .body(Full::default())
            .with_context(|| format!("failed to make a request to {url}"))?;
        self.send(url, request).await
    }

    /// Sends any request, and returns the answer as soon as it begins.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn request(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        self.0.request(request).await.context("failed to send a request")
    }

    async fn send(&self, url: &str, request: Request<Full<Bytes>>) -> Result<(u16, Bytes)> {
        let response = self.request(request).await.with_context(|| format!("nothing came from {url}"))?;
        let status = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .with_context(|| format!("failed to read the answer of {url}"))?;
        Ok((status, body.to_bytes()))
    }
}
