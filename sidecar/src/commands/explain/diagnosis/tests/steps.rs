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
        "✗ namespace team-x: is excluded by exclude-namespace: name",
    );
    let selector = configuration("watch-namespace-selector: env=prod\n");
    check(&subject(), &selector, None, true, "! namespace team-a: is managed if its labels match");
    check(&subject(), &selector, Some(&cluster()), false, "✗ namespace team-a: has no labels that");
}

#[test]
fn a_namespace_that_was_not_read_is_not_called_good() {
    let mut unread = cluster();
    unread.cluster.namespace = Seen::Unknown("you may not get namespaces".to_owned());
    let line = "- namespace team-a: is managed; the rest was not checked: you may not get namespaces";
    check(&subject(), &configuration(""), Some(&unread), true, line);
    check(&subject(), &configuration(""), None, true, "✓ namespace team-a: is managed");
}

#[test]
fn a_service_account_is_judged_by_what_it_lists() {
    let enforcing = |list: &[&str]| Seen::Found(service_account(list, true));
    let check = |account: Seen<ServiceAccount>, more: &str, mark: char, rest: &str| {
        let cluster = with_account(account, cluster());
        let line = format!("{mark} service account default: {rest}");
        check(&subject(), &configuration(more), Some(&cluster), mark != '✗', &line);
    };
    let by_accounts = "attach: service-account\n";
    check(Seen::Absent, "", '✗', "does not exist");
    let unread = || Seen::Unknown("you may not get serviceaccounts".to_owned());
    check(unread(), "", '-', "is selected; the rest was not checked: you may not get serviceaccounts");
    check(unread(), "attach: both\n", '-', "is selected; whether it lists");
    check(account(&[]), "", '✓', "is selected");
    check(enforcing(&[]), "", '✗', "enforces mountable secrets and does not list");
    check(enforcing(&[OURS]), "", '✓', "is selected");
    check(account(&[]), by_accounts, '✗', "is selected, but does not list");
    check(account(&["mine", OURS]), by_accounts, '✓', "is selected, and lists");
}

#[test]
fn a_service_account_that_is_not_selected_may_serve_its_pods_all_the_same() {
    let of_builder = |subject: Subject| Subject { service_account: "builder".to_owned(), ..subject };
    let with = |list: &[&str], settings: Value| {
        with_account(account(list), with_policies(Some(rules(settings)), None))
    };
    let check = |subject: Subject, cluster: &World, is_good: bool, rest: &str| {
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
        let mut world = cluster();
        change(secret_in(&mut world));
        world
    };
    let place = format!("✗ Secret {OURS}:");
    let configuration = configuration("");
    let check = |change, rest: &str| {
        check(&subject(), &configuration, Some(&with(change)), false, &format!("{place} {rest}"));
    };
    check(|secret| secret.ours = false, "another manager created it");
    check(|secret| secret.expires_at = None, "contains no credential");
    check(|secret| secret.expires_at = Some(NOW), "expired at 1970-01-01T00:00:00Z");
    let taken = |secret: &mut PullSecret| {
        (secret.intact, secret.other_manager) = (false, Some("kubectl-edit".into()));
    };
    check(taken, "was changed by kubectl-edit, so its contents are unknown");
    check(|secret| secret.intact = false, "was changed by an unknown manager");
}

#[test]
fn a_secret_that_is_missing_is_told_with_what_the_sidecar_reported() {
    let mut world = cluster();
    world.cluster.secret = Seen::Absent;
    let place = format!("✗ Secret {OURS}: is missing");
    check(&subject(), &configuration(""), Some(&world), false, &format!("{place}: `status` and the log"));
    world.cluster.report = Seen::Found("a ResourceQuota of the namespace leaves no room for it".to_owned());
    let line = format!("{place}; the sidecar reported: a ResourceQuota of the namespace leaves no room");
    check(&subject(), &configuration(""), Some(&world), false, &line);
}

#[test]
fn the_mirror_of_a_static_pod_can_use_no_secret() {
    let metadata = json!({ "name": "web-node1", "annotations": { "kubernetes.io/config.mirror": "hash" } });
    let object = |image: &str| json!({ "kind": "Pod", "metadata": metadata, "spec": { "containers": [{ "image": image }] } });
    let private = read(&object("demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1"), true);
    let line = "✗ Pod: is the mirror of a static Pod, which cannot use Secrets: give its node the login";
    check(&private, &configuration(""), Some(&cluster()), false, line);
    let public = chain(&read(&object("nginx"), true), &configuration(""), Some(&cluster()));
    assert_eq!(public.lines().count(), 1, "{public}");
}

