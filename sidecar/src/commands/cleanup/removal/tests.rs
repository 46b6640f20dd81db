use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::kubernetes::FIELD_MANAGER;
use crate::telemetry::testing::{api_server, refusal};

const OURS: &str = "acr-credential-secret-aggregation";

#[tokio::test]
async fn an_entry_that_somebody_adds_meanwhile_is_never_lost() {
    let list = Arc::new(Mutex::new(vec!["mine", OURS, "b"]));
    let stored = Arc::clone(&list);
    let mut version = 1;
    let client = api_server(move |method, _, body| {
        let mut list = stored.lock().unwrap();
        if method == "GET" {
            let entries: Vec<_> = list.iter().map(|name| json!({ "name": name })).collect();
            let metadata = json!({ "name": "default", "uid": "u", "resourceVersion": version.to_string() });
            return (200, json!({ "metadata": metadata, "imagePullSecrets": entries }));
        }
        // Right before our first write.
        if version == 1 {
            list.push("theirs");
            version = 2;
        }
        let current = version.to_string();
        if body["metadata"]["resourceVersion"].as_str() != Some(&*current) {
            return refusal(409);
        }
        let names: Vec<_> = body["imagePullSecrets"].as_array().unwrap().iter().collect();
        list.retain(|name| names.iter().any(|entry| entry["name"] == *name));
        (200, json!({ "metadata": { "name": "default", "uid": "u", "resourceVersion": "9" } }))
    });
    let account = ListingAccount { namespace: "team-a".to_owned(), name: "default".to_owned() };
    assert!(matches!(take_off(&client, &account, OURS).await.unwrap(), Removal::Done));
    assert_eq!(*list.lock().unwrap(), ["mine", "b", "theirs"]);
}

/// A Secret of ours, as it was looked at.
fn secret() -> FoundSecret {
    FoundSecret::parse(&object("u-1", "7", true).to_string()).unwrap()
}

fn object(uid: &str, version: &str, is_ours: bool) -> Value {
    let labels = if is_ours { json!({ "app.kubernetes.io/managed-by": FIELD_MANAGER }) } else { json!({}) };
    let managers = json!([{ "manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {} }]);
    let metadata = json!({
        "name": OURS, "namespace": "team-a", "uid": uid, "resourceVersion": version, "labels": labels,
        "managedFields": managers,
    });
    json!({ "metadata": metadata })
}

/// A Secret that has been written to since it was looked at; what it is by now.
async fn remove_changed(now: Option<Value>) -> (Removal, Vec<Value>) {
    let tried = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&tried);
    let client = api_server(move |method, _, body| {
        if method == "GET" {
            return now.clone().map_or(refusal(404), |object| (200, object));
        }
        seen.lock().unwrap().push(body["preconditions"].clone());
        let done = json!({ "kind": "Status", "status": "Success", "metadata": {} });
        if body["preconditions"]["resourceVersion"].is_null() { (200, done) } else { refusal(409) }
    });
    let removal = remove(&client, &secret()).await.unwrap();
    let tried = tried.lock().unwrap().clone();
    (removal, tried)
}

#[tokio::test]
async fn a_secret_that_is_written_to_all_the_time_is_deleted_while_it_is_the_same_and_ours() {
    let exactly = json!({ "uid": "u-1", "resourceVersion": "7" });
    let (removal, tried) = remove_changed(Some(object("u-1", "9", true))).await;
    assert!(matches!(removal, Removal::Done));
    assert_eq!(tried, [exactly.clone(), json!({ "uid": "u-1" })]);
    for other in [object("u-2", "9", true), object("u-1", "9", false)] {
        let (removal, tried) = remove_changed(Some(other)).await;
        assert!(matches!(&removal, Removal::Held(why) if why.starts_with("left alone")));
        assert_eq!(tried, std::slice::from_ref(&exactly));
    }
    assert!(matches!(remove_changed(None).await.0, Removal::Done));
}

#[tokio::test]
async fn a_secret_that_a_finalizer_holds_is_not_said_to_be_gone() {
    let client = api_server(|method, _, _| {
        assert_eq!(method, "DELETE");
        let mut held = object("u-1", "8", true);
        held["metadata"]["deletionTimestamp"] = json!("2026-11-24T20:00:00Z");
        held["metadata"]["finalizers"] = json!(["example.com/hold"]);
        (200, held)
    });
    let removal = remove(&client, &secret()).await.unwrap();
    let Removal::Held(why) = removal else { panic!("it is said to be gone") };
    assert_eq!(why, "is being deleted, held by the finalizer example.com/hold");
}

#[tokio::test(start_paused = true)]
async fn what_one_tenant_holds_up_is_tried_until_the_patience_ends_and_fails_nobody() {
    let tries = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&tries);
    let client = api_server(move |method, path, _| match method {
        "GET" if path.contains("/serviceaccounts/") => (
            200,
            json!({ "metadata": { "name": "default", "uid": "u", "resourceVersion": "1" }, "imagePullSecrets": [{ "name": OURS }] }),
        ),
        "PATCH" => {
            *seen.lock().unwrap() += 1;
            refusal(409)
        }
        _ => (200, json!({ "kind": "Status", "status": "Success", "metadata": {} })),
    });
    let account = ListingAccount { namespace: "noisy".to_owned(), name: "default".to_owned() };
    let found =
        Leftovers { secrets: vec![secret()], accounts: vec![account], lease: None, left_alone: Vec::new() };
    let exit = found.remove(&client, OURS, Deadline::start()).await.unwrap();
    assert_eq!(exit, Exit::Success);
    assert!(*tries.lock().unwrap() > 100);
}
