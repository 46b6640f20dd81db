//! How long the API server asks clients to wait.
//!
//! When the API server limits requests, it answers 429 with the header `Retry-After` and a line of text
//! (<https://kubernetes.io/docs/concepts/cluster-administration/flow-control/>). kube's errors do not contain the header; only
//! kube's own retry policy reads it. So this answer is turned into the form of other refusals: a Status, which has a field for
//! it.

use http_body_util::Either;
use hyper::Response;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde_json::json;

/// Copies the value of the header `Retry-After` into a refusal that is not a Status. All other answers stay unchanged.
pub fn into_status<B>(response: Response<B>) -> Response<Either<String, B>> {
    let is_refusal = response.status().is_client_error() || response.status().is_server_error();
    match seconds(&response) {
        Some(seconds) if is_refusal && !is_json(&response) => refusal(response, seconds),
        _ => response.map(Either::Right),
    }
}

fn refusal<B>(response: Response<B>, seconds: u32) -> Response<Either<String, B>> {
    let (mut head, _) = response.into_parts();
    let code = head.status.as_u16();
    // The text does not contain the number, because each new text would cause another Event.
    let status = json!({
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "message": "it asks to try again later",
        "reason": if code == 429 { "TooManyRequests" } else { "ServiceUnavailable" },
        "details": { "retryAfterSeconds": seconds },
        "code": code,
    });
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(head, Either::Left(status.to_string()))
}

/// Returns the seconds in the header. The other form of the header, a date, is not used by the API server.
fn seconds<B>(response: &Response<B>) -> Option<u32> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

fn is_json<B>(response: &Response<B>) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("application/json"))
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use kube::Client;
    use kube::client::Body;
    use kube::core::Status;

    use super::*;

    /// Returns kube's error for an answer that went through this module.
    async fn error(status: u16, headers: &[(&str, &str)], body: &str) -> Box<Status> {
        let (service, mut server) = tower_test::mock::pair::<Request<Body>, Response<Either<String, Body>>>();
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let answer = into_status(answer.body(Body::from(body.as_bytes().to_vec())).unwrap());
        let answered = async {
            let (_, reply) = server.next_request().await.unwrap();
            reply.send_response(answer);
        };
        let client = Client::new(service, "default");
        let request = Request::get("/").body(Vec::new()).unwrap();
        let (outcome, ()) = tokio::join!(client.request_text(request), answered);
        match outcome {
            Err(kube::Error::Api(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    fn asked(status: &Status) -> Option<u32> {
        status.details.as_ref().map(|details| details.retry_after_seconds)
    }

    #[tokio::test]
    async fn a_limit_of_the_api_server_says_how_long_to_wait() {
        let text = ("content-type", "text/plain; charset=utf-8");
        let body = "Too many requests, please try again later.\n";
        let status = error(429, &[text, ("retry-after", "7"), ("content-length", "43")], body).await;
        assert_eq!((status.code, asked(&status)), (429, Some(7)));
        assert_eq!(status.message, "it asks to try again later");
    }

    #[tokio::test]
    async fn how_long_it_is_makes_no_other_text() {
        let ten = error(429, &[("retry-after", "10")], "").await;
        let none = error(429, &[("retry-after", "0")], "").await;
        assert_eq!((asked(&ten), asked(&none)), (Some(10), Some(0)));
        assert_eq!(ten.message, none.message);
    }

    #[tokio::test]
    async fn other_refusals_stay_as_they_are() {
        let json = ("content-type", "application/json");
        let body = r#"{"kind":"Status","status":"Failure","message":"no","code":503,"details":{"retryAfterSeconds":3}}"#;
        let status = error(503, &[json, ("retry-after", "9")], body).await;
        assert_eq!((status.message.as_str(), asked(&status)), ("no", Some(3)));
        for headers in
            [&[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")][..], &[("retry-after", "-1")], &[]]
        {
            let status = error(429, headers, "no").await;
            assert_eq!((status.message.as_str(), asked(&status)), ("no", None));
        }
    }

    #[test]
    fn what_went_well_is_not_touched() {
        let answer = Response::builder().header("retry-after", "9").body(Body::empty()).unwrap();
        assert!(!into_status(answer).headers().contains_key(CONTENT_TYPE));
    }
}