#[test]
fn hosts_that_are_not_configured_are_fine_if_they_are_public() {
    let text = "watch-namespace: all\nacr-registry-info: |\n  - instanceId: cri-demo\n    regionId: cn-hangzhou\n  - instanceId: \"\"\n    regionId: cn-hangzhou\n";
    let configuration = configuration::parse(text.as_bytes()).unwrap().configuration;
    for host in [
        "registry.aliyuncs.com",
        "registry-cn-hangzhou.ack.aliyuncs.com",
        "registry.cn-hangzhou.ack.aliyuncs.com",
        "abc123.mirror.aliyuncs.com",
        "other-registry.cn-beijing.cr.aliyuncs.com",
        "registry.cn-beijing.aliyuncs.com",
        "ghcr.io",
    ] {
        let subject = Subject { images: vec![format!("{host}/a/b:1")], ..subject() };
        let line = format!(
            "- image {host}/a/b:1: {host} is not among the configured registries; fine if it is public"
        );
        check(&subject, &configuration, Some(&cluster()), true, &line);
        assert_eq!(chain(&subject, &configuration, Some(&cluster())).lines().count(), 1);
    }
    let host = "crpi-1a2b3c4d5e6f7a8b.cn-hangzhou.personal.cr.aliyuncs.com";
    let subject = Subject { images: vec![format!("{host}/a/b:1")], ..subject() };
    let line = format!(
        "! image {host}/a/b:1: its host belongs to a Personal Edition instance created since September 2024, for which no \
         token API exists: use a pull secret with its fixed password"
    );
    check(&subject, &configuration, Some(&cluster()), true, &line);
}

#[test]
fn an_image_that_no_runtime_takes_is_an_error_whatever_its_host() {
    for image in ["", "https://ghcr.io/a/b", "{{ .Values.image }}", "ghcr.io/A/b", "ghcr.io/a/"] {
        let subject = Subject { images: vec![image.to_owned()], ..subject() };
        check(&subject, &configuration(""), Some(&cluster()), false, "✗ image ");
    }
}

#[test]
fn a_registry_that_the_pull_secret_does_not_hold_yet_is_named() {
    let mut cluster = cluster();
    secret_in(&mut cluster).registries = Box::default();
    let line = "✗ image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: its host belongs to acr-registry-info[0], \
                which the pull secret does not contain";
    check(&subject(), &configuration(""), Some(&cluster), false, line);
}

#[test]
fn hosts_that_the_cloud_names_are_known_once_the_secret_was_read() {
    let text =
        "watch-namespace: all\nacr-registry-info: |\n  - instanceId: cri-demo\n    regionId: cn-hangzhou\n";
    let configuration = configuration::parse(text.as_bytes()).unwrap().configuration;
    let place = "image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: ";
    check(&subject(), &configuration, Some(&cluster()), true, &format!("! {place}"));
    let with = |host: &str| {
        let mut world = cluster();
        world.cluster.hosts = Some(vec![host.to_owned()]);
        world
    };
    let there = with("demo-registry.cn-hangzhou.cr.aliyuncs.com");
    check(&subject(), &configuration, Some(&there), true, &format!("✓ {place}the pull secret has a login"));
    let absent = with("other-registry.cn-hangzhou.cr.aliyuncs.com");
    check(
        &subject(),
        &configuration,
        Some(&absent),
        true,
        &format!("- {place}demo-registry.cn-hangzhou.cr.aliyuncs.com is not among the configured registries"),
    );
    // They are not known from a Secret without the registry, or from one that is not the sidecar's.
    let mut lacking = absent.clone();
    secret_in(&mut lacking).registries = Box::default();
    let line = format!(
        "! {place}its host may belong to acr-registry-info[0], which the pull secret does not contain"
    );
    check(&subject(), &configuration, Some(&lacking), true, &line);
    let mut foreign = absent;
    secret_in(&mut foreign).ours = false;
    let line = format!("✗ Secret {OURS}: another manager created it");
    check(&subject(), &configuration, Some(&foreign), false, &line);
}

#[test]
fn a_registry_for_others_is_named_also_where_only_the_cloud_knows_its_hosts() {
    let text = "watch-namespace: all\nacr-registry-info: |\n  - instanceId: cri-demo\n    regionId: cn-hangzhou\n    \
                namespaces: team-b\n";
    let configuration = configuration::parse(text.as_bytes()).unwrap().configuration;
    let subject = pod_to_come(&[]);
    let line = "! image demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1: its host may belong to acr-registry-info[0], \
                which is for other namespaces: if it does, add team-a to its namespaces";
    check(&subject, &configuration, None, true, line);
}
