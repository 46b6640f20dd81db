use serde_json::{Value, json};

use super::*;
use crate::operations::policies::Policy;

fn rules(settings: Value) -> Rules {
    let spec = Value::Object([("settings".to_owned(), settings)].into_iter().collect());
    rules_of(spec, "active")
}

/// For the namespace `team-a`, where nothing else is asked for.
fn rules_of(mut spec: Value, status: &str) -> Rules {
    let settings = spec.as_object_mut().unwrap().entry("settings").or_insert_with(|| json!({}));
    settings.as_object_mut().unwrap().entry("namespaces").or_insert_with(|| json!(["team-a"]));
    Rules::of(&Policy { spec, status: (!status.is_empty()).then(|| status.to_owned()) })
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn label(value: &str) -> Labels {
    [(OPT_OUT.to_owned(), value.to_owned())].into()
}

fn pod(list: &[&str]) -> Subject {
    Subject {
        title: "Pod team-a/web".to_owned(),
        namespace: "team-a".to_owned(),
        service_account: "default".to_owned(),
        pull_secrets: names(list),
        images: names(&["registry.example.com/web:1"]),
        kind: Kind::PodToCome,
        labels: Labels::new(),
        is_owned: false,
    }
}

fn workload(list: &[&str], exists: bool) -> Subject {
    let renew = "delete them".to_owned();
    Subject { kind: Kind::Workload { renew, labels: Labels::new(), exists }, ..pod(list) }
}

fn account(list: &[&str]) -> Account {
    Account::Found { pull_secrets: names(list), enforces_mountable: false }
}

const OURS: &str = "acr-credential-secret-aggregation";

#[test]
fn pods_get_what_the_settings_say() {
    let check = |subject: &Subject, settings: Value, account: &Account, expected: Injection<'_>| {
        let rules = rules(settings.clone());
        assert_eq!(rules.inject(subject, None, account), expected, "{settings} {account:?} {subject:?}");
    };
    let mode = |key: &str, mode: &str, reads: bool| json!({ "manualPullSecrets": { key: mode }, "readServiceAccounts": reads });
    let (none, mine) = (account(&[]), || vec!["mine"]);
    let (bare, owned) = (pod(&["mine"]), Subject { is_owned: true, ..pod(&["mine"]) });

    // What the list alone decides.
    check(&pod(&[]), json!({}), &none, Injection::Added);
    check(&pod(&[""]), json!({}), &none, Injection::Added);
    check(&pod(&["mine", OURS]), json!({}), &none, Injection::Listed);
    check(&pod(&["mine"]), json!({ "manualPullSecrets": { "allowed": ["mi*"] } }), &none, Injection::Added);
    check(&pod(&["other"]), json!({ "pullSecret": "other" }), &none, Injection::Listed);
    check(&pod(&[OURS]), json!({ "pullSecret": "other" }), &none, Injection::Refused(vec![OURS]));

    // Each mode, for Pods without a controller and with one.
    for (key, subject) in [("pods", &bare), ("ownedPods", &owned), ("ownedPods", &workload(&["mine"], true))]
    {
        for reads in [false, true] {
            check(subject, mode(key, "merge", reads), &none, Injection::Merged(mine()));
            check(subject, mode(key, "warn", reads), &none, Injection::Warned(mine()));
            check(subject, mode(key, "ignore", reads), &none, Injection::Ignored(mine()));
            check(subject, mode(key, "reject", reads), &none, Injection::Refused(mine()));
        }
        // The account counts in the mode `reject` alone, and only where the policy reads it.
        let copied = account(&["mine"]);
        check(subject, mode(key, "merge", true), &copied, Injection::Merged(mine()));
        check(subject, mode(key, "warn", true), &copied, Injection::Warned(mine()));
        check(subject, mode(key, "ignore", true), &copied, Injection::Ignored(mine()));
        check(subject, mode(key, "reject", true), &copied, Injection::Added);
        check(subject, mode(key, "reject", false), &copied, Injection::Refused(mine()));
        check(subject, mode(key, "reject", true), &Account::Absent, Injection::NotLookedUp(mine()));
        check(subject, mode(key, "reject", true), &Account::Unknown, Injection::IfCopied(mine()));
        check(subject, mode(key, "reject", false), &Account::Unknown, Injection::Refused(mine()));
    }
    check(&bare, json!({}), &none, Injection::Refused(mine()));
    check(&owned, json!({}), &none, Injection::Merged(mine()));
    let mixed = pod(&["mine", "theirs"]);
    check(&mixed, mode("pods", "reject", true), &account(&["mine"]), Injection::Refused(vec!["theirs"]));

    // Kubernetes copies the account's list to an empty one before the policy sees it.
    check(&pod(&[]), json!({}), &account(&["mine"]), Injection::Refused(mine()));
    check(&pod(&[]), json!({ "readServiceAccounts": true }), &account(&["mine"]), Injection::Added);
    check(&pod(&[]), json!({}), &account(&["mine", OURS]), Injection::Listed);
    check(&pod(&[""]), json!({}), &account(&[OURS]), Injection::Added);
    check(
        &workload(&[], true),
        mode("ownedPods", "ignore", false),
        &account(&["mine"]),
        Injection::Ignored(mine()),
    );
}

