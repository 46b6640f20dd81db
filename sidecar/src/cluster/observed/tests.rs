//! What is kept of objects as the API server shows them.

use kube::core::Expression;
use serde_json::{Value, json};

use super::*;

/// An object with this metadata, as the API server shows it.
fn object(mut metadata: Value) -> String {
    for (key, value) in [("name", "acr-pull"), ("uid", "u"), ("resourceVersion", "7")] {
        metadata.as_object_mut().unwrap().entry(key).or_insert(value.into());
    }
    json!({ "metadata": metadata }).to_string()
}

fn secret_of(metadata: Value) -> PullSecret {
    PullSecret::from_metadata(&Metadata::parse(&object(metadata)).unwrap())
}

fn account_of(object: &Value) -> ServiceAccount {
    let text = object.to_string();
    ServiceAccount::from_object(&text, &Metadata::parse(&text).unwrap(), "acr-pull").unwrap()
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
    secret_of(json!({
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
    }))
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
    let found = secret_of(json!({ "managedFields": [entry(FIELD_MANAGER, "Apply", &fields)] }));
    assert!(found.ours && !found.intact);
}

#[test]
fn a_foreign_secret_is_its_makers() {
    let found = secret_of(json!({
        "labels": { "app.kubernetes.io/managed-by": "Helm" },
        "managedFields": [
            entry("aliyun-acr-credential-helper", "Update", &json!({ "f:data": { "f:.dockerconfigjson": {} } })),
            entry(FIELD_MANAGER, "Update", &json!({ "f:metadata": {} })),
        ],
    }));
    assert!(!found.ours && !found.intact, "an update under our name is not ours: Secrets we only ever apply");
    assert!(Metadata::parse("{\"metadata\":{}}").is_err(), "every object has a uid and a version");
}

#[test]
fn a_service_account_keeps_its_list_in_order_and_who_wrote_it() {
    let facts = account_of(&json!({
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
    }));
    assert_eq!(facts.pull_secrets.join("|"), "mine||mine");
    assert!(facts.enforces_mountable && facts.ours_last && facts.lists("mine") && !facts.lists("acr-pull"));
    assert_eq!(facts.other_manager.as_deref(), Some("argocd-controller"));
}

#[test]
fn of_a_namespace_it_is_kept_whether_the_selector_leaves_it_out() {
    let check = |selector: Expression, is_left_out| {
        let selector = Selector::from(selector);
        let labels = json!({ "kubernetes.io/metadata.name": "team-a", "team": "a" });
        let text = object(json!({ "labels": labels, "deletionTimestamp": "2026-11-24T20:00:00Z" }));
        let facts = Namespace::from_metadata(&Metadata::parse(&text).unwrap(), Some(&selector));
        assert_eq!(facts, Namespace { is_left_out, terminating: true });
    };
    check(Expression::Equal("team".to_owned(), "a".to_owned()), false);
    check(Expression::Exists("team".to_owned()), false);
    check(Expression::DoesNotExist("team".to_owned()), true);
    let names = ["team-a".to_owned()].into();
    check(Expression::NotIn("kubernetes.io/metadata.name".to_owned(), names), true);
    let text = object(json!({}));
    assert_eq!(Namespace::from_metadata(&Metadata::parse(&text).unwrap(), None), Namespace::default());
}

/// Dates and depths that Kubernetes keeps and the usual types do not.
fn poisons() -> [Value; 5] {
    let mut deep = json!({});
    for _ in 0..200 {
        deep = json!({ "f:a": deep });
    }
    let at = |time: &str| json!({ "manager": "tenant", "operation": "Update", "time": time, "fieldsV1": {} });
    [
        at("9999-12-31T23:59:59Z"),
        at("10000-01-01T13:59:59Z"),
        at("0000-01-01T00:00:00Z"),
        json!({ "manager": "tenant", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": deep }),
        json!({ "manager": "tenant", "operation": "Apply", "time": null, "fieldsV1": null }),
    ]
}

#[test]
fn nothing_in_managed_fields_fails_an_object() {
    for poison in poisons() {
        let found = secret(&[poison.clone(), entry(FIELD_MANAGER, "Apply", &our_fields(&[]))]);
        assert!(found.ours && found.intact && found.other_manager.is_none());
        let metadata = json!({ "name": "a", "namespace": "b", "uid": "u", "resourceVersion": "7", "managedFields": [poison] });
        let account = account_of(&json!({ "metadata": metadata, "imagePullSecrets": [{ "name": "mine" }] }));
        assert!(account.lists("mine") && !account.ours_last);
    }
}

#[test]
fn managed_fields_that_are_not_understood_are_not_intact() {
    for managers in [json!("no list"), json!([1]), json!([{ "manager": 1 }]), json!({ "a": 1 })] {
        let labels = json!({ "app.kubernetes.io/managed-by": FIELD_MANAGER });
        let found = secret_of(json!({ "labels": labels, "managedFields": managers }));
        assert!(found.ours && !found.intact);
    }
}

#[test]
fn annotations_longer_than_ours_can_be_are_not_kept() {
    let found = |length: usize| {
        let text = "é".repeat(length / 2);
        let annotations = json!({ HASH: text, INPUTS: text, REGISTRIES: text, EXPIRES_AT: text });
        let labels = json!({ "app.kubernetes.io/managed-by": FIELD_MANAGER });
        secret_of(json!({ "labels": labels, "annotations": annotations }))
    };
    let sizes = |found: &PullSecret| (found.hash.len(), found.inputs.len(), found.registries.len());
    assert_eq!(sizes(&found(128)), (128, 128, 128));
    assert_eq!(sizes(&found(130)), (0, 0, 130));
    assert_eq!(sizes(&found(LONGEST_REGISTRIES + 2)), (0, 0, 0));
}

#[test]
fn of_a_list_that_is_too_long_only_our_entry_is_kept() {
    let check = |names: &[&str], expected: &[&str], is_too_long| {
        let entries: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
        let metadata = json!({ "name": "a", "namespace": "b", "uid": "u", "resourceVersion": "7" });
        let account = account_of(&json!({ "metadata": metadata, "imagePullSecrets": entries }));
        let names: Vec<_> = account.pull_secrets.iter().map(|name| &**name).collect();
        assert_eq!((names.as_slice(), account.is_too_long), (expected, is_too_long));
    };
    let hundred = ["mine"; 100];
    check(&hundred, &hundred, false);
    check(&[&hundred[..], &["mine"]].concat(), &[], true);
    check(&[&hundred[..], &["acr-pull", "acr-pull"]].concat(), &["acr-pull"], true);
    let long = "x".repeat(LONGEST_LIST * LONGEST_NAME + 1);
    check(&["acr-pull", &long], &["acr-pull"], true);
}

#[test]
fn versions_are_compared_as_numbers() {
    assert!(is_older("9", "10"));
    assert!(!is_older("10", "10") && !is_older("11", "10") && !is_older("a", "10") && !is_older("9", "b"));
}
