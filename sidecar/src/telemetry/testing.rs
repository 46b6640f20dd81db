//! An API server that a function answers for.

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock;

/// A client of it. The function gets method, path with query, and body, and gives status and body.
pub(crate) fn api_server(
    mut answer: impl FnMut(&str, &str, Value) -> (u16, Value) + Send + 'static,
) -> Client {
    let (service, mut server) = mock::pair::<Request<Body>, Response<Body>>();
    tokio::spawn(async move {
        while let Some((request, send)) = server.next_request().await {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let (status, body) = answer(parts.method.as_str(), &parts.uri.to_string(), body);
            let body = Body::from(body.to_string().into_bytes());
            send.send_response(Response::builder().status(status).body(body).unwrap());
        }
    });
    Client::new(service, "kube-system")
}

/// A refusal as the API server words it.
pub(crate) fn refusal(code: u16) -> (u16, Value) {
    let reason = if code == 404 { "NotFound" } else { "No" };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": reason, "code": code,
    });
    (code, body)
}
