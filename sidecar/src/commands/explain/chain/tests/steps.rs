//! Namespace, service account, Secret and images.

use super::*;

#[test]
fn an_exclusion_and_a_selector_are_told_from_a_name_that_is_not_listed() {
    let excluded = Subject { namespace: "team-x".to_owned(), ..subject() };
    check(
        &excluded,
        &configuration(""),
        None,
        false,
        "✗ namespace team-x: is taken out by exclude-namespace: name",
    );
    let selector = configuration("watch-namespace-selector: env=prod\n");
    check(&subject(), &selector, None, true, "! namespace team-a: is managed if its labels match");
    check(&subject(), &selector, Some(&cluster()), false, "✗ namespace team-a: has no labels that");
}

#[test]
fn a_service_account_is_judged_by_what_it_lists() {
    let enforcing = |list: &[&str]| Account::Found { pull_secrets: names(list), enforces_mountable: true };
    let check = |account: Account, more: &str, mark: char, rest: &str| {
        let cluster = Cluster { account, ..cluster() };
        let line = format!("{mark} service account default: {rest}");
        check(&subject(), &configuration(more), Some(&cluster), mark == '✓', &line);
    };
    let by_accounts = "attach: service-account\n";
    check(Account::Absent, "", '✗', "does not exist");
    check(Account::Unknown, "", '✓', "is selected");
    check(account(&[]), "", '✓', "is selected");
    check(enforcing(&[]), "", '✗', "enforces mountable secrets and does not list");
    check(enforcing(&[OURS]), "", '✓', "is selected");
    check(account(&[]), by_accounts, '✗', "is selected, but does not list");
    check(account(&["mine", OURS]), by_accounts, '✓', "is selected, and lists");
}

#[test]
fn a_service_account_that_is_not_selected_may_serve_its_pods_all_the_same() {
    let of_builder = |subject: Subject| Subject { service_account: "builder".to_owned(), ..subject };
    let with = |list: &[&str], settings: Value| Cluster {
        account: account(list),
        ..with_policies(Some(rules(settings)), None)
    };
    let check = |subject: Subject, cluster: &Cluster, is_good: bool, rest: &str| {
        for more in ["", "attach: both\n"] {
            let line = rest.replace("PLACE", "service account builder: ");
            check(&of_builder(subject.clone()), &configuration(more), Some(cluster), is_good, &line);
        }
    };
    let nothing = with(&[], json!({}));
    check(workload(&[], true), &nothing, false, "✗ PLACEis not selected: add builder");
    check(workload(&[OURS], true), &nothing, true, "✓ PLACEis not selected, but the list below has");
    let lists = with(&["mine", OURS], json!({}));
    check(workload(&[], true), &lists, true, &format!("✓ PLACEis not selected, but lists {OURS} anyway"));
    // Kubernetes copies nothing to a list that holds anything.
    check(workload(&["mine"], true), &lists, false, "✗ PLACEis not selected: add builder");
    let selected = with(&[], json!({ "serviceAccounts": ["default", "builder"] }));
    check(workload(&[], true), &selected, true, "! PLACEis not selected, but the policies select it");
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
        check(&subject(), &configuration, Some(&with(change)), false, &format!("{place} {rest}"));
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
    check(&subject(), &configuration(""), Some(&cluster), false, line);
}

#[test]
fn hosts_that_the_cloud_names_are_known_once_the_secret_was_read() {
    let text =
        "watch-namespace: all\nacr-registry-info: |\n  - instanceId: cri-demo\n    regionId: cn-hangzhou\n";
    let configuration = configuration::parse(text.as_bytes()).unwrap().configuration;
    let place = "image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: ";
    check(&subject(), &configuration, Some(&cluster()), true, &format!("! {place}"));
    let with = |host: &str| Cluster { hosts: Some(vec![host.to_owned()]), ..cluster() };
    let there = with("demo-registry.cn-hangzhou.cr.aliyuncs.com");
    check(&subject(), &configuration, Some(&there), true, &format!("✓ {place}the pull secret has a login"));
    let absent = with("other-registry.cn-hangzhou.cr.aliyuncs.com");
    check(
        &subject(),
        &configuration,
        Some(&absent),
        false,
        &format!("✗ {place}no registry of the configuration"),
    );
}

#[test]
fn a_registry_for_others_is_named_also_where_only_the_cloud_knows_its_hosts() {
    let text = "watch-namespace: all\nacr-registry-info: |\n  - instanceId: cri-demo\n    regionId: cn-hangzhou\n    \
                namespaces: team-b\n";
    let configuration = configuration::parse(text.as_bytes()).unwrap().configuration;
    let line = "✗ image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: no registry for this namespace has \
                demo-registry.cn-hangzhou.cr.aliyuncs.com: add its instance to acr-registry-info, or, if it is that of \
                acr-registry-info[0], add team-a to its namespaces";
    check(&subject(), &configuration, None, false, line);
}
