use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::policy::Rules;
use super::super::subject::{Kind, Labels};
use super::*;
use crate::configuration;
use crate::operations::policies::Policy;

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

fn subject() -> Subject {
    Subject {
        title: "Pod team-a/web".to_owned(),
        namespace: "team-a".to_owned(),
        service_account: "default".to_owned(),
        pull_secrets: vec![OURS.to_owned()],
        images: vec!["demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1".to_owned()],
        kind: Kind::Pod,
        labels: Labels::new(),
        is_owned: false,
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn workload(pull_secrets: &[&str], exists: bool) -> Subject {
    let renew = "`kubectl rollout restart deployment/web -n team-a`".to_owned();
    let kind = Kind::Workload { renew, labels: Labels::new(), exists };
    Subject { pull_secrets: names(pull_secrets), kind, ..subject() }
}

fn pod_to_come(pull_secrets: &[&str]) -> Subject {
    Subject { pull_secrets: names(pull_secrets), kind: Kind::PodToCome, ..subject() }
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
    Rules::of(&Policy { spec, status: Some("active".to_owned()) })
}

fn account(pull_secrets: &[&str]) -> Account {
    Account::Found { pull_secrets: names(pull_secrets), enforces_mountable: false }
}

fn cluster() -> Cluster {
    Cluster {
        namespace: Some(ObjectMeta::default()),
        account: account(&[]),
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
            inject: Some(Box::new(rules(json!({})))),
            guard: Some(Box::new(rules(json!({})))),
            differences: Vec::new(),
        },
        lists_of_pods: Vec::new(),
    }
}

fn with_policies(inject: Option<Rules>, guard: Option<Rules>) -> Cluster {
    let (inject, guard) = (inject.map(Box::new), guard.map(Box::new));
    Cluster { policies: Policies::Known { inject, guard, differences: Vec::new() }, ..cluster() }
}

fn judged(subject: &Subject, configuration: &Configuration, cluster: Option<&Cluster>) -> Vec<Line> {
    judge(subject, &Surroundings { configuration, pull_secret: OURS, cluster, now: NOW })
}

fn chain(subject: &Subject, configuration: &Configuration, cluster: Option<&Cluster>) -> String {
    let lines = judged(subject, configuration, cluster).into_iter();
    let lines: Vec<_> =
        lines.map(|line| anstream::adapter::strip_str(&line.to_string()).to_string()).collect();
    lines.join("\n")
}

/// A line begins with this sign and place, and this is whether the whole verdict is good.
#[track_caller]
fn check(
    subject: &Subject,
    configuration: &Configuration,
    cluster: Option<&Cluster>,
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
    ✓ Secret acr-credential-secret-aggregation: is valid for 50 min, and holds cn-hangzhou/cri-demo
    ✓ image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: its host belongs to acr-registry-info[0]
    ");
}

#[test]
fn a_manifest_is_explained_without_a_cluster() {
    let subject = pod_to_come(&[]);
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
    ✗ policy acr-credential-helper-inject: leaves out other: add it to its namespaces
    ✗ policy acr-credential-helper-inject: leaves out the service account builder: add it to its serviceAccounts
    ✗ imagePullSecrets: has regcred alone, and the list of a Pod never changes: where it is written, add `- name: acr-credential-secret-aggregation` to it, or remove the list
    ✗ Secret acr-credential-secret-aggregation: is missing: `status` and the log of the sidecar say what it waits for
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
