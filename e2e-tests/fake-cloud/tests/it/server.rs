//! The listeners, and faults on the wire.

use std::io;
use std::time::Duration;

use acr_fake_cloud::{Action, FakeCloud, Fault, FaultKind, Request, State};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{EXAMPLE, Key, sign, unsigned};

async fn fake() -> FakeCloud {
    FakeCloud::start(State::from_yaml(EXAMPLE).unwrap()).await.unwrap()
}

fn set(fake: &FakeCloud, kind: FaultKind) {
    fake.add_fault(Fault { action: None, instance: None, times: Some(1), kind });
}

async fn send(url: &str, request: &Request) -> TcpStream {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let headers: Vec<String> =
        request.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let text = format!(
        "{} {}{query} HTTP/1.1\r\nconnection: close\r\n{}content-length: {}\r\n\r\n",
        request.method,
        request.path,
        headers.concat(),
        request.body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.write_all(&request.body).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> io::Result<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

fn get(path: &str) -> Request {
    Request {
        method: "GET".into(),
        path: path.into(),
        query: String::new(),
        headers: vec![("host".into(), "127.0.0.1".into())],
        body: Vec::new(),
    }
}

const REGION_ID: &str = "/latest/meta-data/region-id";

#[tokio::test]
async fn each_region_has_a_listener_of_its_own() {
    let fake = fake().await;
    let ask = |instance: &str| {
        let query = format!("InstanceId={instance}");
        sign(unsigned("2018-12-01", "GetAuthorizationToken", &query, fake.now()), &Key::of("puller"))
    };
    let beijing = fake.region_url("cn-beijing").unwrap();
    assert_ne!(fake.url(), beijing);
    assert!(fake.region_url("cn-shanghai").is_none());
    let here = answer(send(&fake.url(), &ask("cri-example")).await).await.unwrap();
    assert!(here.starts_with("HTTP/1.1 200 OK\r\n"), "{here}");
    let there = answer(send(&beijing, &ask("cri-beijing")).await).await.unwrap();
    assert!(there.starts_with("HTTP/1.1 200 OK\r\n"), "{there}");
    let wrong = answer(send(&beijing, &ask("cri-example")).await).await.unwrap();
    assert!(wrong.starts_with("HTTP/1.1 404 Not Found\r\n"), "{wrong}");
    assert_eq!(fake.calls(Action::GetAuthorizationToken), 3);
    assert_eq!(fake.count(Action::GetAuthorizationToken).refused, 1);
    let regions: Vec<String> = fake.requests().into_iter().map(|record| record.region).collect();
    assert_eq!(regions, ["cn-hangzhou", "cn-beijing", "cn-beijing"]);
}

#[tokio::test]
async fn a_connection_is_reset() {
    let fake = fake().await;
    set(&fake, FaultKind::Reset);
    let error = answer(send(&fake.url(), &get(REGION_ID)).await).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_body_ends_early() {
    let fake = fake().await;
    set(&fake, FaultKind::Truncate { bytes: 3 });
    let text = answer(send(&fake.url(), &get(REGION_ID)).await).await.unwrap_or_default();
    // The length promised is that of the whole body.
    assert!(text.contains("content-length: 11\r\n") && text.ends_with("\r\n\r\ncn-"), "{text}");
}

#[tokio::test]
async fn a_body_comes_slowly_but_whole() {
    let fake = fake().await;
    set(&fake, FaultKind::Slow { pause_ms: 1 });
    let text = answer(send(&fake.url(), &get(REGION_ID)).await).await.unwrap();
    assert!(text.ends_with("\r\n\r\ncn-hangzhou"), "{text}");
}

/// The time is not the machine's: it jumps ahead when nothing is left to be done.
#[tokio::test(start_paused = true)]
async fn a_stalled_call_is_never_answered_and_ends_with_the_cloud() {
    let fake = fake().await;
    set(&fake, FaultKind::Stall);
    let mut stream = send(&fake.url(), &get(REGION_ID)).await;
    while fake.calls(Action::Metadata) == 0 {
        tokio::task::yield_now().await;
    }
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_hours(1), stream.read(&mut byte)).await;
    assert!(read.is_err(), "{read:?}");
    drop(fake);
    assert!(matches!(stream.read(&mut byte).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_cloud_that_is_dropped_no_longer_listens() {
    let fake = fake().await;
    let address = fake.url().strip_prefix("http://").unwrap().to_owned();
    drop(fake);
    tokio::task::yield_now().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_admin_endpoint_is_at_every_listener() {
    let fake = fake().await;
    let help = answer(send(&fake.region_url("cn-beijing").unwrap(), &get("/_admin/")).await).await.unwrap();
    assert!(help.contains("PATCH  /_admin/state"), "{help}");
}
