use acr_credential_helper_policy::LookupError;
use serde_json::{Value, json};

use crate::support::{Accounts, OURS, by, create, owned, pod, pod_with, refs, review, review_with, warnings};

#[track_caller]
fn appended(pod: &Value, settings: &Value, expected: &[&str], rule: &str) {
    let answer = review(&create("", "Pod", pod), settings);
    let mut wanted = pod.clone();
    wanted["spec"]["imagePullSecrets"] = refs(expected);
    assert_eq!(answer.mutated(), wanted);
    assert_eq!(answer.audit_annotations.rule.as_deref(), Some(rule));
}

#[track_caller]
fn untouched(pod: &Value, settings: &Value) {
    review(&create("", "Pod", pod), settings).is_untouched();
}

fn modes(pods: &str, owned_pods: &str) -> Value {
    json!({ "manualPullSecrets": { "pods": pods, "ownedPods": owned_pods } })
}

#[test]
fn a_pod_without_a_list_gets_the_pull_secret() {
    appended(&pod(), &json!({}), &[OURS], "pod-appended");
    appended(&pod_with(&[]), &json!({}), &[OURS], "pod-appended");
    let mut null = pod();
    null["spec"]["imagePullSecrets"] = json!(null);
    appended(&null, &json!({}), &[OURS], "pod-appended");
}

#[test]
fn a_pod_that_lists_the_pull_secret_is_untouched() {
    untouched(&pod_with(&[OURS]), &json!({}));
    untouched(&pod_with(&["mine", OURS]), &json!({}));
    untouched(&pod_with(&[OURS, "mine"]), &modes("reject", "reject"));
}

#[test]
fn the_name_of_the_pull_secret_can_be_set() {
    appended(&pod(), &json!({ "pullSecret": "other" }), &["other"], "pod-appended");
    untouched(&pod_with(&["other"]), &json!({ "pullSecret": "other" }));
}

#[test]
fn a_manual_list_of_a_bare_pod_is_refused_and_the_message_names_the_entry() {
    let answer = review(&create("", "Pod", &pod_with(&["my-registry"])), &json!({}));
    assert_eq!(
        answer.is_refused(403),
        "Pod default/web: spec.imagePullSecrets lists \"my-registry\" without \"acr-credential-secret-aggregation\", so \
         the Pod would not get it; add \"acr-credential-secret-aggregation\" to the list, or allow \"my-registry\" in \
         manualPullSecrets.allowed"
    );
    assert_eq!(answer.audit_annotations.rule.as_deref(), Some("pod-refused"));
}

#[test]
fn a_manual_list_of_an_owned_pod_is_merged_whether_the_owner_controls_it_or_not() {
    for controller in [json!(true), json!(false), json!(null)] {
        let mut pod = owned(pod_with(&["b", "a", "b"]));
        pod["metadata"]["ownerReferences"][0]["controller"] = controller;
        appended(&pod, &json!({}), &["b", "a", "b", OURS], "pod-merged");
    }
    for nobody in [json!([]), json!(null)] {
        let mut pod = pod_with(&["mine"]);
        pod["metadata"]["ownerReferences"] = nobody;
        review(&create("", "Pod", &pod), &json!({})).is_refused(403);
    }
}

#[test]
fn only_a_persons_pod_without_an_owner_is_refused() {
    let request = || create("", "Pod", &pod_with(&["mine"]));
    let people = [
        "kubernetes-admin",
        "system:admin",
        "oidc:jane@example.com",
        // As somebody else, by impersonation: the webhook is told the name that was taken on.
        "jane",
        // A RAM user of Alibaba Cloud.
        "204021234567890123",
        "systematic",
        "",
    ];
    for username in people {
        review(&by(username, request()), &json!({})).is_refused(403);
    }
    let others = [
        "system:serviceaccount:gitlab:runner",
        "system:serviceaccount:kube-system:replicaset-controller",
        "system:node:worker-1",
        "system:kube-controller-manager",
        "system:anonymous",
        "system:",
    ];
    for username in others {
        let answer = review(&by(username, request()), &json!({}));
        assert_eq!(answer.mutated()["spec"]["imagePullSecrets"], refs(&["mine", OURS]), "{username}");
        assert_eq!(answer.audit_annotations.rule.as_deref(), Some("pod-merged"));
        review(&by(username, request()), &modes("merge", "reject")).is_refused(403);
    }
}

