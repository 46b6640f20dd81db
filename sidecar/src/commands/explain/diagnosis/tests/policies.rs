//! What the policies have against a subject.

use super::*;

#[track_caller]
fn check_policy(subject: &Subject, cluster: &World, is_good: bool, line: &str) {
    let line = line.replace("INJECT", "policy acr-credential-helper-inject:");
    let line = line.replace("GUARD", "policy acr-credential-helper-guard:");
    check(subject, &configuration(""), Some(cluster), is_good, &line);
}

#[test]
fn a_policy_that_never_touches_the_pods_stands_in_their_way_unless_they_have_the_reference() {
    let copied = |world: &World| with_account(account(&[OURS]), world.clone());
    let check = |cluster: &World, rest: &str| {
        for subject in [workload(&[], true), workload(&[], false), pod_to_come(&[])] {
            check_policy(&subject, cluster, false, &format!("✗ INJECT {rest}"));
            check_policy(&subject, cluster, false, "✗ imagePullSecrets: is empty, and no policy adds");
            check_policy(&subject, &copied(cluster), true, &format!("! INJECT {rest}"));
        }
        check_policy(&subject(), cluster, true, &format!("! INJECT {rest}"));
        check_policy(&workload(&[OURS], false), cluster, true, &format!("! INJECT {rest}"));
        let pod = Subject { pull_secrets: Vec::new(), ..subject() };
        check_policy(&pod, cluster, false, &format!("✗ INJECT {rest}"));
    };
    let with = |settings: Value| with_policies(Some(rules(settings)), None);
    check(&with_policies(None, None), "is not installed, so no Pod gets");
    check(&with(json!({ "namespaces": ["default"] })), "leaves out team-a: add it to its namespaces");
    check(
        &with(json!({ "excludedNamespaces": ["team-a"] })),
        "leaves out team-a, which its excludedNamespaces",
    );
    check(&with(json!({ "serviceAccounts": ["builder"] })), "leaves out the service account default");
    check(
        &with(json!({ "registries": ["other.example.com"] })),
        "leaves out objects without an image from its registries",
    );
    let status = |status: Option<&str>| {
        let rules = rules(json!({}));
        with_policies(Some(Rules { status: status.map(str::to_owned), ..rules }), None)
    };
    check(&status(Some("pending")), "is not served yet");
    check(&status(Some("unscheduled")), "has no policy server");
    check(&status(None), "has no status");
    let monitors = Rules { monitors: true, ..rules(json!({})) };
    check(&with_policies(Some(monitors), None), "only monitors");
    let labels = [("acr-credential-helper.io/inject".to_owned(), "false".to_owned())];
    let metadata = kube::api::ObjectMeta { labels: Some(labels.into()), ..Default::default() };
    let mut opted_out = cluster();
    opted_out.cluster.namespace = Seen::Found(metadata);
    check_policy(&workload(&[], true), &opted_out, false, "✗ INJECT leaves out team-a, which has the label");
}

#[test]
fn a_policy_is_not_called_good_if_the_labels_that_it_requires_were_not_read() {
    let mut unread = cluster();
    unread.cluster.namespace = Seen::Unknown("you may not get namespaces".to_owned());
    let why = "was not checked: you may not get namespaces";
    let line = format!("- INJECT is installed; whether it selects the namespace {why}");
    check_policy(&workload(&[], true), &unread, true, &line);
    for (list, has) in [(&[][..], "is empty"), (&["regcred"][..], "contains only regcred")] {
        let line =
            format!("- imagePullSecrets: {has}: whether the policy adds {OURS} when a Pod is created {why}");
        check_policy(&workload(list, true), &unread, true, &line);
    }
    let without_labels = Rules { namespace_selector: Vec::new(), ..rules(json!({})) };
    unread.policies = Ok(installed(Some(without_labels), None));
    check_policy(&workload(&[], true), &unread, true, "✓ INJECT is installed, and selects");
}

#[test]
fn a_label_of_the_pods_keeps_the_policy_away() {
    let labels: Labels = [("acr-credential-helper.io/inject".to_owned(), "false".to_owned())].into();
    let opted_out = Subject { labels, ..workload(&[], true) };
    check_policy(&opted_out, &cluster(), false, "✗ INJECT leaves out objects with the label");
}

#[test]
fn a_policy_for_another_pull_secret_is_no_help() {
    let other = with_policies(Some(rules(json!({ "pullSecret": "other" }))), None);
    let problem = format!("INJECT adds other, but the sidecar writes {OURS}: make them equal");
    check_policy(&workload(&[], true), &other, false, &format!("✗ {problem}"));
    check_policy(&workload(&[], true), &other, false, "✗ imagePullSecrets: is empty, and no policy adds");
    check_policy(
        &workload(&["other"], true),
        &other,
        false,
        "✗ imagePullSecrets: contains only other, and no policy",
    );
    check_policy(&workload(&[OURS], true), &other, true, &format!("! {problem}"));
    // To that policy, ours was written by hand.
    check_policy(
        &pod_to_come(&[OURS]),
        &other,
        false,
        "✗ INJECT Pod team-a/web: spec.imagePullSecrets lists \"acr-credential…t-aggregation\" without \"other\"",
    );
}

