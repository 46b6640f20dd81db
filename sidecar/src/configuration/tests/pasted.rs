//! What people paste: bodies and answers of the cloud's API, files of older versions, text out of chats and word processors.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::{Attach, Instance, examine, from_data};
use super::{check, check_warnings, data, read};

const ADD_ON: &str = "managed-aliyun-acr-credential-helper";

#[test]
fn an_add_on_is_found_in_whatever_the_cloud_writes_around_it() {
    let dashed = json!({
        "acr-registry-info": "[{\"instanceId\":\"cri-0123456789abcdef\",\"regionId\":\"cn-wulanchabu\"}]",
        "watch-namespace": "team-a",
        "service-account": "*",
    });
    let managed = json!({
        "AcrInstanceInfo": [{ "instanceId": "cri-0123456789abcdef", "regionId": "cn-wulanchabu" }],
        "watchNamespace": "team-a",
        "serviceAccount": "*",
        "enableRRSA": false,
    });
    let expected = read(&dashed.to_string());
    for config in [dashed, managed] {
        let text = config.to_string();
        let twice_escaped = json!(text).to_string();
        for body in [
            // To install it among others, in either edition.
            json!([{ "name": "csi-plugin" }, { "name": "aliyun-acr-credential-helper", "config": text }]),
            json!([{ "name": "terway", "config": "{\"a\":\"b\"}" }, { "name": ADD_ON, "version": "v1", "config": text }]),
            // One of an answer, and a list of them.
            json!({ "name": ADD_ON, "state": "active", "version": "v1", "config": text }),
            json!([{ "config": text, "name": ADD_ON, "state": "active" }]),
            json!({ "addons": [{ "name": "csi-plugin", "state": "active" }, { "name": ADD_ON, "config": text }] }),
            json!({ "headers": {}, "statusCode": 200, "body": { "name": ADD_ON, "config": text } }),
            // To create a cluster, to upgrade the add-on, and to change it, where it is not named.
            json!({ "name": "a-cluster", "region_id": "cn-wulanchabu", "addons": [{ "name": ADD_ON, "config": text }] }),
            json!([{ "component_name": ADD_ON, "next_version": "v2", "config": text }]),
            json!({ "config": text }),
            json!({ ADD_ON: { "version": "v1", "config": text }, "csi-plugin": { "config": "{}" } }),
            // A map where a text is meant, and a text that was escaped again.
            json!({ "name": ADD_ON, "config": config }),
            json!({ "name": ADD_ON, "config": twice_escaped }),
            json!(text),
        ] {
            let mut found = read(&body.to_string());
            found.registries[0].place.clone_from(&expected.registries[0].place);
            assert_eq!(found, expected, "{body}");
        }
    }
}