#[test]
fn a_request_of_an_unknown_user_is_a_persons() {
    for user_info in
        [json!(null), json!({}), json!({ "username": null }), json!({ "uid": "1", "groups": ["g"] })]
    {
        let mut request = create("", "Pod", &pod_with(&["mine"]));
        request["userInfo"] = user_info;
        review(&request, &json!({})).is_refused(403);
        request.as_object_mut().unwrap().remove("userInfo");
        review(&request, &json!({})).is_refused(403);
    }
}

#[test]
fn every_mode_does_what_it_says_for_both_kinds_of_pods() {
    let bare = pod_with(&["mine"]);
    let owned = owned(pod_with(&["mine"]));
    for (pod, mode) in [(&bare, "pods"), (&owned, "ownedPods")] {
        let settings = |value: &str| json!({ "manualPullSecrets": { mode: value } });
        appended(pod, &settings("merge"), &["mine", OURS], "pod-merged");

        let ignored = review(&create("", "Pod", pod), &settings("ignore"));
        ignored.is_untouched();
        assert_eq!(ignored.audit_annotations.rule.as_deref(), Some("pod-ignored"));

        let warned = review(&create("", "Pod", pod), &settings("warn"));
        assert_eq!(warned.mutated()["spec"]["imagePullSecrets"], refs(&["mine", OURS]));
        assert_eq!(warned.warnings, warnings("mine", "Pods get it anyway"));

        review(&create("", "Pod", pod), &settings("reject")).is_refused(403);
    }
}

#[test]
fn a_pod_without_a_name_is_told_by_its_prefix_and_owner() {
    let (bare, owned) = (pod_with(&["mine"]), owned(pod_with(&["mine"])));
    for (mut pod, generate_name, subject) in [
        (bare.clone(), None, "Pod default/(no name): "),
        (bare, Some("web-5d8f-"), "Pod default/web-5d8f- (generateName): "),
        (owned.clone(), None, "Pod default/(no name; of ReplicaSet web-5d8f): "),
        (owned, Some("web-5d8f-"), "Pod default/web-5d8f- (generateName; of ReplicaSet web-5d8f): "),
    ] {
        let metadata = pod["metadata"].as_object_mut().unwrap();
        metadata.remove("name");
        metadata.insert("generateName".to_owned(), json!(generate_name));
        let answer = review(&create("", "Pod", &pod), &modes("reject", "reject"));
        let message = answer.is_refused(403);
        assert!(message.starts_with(subject), "{message}");
    }
}

#[test]
fn allowed_and_nameless_entries_are_not_manual() {
    let settings = json!({ "manualPullSecrets": { "allowed": ["corp-*", "exact"] } });
    appended(&pod_with(&["corp-a", "exact"]), &settings, &["corp-a", "exact", OURS], "pod-appended");
    review(&create("", "Pod", &pod_with(&["corp-a", "mine"])), &settings).is_refused(403);

    let mut nameless = pod();
    nameless["spec"]["imagePullSecrets"] = json!([{}, { "name": "" }, null]);
    let answer = review(&create("", "Pod", &nameless), &json!({}));
    assert_eq!(
        answer.mutated()["spec"]["imagePullSecrets"],
        json!([{}, { "name": "" }, null, { "name": OURS }])
    );
}

#[test]
fn the_service_account_is_read_before_a_refusal_and_only_then() {
    let settings = json!({ "readServiceAccounts": true });
    let copied = create("", "Pod", &pod_with(&["corp", "team"]));

    let accounts = Accounts::listing(&["team", "corp", "more"]);
    let answer = review_with(&copied, &settings, &accounts);
    assert_eq!(answer.mutated()["spec"]["imagePullSecrets"], refs(&["corp", "team", OURS]));
    assert_eq!(answer.audit_annotations.rule.as_deref(), Some("pod-appended"));
    assert_eq!(accounts.lookups.get(), 1);

    let accounts = Accounts::listing(&["corp"]);
    let answer = review_with(&copied, &settings, &accounts);
    assert!(answer.is_refused(403).contains("lists \"team\""));

    for request in [
        create("", "Pod", &pod()),
        create("", "Pod", &pod_with(&[OURS])),
        create("", "Pod", &owned(pod_with(&["a"]))),
        by("system:serviceaccount:ci:runner", create("", "Pod", &pod_with(&["a"]))),
    ] {
        review(&request, &settings);
    }
}

