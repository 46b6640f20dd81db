use jiff::SignedDuration;
use serde_json::{Value, json};

use super::policy::{Installed, Rules};
use super::*;
use crate::cluster::observed::{PullSecret, ServiceAccount};
use crate::commands::explain::gather::Labels;
use crate::commands::explain::gather::manifest::Manifest;
use crate::configuration;
use crate::telemetry::policies::Policy;

mod lists;
mod policies;
mod steps;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const OURS: &str = "acr-credential-secret-aggregation";

const CONFIGURATION: &str = "
watch-namespace: team-*
exclude-namespace: team-x
acr-registry-info: |
  - instanceId: cri-demo
    regionId: cn-hangzhou
    domains: [demo-registry.cn-hangzhou.cr.aliyuncs.com]
  - instanceId: \"\"
    regionId: cn-beijing
  - instanceId: cri-prod
    regionId: cn-shanghai
    domains: [prod-registry.cn-shanghai.cr.aliyuncs.com]
    namespaces: team-p
";

fn configuration(more: &str) -> Configuration {
    configuration::parse(format!("{CONFIGURATION}{more}").as_bytes()).unwrap().configuration
}

/// What an object says, in the cluster or in a manifest.
fn read(object: &Value, exists: bool) -> Subject {
    let mut manifest = Manifest::default();
    manifest.read(object, "team-a", exists).unwrap();
    manifest.subjects.pop().unwrap()
}

fn spec(pull_secrets: &[&str]) -> Value {
    let list: Vec<_> = pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    let image = "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1";
    json!({ "containers": [{ "image": image }], "imagePullSecrets": list })
}

