use serde_json::{Value, json};

use crate::support::{OURS, by, create, owned, refs, review, update, warnings};

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

/// Settings under which manual lists are refused.
fn strict() -> Value {
    json!({ "manualPullSecrets": { "ownedPods": "reject" } })
}

#[test]
fn a_manual_list_is_warned_of_while_its_pods_get_the_pull_secret_all_the_same() {
    for (group, kind) in KINDS {
        let request = create(group, kind, &workload(kind, &["my-registry"]));
        for username in ["jane", "system:serviceaccount:dagster:dagster"] {
            for modes in [json!({}), json!({ "ownedPods": "warn" }), json!({ "pods": "ignore" })] {
                let settings = json!({ "manualPullSecrets": modes });
                let answer = review(&by(username, request.clone()), &settings);
                answer.is_warned(&warnings("my-registry", "Pods get it anyway"));
                assert_eq!(answer.audit_annotations.rule.as_deref(), Some("workload-warned"));
            }
        }
    }
}

#[test]
fn a_manual_list_is_refused_where_its_pods_would_not_get_the_pull_secret() {
    for (group, kind) in KINDS {
        let answer = review(&create(group, kind, &workload(kind, &["my-registry"])), &strict());
        let path =
            if kind == "CronJob" { "spec.jobTemplate.spec.template.spec" } else { "spec.template.spec" };
        assert_eq!(
            answer.is_refused(403),
            format!(
                "{kind} default/web: {path}.imagePullSecrets lists \"my-registry\" without \"{OURS}\": its Pods would be \
                 refused; add \"{OURS}\" to the list, or allow \"my-registry\" in manualPullSecrets.allowed"
            )
        );
        assert_eq!(answer.audit_annotations.rule.as_deref(), Some("workload-refused"));
    }
}

#[test]
fn a_list_that_is_fine_is_untouched() {
    for (group, kind) in KINDS {
        for list in [&[][..], &[OURS], &["mine", OURS], &["corp-a"]] {
            let settings = json!({ "manualPullSecrets": { "ownedPods": "reject", "allowed": ["corp-*"] } });
            review(&create(group, kind, &workload(kind, list)), &settings).is_untouched();
        }
    }
}

#[test]
fn an_explicit_mode_decides_and_the_texts_say_what_becomes_of_the_pods() {
    let request = create("apps", "Deployment", &workload("Deployment", &["mine"]));
    let modes = |owned_pods: &str, workloads: &str| {
        let modes = json!({ "ownedPods": owned_pods, "workloads": workloads });
        review(&request, &json!({ "manualPullSecrets": modes }))
    };
    for (owned_pods, outcome, refusal) in [
        ("merge", "Pods get it anyway", "its Pods get it anyway, but the policy refuses such lists"),
        ("warn", "Pods get it anyway", "its Pods get it anyway, but the policy refuses such lists"),
        ("reject", "Pods will be refused", "its Pods would be refused"),
        ("ignore", "Pods will not get it", "its Pods would not get it"),
    ] {
        modes(owned_pods, "ignore").is_untouched();
        let warned = modes(owned_pods, "warn");
        warned.is_warned(&warnings("mine", outcome));
        assert_eq!(warned.audit_annotations.rule.as_deref(), Some("workload-warned"));
        let refused = modes(owned_pods, "reject");
        assert_eq!(
            refused.is_refused(403),
            format!(
                "Deployment default/web: spec.template.spec.imagePullSecrets lists \"mine\" without \"{OURS}\": {refusal}; \
                 add \"{OURS}\" to the list, or allow \"mine\" in manualPullSecrets.allowed"
            )
        );
    }
    for ignoring in [json!({ "ownedPods": "ignore" }), json!({ "ownedPods": "ignore", "workloads": null })] {
        review(&request, &json!({ "manualPullSecrets": ignoring })).is_refused(403);
    }
}

#[test]
fn any_owner_reference_leaves_a_workload_alone() {
    for controller in [json!(true), json!(false), json!(null)] {
        let mut job = owned(workload("Job", &["mine"]));
        job["metadata"]["ownerReferences"][0]["controller"] = controller;
        review(&create("batch", "Job", &job), &strict()).is_untouched();
    }
}

#[test]
fn the_audit_scanner_hears_of_workloads_only_where_they_are_refused() {
    // Its kind of request: a made-up creation of what exists, the kind as the resource, and no user.
    let deployment = workload("Deployment", &["mine"]);
    let mut request = create("apps", "Deployment", &deployment);
    request["resource"]["resource"] = json!("Deployment");
    request["userInfo"] = json!({});
    assert!(review(&request, &json!({})).accepted);
    let reported = json!({ "manualPullSecrets": { "workloads": "reject" } });
    review(&request, &reported).is_refused(403);
}

#[test]
fn what_is_not_selected_is_untouched() {
    let manual = workload("Deployment", &["mine"]);
    let request = create("apps", "Deployment", &manual);
    let with = |setting: &str, value: &str| {
        let mut settings = strict();
        settings[setting] = json!([value]);
        settings
    };
    review(&request, &with("namespaces", "team-a")).is_untouched();
    review(&request, &with("serviceAccounts", "ci")).is_untouched();
    review(&request, &with("registries", "registry.example.org")).is_untouched();
    review(&create("example.com", "Deployment", &manual), &strict()).is_untouched();
    let mut deleted = manual.clone();
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    review(&update("apps", "Deployment", &manual, &deleted), &strict()).is_untouched();
    let mut scale = request;
    scale["subResource"] = json!("scale");
    review(&scale, &strict()).is_untouched();
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
        check_update(&deployment(old), &deployment(new), &strict(), blamed);
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
    // A rollback, with the default settings.
    let answer =
        review(&update("apps", "Deployment", &deployment(&[]), &deployment(&["regcred"])), &json!({}));
    answer.is_warned(&warnings("regcred", "Pods get it anyway"));
}

#[test]
fn a_legacy_deployment_can_be_scaled_and_relabelled() {
    let old = workload("Deployment", &["legacy"]);
    let mut new = old.clone();
    new["spec"]["replicas"] = json!(5);
    new["metadata"]["labels"] = json!({ "team": "a" });
    check_update(&old, &new, &strict(), None);
    check_update(&old, &new, &json!({}), None);
}

#[test]
fn an_update_that_brings_the_template_into_selection_is_judged_like_a_creation() {
    let mut old = workload("Deployment", &["legacy"]);
    template_spec(&mut old)["serviceAccountName"] = json!("unselected");
    let new = workload("Deployment", &["legacy"]);
    check_update(&old, &new, &strict(), Some("legacy"));
    check_update(&new, &old, &strict(), None);

    let mut elsewhere = workload("Deployment", &["legacy"]);
    template_spec(&mut elsewhere)["containers"][0]["image"] = json!("registry.example.org/web:1");
    let mut settings = strict();
    settings["registries"] = json!(["registry.example.com"]);
    check_update(&elsewhere, &new, &settings, Some("legacy"));
}

#[test]
fn the_deprecated_alias_of_the_service_account_counts() {
    let mut deployment = workload("Deployment", &["mine"]);
    template_spec(&mut deployment)["serviceAccount"] = json!("ci");
    let request = create("apps", "Deployment", &deployment);
    review(&request, &strict()).is_untouched();
    let mut settings = strict();
    settings["serviceAccounts"] = json!(["ci"]);
    review(&request, &settings).is_refused(403);
}
