use jiff::SignedDuration;
use serde_json::json;

use super::super::policy::Rules;
use super::super::subject::Kind;
use super::*;
use crate::configuration;

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

fn subject() -> Subject {
    Subject {
        title: "Pod team-a/web".to_owned(),
        namespace: "team-a".to_owned(),
        service_account: "default".to_owned(),
        pull_secrets: vec![OURS.to_owned()],
        images: vec!["demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1".to_owned()],
        kind: Kind::Pod,
        opts_out: false,
    }
}

fn cluster() -> Cluster {
    Cluster {
        namespace: Some(ObjectMeta::default()),
        account: Account::Unknown,
        secret: Some(PullSecret {
            name: OURS.to_owned(),
            namespace: "team-a".to_owned(),
            uid: None,
            resource_version: None,
            ours: true,
            expires_at: Some(NOW + SignedDuration::from_mins(50)),
            registries: vec!["cn-hangzhou/cri-demo".to_owned()],
        }),
        hosts: None,
        policies: Policies::Known {
            inject: Some(Rules::of(&json!({}))),
            guard: Some(Rules::of(&json!({}))),
            differences: Vec::new(),
        },
        lists_of_pods: Vec::new(),
    }
}

fn chain(subject: &Subject, configuration: &Configuration, cluster: Option<&Cluster>) -> String {
    let around = Surroundings { configuration, pull_secret: OURS, cluster, now: NOW };
    let lines = judge(subject, &around).into_iter();
    let lines: Vec<_> =
        lines.map(|line| anstream::adapter::strip_str(&line.to_string()).to_string()).collect();
    lines.join("\n")
}

/// The line that begins with this sign and place.
#[track_caller]
fn check(subject: &Subject, configuration: &Configuration, cluster: Option<&Cluster>, line: &str) {
    let chain = chain(subject, configuration, cluster);
    assert!(chain.lines().any(|found| found.starts_with(line)), "{line}\n{chain}");
}

