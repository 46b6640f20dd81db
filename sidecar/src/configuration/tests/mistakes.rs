//! What is said about mistakes: all of them, in one pass, each with its place and a way out.

use super::{check, data};

#[test]
fn all_mistakes_are_found_in_one_pass() {
    check(
        "
watch-namespaces: all
service-account: Team_A, default, -x
expiring-threshold: 15
attach: pods
watch-namespace-selector: 'team=a,'
rrsa: 'enable: maybe'
color: red
attach: both
acr-registry-info: |
  - instanceId: cn-hangzhou
    regionId: cri-0123456789abcdef
    region: cn-hangzhou
    expireDuration: 1h
  -
  - cri-0123456789abcdef
  - domains: https://registry.example.com/team, a b, registry, example.com:0, *.example.com
    expireDuration: 60
",
        "
watch-namespaces: is an unknown key: did you mean watch-namespace?
color: is an unknown key: known here: service-account, watch-namespace, exclude-namespace, watch-namespace-selector, acr-registry-info, expiring-threshold, attach, rrsa, webhook-configuration, acr-api-version, notify-email
attach: is set twice: remove one of the two
service-account (entry 1): contains an upper-case letter: names are lower case
service-account (entry 3): must begin and end with a letter or a digit: write the name as Kubernetes shows it
expiring-threshold: has no unit: write a number and a unit, such as 15m or 1h30m
attach: is not one of pod, service-account and both: did you mean pod?
watch-namespace-selector: part 2 is not a label selector: write parts such as team=a, team!=a, env in (prod,test), env notin (test), legacy or !legacy, with commas between them
rrsa.enable: is neither true nor false: write true or false
acr-registry-info[0].region: is an unknown key: did you mean regionId?
acr-registry-info[0].instanceId: is a region, not an instance: copy the id, such as cri-0123456789abcdef, from the ACR console; for Personal Edition, leave it empty
acr-registry-info[0].regionId: is the id of an instance, not of a region: write the id of a region, such as cn-hangzhou
acr-registry-info[0].expireDuration: is not a number of seconds: write the seconds, from 900 to the role's longest session, which is 43200 at most
acr-registry-info[1]: is empty: remove it, or write `instanceId: \"\"` for Personal Edition of the cluster's region
acr-registry-info[2]: is a single value: write a map with keys such as instanceId
acr-registry-info[3].domains (entry 1): is a URL or a path: write only the host: registry.example.com
acr-registry-info[3].domains (entry 2): is not a host: write a host, such as registry.example.com or registry.example.com:5000
acr-registry-info[3].domains (entry 3): is not a host: write a host, such as registry.example.com or registry.example.com:5000
acr-registry-info[3].domains (entry 4): has no valid port after the colon: write a host, such as registry.example.com or registry.example.com:5000
acr-registry-info[3].domains (entry 5): is a wildcard: write each host in full
acr-registry-info[3].expireDuration: is not between 900 and 43200 seconds: write the seconds, from 900 to the role's longest session, which is 43200 at most
",
    );
}

#[test]
fn quotes_around_parts_of_a_comma_list_are_answered_with_the_right_spelling() {
    check(
        &data(
            "- instanceId: ''\n- instanceId: 'cri-0123456789abcdef'\n  domains: \"a.com\",\"b.com\"\n  regionId: x\n",
        ),
        "acr-registry-info[1].domains: more text follows the closing quote in line 3 of acr-registry-info: write one text \
         in one pair of quotes: domains: \"a.com,b.com\"",
    );
    check(
        &data("- domains: a.example.com,\"b.example.com\"\n"),
        "acr-registry-info[0].domains (entry 2): contains a quote: write one text in one pair of quotes: domains: \
         \"a.com,b.com\"",
    );
}

#[test]
fn an_asterisk_without_quotes_is_answered_with_quotes() {
    check(
        "service-account: *\nwatch-namespace: *-prod\nattach: pods\n",
        "service-account: line 1 begins a value with * or &, which YAML takes for a reference: put the value into quotes",
    );
}