#[test]
fn a_look_up_that_fails_merges_and_names_what_is_missing() {
    let settings = json!({ "readServiceAccounts": true });
    let request = create("", "Pod", &pod_with(&["corp"]));
    for (error, advice) in [
        (LookupError::Forbidden, "policy-server lacks the right to get serviceaccounts"),
        (LookupError::NotGranted, "contextAwareResources lacks v1 ServiceAccount"),
        (LookupError::NotFound, "its ServiceAccount does not exist"),
        (LookupError::Failed, "its ServiceAccount could not be read"),
    ] {
        let answer = review_with(&request, &settings, &Accounts::failing(error));
        assert_eq!(answer.mutated()["spec"]["imagePullSecrets"], refs(&["corp", OURS]));
        assert_eq!(answer.warnings, [format!("kept a list that may be manual: {advice} (\"default\")")]);
        assert_eq!(answer.audit_annotations.rule.as_deref(), Some("pod-merged"));
    }
}

#[test]
fn what_is_not_selected_is_untouched() {
    let manual = pod_with(&["mine"]);
    untouched(&manual, &json!({ "namespaces": ["team-*"] }));
    untouched(&manual, &json!({ "serviceAccounts": ["ci"] }));

    let mut mirror = manual.clone();
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "0a1b" });
    untouched(&mirror, &json!({}));

    for (key, value) in [("operation", "UPDATE"), ("subResource", "ephemeralcontainers")] {
        let mut request = create("", "Pod", &manual);
        request[key] = json!(value);
        review(&request, &json!({})).is_untouched();
    }
}

#[test]
fn the_namespace_of_the_request_decides_not_that_of_the_object() {
    let mut pod = pod();
    pod["metadata"]["namespace"] = json!("elsewhere");
    appended(&pod, &json!({}), &[OURS], "pod-appended");

    let mut request = create("", "Pod", &pod);
    request["namespace"] = json!("elsewhere");
    request["object"]["metadata"]["namespace"] = json!("default");
    review(&request, &json!({})).is_untouched();
}

#[test]
fn group_and_kind_decide_together() {
    let request = create("example.com", "Pod", &pod_with(&["mine"]));
    review(&request, &json!({})).is_untouched();
}

#[test]
fn an_empty_service_account_is_the_default_one_and_the_alias_counts() {
    let mut pod = pod();
    pod["spec"]["serviceAccountName"] = json!("");
    pod["spec"]["serviceAccount"] = json!("ci");
    appended(&pod, &json!({ "serviceAccounts": ["ci"] }), &[OURS], "pod-appended");
    untouched(&pod, &json!({}));

    let spec = pod["spec"].as_object_mut().unwrap();
    spec.remove("serviceAccountName");
    spec.remove("serviceAccount");
    appended(&pod, &json!({}), &[OURS], "pod-appended");
}

#[test]
fn with_registries_set_only_pods_with_one_of_their_images_are_touched() {
    let settings = json!({ "registries": ["*.cr.aliyuncs.com", "registry.example.org:5000"] });
    untouched(&pod(), &settings);

    let ours = "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app:1";
    let glob = json!({ "registries": ["*.cn-hangzhou.cr.aliyuncs.com"] });
    for (pointer, value) in [
        ("initContainers", json!([{ "name": "init", "image": ours }])),
        ("ephemeralContainers", json!([{ "name": "debug", "image": ours }])),
        (
            "volumes",
            json!([{ "name": "empty", "emptyDir": {} }, { "name": "data", "image": { "reference": ours } }]),
        ),
        ("containers", json!([{ "name": "web" }, { "name": "other", "image": ours }])),
    ] {
        let mut pod = pod();
        pod["spec"][pointer] = value;
        appended(&pod, &glob, &[OURS], "pod-appended");
        appended(&pod, &settings, &[OURS], "pod-appended");
    }
}