#[test]
fn a_pod_that_can_pull_has_a_tick_at_every_step() {
    insta::assert_snapshot!(chain(&subject(), &configuration(""), Some(&cluster())), @r"
    ✓ namespace team-a: is managed
    ✓ service account default: is selected
    ✓ policy acr-credential-helper-inject: is installed, and selects what the configuration selects
    ✓ imagePullSecrets: has acr-credential-secret-aggregation
    ✓ Secret acr-credential-secret-aggregation: is valid for 50 min, and holds cn-hangzhou/cri-demo
    ✓ image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: its host belongs to acr-registry-info[0]
    ");
}

#[test]
fn a_manifest_is_explained_without_a_cluster() {
    let subject = Subject { pull_secrets: Vec::new(), kind: Kind::PodToCome, ..subject() };
    insta::assert_snapshot!(chain(&subject, &configuration(""), None), @r"
    ✓ namespace team-a: is managed
    ✓ service account default: is selected
    ✓ imagePullSecrets: is empty: the policy adds acr-credential-secret-aggregation when a Pod is created
    - Secret acr-credential-secret-aggregation: not looked at: no cluster was asked
    ✓ image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: its host belongs to acr-registry-info[0]
    ");
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
            "nginx".to_owned(),
        ],
        ..subject()
    };
    let cluster = Cluster { secret: None, ..cluster() };
    insta::assert_snapshot!(chain(&subject, &configuration(""), Some(&cluster)), @r"
    ✗ namespace other: is not managed: add other to watch-namespace
    ✗ service account builder: is not selected: add builder to service-account, here and in the policies
    ✓ policy acr-credential-helper-inject: is installed, and selects what the configuration selects
    ✗ imagePullSecrets: has regcred alone, and the list of a Pod never changes: where it is written, add `- name: acr-credential-secret-aggregation` to it, or remove the list
    ✗ Secret acr-credential-secret-aggregation: is missing: the readiness page of the sidecar (/readyz) says what it waits for
    ✗ image gone-registry.cn-hangzhou.cr.aliyuncs.com/a: no registry of the configuration has gone-registry.cn-hangzhou.cr.aliyuncs.com: add its instance to acr-registry-info
    ✗ image prod-registry.cn-shanghai.cr.aliyuncs.com/a: its host belongs to acr-registry-info[2], which is for other namespaces: add other to its namespaces
    ✓ image registry-vpc.cn-beijing.aliyuncs.com/a/b: its host belongs to acr-registry-info[1]
    - image nginx: docker.io is not a registry of the configuration: pulled without its credentials
    ");
}

#[test]
fn a_pod_of_public_images_needs_nothing() {
    let subject = Subject { namespace: "other".to_owned(), images: vec!["nginx".to_owned()], ..subject() };
    insta::assert_snapshot!(
        chain(&subject, &configuration(""), Some(&cluster())),
        @"- image nginx: docker.io is not a registry of the configuration: pulled without its credentials"
    );
}

#[test]
fn an_exclusion_and_a_selector_are_told_from_a_name_that_is_not_listed() {
    let excluded = Subject { namespace: "team-x".to_owned(), ..subject() };
    check(&excluded, &configuration(""), None, "✗ namespace team-x: is taken out by exclude-namespace: name");
    let selector = configuration("watch-namespace-selector: env=prod\n");
    check(&subject(), &selector, None, "! namespace team-a: is managed if its labels match");
    check(&subject(), &selector, Some(&cluster()), "✗ namespace team-a: has no labels that");
}

#[test]
fn a_list_is_judged_by_where_the_reference_comes_from() {
    let by_accounts = configuration("attach: service-account\n");
    let by_policy = configuration("");
    let with = |pull_secrets: &[&str], exists| Subject {
        pull_secrets: pull_secrets.iter().map(|name| (*name).to_owned()).collect(),
        kind: if exists { Kind::Pod } else { Kind::PodToCome },
        ..subject()
    };
    let place = "imagePullSecrets:";
    let check = |subject: Subject, configuration: &Configuration, mark: char, rest: &str| {
        check(&subject, configuration, None, &format!("{mark} {place} {rest}"));
    };
    check(with(&[], true), &by_policy, '✗', "lacks");
    check(with(&[], true), &by_accounts, '✗', "lacks");
    check(
        with(&["regcred"], true),
        &by_policy,
        '✗',
        "has regcred alone, and the list of a Pod never changes",
    );
    check(with(&[], false), &by_accounts, '✓', "is empty: Kubernetes copies");
    check(with(&["regcred"], false), &by_policy, '!', "has regcred alone: manualPullSecrets");
    check(with(&["regcred"], false), &by_accounts, '✗', "has regcred, so Kubernetes copies nothing");
}

#[test]
fn a_service_account_is_judged_by_what_it_lists() {
    let found = |names: &[&str], enforces_mountable| Account::Found {
        pull_secrets: names.iter().map(|name| (*name).to_owned()).collect(),
        enforces_mountable,
    };
    let check = |account: Account, more: &str, mark: char, rest: &str| {
        let cluster = Cluster { account, ..cluster() };
        let line = format!("{mark} service account default: {rest}");
        check(&subject(), &configuration(more), Some(&cluster), &line);
    };
    let by_accounts = "attach: service-account\n";
    check(Account::Absent, "", '✗', "does not exist");
    check(found(&[], false), "", '✓', "is selected");
    check(found(&[], true), "", '✗', "enforces mountable secrets and does not list");
    check(found(&[OURS], true), "", '✓', "is selected");
    check(found(&[], false), by_accounts, '✗', "is selected, but does not list");
    check(found(&["mine", OURS], false), by_accounts, '✓', "is selected, and lists");
}

#[test]
fn a_secret_is_judged_by_its_metadata() {
    let with = |change: fn(&mut PullSecret)| {
        let mut cluster = cluster();
        change(cluster.secret.as_mut().unwrap());
        cluster
    };
    let place = format!("✗ Secret {OURS}:");
    let configuration = configuration("");
    let check = |change, rest: &str| {
        check(&subject(), &configuration, Some(&with(change)), &format!("{place} {rest}"));
    };
    check(|secret| secret.ours = false, "belongs to somebody else");
    check(|secret| secret.expires_at = None, "holds no credential");
    check(|secret| secret.expires_at = Some(NOW), "expired at 1970-01-01T00:00:00Z");
}

#[test]
fn a_registry_that_the_pull_secret_does_not_hold_yet_is_named() {
    let mut cluster = cluster();
    cluster.secret.as_mut().unwrap().registries.clear();
    let line = "✗ image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: its host belongs to acr-registry-info[0], \
                which the pull secret does not hold";
    check(&subject(), &configuration(""), Some(&cluster), line);
}

#[test]
fn hosts_that_the_cloud_names_are_known_once_the_secret_was_read() {
    let text =
        "watch-namespace: all\nacr-registry-info: |\n  - instanceId: cri-demo\n    regionId: cn-hangzhou\n";
    let configuration = configuration::parse(text.as_bytes()).unwrap().configuration;
    let place = "image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: ";
    check(&subject(), &configuration, Some(&cluster()), &format!("! {place}"));
    let with = |host: &str| Cluster { hosts: Some(vec![host.to_owned()]), ..cluster() };
    let there = with("demo-registry.cn-hangzhou.cr.aliyuncs.com");
    check(&subject(), &configuration, Some(&there), &format!("✓ {place}the pull secret has a login"));
    let absent = with("other-registry.cn-hangzhou.cr.aliyuncs.com");
    check(&subject(), &configuration, Some(&absent), &format!("✗ {place}no registry of the configuration"));
}

fn policies(inject: Option<Rules>, guard: Option<Rules>, differences: &[&str]) -> Cluster {
    let policies = Policies::Known {
        inject,
        guard,
        differences: differences.iter().map(|text| (*text).to_owned()).collect(),
    };
    Cluster { policies, ..cluster() }
}

fn workload(pull_secrets: &[&str]) -> Subject {
    let renew = "`kubectl rollout restart deployment/web -n team-a`".to_owned();
    let pull_secrets = pull_secrets.iter().map(|name| (*name).to_owned()).collect();
    Subject { pull_secrets, kind: Kind::Workload { renew }, ..subject() }
}

#[test]
fn a_policy_that_does_not_do_its_work_is_said() {
    let place = "policy acr-credential-helper-inject: ";
    let check = |subject: &Subject, cluster: &Cluster, mark: char, rest: &str| {
        check(subject, &configuration(""), Some(cluster), &format!("{mark} {place}{rest}"));
    };
    let absent = policies(None, None, &[]);
    check(&workload(&[]), &absent, '✗', "is not installed, so no Pod gets");
    check(&subject(), &absent, '!', "is not installed");
    let monitors = policies(Some(Rules::of(&json!({ "mode": "monitor" }))), None, &[]);
    check(&workload(&[]), &monitors, '✗', "only monitors");
    let narrow = json!({ "settings": { "registries": ["other.example.com"] } });
    check(
        &workload(&[]),
        &policies(Some(Rules::of(&narrow)), None, &[]),
        '✗',
        "has registries that no image",
    );
    let opted_out = Subject { opts_out: true, ..workload(&[]) };
    check(
        &opted_out,
        &cluster(),
        '✗',
        "leaves out Pods with the label acr-credential-helper.io/inject=false",
    );
    let labels = [("acr-credential-helper.io/inject".to_owned(), "false".to_owned())];
    let metadata = ObjectMeta { labels: Some(labels.into()), ..ObjectMeta::default() };
    let namespace = Cluster { namespace: Some(metadata), ..cluster() };
    check(&workload(&[]), &namespace, '✗', "leaves out team-a");
    let unknown = Cluster { policies: Policies::Unknown("forbidden".to_owned()), ..cluster() };
    check(&workload(&[]), &unknown, '-', "not looked at: forbidden");
}

#[test]
fn policies_that_select_something_else_are_named() {
    let differs = policies(Some(Rules::of(&json!({}))), None, &["the policy x has namespaces [a]"]);
    check(&workload(&[]), &configuration(""), Some(&differs), "! policies: the policy x has namespaces [a]");
}

#[test]
fn what_becomes_of_a_manual_list_is_what_the_policies_settings_say() {
    let manual = |key: &str, mode: &str| {
        Some(Rules::of(&json!({ "settings": { "manualPullSecrets": { key: mode } } })))
    };
    let place = "imagePullSecrets: ";
    let check = |subject: &Subject, cluster: &Cluster, mark: char, rest: &str| {
        check(subject, &configuration(""), Some(cluster), &format!("{mark} {place}{rest}"));
    };
    let (default, list) = (Some(Rules::of(&json!({}))), workload(&["regcred"]));
    check(&list, &cluster(), '✗', "has regcred alone, so the policy acr-credential-helper-guard refuses it");
    check(&list, &policies(default.clone(), None, &[]), '✓', "has regcred, and the policy adds");
    check(
        &list,
        &policies(manual("ownedPods", "ignore"), None, &[]),
        '✗',
        "has regcred alone, and the policy",
    );
    check(&list, &policies(default.clone(), manual("workloads", "warn"), &[]), '✓', "has regcred, and");
    check(&workload(&[]), &cluster(), '✓', "the policy adds");
    check(&workload(&[]), &policies(None, default, &[]), '✗', "is empty, and no policy adds");
    let allowed = json!({ "settings": { "manualPullSecrets": { "allowed": ["reg*"] } } });
    check(&list, &policies(Some(Rules::of(&allowed)), None, &[]), '✓', "the policy adds");
    let pod = Subject { kind: Kind::PodToCome, ..list };
    check(&pod, &cluster(), '✗', "has regcred alone, so the policy acr-credential-helper-inject refuses");
    check(&pod, &policies(manual("pods", "warn"), None, &[]), '!', "has regcred alone; the policy adds");
}

#[test]
fn entries_that_the_service_account_lists_count_as_copied_where_the_policy_reads_it() {
    let pod = Subject { pull_secrets: vec!["regcred".to_owned()], kind: Kind::PodToCome, ..subject() };
    let account = Account::Found { pull_secrets: vec!["regcred".to_owned()], enforces_mountable: false };
    let with = |reads: bool| {
        let inject = json!({ "settings": { "readServiceAccounts": reads } });
        Cluster { account: account.clone(), ..policies(Some(Rules::of(&inject)), None, &[]) }
    };
    check(
        &pod,
        &configuration(""),
        Some(&with(true)),
        "✓ imagePullSecrets: has regcred, and the policy adds",
    );
    check(&pod, &configuration(""), Some(&with(false)), "✗ imagePullSecrets: has regcred alone");
}

#[test]
fn pods_that_a_workload_made_without_the_pull_secret_are_counted() {
    let lists = |lists: &[&[&str]]| {
        let list = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Cluster { lists_of_pods: lists.iter().map(list).collect(), ..cluster() }
    };
    let check = |cluster: &Cluster, line: &str| {
        check(&workload(&[]), &configuration(""), Some(cluster), line);
    };
    check(
        &lists(&[&[OURS], &[]]),
        &format!("✗ Pods: 1 of 2 lack {OURS}, and the list of a Pod never changes"),
    );
    check(&lists(&[&[OURS]]), &format!("✓ Pods: all 1 have {OURS}"));
    assert!(!chain(&workload(&[]), &configuration(""), Some(&cluster())).contains("Pods: "));
}