#[test]
fn an_add_on_without_a_configuration_has_the_defaults() {
    let defaults = read("attach: pod");
    for config in [json!(null), json!(""), json!("{}"), json!("null")] {
        assert_eq!(
            read(&json!([{ "name": "aliyun-acr-credential-helper", "config": config }]).to_string()),
            defaults
        );
    }
    assert_eq!(read(r#"[{"name": "aliyun-acr-credential-helper"}]"#), defaults);
    let two = json!([{ "name": ADD_ON, "config": "{}" }, { "name": "aliyun-acr-credential-helper", "config": "{}" }]);
    check(
        &two.to_string(),
        "configuration: contains 2 add-ons with a configuration: keep the one that is installed",
    );
    check(r#"[{"name": "terway"}]"#, "configuration: is a list: write a ConfigMap manifest or its data");
}

#[test]
fn the_token_mode_of_an_add_on_is_a_warning() {
    const WARNING: &str = "tokenMode: has no effect here: remove it: an entry names its identity, or that of the sidecar is used";
    for text in [
        r#"[{"name": "aliyun-acr-credential-helper", "config": "{\"tokenMode\":\"workerRole\"}"}]"#,
        r#"{"tokenMode": "auto", "watchNamespace": "default"}"#,
        "tokenMode: managedRole\nattach: pod\n",
    ] {
        read(text);
        check_warnings(text, WARNING);
    }
    check_warnings(r#"{"tokenMode": "", "watchNamespace": "default"}"#, "");
}

#[test]
fn an_add_on_whose_configuration_cannot_be_read_is_told_so_alone() {
    check(
        r#"{"name": "aliyun-acr-credential-helper", "config": "{\"tokenMode\": \"auto\""}"#,
        "config: line 1 of config has a bracket without its counterpart: match the brackets",
    );
}

#[test]
fn an_add_on_is_held_to_its_own_keys() {
    check(
        r#"{"name": "managed-aliyun-acr-credential-helper", "config": "{\"watchNamespaces\": \"all\", \"AcrInstanceInfo\": [{\"regionId\": \"x\"}]}"}"#,
        "
watchNamespaces: is an unknown key: did you mean watchNamespace?
AcrInstanceInfo[0].regionId: is not the id of a region: write the id of a region, such as cn-hangzhou
",
    );
    check(
        r#"{"AcrInstanceInfo": [], "watch-namespace": "all"}"#,
        "AcrInstanceInfo: is an unknown key: did you mean acr-registry-info?",
    );
}

#[test]
fn what_the_console_leaves_empty_is_no_mistake() {
    let entry = |duration: u32| {
        json!({ "AcrInstanceInfo": [{
            "instanceId": "", "regionId": "", "domains": "", "assumeRoleARN": "", "expireDuration": duration,
            "rrsaRoleARN": "", "rrsaOIDCProviderRoleARN": "",
        }], "notifyEmail": "", "serviceAccount": "Default", "watchNamespace": "default" })
        .to_string()
    };
    for duration in [0, 3600] {
        assert_eq!(read(&entry(duration)).registries[0].instance, Instance::Personal);
    }
    check_warnings(&entry(0), "");
    check_warnings(
        &entry(3600),
        "AcrInstanceInfo[0].expireDuration: has no effect without a role: remove it, or add assumeRoleARN",
    );
    // With a role, 0 is what a role has without it.
    let role = "- assumeRoleARN: acs:ram::1:role/a\n";
    assert_eq!(read(&data(&format!("{role}  expireDuration: 0\n"))), read(&data(role)));
}

#[test]
fn keys_of_older_versions_are_told_what_replaced_them() {
    check(
        "acr-api-version: '2018-12-01'\nacr-registry: 'demo-registry.*.cr.aliyuncs.com'\nwatch-namespace: All\n",
        "acr-registry: is a key of older versions: write acr-registry-info instead: an entry for each instance, with its id as \
         instanceId, which is empty for Personal Edition, and its regionId",
    );
    check_warnings(
        "acr-api-version: v1\nwatch-namespace: all\n",
        "acr-api-version: is not used: write 2018-12-01, or remove it",
    );
}

#[test]
fn what_looks_like_ascii_is_named_before_anything_else() {
    check(
        "colour: red\nwatch-namespace: default，team-a\nservice-account: “default”\nattach: ｐod\nexpiring-threshold: １5m\n\
         watch-namespace-selector: env in （prod）\nexclude-namespace: kube–system\n",
        "
watch-namespace: contains ， (U+FF0C, a full-width comma): write , instead
service-account: contains “ (U+201C, a typographic quote): write \" instead
service-account: contains ” (U+201D, a typographic quote): write \" instead
attach: contains ｐ (U+FF50, a full-width letter): write p instead, and the same for all others like it
expiring-threshold: contains １ (U+FF11, a full-width digit): write 1 instead, and the same for all others like it
watch-namespace-selector: contains （ (U+FF08, a full-width character): write ( instead
watch-namespace-selector: contains ） (U+FF09, a full-width character): write ) instead
exclude-namespace: contains – (U+2013, a typographic dash): write - instead
colour: is an unknown key: known here: service-account, watch-namespace, exclude-namespace, watch-namespace-selector, acr-registry-info, expiring-threshold, attach, rrsa, webhook-configuration, acr-api-version, notify-email
",
    );
    check(
        &data(
            "- instanceId: \"cri-0123456789abcdef\u{200b}\"\n  regionId: \"cn－hangzhou\"\n  domains: \"a.example.com、b.example.com\"\n  namespaces: [\"team‑a\"]\n",
        ),
        "
acr-registry-info[0].instanceId: contains an invisible character (U+200B): remove it
acr-registry-info[0].regionId: contains － (U+FF0D, a full-width character): write - instead
acr-registry-info[0].domains: contains 、 (U+3001, an ideographic comma): write , instead
acr-registry-info[0].namespaces[0]: contains ‑ (U+2011, a typographic dash): write - instead
",
    );
}

#[test]
fn characters_that_the_layout_is_made_of_are_named_with_their_line() {
    let entry = "- instanceId: cri-0123456789abcdef\n  regionId: cn-hangzhou\n";
    let says = |list: String, expected: &str| check(&data(&list), expected);
    says(
        entry.replace("instanceId: ", "instanceId："),
        "acr-registry-info: line 1 of acr-registry-info contains ： (U+FF1A, a full-width colon): write : instead",
    );
    says(
        "- instanceId：cri-0123456789abcdef\n".to_owned(),
        "acr-registry-info: line 1 of acr-registry-info contains ： (U+FF1A, a full-width colon): write : instead",
    );
    says(
        entry.replace("  regionId", "\u{3000}\u{3000}regionId"),
        "acr-registry-info: line 2 of acr-registry-info contains an ideographic space (U+3000): write an ordinary space instead",
    );
    says(
        entry.replace("- ", "– "),
        "acr-registry-info: line 1 of acr-registry-info contains – (U+2013, a typographic dash): write - instead",
    );
    says(
        entry.replace("cn-hangzhou", "“cn-hangzhou”"),
        "
acr-registry-info: line 2 of acr-registry-info contains “ (U+201C, a typographic quote): write \" instead
acr-registry-info: line 2 of acr-registry-info contains ” (U+201D, a typographic quote): write \" instead
",
    );
    // Keys may look like the document's own, and values like others.
    check(
        "kind: ConfigMap\ndata:\n\u{a0}\u{a0}watch-namespace: all\n\u{a0}\u{a0}attach: pod\n",
        "configuration: line 3 contains a no-break space (U+00A0), and so does 1 more line: write an ordinary space instead",
    );
    check(
        "data: {watch\u{ad}-namespace: all, watch-namespace-selector: 'env=“prod”'}",
        "
configuration: key 1 contains an invisible character (U+00AD): remove it
watch-namespace-selector: contains “ (U+201C, a typographic quote): write \" instead
watch-namespace-selector: contains ” (U+201D, a typographic quote): write \" instead
",
    );
    // A no-break space among the blanks makes the outer text unreadable, too.
    check(
        "acr-registry-info: |\n  -\u{a0} instanceId: cri-0123456789abcdef\n \u{a0}   regionId: cn-hangzhou\n",
        "configuration: line 2 contains a no-break space (U+00A0), and so does 1 more line: write an ordinary space instead",
    );
    check(
        "watch-namespace：all\nattach：pod\n",
        "configuration: line 1 contains ： (U+FF1A, a full-width colon), and so does 1 more line: write : instead",
    );
    check(
        "kind: ConfigMap\ndata：\n  attach: pod\n",
        "configuration: line 2 contains ： (U+FF1A, a full-width colon): write : instead",
    );
    check(
        "kind: ConfigMap\ndata:\n  attach：pod\n",
        "configuration: contains ： (U+FF1A, a full-width colon): write : instead",
    );
    check(
        "{“watchNamespace”: “all”}",
        "
configuration: line 1 contains “ (U+201C, a typographic quote): write \" instead
configuration: line 1 contains ” (U+201D, a typographic quote): write \" instead
",
    );
}

#[test]
fn comments_and_what_is_not_read_may_be_in_any_language() {
    let comments = "watch-namespace: team-a # 公司，杭州：“生产”\nacr-registry-info: |\n  # 说明：杭州\n  - regionId: cn-hangzhou # 个人版，\n";
    let manifest = format!(
        "kind: ConfigMap\nmetadata:\n  annotations: {{description: 请勿删除，谢谢}}\ndata:\n  {}\n",
        comments.trim().replace('\n', "\n  ")
    );
    for text in [comments, &manifest] {
        read(text);
        check_warnings(text, "");
    }
    let json = json!({ "kind": "ConfigMap", "data": { "acr-registry-info": "# 说明：杭州，\n- regionId: cn-hangzhou # 个人版，" } });
    read(&json.to_string());
    let live = BTreeMap::from([("watch-namespace".to_owned(), "team-a，team-b".to_owned())]);
    let mistakes = from_data(&live).unwrap_err().to_string();
    assert_eq!(mistakes, "watch-namespace: contains ， (U+FF0C, a full-width comma): write , instead");
}

#[test]
fn keys_of_another_level_are_told_where_they_belong() {
    check(
        "
regionId: cn-hangzhou
enable: true
failure-policy: Ignore
namespaces: team-a
rrsa: |
  enable: true
  watch-namespace: all
  instanceId: cri-0123456789abcdef
acr-registry-info: |
  - instanceId: cri-0123456789abcdef
    watch-namespace: all
    rrsa:
      enable: true
",
        "
regionId: belongs one level deeper: write it in an entry of acr-registry-info
enable: belongs one level deeper: write it below rrsa or webhook-configuration
failure-policy: belongs one level deeper: write it below webhook-configuration
namespaces: belongs one level deeper: write it in an entry of acr-registry-info, or write watch-namespace for the managed namespaces
rrsa.watch-namespace: belongs one level up: write it next to rrsa
rrsa.instanceId: belongs elsewhere: write it in an entry of acr-registry-info
acr-registry-info[0].watch-namespace: belongs one level up: write it next to acr-registry-info
acr-registry-info[0].rrsa: belongs one level up: write it next to acr-registry-info
",
    );
    check(
        r#"{"watchNamespace": "all", "regionId": "cn-hangzhou", "AcrInstanceInfo": [{"instanceId": "", "serviceAccount": "*"}]}"#,
        "
regionId: belongs one level deeper: write it in an entry of AcrInstanceInfo
AcrInstanceInfo[0].serviceAccount: belongs one level up: write it next to AcrInstanceInfo
",
    );
    check(
        "kind: ConfigMap\nwatch-namespace: all\ndata: {attach: pod, immutable: true}\n",
        "
watch-namespace: belongs one level deeper: write it below data
immutable: belongs one level up: write it next to data
",
    );
    for data in ["config.yaml: |\n    watch-namespace: all\n    attach: pods\n", "data:\n    attach: pods\n"]
    {
        check(
            &format!("kind: ConfigMap\ndata:\n  {data}"),
            "
data: key 1 contains keys that belong one level up: write them in its place, directly below data
attach: is not one of pod, service-account and both: did you mean pod?
",
        );
    }
    // The text is broken, so nothing of it is read, but its place is reported.
    check(
        "kind: ConfigMap\ndata:\n  config.yaml: |\n    watch-namespace: all\n    attach: \"pod\" x\n",
        "
data: key 1 contains keys that belong one level up: write them in its place, directly below data
",
    );
    check(
        "kind: ConfigMap\nmetadata:\n  name: acr-configuration\n  data:\n    attach: pods\n",
        "
metadata.data: belongs one level up: write it next to metadata
attach: is not one of pod, service-account and both: did you mean pod?
",
    );
}

#[test]
fn keys_that_are_indented_below_a_key_without_a_value_belong_beside_it() {
    check(
        &data(
            "- domains:\n    regionId: cn-hangzhou\n  instanceId:\n    namespaces: team-a\n  accessKeySecretRef:\n    name: a\n    externalId: b\n",
        ),
        "
acr-registry-info[0].domains.regionId: belongs one level up: write it next to domains
acr-registry-info[0].instanceId.namespaces: belongs one level up: write it next to instanceId
acr-registry-info[0].accessKeySecretRef.externalId: belongs one level up: write it next to accessKeySecretRef
",
    );
    check(
        "rrsa: |\n  rrsa:\n    enable: maybe\nacr-registry-info: |\n  acr-registry-info:\n  - regionId: x\n",
        "
rrsa.rrsa: is there twice: remove the inner one, and keep what is below it
rrsa.enable: is neither true nor false: write true or false
acr-registry-info.acr-registry-info: is there twice: remove the inner one, and keep what is below it
acr-registry-info[0].regionId: is not the id of a region: write the id of a region, such as cn-hangzhou
",
    );
}

#[test]
fn keys_that_another_one_has_swallowed_are_given_back() {
    check(
        "data:\n  acr-registry-info:\n    watch-namespace: all\n    attach: pods\n",
        "
acr-registry-info.watch-namespace: belongs one level up: write it next to acr-registry-info
acr-registry-info.attach: belongs one level up: write it next to acr-registry-info
attach: is not one of pod, service-account and both: did you mean pod?
",
    );
    check(
        &data(
            "- regionId: cn-hangzhou\nwatch-namespace: all\nrrsa: |\n  enable: true\nservice-account: default\n",
        ),
        "acr-registry-info: watch-namespace in line 2 of acr-registry-info belongs one level up: indent it like acr-registry-info, \
         and not as a part of its text",
    );
    check(
        "data:\n  acr-registry-info: |\n     - regionId: x\n   watch-namespace: all\n   attach: pods\n",
        "data: line 4 does not fit the lines above it: indent watch-namespace like the other keys of the configuration",
    );
    check(
        "data:\n    attach: pod\n    acr-registry-info: |\n    - instanceId: ''\n      regionId: cn-beijing\n",
        "data: line 4 does not fit the lines above it: indent the whole text of acr-registry-info deeper than the key, and all keys \
         of an entry alike",
    );
}

#[test]
fn a_configuration_among_other_objects_is_to_be_taken_alone() {
    let config_map = "kind: ConfigMap\nmetadata: {name: acr-configuration}\ndata: {attach: pods}\n";
    let account = "kind: ServiceAccount\nmetadata: {name: a}\n";
    let attach = "attach: is not one of pod, service-account and both: did you mean pod?";
    for text in [format!("{config_map}---\n{account}"), format!("{account}\n---\n{config_map}")] {
        let line = text.lines().position(|line| line == "---").unwrap() + 1;
        check(
            &text,
            &format!(
                "configuration: a second document begins in line {line}: use only the ConfigMap acr-configuration\n{attach}"
            ),
        );
    }
    let list = json!({ "kind": "List", "items": [
        { "kind": "ConfigMap", "metadata": { "name": "other" }, "data": {} },
        { "kind": "ConfigMap", "metadata": { "name": "acr-configuration" }, "data": { "attach": "pods" } },
    ] });
    check(
        &list.to_string(),
        &format!("configuration: is a list of objects: use only the ConfigMap acr-configuration\n{attach}"),
    );
    check(
        r#"{"kind": "SecretList", "items": []}"#,
        "configuration: is a list of objects: use only the ConfigMap acr-configuration",
    );
    // Documents with nothing in them are none.
    assert_eq!(read("---\n# Source: a chart\n---\nattach: both\n---\n# the end\n").attach, Attach::Both);
    check(
        "kind: Deployment\nspec: {replicas: 1}\n",
        "kind: is not ConfigMap: write the manifest of a ConfigMap",
    );
}

#[test]
fn files_of_other_systems_are_read() {
    let text = "kind: ConfigMap\ndata:\n  watch-namespace: all\n  acr-registry-info: |\n    - regionId: cn-hangzhou # 公司\n";
    let expected = examine(text.as_bytes());
    for text in [
        text.replace('\n', "\r\n"),
        format!("\u{feff}{text}"),
        format!("\u{feff}{}", text.replace('\n', "\r\n")),
    ] {
        assert_eq!(examine(text.as_bytes()), expected);
    }
}
