use acr_credential_helper_policy::validate_settings;
use serde_json::{Value, json};

fn verdict(settings: &str) -> Result<(), String> {
    let answer: Value = serde_json::from_slice(&validate_settings(settings.as_bytes()).unwrap()).unwrap();
    if answer["valid"] == json!(true) { Ok(()) } else { Err(answer["message"].as_str().unwrap().to_owned()) }
}

#[track_caller]
fn refused(settings: &Value, message: &str) {
    assert_eq!(verdict(&settings.to_string()), Err(message.to_owned()));
}

#[test]
fn good_settings_are_accepted() {
    for settings in [
        json!({}),
        json!(null),
        json!({ "namespaces": null, "registries": [] }),
        json!({ "namespaces": "default, team-a", "serviceAccounts": "Default,ALL" }),
        json!({ "namespaces": ["*", "kube-system"], "excludedNamespaces": ["kube-*"] }),
        json!({
            "namespaces": ["default"],
            "excludedNamespaces": ["kube-system", "kube-public", "kube-node-lease"],
            "serviceAccounts": ["default"],
            "pullSecret": "acr-credential-secret-aggregation",
            "registries": ["*.cr.aliyuncs.com", "registry.example.com:5000"],
            "manualPullSecrets": { "pods": "reject", "ownedPods": "merge", "workloads": "warn", "allowed": ["corp-*"] },
            "readServiceAccounts": true,
        }),
    ] {
        assert_eq!(verdict(&settings.to_string()), Ok(()), "{settings}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_document() {
    let settings = r#"{
        "namespace": ["default"],
        "serviceAccounts": ["ci", "Bad_Name", 3],
        "pullSecret": "*",
        "manualPullSecrets": { "pods": "refuse", "workloads": "merge", "alowed": [], "color": 1 },
        "readServiceAccounts": "yes"
    }"#;
    assert_eq!(
        verdict(settings).unwrap_err().split("; ").collect::<Vec<_>>(),
        [
            "namespace: unknown setting",
            "did you mean \"namespaces\"?",
            "serviceAccounts[1]: contains an upper-case letter",
            "names are lower case",
            "serviceAccounts[2]: is a number, but must be a string",
            "pullSecret: must be the name of one Secret, without wildcards",
            "manualPullSecrets.alowed: unknown setting",
            "did you mean \"allowed\"?",
            "manualPullSecrets.color: unknown setting",
            "known here: pods, ownedPods, workloads, allowed",
            "manualPullSecrets.pods: must be one of: reject, merge, warn, ignore",
            "manualPullSecrets.workloads: cannot be \"merge\": pod templates are never changed",
            "use reject, warn or ignore",
            "readServiceAccounts: is a string, but must be true or false",
        ]
    );
}

#[test]
fn wrong_types_and_empty_lists_are_refused() {
    refused(&json!([]), "settings: is a list, but must be a map");
    refused(&json!({ "namespaces": 5 }), "namespaces: is a number, but must be a list such as [\"default\"]");
    refused(
        &json!({ "namespaces": [] }),
        "namespaces: selects nothing; name at least one, or remove the setting for the default",
    );
    refused(
        &json!({ "serviceAccounts": " , " }),
        "serviceAccounts: selects nothing; name at least one, or remove the setting for the default",
    );
    refused(&json!({ "namespaces": [""] }), "namespaces[0]: is empty; write a name, or remove the entry");
    refused(
        &json!({ "namespaces": "a, B" }),
        "namespaces: entry 2 contains an upper-case letter; namespace names are lower case",
    );
    refused(&json!({ "manualPullSecrets": "reject" }), "manualPullSecrets: is a string, but must be a map");
    refused(
        &json!({ "manualPullSecrets": { "pods": true } }),
        "manualPullSecrets.pods: must be one of: reject, merge, warn, ignore",
    );
}

#[test]
fn contradictions_are_refused() {
    refused(
        &json!({ "namespaces": ["default", "team-*"], "excludedNamespaces": ["team-*"] }),
        "namespaces[1]: can never select anything: excludedNamespaces[0] excludes all of it",
    );
    refused(
        &json!({ "manualPullSecrets": { "allowed": ["acr-credential-secret-aggregation"] } }),
        "manualPullSecrets.allowed[0]: is the pull secret itself, which is never a manual one; remove the entry",
    );
    let everything = json!({ "manualPullSecrets": { "allowed": ["*"] } });
    assert!(
        verdict(&everything.to_string())
            .unwrap_err()
            .starts_with("manualPullSecrets.allowed[0]: allows every")
    );
    let harmless = json!({ "manualPullSecrets": { "allowed": ["*"], "pods": "merge", "ownedPods": "merge", "workloads": "ignore" } });
    assert_eq!(verdict(&harmless.to_string()), Ok(()));
}

#[test]
fn a_setting_given_twice_is_refused() {
    assert_eq!(
        verdict(r#"{"namespaces":["a"],"namespaces":["b"]}"#),
        Err("namespaces: is set twice; remove one".to_owned())
    );
}

#[test]
fn what_is_no_json_is_refused_without_quoting_it() {
    let message = verdict("{\"pullSecret\": hunter2}").unwrap_err();
    assert_eq!(message, "settings: is not valid JSON (line 1, column 16)");
    let answer = validate_settings(b"\xff\xfe").unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), r#"{"valid":false,"message":"settings: are not UTF-8"}"#);
    let deep = format!("{{\"namespaces\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(verdict(&deep).unwrap_err().starts_with("settings: is not valid JSON"));
}
