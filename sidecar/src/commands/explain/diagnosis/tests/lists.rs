//! How the reference gets into a list.

use super::*;

#[track_caller]
fn check_list(subject: &Subject, more: &str, cluster: Option<&World>, is_good: bool, rest: &str) {
    let (mark, rest) = rest.split_at(rest.find(' ').unwrap());
    check(subject, &configuration(more), cluster, is_good, &format!("{mark} imagePullSecrets:{rest}"));
}

const BY_ACCOUNTS: &str = "attach: service-account\n";

#[test]
fn a_list_is_judged_by_where_the_reference_comes_from() {
    let pod = |list: &[&str]| Subject { pull_secrets: names(list), ..subject() };
    check_list(&pod(&[]), "", None, false, "✗ lacks");
    check_list(&pod(&[]), BY_ACCOUNTS, None, false, "✗ lacks");
    check_list(
        &pod(&["regcred"]),
        "",
        None,
        false,
        "✗ contains only regcred, and the list of a Pod never changes",
    );
    check_list(&pod_to_come(&[]), BY_ACCOUNTS, None, true, "✓ is empty: Kubernetes copies");
    check_list(&pod_to_come(&[]), "", None, true, "- is empty: whether the policy adds");
    check_list(&pod_to_come(&["regcred"]), "", None, true, "! contains only regcred: manualPullSecrets");
    check_list(
        &pod_to_come(&["regcred"]),
        BY_ACCOUNTS,
        None,
        false,
        "✗ has regcred, so Kubernetes copies nothing",
    );
    check_list(&pod_to_come(&[""]), BY_ACCOUNTS, None, false, "✗ has an entry without a name, so Kubernetes");
}

#[test]
fn what_the_service_account_lists_is_copied_in_every_mode() {
    let cluster = with_account(account(&["mine", OURS]), with_policies(None, None));
    for more in ["", "attach: both\n", BY_ACCOUNTS] {
        for subject in [workload(&[], true), workload(&[], false), pod_to_come(&[])] {
            let expected =
                "✓ is empty: Kubernetes copies acr-credential-secret-aggregation from the service account";
            check_list(&subject, more, Some(&cluster), true, expected);
        }
        // The list of a Pod that is there never changes.
        let pod = Subject { pull_secrets: Vec::new(), ..subject() };
        check_list(&pod, more, Some(&cluster), false, "✗ lacks");
    }
    check_list(&workload(&[""], true), "", Some(&cluster), false, "✗ is empty, and no policy adds");
}

#[test]
fn what_becomes_of_a_manual_list_is_what_the_policys_settings_say() {
    let manual = |key: &str, mode: &str, reads: bool| {
        let settings = json!({ "manualPullSecrets": { key: mode }, "readServiceAccounts": reads });
        with_policies(Some(rules(settings)), None)
    };
    let check = |subject: &Subject, cluster: &World, is_good: bool, rest: &str| {
        check_list(subject, "", Some(cluster), is_good, rest);
    };
    let (list, pod) = (workload(&["regcred"], true), pod_to_come(&["regcred"]));
    check(&list, &cluster(), true, "✓ has regcred, and the policy adds");
    check(&list, &manual("ownedPods", "warn", false), true, "✓ has regcred, and the policy adds");
    check(&list, &manual("ownedPods", "ignore", false), false, "✗ contains only regcred, and the policy");
    check(&pod, &manual("pods", "warn", false), true, "✓ has regcred, and the policy adds");
    check(&workload(&[], true), &cluster(), true, "✓ the policy adds");
    check(&workload(&[], true), &with_policies(None, None), false, "✗ is empty, and no policy adds");
    check(&list, &with_policies(None, None), false, "✗ contains only regcred, and no policy adds");
    let allowed = json!({ "manualPullSecrets": { "allowed": ["reg*"] } });
    check(&pod, &with_policies(Some(rules(allowed)), None), true, "✓ has regcred, and the policy adds");

    let verdict = |subject: &Subject, world: &World, is_good: bool, rest: &str| {
        let (mark, rest) = rest.split_at(rest.find(' ').unwrap());
        let line = format!("{mark} policy acr-credential-helper-inject:{rest}");
        super::check(subject, &configuration(""), Some(world), is_good, &line);
        // The verdict says all there is to say about the list.
        let chain = chain(subject, &configuration(""), Some(world));
        assert_eq!(chain.contains("imagePullSecrets: "), !rest.contains("spec."), "{chain}");
    };
    let pod_refused = "✗ Pod team-a/web: spec.imagePullSecrets lists \"regcred\" without";
    let refused =
        "✗ Pod team-a/web- (generateName; of Deployment web): spec.imagePullSecrets lists \"regcred\"";
    verdict(&pod, &cluster(), false, pod_refused);
    verdict(&list, &manual("ownedPods", "reject", false), false, refused);
    verdict(&list, &manual("ownedPods", "warn", false), true, "! imagePullSecrets lists \"regcred\" without");
    for (subject, key, refused) in [(&pod, "pods", pod_refused), (&list, "ownedPods", refused)] {
        let reads = || manual(key, "reject", true);
        check(
            subject,
            &with_account(account(&["regcred"]), reads()),
            true,
            "✓ has regcred, and the policy adds",
        );
        verdict(subject, &with_account(account(&["other"]), reads()), false, refused);
        verdict(subject, &with_account(Seen::default(), reads()), true, &refused.replace('✗', "!"));
        // No Pod of such an account is created, but that is another step.
        verdict(subject, &with_account(Seen::Absent, reads()), false, "! kept a list that may be manual");
        verdict(subject, &with_account(account(&["regcred"]), manual(key, "reject", false)), false, refused);
    }
}

#[test]
fn an_empty_list_is_judged_by_what_kubernetes_copies_to_it() {
    let with =
        |settings: Value| with_account(account(&["regcred"]), with_policies(Some(rules(settings)), None));
    let refused =
        "✗ policy acr-credential-helper-inject: Pod team-a/web: spec.imagePullSecrets lists \"regcred\"";
    check(&pod_to_come(&[]), &configuration(""), Some(&with(json!({}))), false, refused);
    let reads = with(json!({ "readServiceAccounts": true }));
    check_list(&pod_to_come(&[]), "", Some(&reads), true, "✓ the policy adds");
    check_list(&workload(&[], true), "", Some(&with(json!({}))), true, "✓ the policy adds");
    let ignores = with(json!({ "manualPullSecrets": { "ownedPods": "ignore" } }));
    check_list(
        &workload(&[], true),
        "",
        Some(&ignores),
        false,
        "✗ is empty, so Kubernetes copies only regcred",
    );
}

#[test]
fn pods_that_a_workload_made_without_the_pull_secret_are_counted() {
    let check = |lists: &[&[&str]], is_good: bool, line: &str| {
        let lists_of_pods = Seen::Found(lists.iter().map(|list| names(list)).collect());
        let workload = Subject { lists_of_pods, ..workload(&[], true) };
        check(&workload, &configuration(""), Some(&cluster()), is_good, line);
    };
    let lack = format!("✗ Pods: 1 of 2 lack {OURS}, and the list of a Pod never changes");
    check(&[&[OURS], &[]], false, &lack);
    check(&[&[OURS]], true, &format!("✓ Pods: all 1 have {OURS}"));
    assert!(!chain(&workload(&[], true), &configuration(""), Some(&cluster())).contains("Pods: "));
}
