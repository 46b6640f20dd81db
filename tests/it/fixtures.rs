//! Requests recorded from a real API server (`make fixtures`): every kind the policy sees, as it really looks.

use std::path::Path;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, ReplicationController, ServiceAccount};
use serde_json::{Value, json};

use crate::support::{Accounts, Answer, OURS, review_with, warnings};

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Manifests' settings; the service account `default` lists `corp`.
fn answer(name: &str) -> Answer {
    let settings = json!({ "serviceAccounts": ["*"], "readServiceAccounts": true });
    review_with(&fixture(name), &settings, &Accounts::listing(&["corp"]))
}

/// What Kubernetes would read of the mutated object, and that nothing of the original is lost on the way.
#[track_caller]
fn mutated<T: serde::de::DeserializeOwned + serde::Serialize>(name: &str) -> T {
    let mutated = answer(name).mutated();
    let patch = json!(json_patch::diff(&fixture(name)["object"], &mutated));
    assert_eq!(patch.as_array().map(Vec::len), Some(1), "{patch}");
    serde_json::from_value(mutated).unwrap()
}

#[test]
fn pods_get_the_pull_secret_and_are_still_pods() {
    for (name, expected) in [
        ("pod-bare", &[OURS][..]),
        ("pod-dry-run", &[OURS]),
        ("pod-image-volume", &[OURS]),
        ("pod-of-replicaset", &[OURS]),
        ("pod-of-job", &[OURS]),
        ("pod-copied", &["corp", OURS]),
    ] {
        let pod: Pod = mutated(name);
        let names: Vec<String> =
            pod.spec.unwrap().image_pull_secrets.unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, expected, "{name}");
    }
}

#[test]
fn service_accounts_get_the_pull_secret_and_are_still_service_accounts() {
    for name in ["serviceaccount-create", "serviceaccount-update"] {
        let account: ServiceAccount = mutated(name);
        assert_eq!(
            account.image_pull_secrets.unwrap().last().map(|entry| entry.name.as_str()),
            Some(OURS),
            "{name}"
        );
    }
}

#[test]
fn what_needs_nothing_is_untouched() {
    for name in [
        "pod-listed",
        "pod-mirror",
        "pod-ephemeral-containers",
        "deployment-create",
        "deployment-scale-legacy",
        "deployment-update-unchanged",
        "statefulset-create",
        "daemonset-create",
        "replicaset-create",
        "replicationcontroller-create",
        "job-create",
        "cronjob-create",
    ] {
        answer(name).is_untouched();
    }
}

#[test]
fn manual_lists_are_refused_or_warned_of() {
    let message = answer("pod-manual");
    let message = message.is_refused(403);
    assert!(message.contains("lists \"my-registry\""), "{message}");
    let strict = json!({ "manualPullSecrets": { "ownedPods": "reject" } });
    for (name, entry) in [("deployment-manual", "my-registry"), ("deployment-update-adds-manual", "another")]
    {
        answer(name).is_warned(&warnings(entry, "Pods get it anyway"));
        let answer = review_with(&fixture(name), &strict, &Accounts::none());
        let message = answer.is_refused(403);
        assert!(message.contains(&format!("lists \"{entry}\"")), "{name}: {message}");
    }
}

/// The kinds that the policy knows by the API's own constants, with their types.
#[test]
fn every_recorded_object_is_one_of_its_kind() {
    fn decode<T: serde::de::DeserializeOwned>(name: &str, object: &Value) {
        serde_json::from_value::<T>(object.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in every_name() {
        let request = fixture(&name);
        for object in
            [&request["object"], &request["oldObject"]].into_iter().filter(|object| !object.is_null())
        {
            match request["kind"]["kind"].as_str().unwrap() {
                "Pod" => decode::<Pod>(&name, object),
                "ServiceAccount" => decode::<ServiceAccount>(&name, object),
                "Deployment" => decode::<Deployment>(&name, object),
                "StatefulSet" => decode::<StatefulSet>(&name, object),
                "DaemonSet" => decode::<DaemonSet>(&name, object),
                "ReplicaSet" => decode::<ReplicaSet>(&name, object),
                "ReplicationController" => decode::<ReplicationController>(&name, object),
                "Job" => decode::<Job>(&name, object),
                "CronJob" => decode::<CronJob>(&name, object),
                // `kubectl scale`: the policy is not about subresources.
                "Scale" => decode::<Scale>(&name, object),
                other => panic!("{name}: {other}"),
            }
        }
    }
}

fn every_name() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let paths = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_recorded_file_is_tested() {
    let source = include_str!("fixtures.rs");
    for name in every_name() {
        assert!(source.contains(&format!("\"{name}\"")), "{name}");
    }
}
