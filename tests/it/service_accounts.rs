use serde_json::{Value, json};

use crate::support::{OURS, create, refs, review, update};

fn account(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": name, "namespace": "default" },
        "secrets": [{ "name": "token" }],
    })
}

#[track_caller]
fn appended(account: &Value, expected: &[&str]) {
    let mut wanted = account.clone();
    wanted["imagePullSecrets"] = refs(expected);
    for request in [create("", "ServiceAccount", account), update("", "ServiceAccount", account, account)] {
        let answer = review(&request, &json!({}));
        assert_eq!(answer.mutated(), wanted);
        assert_eq!(answer.audit_annotations.rule.as_deref(), Some("service-account-appended"));
    }
}

#[test]
fn the_pull_secret_is_appended_whatever_else_is_listed() {
    appended(&account("default"), &[OURS]);
    let mut with_list = account("default");
    with_list["imagePullSecrets"] = refs(&["b", "a"]);
    appended(&with_list, &["b", "a", OURS]);
    with_list["imagePullSecrets"] = json!(null);
    appended(&with_list, &[OURS]);
}

#[test]
fn what_is_listed_not_selected_or_being_deleted_is_untouched() {
    let mut listed = account("default");
    listed["imagePullSecrets"] = refs(&["mine", OURS]);
    review(&create("", "ServiceAccount", &listed), &json!({})).is_untouched();

    review(&create("", "ServiceAccount", &account("ci")), &json!({})).is_untouched();
    let elsewhere = json!({ "namespaces": ["team-a"] });
    review(&create("", "ServiceAccount", &account("default")), &elsewhere).is_untouched();

    let mut token = create("", "ServiceAccount", &account("default"));
    token["subResource"] = json!("token");
    review(&token, &json!({})).is_untouched();

    let mut deleted = account("default");
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    review(&update("", "ServiceAccount", &deleted, &deleted), &json!({})).is_untouched();
}