#[test]
fn keys_of_both_editions_are_told_apart() {
    check(
        "watchNamespace: all\nservice-account: default\n",
        "watchNamespace: is an unknown key: did you mean watch-namespace?",
    );
    check(
        r#"{"watchNamespaces": "all", "AcrInstanceInfo": [{"regionID": "cn-hangzhou"}]}"#,
        "
watchNamespaces: is an unknown key: did you mean watchNamespace?
AcrInstanceInfo[0].regionID: is an unknown key: did you mean regionId?
",
    );
}

#[test]
fn tabs_are_called_tabs() {
    check(
        &data("- instanceId: ''\n\tregionId: hangzhou\n-\tinstanceId: ''\n\tregionId: beijing\n"),
        "acr-registry-info[0]: a tab indents line 2 of acr-registry-info: use spaces",
    );
    check("data:\n\tattach: pod\n", "configuration: a tab indents line 2: use spaces");
}

#[test]
fn flaws_in_json_are_named_by_line() {
    check(
        "{\n\t\"watchNamespace\": \"all\"\n\t\"serviceAccount\": \"*\"\n}",
        "configuration: a comma or a closing bracket is missing before the end of line 3: add it",
    );
    check(
        "{\n\t\"watchNamespace\": \"all\",\n",
        "configuration: line 1 has a bracket without its counterpart: match the brackets",
    );
    check(
        "{\"watchNamespace\": \"all}",
        "configuration: the quote opened in line 1 is not closed: close it on the same line",
    );
    check(
        "watch-namespace: {{ .Values.namespaces }}",
        "watch-namespace: line 1 has a list or a map as a key: write a name, and render the file if it is a template",
    );
}

#[test]
fn a_line_that_is_indented_wrongly_does_not_hide_the_other_keys() {
    let layout = "indent all keys of an entry alike, write a space after each colon, and quote a value that contains a colon";
    check(
        &format!(
            "attach: pods\nexpiring-threshold: 15\n{}",
            data("- instanceId: ''\n   regionId: hangzhou\n- customAccessKey: LTAI5tEXAMPLE\n")
        ),
        &format!(
            "
attach: is not one of pod, service-account and both: did you mean pod?
expiring-threshold: has no unit: write a number and a unit, such as 15m or 1h30m
acr-registry-info[0]: line 2 of acr-registry-info does not fit the lines above it: {layout}
"
        ),
    );
    check(
        &data("- instanceId:''\n  regionId: cn-hangzhou\n"),
        &format!("acr-registry-info: line 2 of acr-registry-info does not fit the lines above it: {layout}"),
    );
}

#[test]
fn a_list_or_map_below_data_is_no_text() {
    check(
        "acr-registry-info:\n- regionId: hangzhou\nrrsa: {enable: true}\n",
        "
acr-registry-info: is a list, but a ConfigMap contains only texts: begin a text with `acr-registry-info: |` and indent what follows
rrsa: is a map, but a ConfigMap contains only texts: begin a text with `rrsa: |` and indent what follows
acr-registry-info[0].regionId: is not the id of a region: write the id of a region, such as cn-hangzhou
",
    );
}