#[test]
fn policies_that_cannot_be_read_spoil_nothing() {
    let unknown = World { policies: Err("forbidden".to_owned()), ..cluster() };
    check_policy(&workload(&[], true), &unknown, true, "- INJECT not checked: forbidden");
}

#[test]
fn a_policy_is_called_good_only_where_it_selects_what_the_configuration_selects() {
    let good = "is installed, and selects";
    check_policy(&workload(&[], true), &cluster(), true, &format!("✓ INJECT {good}"));
    let policies = Ok(Installed {
        inject: Some(rules(json!({}))),
        guard: None,
        differences: vec!["the policy x has namespaces [a]".to_owned()],
        assumed: None,
    });
    let differs = World { policies, ..cluster() };
    check_policy(&workload(&[], true), &differs, true, "! policies: the policy x has namespaces [a]");
    for cluster in [&differs, &with_policies(Some(rules(json!({ "namespaces": ["default"] }))), None)] {
        let chain = chain(&workload(&[], true), &configuration(""), Some(cluster));
        assert!(!chain.contains(good), "{chain}");
    }
}

#[test]
fn a_workload_is_refused_before_it_is_there_and_never_afterwards() {
    let guard = |settings: Value| with_policies(Some(rules(json!({}))), Some(rules(settings)));
    let manual = |mode: &str| json!({ "manualPullSecrets": { "workloads": mode } });
    let (new, there) = (workload(&["regcred"], false), workload(&["regcred"], true));
    let message = "Deployment team-a/web: spec.template.spec.imagePullSecrets lists \"regcred\" without";
    check_policy(&new, &cluster(), false, &format!("✗ GUARD {message}"));
    for settings in [json!({}), manual("warn")] {
        let warning = "! GUARD imagePullSecrets lists \"regcred\" without";
        check_policy(&new, &guard(settings.clone()), true, warning);
        check_policy(&new, &guard(settings), true, &format!("! GUARD add \"{OURS}\" to the list, or allow"));
    }
    let spared = format!("! GUARD leaves the list as it is, but would refuse to create it again: {message}");
    check_policy(&there, &cluster(), true, &spared);
    // What is there gets the reference from the other policy.
    check_policy(&there, &cluster(), true, "✓ imagePullSecrets: has regcred, and the policy adds");
    let silent = |subject: &Subject, cluster: &World| {
        let chain = chain(subject, &configuration(""), Some(cluster));
        assert!(!chain.contains("-guard"), "{chain}");
        assert!(passes(&judged(subject, &configuration(""), Some(cluster))), "{chain}");
    };
    silent(&new, &guard(manual("ignore")));
    silent(&there, &guard(manual("warn")));
    silent(&workload(&[], false), &cluster());
    silent(
        &new,
        &guard(json!({ "namespaces": ["default"], "manualPullSecrets": { "workloads": "reject" } })),
    );
    silent(&new, &guard(json!({ "manualPullSecrets": { "allowed": ["reg*"] } })));
    silent(&new, &with_policies(Some(rules(json!({}))), None));
    let pending = Rules { status: Some("pending".to_owned()), ..rules(json!({})) };
    check_policy(
        &new,
        &with_policies(Some(rules(json!({}))), Some(pending)),
        true,
        "! GUARD is not served yet",
    );
}

#[test]
fn a_manual_list_is_refused_whatever_the_images_are() {
    let public = |subject: Subject| Subject { images: vec!["nginx".to_owned()], ..subject };
    check_policy(
        &public(workload(&["regcred"], false)),
        &cluster(),
        false,
        "✗ GUARD Deployment team-a/web: ",
    );
    check_policy(&public(pod_to_come(&["regcred"])), &cluster(), false, "✗ INJECT Pod team-a/web: ");
    for subject in [workload(&["regcred"], true), workload(&[], false), pod_to_come(&[]), subject()] {
        let chain = chain(&public(subject), &configuration(""), Some(&cluster()));
        let judged = chain.lines().filter(|line| !line.starts_with("✓ user: "));
        assert_eq!(judged.count(), 1, "{chain}");
    }
}

#[test]
fn where_service_accounts_carry_the_reference_the_guard_refuses_all_the_same() {
    let guard = rules(json!({ "manualPullSecrets": { "ownedPods": "ignore" } }));
    let cluster = with_account(account(&[OURS]), with_policies(None, Some(guard)));
    let configuration = configuration("attach: service-account\n");
    let line = "✗ policy acr-credential-helper-guard: Deployment team-a/web: spec.template.spec.imagePullSecrets lists";
    check(&workload(&["regcred"], false), &configuration, Some(&cluster), false, line);
    let chain = chain(&workload(&[], false), &configuration, Some(&cluster));
    assert!(!chain.contains("policy"), "{chain}");
}
