//! Requests recorded from a real API server (`make fixtures`): every kind the policy sees, as it really looks.

use std::path::Path;

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use serde_json::{Value, json};

use crate::support::{Accounts, Answer, OURS, review_with};

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
fn manual_lists_are_refused() {
    for (name, entry) in [
        ("pod-manual", "my-registry"),
        ("deployment-manual", "my-registry"),
        ("deployment-update-adds-manual", "another"),
    ] {
        let answer = answer(name);
        let message = answer.is_refused(403);
        assert!(message.contains(&format!("lists \"{entry}\"")), "{name}: {message}");
    }
}

#[test]
fn every_recorded_workload_is_refused_once_its_template_has_a_manual_list() {
    for name in [
        "deployment-create",
        "statefulset-create",
        "daemonset-create",
        "replicaset-create",
        "replicationcontroller-create",
        "job-create",
        "cronjob-create",
    ] {
        let mut request = fixture(name);
        let spec = if name == "cronjob-create" {
            &mut request["object"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        } else {
            &mut request["object"]["spec"]["template"]["spec"]
        };
        spec["imagePullSecrets"] = json!([{ "name": "mine" }]);
        review_with(&request, &json!({}), &Accounts::none()).is_refused(403);
    }
}

#[test]
fn every_recorded_file_is_tested() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let source = include_str!("fixtures.rs");
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(source.contains(&format!("\"{name}\"")), "{name}");
    }
}
