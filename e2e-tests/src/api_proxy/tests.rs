use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use tokio::task::JoinHandle;

use super::*;

const PATIENCE: Duration = Duration::from_mins(1);

/// A server behind the proxy that counts what arrives there. A watch is answered with its first line, and goes on.
struct Bed {
    proxy: ApiProxy,
    arrived: watch::Receiver<u32>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn arrive(
    State(arrived): State<watch::Sender<u32>>,
    request: axum::extract::Request,
) -> impl IntoResponse {
    arrived.send_modify(|count| *count += 1);
    let token = request.headers().get("authorization").cloned();
    let path = request.uri().path_and_query().unwrap().as_str().to_owned();
    if path.contains("watch=true") {
        return axum::body::Body::new(Endless(Some("first\n".into()))).into_response();
    }
    format!("{path} {token:?}").into_response()
}

/// One line, and then nothing, without an end.
struct Endless(Option<axum::body::Bytes>);

impl hyper::body::Body for Endless {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        match self.0.take() {
            Some(line) => std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(line)))),
            None => std::task::Poll::Pending,
        }
    }
}

async fn bed() -> Bed {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let (count, arrived) = watch::channel(0);
    let router = Router::new().fallback(arrive).with_state(count);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let proxy = ApiProxy::in_front_of(&upstream, HttpClient::plain()).await.unwrap();
    Bed { proxy, arrived, server }
}

impl Bed {
    async fn get(&self, path: &str) -> Result<(u16, String)> {
        let (status, body) = HttpClient::plain().get(&format!("{}{path}", self.proxy.url())).await?;
        Ok((status, String::from_utf8(body.to_vec())?))
    }

    fn arrived(&self) -> u32 {
        *self.arrived.borrow()
    }
}

#[tokio::test]
async fn what_no_rule_meets_goes_through_with_its_token() {
    let bed = bed().await;
    let request =
        Request::get(format!("{}/api?limit=1", bed.proxy.url())).header("authorization", "Bearer x");
    let answer = HttpClient::plain().request(request.body(Full::default()).unwrap()).await.unwrap();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "/api?limit=1 Some(\"Bearer x\")");
    let calls = bed.proxy.calls(&Calls::all());
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].method.as_str(), calls[0].path.as_str()), ("GET", "/api?limit=1"));
    assert_eq!(calls[0].status, Some(200));
}

#[tokio::test]
async fn a_rule_meets_its_calls_so_often_and_no_other() {
    let bed = bed().await;
    let refuse = Fault::Refuse { status: 503, retry_after: None };
    let rule = bed.proxy.set(Rule::new(Calls::reads().of("/secrets"), refuse).after(1).times(2));
    let mut seen = Vec::new();
    for path in ["/secrets/a", "/pods", "/secrets/b", "/secrets/c", "/secrets/d"] {
        seen.push(bed.get(path).await.unwrap().0);
    }
    assert_eq!(seen, [200, 200, 503, 503, 200]);
    assert_eq!((rule.met(), bed.arrived()), (2, 3));
    rule.until_met(2, PATIENCE).await.unwrap();
    assert!(rule.until_met(3, Duration::ZERO).await.is_err());
}

#[tokio::test]
async fn the_newest_rule_decides_until_it_is_lifted() {
    let bed = bed().await;
    let refuse = |status| Rule::new(Calls::all(), Fault::Refuse { status, retry_after: None });
    let (_old, new) = (bed.proxy.set(refuse(500)), bed.proxy.set(refuse(409)));
    assert_eq!(bed.get("/").await.unwrap().0, 409);
    new.lift();
    let (status, body) = bed.get("/").await.unwrap();
    assert_eq!(status, 500);
    assert!(body.contains(r#""reason":"InternalError""#), "{body}");
}

#[tokio::test]
async fn a_lost_answer_was_given_all_the_same() {
    let bed = bed().await;
    bed.proxy.set(Rule::new(Calls::all(), Fault::LoseAnswer).times(1));
    assert!(bed.get("/lost").await.is_err());
    assert_eq!(bed.arrived(), 1);
    assert_eq!(bed.proxy.calls(&Calls::all())[0].status, Some(200));
    assert!(bed.get("/again").await.is_ok());
}

#[tokio::test]
async fn what_is_held_goes_on_when_the_rule_is_lifted() {
    let bed = bed().await;
    for (fault, arrived) in [(Fault::Hold, 0), (Fault::HoldAnswer, 2)] {
        let rule = bed.proxy.set(Rule::new(Calls::all(), fault).times(1));
        let lift = async {
            rule.until_met(1, PATIENCE).await.unwrap();
            bed.arrived.clone().wait_for(|count| *count >= arrived).await.unwrap();
            assert_eq!(bed.arrived(), arrived);
            rule.lift();
        };
        let (answer, ()) = tokio::join!(bed.get("/held"), lift);
        assert_eq!(answer.unwrap().0, 200);
    }
}

#[tokio::test]
async fn a_cut_breaks_the_watches_that_are_open() {
    let bed = bed().await;
    let url = format!("{}/pods?watch=true", bed.proxy.url());
    for _ in 0..2 {
        let request = Request::get(&url).body(Full::default()).unwrap();
        let mut stream = HttpClient::plain().request(request).await.unwrap().into_body();
        let frame = stream.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "first\n", "it is not kept back");
        bed.proxy.cut_watches();
        assert!(stream.frame().await.unwrap().is_err());
    }
}

#[tokio::test]
async fn an_outdated_watch_is_told_so_in_its_stream() {
    let bed = bed().await;
    bed.proxy.set(Rule::new(Calls::watches(), Fault::Outdate));
    let (status, body) = bed.get("/pods?watch=true").await.unwrap();
    assert_eq!(status, 200);
    assert!(body.starts_with(r#"{"object":{"#) && body.contains(r#""code":410"#), "{body}");
    assert_eq!(bed.arrived(), 0);
}

#[tokio::test]
async fn nobody_gets_through_while_it_is_out_of_reach() {
    let bed = bed().await;
    let held = bed.proxy.set(Rule::new(Calls::all(), Fault::Hold).times(1));
    let cut = async {
        held.until_met(1, PATIENCE).await.unwrap();
        bed.proxy.be_out_of_reach(true);
    };
    let (answer, ()) = tokio::join!(bed.get("/open"), cut);
    assert!(answer.is_err(), "open connections break too");
    assert!(bed.get("/new").await.is_err());
    assert_eq!(bed.arrived(), 0);
    bed.proxy.be_out_of_reach(false);
    assert_eq!(bed.get("/back").await.unwrap().0, 200);
}