#[test]
fn pods_that_a_policy_has_not_selected_are_left_out_and_told_why() {
    let namespace = |labels: &Labels| ObjectMeta { labels: Some(labels.clone()), ..ObjectMeta::default() };
    let check = |subject: &Subject, rules: &Rules, labels: &Labels, why: &str| {
        let namespace = namespace(labels);
        let misses = rules.misses(subject, Some(&namespace));
        assert!(misses.len() == 1 && misses[0].starts_with(why), "{why}: {misses:?}");
        let injection = rules.inject(subject, Some(&namespace), &Account::Unknown);
        assert_eq!(injection, Injection::LeftOut, "{why}");
    };
    let (pod, plain) = (pod(&[]), Labels::new());
    let settings = |settings: Value| rules(settings);
    check(
        &pod,
        &settings(json!({ "namespaces": ["team-b"] })),
        &plain,
        "leaves out team-a: add it to its names",
    );
    let excluded = json!({ "namespaces": ["team-*"], "excludedNamespaces": ["team-a"] });
    check(&pod, &settings(excluded), &plain, "leaves out team-a, which its excludedNamespaces have");
    let accounts = json!({ "serviceAccounts": ["builder"] });
    check(&pod, &settings(accounts), &plain, "leaves out the service account default: add it");
    let registries = json!({ "registries": ["other.example.com"] });
    check(&pod, &settings(registries), &plain, "has registries that no image here is from");

    let selector =
        |on: &str, expression: Value| rules_of(json!({ on: { "matchExpressions": [expression] } }), "active");
    let opt_out = json!({ "key": OPT_OUT, "operator": "NotIn", "values": ["false"] });
    let by_label = selector("namespaceSelector", opt_out.clone());
    check(&pod, &by_label, &label("false"), "leaves out team-a, which has the label");
    assert!(by_label.misses(&pod, Some(&namespace(&label("true")))).is_empty());
    let by_name = json!({ "key": NAMESPACE_NAME, "operator": "In", "values": ["team-b"] });
    check(
        &pod,
        &selector("namespaceSelector", by_name),
        &plain,
        "leaves out team-a: add it to its namespaceSel",
    );
    let not_by_name = json!({ "key": NAMESPACE_NAME, "operator": "NotIn", "values": ["team-a"] });
    check(&pod, &selector("namespaceSelector", not_by_name), &plain, "leaves out team-a: take it out of");
    let own_name = json!({ "key": NAMESPACE_NAME, "operator": "In", "values": ["team-a"] });
    assert!(selector("namespaceSelector", own_name).misses(&pod, Some(&namespace(&plain))).is_empty());
    let wanted = json!({ "key": "env", "operator": "In", "values": ["prod"] });
    check(
        &pod,
        &selector("namespaceSelector", wanted.clone()),
        &plain,
        "leaves out team-a: its namespaceSelector wants env in (prod): label team-a",
    );
    let opted_out = Subject { labels: label("false"), ..pod.clone() };
    check(&opted_out, &selector("objectSelector", opt_out), &plain, "leaves out Pods with the label");
    check(
        &pod,
        &selector("objectSelector", wanted),
        &plain,
        "leaves out Pods without what its objectSelector",
    );

    check(&pod, &rules_of(json!({ "mode": "monitor" }), "active"), &plain, "only monitors");
    check(&pod, &rules_of(json!({}), "unscheduled"), &plain, "has no policy server");
    check(&pod, &rules_of(json!({}), "scheduled"), &plain, "is for a policy server that does not exist");
    check(&pod, &rules_of(json!({}), "pending"), &plain, "is not served yet");
    check(&pod, &rules_of(json!({}), "odd"), &plain, "is odd, not active");
    check(&pod, &rules_of(json!({}), ""), &plain, "has no status");
}

