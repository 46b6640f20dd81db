//! The pages of a running sidecar: `/livez`, `/readyz` and `/metrics`. Nothing else is served, and nothing can be changed.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::health::{Health, Report};
use super::metrics::{CONTENT_TYPE, Metrics};
use crate::clock::Clock;

/// What the pages show.
#[derive(Debug, Clone)]
pub struct Pages {
    /// For `/livez` and `/readyz`.
    pub health: Arc<Health>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// A credential is judged by the time of the request.
    pub clock: Arc<dyn Clock>,
}

/// Serves the pages until `stop` ends, and then finishes the answers that have begun. The caller sets a limit to that: a
/// client that does not read could hold it up.
///
/// # Errors
/// When connections can no longer be accepted.
pub async fn serve(
    listener: TcpListener,
    pages: Pages,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(pages)).with_graceful_shutdown(stop).await
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(pages)
}

async fn livez(State(pages): State<Pages>) -> Response {
    answer(pages.health.livez(Instant::now()))
}

async fn readyz(State(pages): State<Pages>) -> Response {
    answer(pages.health.readyz(pages.clock.now()))
}

fn answer(report: Report) -> Response {
    let Report { ok, body } = report;
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, body).into_response()
}

async fn metrics(State(pages): State<Pages>) -> Response {
    match pages.metrics.render() {
        Ok(page) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response(),
        Err(error) => {
            tracing::error!("metrics could not be written: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;
    use crate::clock::SystemClock;

    async fn ask(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: sidecar\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn each_page_is_served_until_told_to_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = Health::new();
        let synced = health.gate("synced", "the first list of namespaces is awaited");
        let pages = Pages { health, metrics: Arc::new(Metrics::new()), clock: Arc::new(SystemClock) };
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, pages, async move {
            let _ = stopped.await;
        }));

        assert!(ask(address, "/livez").await.starts_with("HTTP/1.1 200 OK\r\n"));
        let readiness = ask(address, "/readyz").await;
        assert!(readiness.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{readiness}");
        assert!(readiness.contains("✗ synced: the first list of namespaces is awaited"), "{readiness}");
        synced.open();
        assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200 OK\r\n"));
        let metrics = ask(address, "/metrics").await;
        assert!(metrics.contains("content-type: application/openmetrics-text"), "{metrics}");
        assert!(metrics.contains("acr_credential_sidecar_build_info"), "{metrics}");
        assert!(ask(address, "/").await.starts_with("HTTP/1.1 404"));

        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    }
}
