//! What is kept of objects as the API server shows them.

use serde_json::json;

use super::*;

fn metadata(value: Value) -> ObjectMeta {
    serde_json::from_value(value).unwrap()
}

/// Our entry among the managers, without the fields at these paths.
fn our_fields(without: &[&str]) -> Value {
    let mut fields = json!({
        "f:data": { "f:.dockerconfigjson": {} },
        "f:type": {},
        "f:metadata": {
            "f:labels": { "f:app.kubernetes.io/managed-by": {} },
            "f:annotations": {
                "f:acr-credential-helper.io/expires-at": {},
                "f:acr-credential-helper.io/hash": {},
                "f:acr-credential-helper.io/inputs": {},
                "f:acr-credential-helper.io/registries": {},
            },
        },
    });
    for pointer in without {
        let (parent, field) = pointer.rsplit_once('|').unwrap_or(("", pointer));
        let parent =
            parent.split('|').filter(|step| !step.is_empty()).fold(&mut fields, |at, step| &mut at[step]);
        parent.as_object_mut().unwrap().remove(field).unwrap();
    }
    fields
}

fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
    json!({ "manager": manager, "operation": operation, "time": "2026-11-24T20:00:00Z", "fieldsV1": fields })
}

/// A Secret of ours with these managers.
fn secret(managers: &[Value]) -> PullSecret {
    PullSecret::of(&metadata(json!({
        "uid": "u", "resourceVersion": "7",
        "labels": { "app.kubernetes.io/managed-by": "acr-credential-sidecar", "team": "a" },
        "annotations": {
            "acr-credential-helper.io/expires-at": "2026-11-24T21:00:00Z",
            "acr-credential-helper.io/hash": "h",
            "acr-credential-helper.io/inputs": "i",
            "acr-credential-helper.io/registries": "cn-a/one,cn-a/two",
            "other": "x",
        },
        "managedFields": managers,
    })))
    .unwrap()
}

#[test]
fn our_secret_is_intact_while_we_own_all_that_we_write() {
    let whole = secret(&[entry(FIELD_MANAGER, "Apply", &our_fields(&[]))]);
    assert!(whole.ours && whole.intact);
    assert_eq!((&*whole.hash, &*whole.inputs), ("h", "i"));
    assert_eq!(whole.expires_at, Some("2026-11-24T21:00:00Z".parse().unwrap()));
    assert!(whole.holds("cn-a/two") && !whole.holds("cn-a/tw") && !whole.holds(""));
    for field in [
        "f:data|f:.dockerconfigjson",
        "f:type",
        "f:metadata|f:labels|f:app.kubernetes.io/managed-by",
        "f:metadata|f:annotations|f:acr-credential-helper.io/expires-at",
        "f:metadata|f:annotations|f:acr-credential-helper.io/hash",
        "f:metadata|f:annotations|f:acr-credential-helper.io/inputs",
        "f:metadata|f:annotations|f:acr-credential-helper.io/registries",
    ] {
        let taken = secret(&[entry(FIELD_MANAGER, "Apply", &our_fields(&[field]))]);
        assert!(taken.ours && !taken.intact, "{field}");
    }
}

#[test]
fn who_changed_our_secret_is_known_by_name() {
    let ours = entry(FIELD_MANAGER, "Apply", &our_fields(&["f:data|f:.dockerconfigjson"]));
    let labels = entry("a-labeller", "Update", &json!({ "f:metadata": { "f:labels": { "f:team": {} } } }));
    let data = entry("kubectl-edit", "Update", &json!({ "f:data": { "f:.dockerconfigjson": {} } }));
    let found = secret(&[labels.clone(), ours, data]);
    assert_eq!((found.intact, found.other_manager.as_deref()), (false, Some("kubectl-edit")));
    let found = secret(&[labels, entry(FIELD_MANAGER, "Apply", &our_fields(&[]))]);
    assert_eq!((found.intact, found.other_manager), (true, None), "other labels do no harm");
}

#[test]
fn taking_our_label_off_does_not_make_the_secret_somebody_elses() {
    let fields = our_fields(&["f:metadata|f:labels|f:app.kubernetes.io/managed-by"]);
    let found = PullSecret::of(&metadata(json!({
        "uid": "u", "resourceVersion": "7", "managedFields": [entry(FIELD_MANAGER, "Apply", &fields)],
    })));
    let found = found.unwrap();
    assert!(found.ours && !found.intact);
}

#[test]
fn a_foreign_secret_is_its_makers() {
    let found = PullSecret::of(&metadata(json!({
        "uid": "u", "resourceVersion": "7", "labels": { "app.kubernetes.io/managed-by": "Helm" },
        "managedFields": [
            entry("aliyun-acr-credential-helper", "Update", &json!({ "f:data": { "f:.dockerconfigjson": {} } })),
            entry(FIELD_MANAGER, "Update", &json!({ "f:metadata": {} })),
        ],
    })));
    let found = found.unwrap();
    assert!(!found.ours && !found.intact, "an update under our name is not ours: Secrets we only ever apply");
    assert!(PullSecret::of(&ObjectMeta::default()).is_none());
}

#[test]
fn a_service_account_keeps_its_list_in_order_and_who_wrote_it() {
    let account: WatchedServiceAccount = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {
            "name": "default", "namespace": "team-a", "uid": "u", "resourceVersion": "7",
            "annotations": { "kubernetes.io/enforce-mountable-secrets": "true" },
            "managedFields": [
                entry(FIELD_MANAGER, "Update", &json!({ "f:imagePullSecrets": {} })),
                entry("argocd-controller", "Apply", &json!({ "f:imagePullSecrets": {} })),
                entry("kubectl", "Update", &json!({ "f:metadata": {} })),
            ],
        },
        "secrets": [{ "name": "token" }],
        "imagePullSecrets": [{ "name": "mine" }, {}, { "name": "mine" }],
    }))
    .unwrap();
    let facts = ServiceAccount::of(&account).unwrap();
    assert_eq!(facts.pull_secrets.join("|"), "mine||mine");
    assert!(facts.enforces_mountable && facts.ours_last && facts.lists("mine") && !facts.lists("acr-pull"));
    assert_eq!(facts.other_manager.as_deref(), Some("argocd-controller"));
}

#[test]
fn a_namespace_keeps_its_labels_but_not_its_name_twice() {
    let facts = Namespace::of(&metadata(json!({
        "name": "team-a", "deletionTimestamp": "2026-11-24T20:00:00Z",
        "labels": { "kubernetes.io/metadata.name": "team-a", "team": "a" },
    })));
    assert!(facts.terminating);
    assert_eq!(facts.labels, [("team".into(), "a".into())].into());
}

#[test]
fn versions_are_compared_as_numbers() {
    assert!(is_older("9", "10"));
    assert!(!is_older("10", "10") && !is_older("11", "10") && !is_older("a", "10") && !is_older("9", "b"));
}
