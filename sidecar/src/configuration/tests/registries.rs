//! Entries of the list of registries.

use std::time::Duration;

use acr_credential_core::Pattern;

use super::super::{Host, IdentitySource, Instance, parse};
use super::{check, check_warnings, data, read, registry};

const ROLES: &str = "\
- rrsaRoleARN: acs:ram::1:role/first
  rrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/ack-rrsa-c0123
";

#[test]
fn an_entry_holds_all_that_can_be_said() {
    let registry = registry(
        "\
- instanceId: 'cri-0123456789abcdef'
  regionId: ap-southeast-6
  domains: Demo-registry.ap-southeast-6.cr.aliyuncs.com, registry.example.com:5000 , registry.example.com:5000
  namespaces: default, team-*
  accessKeySecretRef: {name: team-a-key}
  assumeRoleARN: acs:ram::1234567890123456:role/acr-puller
  expireDuration: 7200
  externalId: team-a
",
    );
    assert!(matches!(&registry.instance, Instance::Enterprise(id) if id.as_str() == "cri-0123456789abcdef"));
    assert_eq!(registry.region.unwrap().as_str(), "ap-southeast-6");
    let hosts: Vec<_> = registry.domains.iter().map(Host::as_str).collect();
    assert_eq!(hosts, ["demo-registry.ap-southeast-6.cr.aliyuncs.com", "registry.example.com:5000"]);
    let namespaces = registry.namespaces.unwrap();
    assert_eq!(namespaces, [Pattern::Name("default".into()), Pattern::Glob("team-*".into())]);
    assert!(
        matches!(&registry.identity.source, IdentitySource::KeySecret(name) if name.as_str() == "team-a-key")
    );
    let role = registry.identity.assume_role.unwrap();
    assert_eq!(role.duration, Duration::from_hours(2));
    assert_eq!(role.external_id.unwrap().as_str(), "team-a");
}

#[test]
fn lists_may_be_written_as_lists() {
    let registry = registry("- domains: [a.example.com, 'b.example.com']\n  namespaces: [default]\n");
    assert_eq!(registry.domains.len(), 2);
    assert_eq!(registry.namespaces, Some(vec![Pattern::Name("default".into())]));
}

#[test]
fn hosts_that_are_no_instance_of_acr_are_warned_of() {
    for host in ["docker.io", "ghcr.io", "mcr.microsoft.com", "192.168.0.1:5000"] {
        check_warnings(
            &data(&format!("- instanceId: cri-example\n  domains: {host}\n")),
            &format!(
                "acr-registry-info[0].domains: {host} is not a host of ACR: the credential would be sent there: remove it, or \
                 write the host of the instance"
            ),
        );
    }
}

#[test]
fn what_is_left_of_a_list_that_narrows_is_never_for_all() {
    const NAMESPACES: &str = "acr-registry-info[0].namespaces: names no namespace: name at least one, or remove the entry if \
         no namespace should get it, or the key if all managed namespaces should";
    const DOMAINS: &str = "acr-registry-info[0].domains: names no host: name at least one, or remove the key for all hosts \
         of the instance";
    for value in
        ["# team-a", "\n    # - team-a", "\n    -", "[ # team-a\n    ]", "null", "~", "', ,'", "['', null]"]
    {
        check(&data(&format!("- namespaces: {value}\n")), NAMESPACES);
    }
    for value in ["# a.example.com", "\n    # - a.example.com", "null", "[]", "','"] {
        check(&data(&format!("- domains: {value}\n")), DOMAINS);
    }
    // No clash is made up with an entry whose namespaces are not known.
    check(
        &data("- domains: a.example.com\n- domains: a.example.com\n  namespaces:\n"),
        &NAMESPACES.replace('0', "1"),
    );
    check(
        "watch-namespace-selector:\n",
        "watch-namespace-selector: is empty: write a label selector, or remove the key if namespaces are managed \
         whatever their labels",
    );
}

#[test]
fn a_session_that_leads_to_another_one_is_short() {
    let lives = |more: &str| {
        let identity = registry(&format!("{ROLES}{more}")).identity;
        let IdentitySource::Rrsa { duration, .. } = identity.source else { panic!("not RRSA") };
        (duration.as_secs(), identity.assume_role.map(|role| role.duration.as_secs()))
    };
    assert_eq!(lives(""), (3600, None));
    assert_eq!(lives("  expireDuration: '7200'\n"), (7200, None));
    assert_eq!(
        lives("  expireDuration: 7200\n  assumeRoleARN: acs:ram::2:role/second\n"),
        (3600, Some(7200)),
    );
}

#[test]
fn an_access_key_in_the_configuration_works_but_is_warned_about() {
    let list = "- customAccessKey: LTAI5tEXAMPLE\n  customAccessKeySecret: exampleSecret\n";
    let source = registry(list).identity.source;
    assert!(matches!(&source, IdentitySource::KeyPair(pair) if pair.id.as_str() == "LTAI5tEXAMPLE"));
    assert_eq!(format!("{source:?}"), "KeyPair(KeyPair([redacted]))");
    check_warnings(
        &data(list),
        "acr-registry-info[0].customAccessKey: keeps an access key in the ConfigMap, where many can read it: move it \
         to a Secret, and name that in accessKeySecretRef",
    );
}

#[test]
fn values_keep_the_text_they_are_written_with() {
    let secret = registry("- accessKeySecretRef: 0123\n").identity.source;
    assert!(matches!(&secret, IdentitySource::KeySecret(name) if name.as_str() == "0123"));
    let secret = registry("- accessKeySecretRef: 1e3\n").identity.source;
    assert!(matches!(&secret, IdentitySource::KeySecret(name) if name.as_str() == "1e3"));
    let secret = registry("- accessKeySecretRef: yes\n").identity.source;
    assert!(matches!(&secret, IdentitySource::KeySecret(name) if name.as_str() == "yes"));
}