#[test]
fn an_entry_has_one_identity_and_all_of_it() {
    check(
        &data(
            "\
- customAccessKey: LTAI5tEXAMPLE
- customAccessKeySecret: exampleSecret
- customAccessKey: STS.EXAMPLE
  customAccessKeySecret: exampleSecret
- accessKeySecretRef: {}
- accessKeySecretRef: team-*
- accessKeySecretRef: a
  rrsaRoleARN: acs:ram::1:role/a
- rrsaOIDCProviderRoleARN: acs:ram::1:role/a
- rrsaRoleARN: acs:ram::1:user/a
  rrsaOIDCProviderRoleARN: acs:ram::me:oidc-provider/a
- externalId: team-a
  expireDuration: 3600
- assumeRoleARN: arn:aws:iam::1:role/a
  expireDuration: 899
",
        ),
        "
acr-registry-info[0]: has customAccessKey without customAccessKeySecret: add the other half, or keep both in a Secret and name it in accessKeySecretRef
acr-registry-info[1]: has customAccessKeySecret without customAccessKey: add the other half, or keep both in a Secret and name it in accessKeySecretRef
acr-registry-info[2].customAccessKey: belongs to a session, which ends, and lacks its token: use the key of a RAM user, which begins with LTAI
acr-registry-info[3].accessKeySecretRef: names no Secret: write the name of one Secret
acr-registry-info[4].accessKeySecretRef: is a wildcard: write the name of one Secret
acr-registry-info[5]: has rrsaRoleARN without rrsaOIDCProviderRoleARN: add the ARN of the cluster's OIDC provider as rrsaOIDCProviderRoleARN
acr-registry-info[5]: has more than one identity (accessKeySecretRef, rrsaRoleARN): keep one of them
acr-registry-info[6].rrsaOIDCProviderRoleARN: is the ARN of a role: copy the OIDC provider's ARN, such as acs:ram::1234567890123456:oidc-provider/ack-rrsa-c0123
acr-registry-info[6]: has rrsaOIDCProviderRoleARN without rrsaRoleARN: add the ARN of the role in the cluster's account as rrsaRoleARN
acr-registry-info[7].rrsaRoleARN: is the ARN of a user: copy the role's ARN, such as acs:ram::1234567890123456:role/acr-puller
acr-registry-info[7].rrsaOIDCProviderRoleARN: has no account id, which is a number of some 16 digits: copy the OIDC provider's ARN, such as acs:ram::1234567890123456:oidc-provider/ack-rrsa-c0123
acr-registry-info[8].externalId: has no effect without a role: remove it, or add assumeRoleARN
acr-registry-info[9].assumeRoleARN: is not of the form acs:ram::ACCOUNT:role/NAME: copy the role's ARN, such as acs:ram::1234567890123456:role/acr-puller
acr-registry-info[9].expireDuration: is not between 900 and 43200 seconds: write the seconds, from 900 to the role's longest session, which is 43200 at most
",
    );
}

#[test]
fn the_roles_of_rrsa_need_rrsa() {
    let list = "- rrsaRoleARN: acs:ram::1:role/a\n  rrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/a\n";
    check(
        &data(list).replace("true", "false"),
        "acr-registry-info[0].rrsaRoleARN: is set, but RRSA is not switched on: add the key rrsa with the text \
         `enable: true`",
    );
    check(
        r#"{"AcrInstanceInfo": [{"rrsaRoleARN": "acs:ram::1:role/a", "rrsaOIDCProviderRoleARN": "acs:ram::1:oidc-provider/a"}]}"#,
        "AcrInstanceInfo[0].rrsaRoleARN: is set, but RRSA is not switched on: set enableRRSA to true",
    );
    check("rrsa: |\n  enabled: true\n", "rrsa.enabled: is an unknown key: did you mean enable?");
    check("rrsa: 'true'\n", "rrsa: is a single value: write `enable: true`");
}

#[test]
fn editions_are_not_mixed_up() {
    check(
        &data(
            "\
- domains: demo-registry.cn-hangzhou.cr.aliyuncs.com
- instanceId: cri-0123456789abcdef
  domains: registry.cn-hangzhou.aliyuncs.com
- domains: crpi-0123456789abcdef.cn-hangzhou.personal.cr.aliyuncs.com
- instanceId: crpi-0123456789abcdef
",
        ),
        "
acr-registry-info[0].domains: is a host of Enterprise Edition, but the entry has no instanceId: add the instance's id as acr-registry-info[0].instanceId
acr-registry-info[1].domains: is a host of Personal Edition, but the entry has an instanceId: move the host to an entry with `instanceId: \"\"`
acr-registry-info[2].domains: belongs to a Personal Edition instance created since September 2024, for which no token API exists: use a pull secret with its fixed password, made by hand, and remove it here
acr-registry-info[3].instanceId: belongs to a Personal Edition instance created since September 2024, for which no token API exists: use a pull secret with its fixed password, made by hand, and remove it here
",
    );
}

#[test]
fn a_list_without_dashes_is_still_looked_at() {
    check(
        &data("regionId: hangzhou\n"),
        "
acr-registry-info: is a map: write a list, each entry of which begins with \"- instanceId:\"
acr-registry-info[0].regionId: is not the id of a region: write the id of a region, such as cn-hangzhou
",
    );
}

#[test]
fn contradictions_are_named() {
    check(
        "watch-namespace: default, team-*\nexclude-namespace: team-*\n",
        "watch-namespace: entry 2 can select nothing: remove it, or remove entry 1 of exclude-namespace, which excludes \
         all of it",
    );
}
