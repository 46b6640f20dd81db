//! Serves connections: a call comes in, is met by a rule or not, and goes on to the API server.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result, bail};
use axum::body::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Shared;
use super::calls::Call;
use super::rule::Fault;

/// What goes back to the caller.
type Answer = UnsyncBoxBody<Bytes, anyhow::Error>;

/// Accepts connections without end.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(stream, Arc::clone(&shared)));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let mut out_of_reach = shared.out_of_reach.subscribe();
    let service = service_fn(|request| serve(Arc::clone(&shared), request));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        // In both cases the connection ends here; what has broken it is nobody's business.
        _ = out_of_reach.wait_for(|out_of_reach| *out_of_reach) => {}
        _ = served => {}
    }
}

/// Serves a call. An error ends the connection.
async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Answer>> {
    let (head, body) = request.into_parts();
    let call = Call::of(&head);
    let is_watch = call.is_watch();
    let rule = shared.rule_for(&call);
    let number = shared.begin(call);
    let body = body.collect().await.context("the caller has gone")?.to_bytes();
    match rule.as_ref().map(|rule| (rule, rule.fault())) {
        Some((_, Fault::Refuse { status, retry_after })) => {
            shared.answered(number, status);
            return refusal(status, retry_after);
        }
        Some((_, Fault::Outdate)) => {
            shared.answered(number, 200);
            let event = json!({ "type": "ERROR", "object": status_object(410) });
            return answer(200, "application/json", format!("{event}\n"));
        }
        Some((_, Fault::Delay(by))) => sleep(by).await,
        Some((rule, Fault::Hold)) => rule.until_lifted().await,
        Some((_, Fault::HoldAnswer | Fault::LoseAnswer)) | None => {}
    }
    let mut onward = Request::builder()
        .method(head.method)
        .uri(format!("{}{}", shared.upstream, head.uri))
        .body(Full::new(body))
        .context("failed to pass a call on")?;
    *onward.headers_mut() = head.headers;
    for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        onward.headers_mut().remove(name);
    }
    let response = shared.client.request(onward).await?;
    shared.answered(number, response.status().as_u16());
    match rule.as_ref().map(|rule| (rule, rule.fault())) {
        Some((_, Fault::LoseAnswer)) => bail!("the answer is lost, as the rule says"),
        Some((rule, Fault::HoldAnswer)) => rule.until_lifted().await,
        _ => {}
    }
    Ok(response.map(|body| {
        let body = body.map_err(anyhow::Error::from);
        if is_watch {
            Cuttable::new(body, shared.cuts.subscribe()).boxed_unsync()
        } else {
            body.boxed_unsync()
        }
    }))
}

/// A refusal in the words of the API server. One of its limits on requests does not answer with an object.
fn refusal(status: u16, retry_after: Option<u32>) -> Result<Response<Answer>> {
    let mut refusal = if status == 429 {
        answer(
            status,
            "text/plain; charset=utf-8",
            "Too many requests, please try again later.\n".to_owned(),
        )?
    } else {
        answer(status, "application/json", status_object(status).to_string())?
    };
    if let Some(seconds) = retry_after {
        refusal.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    Ok(refusal)
}

fn status_object(code: u16) -> serde_json::Value {
    let (reason, message) = match code {
        409 => ("Conflict", "the object has been modified; please apply your changes to the latest version"),
        410 => ("Expired", "too old resource version"),
        500 => ("InternalError", "Internal error occurred: etcdserver: request timed out"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        _ => ("", "refused by the test"),
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

fn answer(status: u16, content_type: &str, text: String) -> Result<Response<Answer>> {
    let body = Full::from(text).map_err(|never: Infallible| match never {}).boxed_unsync();
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .body(body)
        .context("failed to answer")
}

/// The stream of a watch, which can be cut.
struct Cuttable<B> {
    body: B,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<B> Cuttable<B> {
    fn new(body: B, mut cuts: watch::Receiver<u64>) -> Self {
        let cut = async move {
            cuts.changed().await.ok();
        };
        Self { body, cut: Box::pin(cut) }
    }
}

impl<B: Body<Data = Bytes, Error = anyhow::Error> + Unpin> Body for Cuttable<B> {
    type Data = Bytes;
    type Error = anyhow::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, anyhow::Error>>> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(anyhow::anyhow!("the watch is cut"))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}
