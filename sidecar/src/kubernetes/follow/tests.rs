//! What is made of lists and watches, and how failures are borne.

use http::{Request, Response};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::client::Body;
use tower_test::mock;

use super::super::metadata::Metadata;
use super::*;
use crate::telemetry::logging::testing::{heard, listen};

/// An API server that answers like this to the path and query, and to what is accepted.
fn server(mut answer: impl FnMut(&str, &str) -> (u16, String) + Send + 'static) -> Client {
    let (service, mut requests) = mock::pair::<Request<Body>, Response<Body>>();
    tokio::spawn(async move {
        while let Some((request, reply)) = requests.next_request().await {
            let accept = request.headers().get("accept").map(|value| value.to_str().unwrap().to_owned());
            let (status, body) = answer(&request.uri().to_string(), &accept.unwrap_or_default());
            let body = Body::from(body.into_bytes());
            reply.send_response(Response::builder().status(status).body(body).unwrap());
        }
    });
    Client::new(service, "default")
}

fn object(name: &str, version: u32) -> String {
    format!(r#"{{"metadata":{{"name":"{name}","namespace":"a","uid":"u","resourceVersion":"{version}"}}}}"#)
}

fn list(items: &[String], version: u32, token: &str) -> (u16, String) {
    let metadata = format!(r#"{{"resourceVersion":"{version}","continue":"{token}"}}"#);
    (200, format!(r#"{{"kind":"List","metadata":{metadata},"items":[{}]}}"#, items.join(",")))
}

fn line(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn refusal(code: u16) -> (u16, String) {
    (code, format!(r#"{{"kind":"Status","status":"Failure","message":"no","reason":"No","code":{code}}}"#))
}

fn is_watch(path: &str) -> bool {
    path.contains("watch=true")
}

/// The changes of the Secrets of one name, as text.
fn followed(client: Client) -> mpsc::Receiver<String> {
    let (to, changes) = mpsc::channel(64);
    let message = |change: Change<'_>| {
        Some(match change {
            Change::There(object) => format!("there {}", Metadata::parse(object).unwrap().resource_version),
            Change::Gone(object) => format!("gone {}", Metadata::parse(object).unwrap().resource_version),
            change => format!("{change:?}"),
        })
    };
    let secrets = Collection::metadata::<Secret>(None).named("acr-pull");
    tokio::spawn(follow(client, secrets, "pull secrets", to, message));
    changes
}

async fn next(changes: &mut mpsc::Receiver<String>, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(changes.recv().await.unwrap());
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_list_is_read_page_by_page_and_watched_from_its_version_as_metadata_alone() {
    let client = server(|path, accept| {
        assert!(path.starts_with("/api/v1/secrets?"), "{path}");
        assert!(path.contains("fieldSelector=metadata.name%3Dacr-pull"), "{path}");
        let kind = accept
            .strip_prefix("application/json;as=")
            .and_then(|rest| rest.strip_suffix(";g=meta.k8s.io;v=v1"));
        if is_watch(path) {
            assert_eq!(kind, Some("PartialObjectMetadata"), "the data of Secrets is never asked for");
            if path.contains("resourceVersion=9") {
                return (200, line("DELETED", &object("acr-pull", 10)));
            }
            assert!(path.contains("resourceVersion=7"), "{path}");
            (200, line("MODIFIED", &object("acr-pull", 8)) + &line("BOOKMARK", &object("", 9)))
        } else {
            assert_eq!(kind, Some("PartialObjectMetadataList"));
            if path.contains("continue=more") {
                list(&[object("acr-pull", 6)], 7, "")
            } else {
                list(&[object("acr-pull", 5)], 7, "more")
            }
        }
    });
    let mut changes = followed(client);
    let seen = next(&mut changes, 7).await;
    assert_eq!(seen, ["ListBegins", "there 5", "there 6", "ListEnds", "there 8", "Failed", "Works"]);
    assert_eq!(next(&mut changes, 1).await, ["gone 10"], "the bookmark's version is gone on from");
}

#[tokio::test]
async fn of_service_accounts_everything_is_asked_for() {
    let client = server(|_, accept| {
        assert_eq!(accept, "");
        list(&[object("default", 5)], 7, "")
    });
    let accounts = Collection::whole::<ServiceAccount>(None);
    let mut listing = accounts.list(&client);
    assert_eq!(listing.next().await.unwrap(), Some(&*object("default", 5)));
    assert_eq!(listing.next().await.unwrap(), None);
    assert_eq!(listing.next().await.unwrap(), None);
    assert_eq!(listing.version(), "7");
}

#[tokio::test(start_paused = true)]
async fn what_a_tenant_writes_neither_fails_nor_delays_anything() {
    let deep = format!("{}{}", r#"{"f:a":"#.repeat(5000), "{}".to_owned() + &"}".repeat(5000));
    let poison = format!(
        r#"{{"metadata":{{"name":"acr-pull","namespace":"a","uid":"u","resourceVersion":"6","managedFields":[{{"manager":"tenant","operation":"Update","time":"10000-01-01T00:00:00Z","fieldsV1":{deep}}}]}}}}"#
    );
    let client = server(move |path, _| {
        if is_watch(path) {
            return (200, line("MODIFIED", &poison) + &line("MODIFIED", &object("acr-pull", 8)));
        }
        list(&[object("acr-pull", 5), poison.clone()], 7, "")
    });
    let start = Instant::now();
    let seen = next(&mut followed(client), 6).await;
    assert_eq!(seen, ["ListBegins", "there 5", "there 6", "ListEnds", "there 6", "there 8"]);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_said_once_and_pauses_grow() {
    listen();
    let client = server(|path, _| if is_watch(path) { refusal(403) } else { list(&[], 7, "") });
    let start = Instant::now();
    let seen = next(&mut followed(client), 12).await;
    assert_eq!(seen[..2], ["ListBegins", "ListEnds"], "it is listed once, whatever the watch does");
    assert!(seen[2..].iter().all(|change| change == "Failed"), "{seen:?}");
    assert!(start.elapsed() > Duration::from_mins(1), "nine pauses, from half a second to half a minute");
    let logs = heard();
    assert_eq!(logs.matches("failed to watch pull secrets, trying again").count(), 1, "{logs}");
    assert!(logs.contains("the API server answered 403: no"), "{logs}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_whose_place_is_gone_lists_again() {
    let mut watches = 0;
    let client = server(move |path, _| {
        if !is_watch(path) {
            return list(&[], 7, "");
        }
        watches += 1;
        match watches {
            1 => refusal(410),
            2 => (200, line("ERROR", &refusal(410).1)),
            _ => (200, line("ADDED", &object("acr-pull", 8))),
        }
    });
    let seen = next(&mut followed(client), 10).await;
    let once = ["ListBegins", "ListEnds", "Failed"];
    assert_eq!(seen, [&once[..], &once, &["ListBegins", "ListEnds", "Works", "there 8"]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_is_read_again_from_its_beginning() {
    let mut lists = 0;
    let client = server(move |path, _| {
        if is_watch(path) {
            return (200, line("ADDED", &object("acr-pull", 8)));
        }
        lists += 1;
        let (status, text) = list(&[object("acr-pull", 5)], 7, "");
        (status, if lists == 1 { text.replace("]}", "") } else { text })
    });
    let seen = next(&mut followed(client), 6).await;
    assert_eq!(seen, ["ListBegins", "there 5", "Failed", "ListBegins", "there 5", "ListEnds"]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_listens() {
    let client = server(|path, _| if is_watch(path) { refusal(500) } else { list(&[], 7, "") });
    let (to, changes) = mpsc::channel(1);
    let secrets = Collection::metadata::<Secret>(None);
    let following = tokio::spawn(follow(client, secrets, "pull secrets", to, |_| Some(())));
    drop(changes);
    following.await.unwrap();
}