/// Two entries that claim one host for these namespaces.
fn two(first: &str, second: &str) -> String {
    let entry = |namespaces: &str| match namespaces {
        "" => "- domains: a.example.com\n".to_owned(),
        _ => format!("- domains: a.example.com\n  namespaces: '{namespaces}'\n"),
    };
    format!("watch-namespace: all\n{}", data(&format!("{}{}", entry(first), entry(second))))
}

#[test]
fn a_host_is_claimed_once_for_each_namespace() {
    for (first, second) in
        [("", ""), ("team-a", ""), ("team-*", "*-prod"), ("team-a,team-b", "team-b"), ("all", "x")]
    {
        check(
            &two(first, second),
            "acr-registry-info[1].domains: claims a.example.com, as acr-registry-info[0] does, for namespaces that can \
             be the same: remove the host from one of the two, or give them different namespaces",
        );
    }
    for (first, second) in [("team-a", "team-b"), ("team-*", "prod-*"), ("team-?", "team-ab")] {
        assert!(parse(two(first, second).as_bytes()).is_ok(), "{first} {second}");
    }
}

#[test]
fn personal_edition_is_there_once_for_each_namespace() {
    const ADVICE: &str = "keep one of the two, or give them different namespaces, since Personal Edition has the same hosts in \
         every account";
    const ROLE: &str = "  assumeRoleARN: acs:ram::2:role/puller\n";
    let clash = "acr-registry-info[1]: claims hosts of acr-registry-info[0] with another identity, for namespaces that can be the \
         same";
    for (first, second) in [
        // The same region, or the cluster's in both.
        ("  regionId: cn-hangzhou\n", "  regionId: cn-hangzhou\n"),
        ("", ""),
        ("  domains: ''\n", "  regionId: ''\n"),
        // One of the two lists some of its hosts.
        ("  regionId: cn-hangzhou\n", "  domains: registry-vpc.cn-hangzhou.aliyuncs.com\n"),
        ("  domains: 'registry.cn-beijing.aliyuncs.com,a.example.com'\n", "  regionId: cn-beijing\n"),
        ("  namespaces: default,team-a\n", "  namespaces: team-*\n"),
    ] {
        let list = data(&format!("- instanceId: ''\n{first}- instanceId: ''\n{second}{ROLE}"));
        check(&list, &format!("{clash}: {ADVICE}"));
    }

    let may = "acr-registry-info[1]: claims hosts of acr-registry-info[0] with another identity if the cluster is in cn-beijing, \
         for namespaces that can be the same";
    for (first, second) in [
        ("", "  regionId: cn-beijing\n"),
        ("  regionId: cn-beijing\n", ""),
        ("", "  domains: registry.cn-beijing.aliyuncs.com\n"),
    ] {
        let list = data(&format!("- instanceId: ''\n{first}- instanceId: ''\n{second}{ROLE}"));
        read(&list);
        check_warnings(&list, &format!("{may}: {ADVICE}"));
    }

    for (first, second) in [
        ("  regionId: cn-beijing\n", "  regionId: cn-hangzhou\n"),
        ("  regionId: cn-beijing\n", "  domains: a.example.com\n"),
        ("  namespaces: team-a\n", "  namespaces: team-b\n"),
    ] {
        let list = format!(
            "watch-namespace: all\n{}",
            data(&format!("- instanceId: ''\n{first}- instanceId: ''\n{second}{ROLE}"))
        );
        read(&list);
        check_warnings(&list, "");
    }
    // The same credential for some of the hosts, and for all of them.
    read(&data(
        "- regionId: cn-beijing\n- regionId: cn-beijing\n  domains: registry.cn-beijing.aliyuncs.com\n",
    ));
}

#[test]
fn every_host_that_is_claimed_twice_is_named() {
    check(
        &data("- domains: a.example.com,b.example.com\n- domains: b.example.com,a.example.com,c.example.com\n"),
        "
acr-registry-info[1].domains: claims a.example.com, as acr-registry-info[0] does, for namespaces that can be the same: remove the host from one of the two, or give them different namespaces
acr-registry-info[1].domains: claims b.example.com, as acr-registry-info[0] does, for namespaces that can be the same: remove the host from one of the two, or give them different namespaces
",
    );
}

#[test]
fn equal_entries_and_entries_for_nobody_are_warned_about() {
    check_warnings(
        &data("- regionId: cn-beijing\n- regionId: cn-hangzhou\n- regionId: cn-beijing\n"),
        "acr-registry-info[2]: is the same as acr-registry-info[0]: remove one of the two",
    );
    check_warnings(
        &data("- namespaces: default,team-a,team-*\n"),
        "acr-registry-info[0].namespaces: names team-a, which is not a managed namespace: add it to watch-namespace, or \
         remove it here",
    );
    check_warnings("watch-namespace: a_b\nacr-registry-info: '- namespaces: a'", "");
}

#[test]
fn hosts_of_the_other_region_are_warned_about() {
    let list = "- regionId: cn-beijing\n  domains: registry-vpc.cn-hangzhou.aliyuncs.com\n";
    read(&data(list));
    check_warnings(
        &data(list),
        "acr-registry-info[0].domains: is a host in cn-hangzhou, but the entry's regionId is cn-beijing: correct one of \
         the two, since credentials are good for one region",
    );
    check_warnings(&data("- regionId: cn-beijing\n  domains: registry.cn-beijing.aliyuncs.com\n"), "");
}
