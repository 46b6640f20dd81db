//! The forms a configuration comes in, and its keys except for the registries.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Attach, Instance, Registry, from_data};
use super::{check, check_warnings, indented, read};

#[test]
fn an_empty_list_means_personal_edition_of_the_clusters_region() {
    let texts = [
        "acr-registry-info: ''",
        "acr-registry-info:",
        "acr-registry-info: '#- instanceId: \"\"'",
        "attach: pod",
        "acr-registry-info: '[]'",
        "acr-registry-info: |\n  # none\n",
        "acr-registry-info: 'null'",
    ];
    for text in texts {
        let configuration = read(text);
        assert_eq!(configuration.registries, [Registry::of_cluster("acr-registry-info")], "{text}");
        assert_eq!(configuration.registries[0].instance, Instance::Personal);
    }
}

#[test]
fn everything_left_out_takes_its_default() {
    for text in
        ["data: {attach: ''}", "notify-email: cs@example.com", "watch-namespace: ' '\nservice-account:\n"]
    {
        let configuration = read(text);
        assert!(configuration.namespaces.contains("default") && !configuration.namespaces.contains("team-a"));
        assert!(configuration.service_accounts.contains("default"));
        assert_eq!(configuration.expiring_threshold, Duration::from_mins(15));
        assert_eq!(configuration.attach, Attach::Pod);
        assert_eq!(configuration.namespace_selector, None);
    }
}

#[test]
fn the_same_configuration_is_read_from_every_form() {
    let data = r#"
watch-namespace: Default, team-*
service-account: "*"
expiring-threshold: 20m
rrsa: "enable: false"
acr-registry-info: |
  - instanceId: cri-0123456789abcdef
    regionId: cn-hangzhou
"#;
    let expected = read(data);
    assert!(expected.namespaces.contains("team-a"));

    let manifest = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: acr-configuration}}\ndata:
{}",
        indented(data)
    );
    assert_eq!(read(&manifest), expected);
    assert_eq!(read(&manifest.replace('\n', "\r\n")), expected);
    assert_eq!(read(&format!("\u{feff}---\n{manifest}\n\n")), expected);

    let config = r#"{"AcrInstanceInfo":[{"instanceId":"cri-0123456789abcdef","regionId":"cn-hangzhou"}],
        "enableRRSA":false,"expiringThreshold":"20m","serviceAccount":"*","watchNamespace":"Default, team-*"}"#;
    let mut managed = read(config);
    let body = serde_json::json!([
        {"name": "another-addon"},
        {"name": "managed-aliyun-acr-credential-helper", "config": config},
    ]);
    assert_eq!(read(&body.to_string()), managed);
    assert_eq!(managed.registries[0].place, "AcrInstanceInfo[0]");
    managed.registries[0].place.clone_from(&expected.registries[0].place);
    assert_eq!(managed, expected);

    let json = serde_json::json!({"kind": "ConfigMap", "data": {
        "watch-namespace": "Default, team-*",
        "service-account": "*",
        "expiring-threshold": "20m",
        "acr-registry-info": "- instanceId: cri-0123456789abcdef\r\n  regionId: cn-hangzhou\r\n",
    }});
    assert_eq!(read(&json.to_string()), expected);
    let with_tabs = serde_json::to_string_pretty(&json).unwrap().replace("\n  ", "\n\t");
    assert_eq!(read(&with_tabs), expected);

    let map: BTreeMap<String, String> = serde_json::from_value(json["data"].clone()).unwrap();
    assert_eq!(from_data(&map).unwrap().configuration, expected);
}

#[test]
fn namespaces_are_selected_by_the_rule_that_the_policy_has() {
    let configuration = read("watch-namespace: ALL, kube-system\nservice-account: Default , builder\n");
    assert!(configuration.namespaces.contains("team-a"));
    assert!(configuration.namespaces.contains("kube-system"), "an exact name beats an exclusion");
    assert!(!configuration.namespaces.contains("kube-public"), "the default exclusions apply");
    assert!(configuration.service_accounts.contains("builder"));
    let configuration = read("watch-namespace: all\nexclude-namespace: kube-*, scratch\n");
    assert!(
        !configuration.namespaces.contains("kube-system") && !configuration.namespaces.contains("scratch")
    );
}

#[test]
fn our_own_keys_are_read() {
    let configuration =
        read("attach: Both\nwatch-namespace: all\nwatch-namespace-selector: team in (a,b), !legacy\n");
    assert_eq!(configuration.attach, Attach::Both);
    let selector = configuration.namespace_selector.map(|selector| selector.to_string());
    assert_eq!(selector.as_deref(), Some("team in (a,b),!legacy"));
    assert_eq!(read("attach: service-account").attach, Attach::ServiceAccount);
}

#[test]
fn keys_of_the_vendor_that_have_no_effect_are_taken() {
    let webhook =
        "webhook-configuration: |\n  enable: true\n  failure-policy: Ignore\n  timeout-seconds: '10'\n";
    check_warnings(
        webhook,
        "webhook-configuration: has no effect here: enable the ClusterAdmissionPolicy serviceaccounts, which does the \
         same, and remove it",
    );
    check_warnings("webhook-configuration: 'enable: false'", "");
    check_warnings("acr-api-version: '2018-12-01'\nnotify-email: cs@example.com", "");
    check_warnings(
        "acr-api-version: 2016-06-07",
        "acr-api-version: is not used: write 2018-12-01, or remove it",
    );
}

#[test]
fn thresholds_that_have_no_effect_and_exclusions_that_are_lost_are_warned_about() {
    check_warnings(
        "expiring-threshold: 1h\nwatch-namespace: all\nexclude-namespace: kube-public\n",
        "
expiring-threshold: is longer than 40m, but a credential of one hour is never renewed in its first 20 minutes: write 15m, unless your sessions last longer than an hour
exclude-namespace: replaces the default, so that watch-namespace now selects kube-system,kube-node-lease too: add kube-system,kube-node-lease to it, since a credential there can break the pulls of system images
",
    );
    check_warnings("watch-namespace: all, kube-system\nexclude-namespace: kube-public,kube-node-lease\n", "");
}

#[test]
fn what_is_no_configuration_is_named_as_what_it_is() {
    check("", "configuration: is empty: write a ConfigMap manifest or its data");
    check("hello", "configuration: is a single value: write a ConfigMap manifest or its data");
    check("[]", "configuration: is a list: write a ConfigMap manifest or its data");
    check(
        "- instanceId: cri-0123456789abcdef\n",
        "configuration: is a list: write `acr-registry-info: |` above it, and indent the list",
    );
    check("kind: Secret\ndata: {attach: pod}", "kind: is not ConfigMap: write the manifest of a ConfigMap");
    check("kind: ConfigMap", "data: is missing or empty: write the keys of the configuration below it");
    check(
        "attach: pod\n---\nattach: both\n",
        "configuration: a second document begins in line 2: keep one configuration in one file",
    );
}
