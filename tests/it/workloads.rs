use serde_json::{Value, json};

use crate::support::{OURS, create, owned, refs, review, update};

const KINDS: [(&str, &str); 7] = [
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("apps", "ReplicaSet"),
    ("", "ReplicationController"),
    ("batch", "Job"),
    ("batch", "CronJob"),
];

fn workload(kind: &str, pull_secrets: &[&str]) -> Value {
    let template = json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": {
            "containers": [{ "name": "web", "image": "registry.example.com/web:1" }],
            "imagePullSecrets": refs(pull_secrets),
        },
    });
    let spec = json!({ "replicas": 1, "template": template });
    let spec = if kind == "CronJob" { json!({ "jobTemplate": { "spec": spec } }) } else { spec };
    json!({ "kind": kind, "metadata": { "name": "web", "namespace": "default" }, "spec": spec })
}

fn template_spec(workload: &mut Value) -> &mut Value {
    if workload["kind"] == "CronJob" {
        &mut workload["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    } else {
        &mut workload["spec"]["template"]["spec"]
    }
}

#[test]
fn a_manual_list_is_refused_and_the_message_names_the_entry() {
    for (group, kind) in KINDS {
        let answer = review(&create(group, kind, &workload(kind, &["my-registry"])), &json!({}));
        let path =
            if kind == "CronJob" { "spec.jobTemplate.spec.template.spec" } else { "spec.template.spec" };
        assert_eq!(
            answer.is_refused(403),
            format!(
                "{kind} default/web: {path}.imagePullSecrets lists \"my-registry\", which stops Kubernetes from adding \
                 \"{OURS}\"; remove the entry, add \"{OURS}\" beside it, or allow it in manualPullSecrets.allowed"
            )
        );
        assert_eq!(answer.audit_annotations.rule.as_deref(), Some("workload-refused"));
    }
}

#[test]
fn a_list_that_is_fine_is_untouched() {
    for (group, kind) in KINDS {
        for list in [&[][..], &[OURS], &["mine", OURS], &["corp-a"]] {
            let settings = json!({ "manualPullSecrets": { "allowed": ["corp-*"] } });
            review(&create(group, kind, &workload(kind, list)), &settings).is_untouched();
        }
    }
}

#[test]
fn the_mode_decides() {
    let request = create("apps", "Deployment", &workload("Deployment", &["mine"]));
    let mode = |mode: &str| json!({ "manualPullSecrets": { "workloads": mode } });
    review(&request, &mode("ignore")).is_untouched();
    let warned = review(&request, &mode("warn"));
    assert!(warned.accepted && warned.mutated_object.is_none());
    assert_eq!(warned.warnings, [format!("imagePullSecrets lists \"mine\" without \"{OURS}\"")]);
    assert_eq!(warned.audit_annotations.rule.as_deref(), Some("workload-warned"));
}

#[test]
fn what_is_not_selected_is_untouched() {
    let manual = workload("Deployment", &["mine"]);
    let request = create("apps", "Deployment", &manual);
    review(&request, &json!({ "namespaces": ["team-a"] })).is_untouched();
    review(&request, &json!({ "serviceAccounts": ["ci"] })).is_untouched();
    review(&request, &json!({ "registries": ["registry.example.org"] })).is_untouched();
    review(&create("example.com", "Deployment", &manual), &json!({})).is_untouched();
    review(&create("apps", "Deployment", &owned(manual.clone())), &json!({})).is_untouched();
    let mut deleted = manual.clone();
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    review(&update("apps", "Deployment", &manual, &deleted), &json!({})).is_untouched();
    let mut scale = request;
    scale["subResource"] = json!("scale");
    review(&scale, &json!({})).is_untouched();
}

#[track_caller]
fn check_update(old: &Value, new: &Value, settings: &Value, blamed: Option<&str>) {
    let answer = review(&update("apps", "Deployment", old, new), settings);
    match blamed {
        None => answer.is_untouched(),
        Some(entry) => {
            let message = answer.is_refused(403);
            assert!(message.contains(&format!("lists \"{entry}\"")), "{message}");
        }
    }
}

#[test]
fn an_update_is_judged_by_what_it_changes() {
    let deployment = |list: &[&str]| workload("Deployment", list);
    let check = |old: &[&str], new: &[&str], blamed| {
        check_update(&deployment(old), &deployment(new), &json!({}), blamed);
    };
    // Whatever was there before may stay, be re-ordered or partly repaired.
    check(&["old"], &["old"], None);
    check(&["a", "b"], &["b", "a"], None);
    check(&["a", "b"], &["b"], None);
    check(&["a"], &["a", OURS], None);
    check(&["a"], &[], None);
    check(&["a"], &["a", "a"], None);
    // New manual entries, and dropping the pull secret, are the update's own.
    check(&[], &["new"], Some("new"));
    check(&["old"], &["old", "new"], Some("new"));
    check(&["old"], &["new"], Some("new"));
    check(&["old", OURS], &["old"], Some("old"));
    check(&[OURS], &["new", OURS], None);
}

#[test]
fn a_legacy_deployment_can_be_scaled_and_relabelled() {
    let old = workload("Deployment", &["legacy"]);
    let mut new = old.clone();
    new["spec"]["replicas"] = json!(5);
    new["metadata"]["labels"] = json!({ "team": "a" });
    check_update(&old, &new, &json!({}), None);
}

#[test]
fn an_update_that_brings_the_template_into_selection_is_judged_like_a_creation() {
    let mut old = workload("Deployment", &["legacy"]);
    template_spec(&mut old)["serviceAccountName"] = json!("unselected");
    let new = workload("Deployment", &["legacy"]);
    check_update(&old, &new, &json!({}), Some("legacy"));
    check_update(&new, &old, &json!({}), None);

    let mut elsewhere = workload("Deployment", &["legacy"]);
    template_spec(&mut elsewhere)["containers"][0]["image"] = json!("registry.example.org/web:1");
    let settings = json!({ "registries": ["registry.example.com"] });
    check_update(&elsewhere, &new, &settings, Some("legacy"));
}

#[test]
fn the_deprecated_alias_of_the_service_account_counts() {
    let mut deployment = workload("Deployment", &["mine"]);
    template_spec(&mut deployment)["serviceAccount"] = json!("ci");
    let request = create("apps", "Deployment", &deployment);
    review(&request, &json!({})).is_untouched();
    review(&request, &json!({ "serviceAccounts": ["ci"] })).is_refused(403);
}
