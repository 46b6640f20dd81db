//! What holds for every input.

use acr_credential_helper_policy::validate_with;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Accounts, OURS, create, review, send};

/// Any JSON value, with keys that the policy knows among the others.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any_key(), inner, 0..6).prop_map(Value::from_iter),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "spec",
            "metadata",
            "imagePullSecrets",
            "name",
            "containers",
            "annotations",
            "kind"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ]
}

/// What `imagePullSecrets` of a well-formed Pod can be; `None` is an absent field.
fn any_list() -> impl Strategy<Value = Option<Value>> {
    let entry = prop_oneof![
        "[a-z]{1,8}".prop_map(|name| json!({ "name": name })),
        Just(json!({})),
        Just(json!({ "name": "" })),
        Just(json!(null)),
        Just(json!({ "name": OURS })),
        "[a-z]{1,8}".prop_map(|name| json!({ "name": name, "future": { "a": [1, null] } })),
    ];
    prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        prop::collection::vec(entry, 0..5).prop_map(|list| Some(Value::from(list))),
    ]
}

/// Any Pod: fields that decide are well formed, all others are anything.
fn any_pod() -> impl Strategy<Value = Value> {
    let extra = || prop::collection::btree_map("[a-zA-Z\\PC]{0,8}", any_json(), 0..4);
    let deciding = ["spec", "metadata", "imagePullSecrets", "serviceAccount", "serviceAccountName"];
    (extra(), extra(), any_list(), any::<bool>()).prop_map(move |(object, spec, list, has_containers)| {
        let mut pod: serde_json::Map<String, Value> =
            object.into_iter().filter(|(key, _)| !deciding.contains(&key.as_str())).collect();
        let mut spec: serde_json::Map<String, Value> =
            spec.into_iter().filter(|(key, _)| !deciding.contains(&key.as_str())).collect();
        if has_containers {
            spec.insert("containers".to_owned(), json!([{ "name": "a", "image": "b" }]));
        }
        if let Some(list) = list {
            spec.insert("imagePullSecrets".to_owned(), list);
        }
        pod.insert("spec".to_owned(), Value::Object(spec));
        Value::Object(pod)
    })
}

fn merging() -> Value {
    json!({ "manualPullSecrets": { "pods": "merge" } })
}

/// A text with line breaks and spaces, to see that they survive.
fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

fn send_pod(object: &str) -> crate::support::Answer {
    let payload = format!(
        r#"{{"request":{{"uid":"1","kind":{{"group":"","version":"v1","kind":"Pod"}},"namespace":"default","operation":"CREATE","object":{object}}},"settings":{}}}"#,
        merging()
    );
    send(payload.as_bytes(), &Accounts::none())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_patch_of_a_pod_is_one_operation_below_the_list_or_nothing(pod in any_pod()) {
        let answer = review(&create("", "Pod", &pod), &merging());
        prop_assert!(answer.accepted, "{:?}", answer.message);
        let Some(mutated) = answer.mutated_object.as_ref() else {
            let list = pod["spec"]["imagePullSecrets"].as_array().unwrap();
            prop_assert!(list.iter().any(|entry| entry["name"] == OURS));
            return Ok(());
        };
        let mutated: Value = serde_json::from_str(mutated.get()).unwrap();
        let patch = json!(json_patch::diff(&pod, &mutated));
        let reference = json!({ "name": OURS });
        let expected = match pod["spec"].get("imagePullSecrets") {
            None => json!([{ "op": "add", "path": "/spec/imagePullSecrets", "value": [reference] }]),
            Some(Value::Null) => json!([{ "op": "replace", "path": "/spec/imagePullSecrets", "value": [reference] }]),
            Some(list) => {
                let path = format!("/spec/imagePullSecrets/{}", list.as_array().unwrap().len());
                json!([{ "op": "add", "path": path, "value": reference }])
            }
        };
        prop_assert_eq!(patch, expected);
    }

    #[test]
    fn every_byte_outside_the_insertion_is_untouched_and_twice_is_once(pod in any_pod()) {
        let object = pretty(&pod);
        let answer = send_pod(&object);
        let Some(mutated) = answer.mutated_object else { return Ok(()) };
        let mutated = mutated.get();
        let same_start = object.bytes().zip(mutated.bytes()).take_while(|(a, b)| a == b).count();
        let same_end = object.bytes().rev().zip(mutated.bytes().rev()).take_while(|(a, b)| a == b).count();
        // All of the original is a prefix and a suffix of the result; an explicit null is the one thing that goes.
        let gone = object.len().saturating_sub(same_start + same_end);
        prop_assert!(gone == 0 || (gone <= 4 && pod["spec"]["imagePullSecrets"].is_null()), "{object}\n{mutated}");
        prop_assert!(mutated.len() > object.len());
        prop_assert!(send_pod(mutated).mutated_object.is_none());
    }

    #[test]
    fn arbitrary_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let answer = send(&bytes, &Accounts::none());
        prop_assert_eq!(answer.is_refused(400).split(':').next(), Some("request"));
    }

    #[test]
    fn arbitrary_objects_of_every_kind_are_answered(
        object in any_json(),
        old in any_json(),
        kind in prop::sample::select(vec![
            ("", "Pod"), ("", "ServiceAccount"), ("apps", "Deployment"), ("batch", "CronJob"), ("batch", "Job"),
        ]),
        operation in prop::sample::select(vec!["CREATE", "UPDATE", "DELETE"]),
        settings in any_json(),
    ) {
        let mut request = create(kind.0, kind.1, &object);
        request["operation"] = json!(operation);
        request["oldObject"] = old;
        for settings in [json!({}), settings] {
            let payload = json!({ "request": request, "settings": settings }).to_string();
            let answer = validate_with(payload.as_bytes(), &Accounts::none()).unwrap();
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            prop_assert!(answer["accepted"].is_boolean());
        }
    }

    #[test]
    fn a_request_cut_anywhere_is_answered(pod in any_pod(), at in any::<prop::sample::Index>()) {
        let payload = json!({ "request": create("", "Pod", &pod), "settings": {} }).to_string();
        let cut = at.index(payload.len());
        let answer = send(&payload.as_bytes()[..cut], &Accounts::none());
        prop_assert!(!answer.accepted && answer.code == Some(400));
    }
}