#[test]
fn workloads_are_judged_by_the_guards_own_rules_and_only_before_they_are_there() {
    let check = |subject: &Subject, rules: &Rules, expected: Judgement<'_>| {
        assert_eq!(rules.guard(subject, None), expected, "{subject:?} {rules:?}");
    };
    let workloads = |mode: &str| rules(json!({ "manualPullSecrets": { "workloads": mode } }));
    let (new, there) = (workload(&["mine"], false), workload(&["mine"], true));
    let mine = || vec!["mine"];
    check(&new, &rules(json!({})), Judgement::Refused(mine()));
    check(&new, &workloads("warn"), Judgement::Warned(mine()));
    check(&new, &workloads("ignore"), Judgement::Accepted);
    check(&there, &rules(json!({})), Judgement::Spared(mine()));
    check(&there, &workloads("warn"), Judgement::Accepted);
    check(&there, &workloads("ignore"), Judgement::Accepted);

    check(&Subject { is_owned: true, ..new.clone() }, &rules(json!({})), Judgement::Accepted);
    check(&pod(&["mine"]), &rules(json!({})), Judgement::Accepted);
    check(&workload(&[], false), &rules(json!({})), Judgement::Accepted);
    check(&workload(&["mine", OURS], false), &rules(json!({})), Judgement::Accepted);
    let allowed = rules(json!({ "manualPullSecrets": { "allowed": ["mine"] } }));
    check(&new, &allowed, Judgement::Accepted);
    check(&new, &rules(json!({ "namespaces": ["team-b"] })), Judgement::Accepted);
    check(&new, &rules(json!({ "serviceAccounts": ["builder"] })), Judgement::Accepted);
    check(&new, &rules(json!({ "registries": ["other.example.com"] })), Judgement::Accepted);
    check(&new, &rules_of(json!({ "mode": "monitor" }), "active"), Judgement::Accepted);
    check(&new, &rules_of(json!({}), "pending"), Judgement::Accepted);

    // Labels: the object selector sees the workload's own, the match conditions see those of its template, too.
    let conditions = json!([{ "name": "workload-not-opted-out" }, { "name": "template-not-opted-out" }]);
    let conditions = rules_of(json!({ "matchConditions": conditions }), "active");
    let template = Subject { labels: label("false"), ..new.clone() };
    check(&template, &conditions, Judgement::Accepted);
    check(&template, &rules(json!({})), Judgement::Refused(mine()));
    let Kind::Workload { renew, .. } = new.kind.clone() else { panic!("it is one") };
    let own = Subject { kind: Kind::Workload { renew, labels: label("false"), exists: false }, ..new };
    check(&own, &conditions, Judgement::Accepted);
    let opt_out = json!({ "key": OPT_OUT, "operator": "NotIn", "values": ["false"] });
    let selector = rules_of(json!({ "objectSelector": { "matchExpressions": [opt_out] } }), "active");
    check(&own, &selector, Judgement::Accepted);
    check(&template, &selector, Judgement::Refused(mine()));
}
