//! The examples of the vendor's help pages, as they stand there and filled in.

use super::super::{IdentitySource, Instance};
use super::{check, read};

/// Placeholders replaced by values as they really look.
fn filled_in(example: &str) -> String {
    example
        .replace("cri-xxxx", "cri-0123456789abcdee")
        .replace("cri-xxx", "cri-0123456789abcdef")
        .replace("xxx.com,yyy.com", "a.example.com,b.example.com")
        .replace("acs:ram::.*:role", "acs:ram::1234567890123456:role")
        .replace("\"xxxxxx\" //", "\"exampleSecret\" #")
        .replace("\"xxxxx\" //", "\"LTAI5tEXAMPLE\" #")
}

const ENTERPRISE: &str = r#"
apiVersion: v1
data:
  acr-api-version: "2018-12-01"
  acr-registry-info: |-
    - instanceId: "cri-xxx"
      regionId: "cn-hangzhou"
  expiring-threshold: 15m
  service-account: default
  watch-namespace: all
kind: ConfigMap
metadata:
 name: acr-configuration
  namespace: kube-system
 selfLink: /api/v1/namespaces/kube-system/configmaps/acr-configuration
"#;

const BOTH_EDITIONS: &str = r#"
data:
    service-account: "default"
    watch-namespace: "all"
    expiring-threshold: "15m"
    notify-email: "cs@aliyuncs.com"
    acr-registry-info: |
      - instanceId: ""
      - instanceId: "cri-xxxx"
"#;

// The blanks at the ends of lines are the help page's.
const WITH_DOMAINS: &str = "
data:    
    service-account: \"default\"    
    watch-namespace: \"all\"    
    expiring-threshold: \"15m\"    
    notify-email: \"cs@aliyuncs.com\"    
    acr-registry-info: |      
      - instanceId: \"cri-xxx\"
        regionId: \"cn-hangzhou\"         
        domains: \"xxx.com,yyy.com\"
";

const ASSUMED_ROLE: &str = r#"
data:
    service-account: "default"
    watch-namespace: "all"
    expiring-threshold: "15m"
    notify-email: "cs@aliyuncs.com"
    acr-registry-info: |
      - instanceId: ""
        regionId: "cn-beijing"
        domains: "registry.cn-beijing.aliyuncs.com"
        assumeRoleARN: "acs:ram::.*:role/kubernetesworkerrole-test"
"#;

const ACCESS_KEY: &str = r#"
data:
    service-account: "default"
    watch-namespace: "all"
    expiring-threshold: "15m"
    notify-email: "cs@aliyuncs.com"
    acr-registry-info: |
      - instanceId: ""
        customAccessKey: "xxxxx" // Enter the AccessKey ID of the created RAM role. 
        customAccessKeySecret: "xxxxxx" // Enter the AccessKey secret of the created RAM role.
"#;

#[test]
fn the_first_example_is_broken_and_the_line_is_named() {
    check(
        ENTERPRISE,
        "metadata: line 14 does not fit the lines above it: indent all keys of an entry alike, write a space after each colon, \
         and quote a value that contains a colon",
    );
}

#[test]
fn with_its_indentation_corrected_only_the_placeholder_is_left() {
    let corrected = ENTERPRISE.replace("\n  namespace", "\n namespace");
    check(
        &corrected,
        "acr-registry-info[0].instanceId: is a placeholder from the documentation: copy the id, such as \
         cri-0123456789abcdef, from the ACR console",
    );
    let configuration = read(&filled_in(&corrected));
    assert!(
        matches!(&configuration.registries[0].instance, Instance::Enterprise(id) if id.as_str() == "cri-0123456789abcdef")
    );
    assert!(configuration.namespaces.contains("team-a") && !configuration.namespaces.contains("kube-system"));
}

#[test]
fn both_editions_stand_side_by_side() {
    let registries = read(&filled_in(BOTH_EDITIONS)).registries;
    assert_eq!(registries.len(), 2);
    assert_eq!(registries[0].instance, Instance::Personal);
    assert!(matches!(registries[1].instance, Instance::Enterprise(_)));
}

#[test]
fn placeholders_among_the_domains_are_each_named() {
    check(
        WITH_DOMAINS,
        "
acr-registry-info[0].instanceId: is a placeholder from the documentation: copy the id, such as cri-0123456789abcdef, from the ACR console
acr-registry-info[0].domains (entry 1): is a placeholder from the documentation: write the hosts of the instance, or leave domains out for all of them
acr-registry-info[0].domains (entry 2): is a placeholder from the documentation: write the hosts of the instance, or leave domains out for all of them
",
    );
    let registries = read(&filled_in(WITH_DOMAINS)).registries;
    assert_eq!(registries[0].domains.len(), 2);
}

#[test]
fn the_placeholder_of_an_account_is_named() {
    check(
        ASSUMED_ROLE,
        "acr-registry-info[0].assumeRoleARN: is a placeholder from the documentation: copy the role's ARN, such as \
         acs:ram::1234567890123456:role/acr-puller",
    );
    let registries = read(&filled_in(ASSUMED_ROLE)).registries;
    let role = &registries[0].identity.assume_role.as_ref().unwrap().role;
    assert_eq!(role.as_str(), "acs:ram::1234567890123456:role/kubernetesworkerrole-test");
}

#[test]
fn a_comment_of_another_language_is_named_and_then_the_placeholders_are() {
    let check_line = |example: &str, key: &str, line| {
        check(
            example,
            &format!(
                "acr-registry-info[0].{key}: more text follows the closing quote in line {line} of acr-registry-info: write \
                 one text in one pair of quotes; a comment begins with #"
            ),
        );
    };
    check_line(ACCESS_KEY, "customAccessKey", 2);
    check_line(&ACCESS_KEY.replacen("//", "#", 1), "customAccessKeySecret", 3);
    check(
        &ACCESS_KEY.replace("//", "#"),
        "
acr-registry-info[0].customAccessKey: is a placeholder from the documentation: write the id of an access key
acr-registry-info[0].customAccessKeySecret: is a placeholder from the documentation: write the secret of an access key
",
    );
    let registries = read(&filled_in(ACCESS_KEY)).registries;
    assert!(matches!(&registries[0].identity.source, IdentitySource::KeyPair(_)));
}
