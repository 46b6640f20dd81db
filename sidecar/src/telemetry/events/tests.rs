use http::{Request, Response};
use kube::client::Body;
use tower_test::mock::{self, Handle};

use super::*;

type ApiServer = Handle<Request<Body>, Response<Body>>;

fn start() -> (Events, ApiServer, Arc<Metrics>) {
    let (service, server) = mock::pair::<Request<Body>, Response<Body>>();
    let metrics = Arc::new(Metrics::new());
    let (events, recorder) =
        channel(Client::new(service, "kube-system"), "sidecar-0".to_owned(), Arc::clone(&metrics));
    tokio::spawn(recorder.run());
    (events, server, metrics)
}

/// Answers the next request with this status, and hands out its path and its body.
async fn answer(server: &mut ApiServer, status: u16) -> (String, serde_json::Value) {
    let (request, send) = server.next_request().await.unwrap();
    let path = request.uri().path().to_owned();
    let bytes = request.into_body().collect_bytes().await.unwrap();
    let answer = if status == 201 {
        bytes.to_vec()
    } else {
        format!(r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"No","code":{status}}}"#)
            .into_bytes()
    };
    send.send_response(Response::builder().status(status).body(Body::from(answer)).unwrap());
    (path, serde_json::from_slice(&bytes).unwrap())
}

fn foreign(events: &Events, namespace: &str) {
    let about = Regarding::secret(namespace, "acr-credential-secret-aggregation");
    events.say(Reason::ForeignPullSecret, about, "belongs to somebody else: delete it, or set adopt");
}

#[tokio::test]
async fn an_event_stands_beside_its_object_and_says_who_reports() {
    let (events, mut server, _) = start();
    foreign(&events, "team-a");
    let (path, event) = answer(&mut server, 201).await;
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/team-a/events");
    for (pointer, expected) in [
        ("/type", "Warning"),
        ("/reason", "ForeignPullSecret"),
        ("/action", "Write"),
        ("/note", "belongs to somebody else: delete it, or set adopt"),
        ("/reportingController", "acr-credential-sidecar"),
        ("/reportingInstance", "sidecar-0"),
        ("/regarding/kind", "Secret"),
        ("/regarding/namespace", "team-a"),
    ] {
        assert_eq!(event.pointer(pointer).and_then(|value| value.as_str()), Some(expected), "{pointer}");
    }
}

#[tokio::test]
async fn an_event_about_a_namespace_stands_in_default() {
    let (events, mut server, _) = start();
    events.say(Reason::WriteFailed, Regarding::namespace("team-a").with_uid(Some("u-1")), "no");
    let (path, event) = answer(&mut server, 201).await;
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/default/events");
    assert_eq!(event.pointer("/regarding/uid").and_then(|value| value.as_str()), Some("u-1"));
}

#[tokio::test]
async fn the_same_is_written_once() {
    let (events, mut server, metrics) = start();
    foreign(&events, "team-a");
    foreign(&events, "team-a");
    foreign(&events, "team-b");
    answer(&mut server, 201).await;
    let (path, _) = answer(&mut server, 201).await;
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/team-b/events");
    assert!(metrics.render().unwrap().contains("events_total{result=\"repeated\"} 1"));
}

#[tokio::test]
async fn a_failed_write_is_counted_and_tried_again_when_it_is_said_again() {
    let (events, mut server, metrics) = start();
    foreign(&events, "team-a");
    answer(&mut server, 403).await;
    while !metrics.render().unwrap().contains("events_total{result=\"failed\"} 1") {
        tokio::task::yield_now().await;
    }
    foreign(&events, "team-a");
    answer(&mut server, 201).await;
    let page = metrics.render().unwrap();
    assert!(page.contains("api_errors_total{verb=\"create\",reason=\"Forbidden\"} 1"), "{page}");
}

#[tokio::test]
async fn saying_never_waits_even_when_nobody_writes() {
    let (service, _server) = mock::pair::<Request<Body>, Response<Body>>();
    let metrics = Arc::new(Metrics::new());
    let (events, _recorder) =
        channel(Client::new(service, "kube-system"), "sidecar-0".to_owned(), Arc::clone(&metrics));
    for n in 0..53 {
        foreign(&events, &format!("team-{n}"));
    }
    assert!(metrics.render().unwrap().contains("events_total{result=\"dropped\"} 3"));
}

#[tokio::test]
async fn what_a_tenant_writes_into_the_text_makes_no_news_and_delays_nothing_about_the_sidecar() {
    let (events, mut server, _) = start();
    let about = || Regarding::secret("noisy", "acr-credential-secret-aggregation");
    let mistake =
        |n: u32| (Regarding::config_map("kube-system", "acr-configuration"), format!("mistake {n}"));
    let said = (0..1000).filter(|n| events.say(Reason::PullSecretRepaired, about(), format!("manager-{n}")));
    assert_eq!(said.count(), 1);
    for n in 0..2 {
        let (about, note) = mistake(n);
        assert!(
            events.say(Reason::ConfigurationInvalid, about, note),
            "each text about our own object is news"
        );
    }
    let mut paths = Vec::new();
    for _ in 0..3 {
        paths.push(answer(&mut server, 201).await.0);
    }
    let ours = "/apis/events.k8s.io/v1/namespaces/kube-system/events";
    assert_eq!(paths, [ours, ours, "/apis/events.k8s.io/v1/namespaces/noisy/events"], "ours come first");
}

#[test]
fn a_long_note_is_cut_at_a_character() {
    let note = shortened(&"ä".repeat(600));
    assert_eq!(note.len(), 1000 + "…".len());
    assert_eq!(shortened("short"), "short");
}