fn subject() -> Subject {
    read(&json!({ "kind": "Pod", "metadata": { "name": "web" }, "spec": spec(&[OURS]) }), true)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn workload(pull_secrets: &[&str], exists: bool) -> Subject {
    let template = json!({ "spec": spec(pull_secrets) });
    let object =
        json!({ "kind": "Deployment", "metadata": { "name": "web" }, "spec": { "template": template } });
    read(&object, exists)
}

fn pod_to_come(pull_secrets: &[&str]) -> Subject {
    read(&json!({ "kind": "Pod", "metadata": { "name": "web" }, "spec": spec(pull_secrets) }), false)
}

/// A policy in force, for the namespaces of the configuration where these settings name none.
fn rules(mut settings: Value) -> Rules {
    let map = settings.as_object_mut().unwrap();
    map.entry("namespaces").or_insert_with(|| json!(["team-*"]));
    map.entry("excludedNamespaces").or_insert_with(|| json!(["team-x"]));
    let opt_out =
        json!({ "key": "acr-credential-helper.io/inject", "operator": "NotIn", "values": ["false"] });
    let selector = json!({ "matchExpressions": [opt_out] });
    let spec = json!({ "settings": settings, "namespaceSelector": selector, "objectSelector": selector });
    Rules::from(&Policy { spec, status: Some("active".to_owned()) })
}

pub(super) fn account(pull_secrets: &[&str]) -> Seen<ServiceAccount> {
    Seen::Found(service_account(pull_secrets, false))
}

fn service_account(pull_secrets: &[&str], enforces_mountable: bool) -> ServiceAccount {
    ServiceAccount {
        name: "default".into(),
        uid: "u".into(),
        resource_version: "1".into(),
        pull_secrets: pull_secrets.iter().map(|name| (*name).into()).collect(),
        is_too_long: false,
        enforces_mountable,
        ours_last: false,
        other_manager: None,
    }
}

/// The cluster, and the policies in it.
#[derive(Debug, Clone)]
struct World {
    cluster: Cluster,
    policies: Policies,
}

fn cluster() -> World {
    let cluster = Cluster {
        is_queried: true,
        namespace: Seen::Found(kube::api::ObjectMeta::default()),
        account: account(&[]),
        secret: Seen::Found(PullSecret {
            uid: "u".into(),
            resource_version: "1".into(),
            ours: true,
            surely_ours: true,
            intact: true,
            other_manager: None,
            terminating: false,
            hash: Box::default(),
            inputs: Box::default(),
            expires_at: Some(NOW + SignedDuration::from_mins(50)),
            registries: "cn-hangzhou/cri-demo".into(),
        }),
        report: Seen::Absent,
        hosts: None,
    };
    let guard = rules(json!({ "manualPullSecrets": { "workloads": "reject" } }));
    World { cluster, policies: Ok(installed(Some(rules(json!({}))), Some(guard))) }
}

fn secret_in(world: &mut World) -> &mut PullSecret {
    match &mut world.cluster.secret {
        Seen::Found(secret) => secret,
        seen => panic!("{seen:?}"),
    }
}

fn installed(inject: Option<Rules>, guard: Option<Rules>) -> Installed {
    Installed { inject, guard, differences: Vec::new(), assumed: None }
}

fn with_policies(inject: Option<Rules>, guard: Option<Rules>) -> World {
    World { policies: Ok(installed(inject, guard)), ..cluster() }
}

fn with_account(account: Seen<ServiceAccount>, world: World) -> World {
    World { cluster: Cluster { account, ..world.cluster }, ..world }
}

fn judged(subject: &Subject, configuration: &Configuration, world: Option<&World>) -> Vec<Line> {
    let (unknown, nowhere) = (Err("no cluster is asked".to_owned()), Cluster::default());
    let case = Case {
        subject,
        configuration: Ok(configuration),
        pull_secret: OURS,
        policies: world.map_or(&unknown, |world| &world.policies),
        user: "",
        cluster: world.map_or(&nowhere, |world| &world.cluster),
        now: NOW,
    };
    case.diagnose()
}

fn chain(subject: &Subject, configuration: &Configuration, world: Option<&World>) -> String {
    let lines = judged(subject, configuration, world).into_iter();
    let lines: Vec<_> =
        lines.map(|line| anstream::adapter::strip_str(&line.to_string()).to_string()).collect();
    lines.join("\n")
}

/// A line begins with this sign and place, and this is whether the whole verdict is good.
#[track_caller]
fn check(
    subject: &Subject,
    configuration: &Configuration,
    cluster: Option<&World>,
    is_good: bool,
    line: &str,
) {
    let chain = chain(subject, configuration, cluster);
    assert!(chain.lines().any(|found| found.starts_with(line)), "{line}\n{chain}");
    assert_eq!(passes(&judged(subject, configuration, cluster)), is_good, "{line}\n{chain}");
}

#[test]
fn a_pod_that_can_pull_has_a_tick_at_every_step() {
    insta::assert_snapshot!(chain(&subject(), &configuration(""), Some(&cluster())), @r"
    ✓ namespace team-a: is managed
    ✓ service account default: is selected
    ✓ policy acr-credential-helper-inject: is installed, and selects what the configuration selects
    ✓ imagePullSecrets: has acr-credential-secret-aggregation
    ✓ Secret acr-credential-secret-aggregation: is valid for 50 min, and contains cn-hangzhou/cri-demo
    ✓ image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: its host belongs to acr-registry-info[0]
    ");
}

#[test]
fn a_manifest_is_explained_without_a_cluster() {
    let subject = pod_to_come(&[]);
    insta::assert_snapshot!(chain(&subject, &configuration(""), None), @r#"
    ✓ user: judged as created by a person (change it with --as)
    ✓ namespace team-a: is managed
    ✓ service account default: is selected
    - policy acr-credential-helper-inject: not checked: no cluster is asked
    - imagePullSecrets: is empty: whether the policy adds acr-credential-secret-aggregation when a Pod is created was not checked
    - Secret acr-credential-secret-aggregation: not checked: no cluster was queried
    ✓ image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: its host belongs to acr-registry-info[0]
    "#);
}

#[test]
fn all_that_is_wrong_is_said_at_once_with_the_way_out() {
    let subject = Subject {
        namespace: "other".to_owned(),
        service_account: "builder".to_owned(),
        pull_secrets: vec!["regcred".to_owned()],
        images: vec![
            "gone-registry.cn-hangzhou.cr.aliyuncs.com/a".to_owned(),
            "prod-registry.cn-shanghai.cr.aliyuncs.com/a".to_owned(),
            "registry-vpc.cn-beijing.aliyuncs.com/a/b".to_owned(),
            "demo-registry.cn-hangzhou.cr.aliyuncs.com/{{ .Values.image }}".to_owned(),
            "nginx".to_owned(),
        ],
        ..subject()
    };
    let mut world = cluster();
    world.cluster.secret = Seen::Absent;
    insta::assert_snapshot!(chain(&subject, &configuration(""), Some(&world)), @r#"
    ✗ namespace other: is not managed: add other to watch-namespace
    ✗ service account builder: is not selected: add builder to service-account, here and in the policies
    ✗ policy acr-credential-helper-inject: leaves out other: add it to its namespaces
    ✗ policy acr-credential-helper-inject: leaves out the service account builder: add it to its serviceAccounts
    ✗ imagePullSecrets: contains only regcred, and the list of a Pod never changes: add `- name: acr-credential-secret-aggregation` to it where the Pod is defined
    ✗ Secret acr-credential-secret-aggregation: is missing: `status` and the log of the sidecar show what it waits for
    - image gone-registry.cn-hangzhou.cr.aliyuncs.com/a: gone-registry.cn-hangzhou.cr.aliyuncs.com is not among the configured registries; fine if it is public
    ✗ image prod-registry.cn-shanghai.cr.aliyuncs.com/a: its host belongs to acr-registry-info[2], which is for other namespaces: add other to its namespaces
    ✓ image registry-vpc.cn-beijing.aliyuncs.com/a/b: its host belongs to acr-registry-info[1]
    ✗ image demo-registry.cn-hangzhou.cr.aliyuncs.com/{{ .Values.image }}: is a template that was not rendered: render it first
    - image nginx: docker.io is not among the configured registries; fine if it is public
    "#);
}

#[test]
fn a_pod_of_public_images_needs_nothing() {
    let subject = Subject { namespace: "other".to_owned(), images: vec!["nginx".to_owned()], ..subject() };
    insta::assert_snapshot!(chain(&subject, &configuration(""), Some(&cluster())), @"- image nginx: docker.io is not among the configured registries; fine if it is public");
}

#[test]
fn without_a_cluster_the_assumed_policies_judge() {
    let policy = rules(json!({}));
    let installed = installed(Some(policy.clone()), Some(policy));
    let policies = Ok(Installed { assumed: Some("are assumed".to_owned()), ..installed });
    let configuration = configuration("");
    let explain = |subject: &Subject, user| {
        let case = Case {
            subject,
            configuration: Ok(&configuration),
            pull_secret: OURS,
            policies: &policies,
            user,
            cluster: &Cluster::default(),
            now: NOW,
        };
        let lines = case.diagnose();
        let text: Vec<_> =
            lines.iter().map(|line| anstream::adapter::strip_str(&line.to_string()).to_string()).collect();
        (passes(&lines), text.join("\n"))
    };
    let (is_good, text) = explain(&pod_to_come(&["regcred"]), "");
    assert!(!is_good);
    insta::assert_snapshot!(text, @r#"
    - policies: are assumed
    ✓ user: judged as created by a person (change it with --as)
    ✓ namespace team-a: is managed
    ✓ service account default: is selected
    ✓ policy acr-credential-helper-inject: is assumed to be installed, and selects what the configuration selects
    ✗ policy acr-credential-helper-inject: Pod team-a/web: spec.imagePullSecrets lists "regcred" without "acr-credential-secret-aggregation", so the Pod would not get it; add "acr-credential-secret-aggregation" to the list, or allow "regcred" in manualPullSecrets.allowed
    - Secret acr-credential-secret-aggregation: not checked: no cluster was queried
    ✓ image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: its host belongs to acr-registry-info[0]
    "#);
    let (is_good, text) = explain(&pod_to_come(&["regcred"]), "system:serviceaccount:ci:runner");
    assert!(
        is_good && text.contains("✓ user: judged as created by system:serviceaccount:ci:runner"),
        "{text}"
    );
    let (is_good, text) = explain(&workload(&["regcred"], false), "");
    assert!(is_good, "{text}");
    insta::assert_snapshot!(text, @r#"
    - policies: are assumed
    ✓ user: judged as created by a person (change it with --as)
    ✓ namespace team-a: is managed
    ✓ service account default: is selected
    ✓ policy acr-credential-helper-inject: is assumed to be installed, and selects what the configuration selects
    ! policy acr-credential-helper-guard: imagePullSecrets lists "regcred" without "acr-credential-secret-aggregation"; Pods get it anyway
    ! policy acr-credential-helper-guard: add "acr-credential-secret-aggregation" to the list, or allow "regcred" in manualPullSecrets.allowed
    ✓ imagePullSecrets: has regcred, and the policy adds acr-credential-secret-aggregation when a Pod is created
    - Secret acr-credential-secret-aggregation: not checked: no cluster was queried
    ✓ image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: its host belongs to acr-registry-info[0]
    "#);
}

/// Judges what the role `edit` of one namespace shows: neither the configuration nor the policies are known.
fn tenant(subject: &Subject, world: &World) -> (bool, String) {
    let case = Case {
        subject,
        configuration: Err("you may not get configmaps"),
        pull_secret: OURS,
        policies: &Err("you may not get clusteradmissionpolicies".to_owned()),
        user: "",
        cluster: &world.cluster,
        now: NOW,
    };
    let lines = case.diagnose();
    (passes(&lines), lines.iter().map(Line::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_tenant_is_shown_what_it_may_read_and_nothing_is_called_good_that_was_not_read() {
    let (is_good, text) = tenant(&subject(), &cluster());
    assert!(is_good);
    insta::assert_snapshot!(text, @r"
    - configuration: not checked: you may not get configmaps
    - namespace team-a: exists; the configuration, which is not known, decides whether it is managed
    - service account default: exists; the configuration, which is not known, decides whether it is selected
    - policy acr-credential-helper-inject: not checked: you may not get clusteradmissionpolicies
    ✓ imagePullSecrets: has acr-credential-secret-aggregation
    ✓ Secret acr-credential-secret-aggregation: is valid for 50 min, and contains cn-hangzhou/cri-demo
    ! image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: its host may belong to cn-hangzhou/cri-demo, which the pull secret contains: --read-secret shows whether it does
    ");
    // With the role `view`, the pull secret is not seen either.
    let mut world = cluster();
    world.cluster.secret = Seen::Unknown("you may not get secrets".to_owned());
    let (is_good, text) = tenant(&workload(&[], true), &world);
    assert!(is_good);
    insta::assert_snapshot!(text, @r"
    - configuration: not checked: you may not get configmaps
    - namespace team-a: exists; the configuration, which is not known, decides whether it is managed
    - service account default: exists; the configuration, which is not known, decides whether it is selected
    - policy acr-credential-helper-inject: not checked: you may not get clusteradmissionpolicies
    - imagePullSecrets: is empty: whether the policy adds acr-credential-secret-aggregation when a Pod is created was not checked
    - Secret acr-credential-secret-aggregation: not checked: you may not get secrets
    - image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: whether the pull secret has a login for its host was not checked
    ");
    let nothing = World { cluster: Cluster::default(), ..cluster() };
    let (is_good, text) = tenant(&workload(&[], true), &nothing);
    assert!(is_good && !text.contains('✓'), "{text}");
}

#[test]
fn a_tenant_finds_what_is_wrong_in_its_namespace() {
    let check = |subject: &Subject, change: fn(&mut World), is_good: bool, line: &str| {
        let mut world = cluster();
        change(&mut world);
        let (found, text) = tenant(subject, &world);
        assert!(text.lines().any(|found| found.starts_with(line)), "{line}\n{text}");
        assert_eq!(found, is_good, "{text}");
    };
    let manual =
        read(&json!({ "kind": "Pod", "metadata": { "name": "web" }, "spec": spec(&["regcred"]) }), true);
    check(&manual, |_| (), false, "✗ imagePullSecrets: contains only regcred");
    let missing: fn(&mut World) = |world| world.cluster.secret = Seen::Absent;
    let secret = format!("Secret {OURS}: is missing");
    check(&subject(), missing, false, &format!("✗ {secret}"));
    // An image of another host may be public, or of a registry with a domain of its own.
    let elsewhere = Subject { images: vec!["nginx".to_owned()], ..subject() };
    check(&elsewhere, missing, true, &format!("! {secret}"));
    check(&elsewhere, |_| (), true, "- image nginx: its host is not one of ACR; --read-secret shows");
    check(
        &subject(),
        |world| world.cluster.account = Seen::Absent,
        false,
        "✗ service account default: does not",
    );
    check(
        &subject(),
        |world| world.cluster.namespace = Seen::Absent,
        false,
        "✗ namespace team-a: does not exist",
    );
    let enforces: fn(&mut World) = |world| world.cluster.account = Seen::Found(service_account(&[], true));
    check(&subject(), enforces, false, "✗ service account default: enforces mountable secrets");
}

#[test]
fn a_host_that_the_pull_secret_lacks_does_not_hide_what_is_wrong_with_the_pull_secret() {
    let with = |change: fn(&mut PullSecret), hosts: Option<&[&str]>| {
        let mut world = cluster();
        change(secret_in(&mut world));
        world.cluster.hosts = hosts.map(names);
        world
    };
    let check = |change: fn(&mut PullSecret), line: &str| {
        for hosts in [None, Some(&[][..]), Some(&["other.example.com"][..])] {
            let (is_good, text) = tenant(&subject(), &with(change, hosts));
            assert!(text.contains(&format!("✗ Secret {OURS}: {line}")) && !is_good, "{text}");
            // The registry may have a domain of its own, and so may a registry that is public.
            let custom = Subject { images: vec!["registry.example.com/a".to_owned()], ..subject() };
            let (is_good, text) = tenant(&custom, &with(change, hosts));
            assert!(text.contains(&format!("! Secret {OURS}: {line}")) && is_good, "{text}");
        }
    };
    // What the sidecar leaves if it could not renew the only credential.
    check(|secret| (secret.registries, secret.expires_at) = (Box::default(), None), "contains no credential");
    check(|secret| secret.expires_at = Some(NOW), "expired at");
    check(
        |secret| (secret.ours, secret.intact, secret.registries) = (false, false, Box::default()),
        "another manager created it",
    );
    check(|secret| secret.intact = false, "was changed by an unknown manager");
    // The image may be public, so a list without a good pull secret is only a warning.
    let manual = workload(&["regcred"], true);
    let elsewhere = Subject { images: vec!["a-registry.cn-beijing.cr.aliyuncs.com/a".to_owned()], ..manual };
    for hosts in [None, Some(&["other.example.com"][..])] {
        let (is_good, text) = tenant(&elsewhere, &with(|_| (), hosts));
        assert!(text.contains(&format!("✓ Secret {OURS}")) && is_good, "{text}");
        assert!(text.contains("! imagePullSecrets: contains only regcred"), "{text}");
    }
}

#[test]
fn a_host_is_judged_by_the_pull_secret_if_the_configuration_is_not_known() {
    let check = |image: &str, hosts: Option<&[&str]>, is_good: bool, line: &str| {
        let mut world = cluster();
        world.cluster.hosts = hosts.map(names);
        let subject = Subject { images: vec![format!("{image}/a:1")], ..subject() };
        let (found, text) = tenant(&subject, &world);
        let (mark, rest) = line.split_at(line.find(' ').unwrap());
        let line = format!("{mark} image {image}/a:1:{rest}");
        assert!(text.lines().any(|found| found.starts_with(&line)), "{line}\n{text}");
        assert_eq!(found, is_good, "{text}");
    };
    let host = "demo-registry.cn-hangzhou.cr.aliyuncs.com";
    let other = "demo-registry.cn-beijing.cr.aliyuncs.com";
    check(host, None, true, "! its host may belong to cn-hangzhou/cri-demo, which the pull secret contains");
    check(other, None, true, "! the pull secret has no registry of this kind and region");
    check("registry.cn-hangzhou.aliyuncs.com", None, true, "! the pull secret has no registry of this kind");
    check(host, Some(&[host]), true, "✓ the pull secret has a login for its host");
    check(
        other,
        Some(&[host]),
        true,
        "! the pull secret has no login for its host; fine if the image is public",
    );
    check("ghcr.io", Some(&[host]), true, "- the pull secret has no login for its host; fine");
    check(&host.to_uppercase(), Some(&[host]), false, "✗ the kubelet finds no login for its host");
    check("registry.example.com", Some(&["registry.example.com"]), true, "✓ the pull secret has a login");
}
