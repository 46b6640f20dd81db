use acr_credential_core::policy::PodMode;
use serde_json::json;

use super::super::tests::account;
use super::*;
use crate::commands::explain::gather::manifest::{Manifest, policies_in};
use crate::configuration;
use crate::telemetry::testing::{api_server, refusal};

fn rules(settings: Value) -> Rules {
    let spec = Value::Object([("settings".to_owned(), settings)].into_iter().collect());
    rules_of(spec, "active")
}

/// For the namespace `team-a`, where nothing else is asked for.
fn rules_of(mut spec: Value, status: &str) -> Rules {
    let settings = spec.as_object_mut().unwrap().entry("settings").or_insert_with(|| json!({}));
    settings.as_object_mut().unwrap().entry("namespaces").or_insert_with(|| json!(["team-a"]));
    Rules::from(&Policy { spec, status: (!status.is_empty()).then(|| status.to_owned()) })
}

fn label(value: &str) -> Labels {
    [(OPT_OUT.to_owned(), value.to_owned())].into()
}

fn subject_of(object: &Value) -> Subject {
    let mut manifest = Manifest::default();
    manifest.read(object, "team-a", false).unwrap();
    manifest.subjects.pop().unwrap()
}

fn spec(list: &[&str]) -> Value {
    let list: Vec<_> = list.iter().map(|name| json!({ "name": name })).collect();
    json!({ "containers": [{ "image": "registry.example.com/web:1" }], "imagePullSecrets": list })
}

fn pod(list: &[&str]) -> Subject {
    subject_of(&json!({ "kind": "Pod", "metadata": { "name": "web" }, "spec": spec(list) }))
}

fn owned(list: &[&str]) -> Subject {
    let metadata =
        json!({ "name": "web", "ownerReferences": [{ "kind": "Set", "name": "x", "controller": false }] });
    subject_of(&json!({ "kind": "Pod", "metadata": metadata, "spec": spec(list) }))
}

fn workload(list: &[&str]) -> Subject {
    let template = json!({ "spec": spec(list) });
    subject_of(
        &json!({ "kind": "Deployment", "metadata": { "name": "web" }, "spec": { "template": template } }),
    )
}

const OURS: &str = "acr-credential-secret-aggregation";

#[track_caller]
fn check(found: &Answer, expected: &str) {
    let found = format!("{found:?}");
    assert!(found.starts_with(expected), "{expected}: {found}");
}

#[test]
fn pods_get_the_answer_of_the_policy_itself() {
    let check =
        |subject: &Subject, settings: Value, account: &Seen<ServiceAccount>, user: &str, expected: &str| {
            check(&rules(settings).inject(subject, None, account, user), expected);
        };
    let mode = |key: &str, mode: &str, reads: bool| json!({ "manualPullSecrets": { key: mode }, "readServiceAccounts": reads });
    let none = account(&[]);
    let refused = "Refused(\"Pod team-a/web: spec.imagePullSecrets lists \\\"mine\\\" without";
    check(&pod(&[]), json!({}), &none, "", "Added([])");
    check(&pod(&["mine", OURS]), json!({}), &none, "", "Accepted");
    check(&pod(&["mine"]), json!({}), &none, "", refused);
    check(&pod(&["mine"]), json!({}), &none, "kubernetes-admin", refused);
    check(&pod(&["mine"]), json!({}), &none, "system:serviceaccount:ci:runner", "Added([])");
    check(&owned(&["mine"]), json!({}), &none, "", "Added([])");
    check(&pod(&["mine"]), mode("pods", "warn", false), &none, "", "Added([\"imagePullSecrets lists");
    check(&pod(&["mine"]), mode("pods", "ignore", false), &none, "", "LeftAlone([])");
    check(&pod(&["mine"]), mode("pods", "reject", true), &account(&["mine"]), "", "Added([])");
    check(&pod(&["mine"]), mode("pods", "reject", true), &Seen::Absent, "", "Added([\"kept a list");
    check(&pod(&["mine"]), mode("pods", "reject", true), &Seen::default(), "", refused);
    // Controllers make the Pods of workloads, whoever makes those.
    check(&workload(&["mine"]), json!({}), &none, "", "Added([])");
    let refused = "Refused(\"Pod team-a/web- (generateName; of Deployment web): spec.imagePullSecrets lists";
    check(&workload(&["mine"]), mode("ownedPods", "reject", false), &none, "", refused);
    // Kubernetes copies the account's list to an empty one before the policy sees it.
    check(&pod(&[]), json!({}), &account(&["mine"]), "", "Refused(");
    check(&pod(&[]), json!({}), &account(&["mine", OURS]), "", "Accepted");
    check(&pod(&[""]), json!({}), &account(&[OURS]), "", "Added([])");
    let wrong = subject_of(&json!({ "kind": "Pod", "metadata": { "name": "web" }, "spec": spec(&[]) }));
    let wrong = Subject { pod: json!({ "spec": { "imagePullSecrets": {} } }), ..wrong };
    check(&wrong, json!({}), &Seen::default(), "", "Refused(\"Pod in team-a: spec.imagePullSecrets: ");
}

#[test]
fn pods_that_a_policy_has_not_selected_are_left_out_and_told_why() {
    let namespace = |labels: &Labels| ObjectMeta { labels: Some(labels.clone()), ..ObjectMeta::default() };
    let check = |subject: &Subject, rules: &Rules, labels: &Labels, why: &str| {
        let found = rules.inject(subject, Some(&namespace(labels)), &Seen::default(), "");
        let Answer::LeftOut(misses) = &found else { panic!("{why}: {found:?}") };
        assert!(misses.len() == 1 && misses[0].starts_with(why), "{why}: {misses:?}");
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
    check(&pod, &settings(excluded), &plain, "leaves out team-a, which its excludedNamespaces exclude");
    let accounts = json!({ "serviceAccounts": ["builder"] });
    check(&pod, &settings(accounts), &plain, "leaves out the service account default: add it");
    let registries = json!({ "registries": ["other.example.com"] });
    check(&pod, &settings(registries), &plain, "leaves out objects without an image from its registries");

    let selector =
        |on: &str, expression: Value| rules_of(json!({ on: { "matchExpressions": [expression] } }), "active");
    let opt_out = json!({ "key": OPT_OUT, "operator": "NotIn", "values": ["false"] });
    let by_label = selector("namespaceSelector", opt_out.clone());
    check(&pod, &by_label, &label("false"), "leaves out team-a, which has the label");
    assert_eq!(by_label.misses(&pod, &plain, Some(&namespace(&label("true")))), Vec::<String>::new());
    let by_name = json!({ "key": NAMESPACE_NAME, "operator": "In", "values": ["team-b"] });
    let by_name = selector("namespaceSelector", by_name);
    check(&pod, &by_name, &plain, "leaves out team-a: add it to its namespaceSel");
    let not_by_name = json!({ "key": NAMESPACE_NAME, "operator": "NotIn", "values": ["team-a"] });
    check(&pod, &selector("namespaceSelector", not_by_name), &plain, "leaves out team-a: remove it from");
    let own_name = json!({ "key": NAMESPACE_NAME, "operator": "In", "values": ["team-a"] });
    let own_name = selector("namespaceSelector", own_name);
    assert_eq!(own_name.misses(&pod, &plain, Some(&namespace(&plain))), Vec::<String>::new());
    // The name is known even if the namespace could not be read. Its other labels are not.
    assert_eq!(own_name.misses(&pod, &plain, None), Vec::<String>::new());
    assert_eq!(by_name.misses(&pod, &plain, None), ["leaves out team-a: add it to its namespaceSelector"]);
    assert_eq!(by_label.misses(&pod, &plain, None), Vec::<String>::new());
    assert!(by_label.depends_on_labels() && !by_name.depends_on_labels());
    let wanted = json!({ "key": "env", "operator": "In", "values": ["prod"] });
    check(
        &pod,
        &selector("namespaceSelector", wanted.clone()),
        &plain,
        "leaves out team-a: its namespaceSelector requires env in (prod): label team-a",
    );
    let opted_out = Subject { labels: label("false"), ..pod.clone() };
    check(&opted_out, &selector("objectSelector", opt_out), &plain, "leaves out objects with the label");
    check(
        &pod,
        &selector("objectSelector", wanted),
        &plain,
        "leaves out objects that do not match its objectSelector",
    );
    // Kubewarden drops `matchLabels` of the one selector, and keeps them in the other.
    let labels = json!({ "matchLabels": { "kept": "x" } });
    let dropped = rules_of(json!({ "namespaceSelector": labels }), "active");
    assert_eq!(dropped.misses(&pod, &plain, Some(&namespace(&plain))), Vec::<String>::new());
    check(
        &pod,
        &rules_of(json!({ "objectSelector": labels }), "active"),
        &plain,
        "leaves out objects that do not match its objectSelector",
    );

    check(&pod, &rules_of(json!({ "mode": "monitor" }), "active"), &plain, "only monitors");
    check(&pod, &rules_of(json!({}), "unscheduled"), &plain, "has no policy server");
    check(&pod, &rules_of(json!({}), "scheduled"), &plain, "is for a policy server that does not exist");
    check(&pod, &rules_of(json!({}), "pending"), &plain, "is not served yet");
    check(&pod, &rules_of(json!({}), "odd"), &plain, "is odd, not active");
    check(&pod, &rules_of(json!({}), ""), &plain, "has no status");
    check(
        &pod,
        &settings(json!({ "pullSecrets": "x" })),
        &plain,
        "has settings with mistakes, so it is not in",
    );
}

#[test]
fn workloads_get_the_answer_of_the_policy_for_workloads() {
    let guard = |subject: &Subject, rules: &Rules| {
        rules.guard(subject, None).map(|it| format!("{it:?}")).unwrap_or_default()
    };
    let check = |subject: &Subject, rules: &Rules, expected: &str| {
        let found = guard(subject, rules);
        assert!(found.starts_with(expected), "{expected}: {found}");
        assert!(!expected.is_empty() || found.is_empty(), "{found}");
    };
    let workloads = |mode: &str| rules(json!({ "manualPullSecrets": { "workloads": mode } }));
    let new = workload(&["mine"]);
    let refused = "Refused(\"Deployment team-a/web: spec.template.spec.imagePullSecrets lists \\\"mine\\\"";
    check(&new, &workloads("reject"), refused);
    check(&new, &workloads("ignore"), "Accepted");
    check(&new, &rules(json!({})), "LeftAlone([\"imagePullSecrets lists \\\"mine\\\" without");
    check(&new, &rules(json!({ "manualPullSecrets": { "ownedPods": "ignore" } })), refused);
    check(&workload(&[]), &workloads("reject"), "Accepted");
    check(&workload(&["mine", OURS]), &workloads("reject"), "Accepted");
    check(&pod(&["mine"]), &workloads("reject"), "");
    check(&new, &rules(json!({ "serviceAccounts": ["builder"] })), "LeftOut(");
    let unknown = json!({ "kind": "CloneSet", "apiVersion": "apps.kruise.io/v1alpha1", "spec": { "template": { "spec": spec(&["mine"]) } } });
    check(&subject_of(&unknown), &workloads("reject"), "");

    // Labels: the object selector sees the workload's own, the match conditions see those of its template, too.
    let with = |mut spec: Value| {
        spec["settings"] = json!({ "manualPullSecrets": { "workloads": "reject" } });
        rules_of(spec, "active")
    };
    let conditions = json!([{ "name": "workload-not-opted-out" }, { "name": "template-not-opted-out" }]);
    let conditions = with(json!({ "matchConditions": conditions }));
    let template = Subject { labels: label("false"), ..new.clone() };
    check(&template, &conditions, "");
    check(&template, &workloads("reject"), refused);
    let own = Subject { own_labels: label("false"), ..new.clone() };
    check(&own, &conditions, "");
    let opt_out = json!({ "key": OPT_OUT, "operator": "NotIn", "values": ["false"] });
    let selector = with(json!({ "objectSelector": { "matchExpressions": [opt_out] } }));
    check(&own, &selector, "LeftOut(");
    check(&template, &selector, refused);
}

#[test]
fn policies_are_found_by_name_among_others() {
    let policy = |name: &str, pods: &str| {
        let settings = json!({ "manualPullSecrets": { "pods": pods } });
        json!({ "kind": "ClusterAdmissionPolicy", "metadata": { "name": name }, "spec": { "settings": settings } })
    };
    let objects = [json!({ "kind": "ClusterRole" }), policy(INJECT, "warn"), policy("other", "ignore")];
    let read = policies_in(&objects);
    let present: Vec<_> = read.iter().filter(|(_, policy)| policy.is_some()).map(|(name, _)| *name).collect();
    assert_eq!(present, [INJECT]);
    let configuration = configuration::parse(b"watch-namespace: team-a\n").unwrap().configuration;
    let found = Installed::new(&read, Some(&configuration), OURS, Some("assumed".to_owned()));
    let Installed { inject: Some(inject), guard: None, differences, assumed: Some(_) } = found else {
        panic!("{found:?}");
    };
    assert_eq!(inject.out_of_force(), None);
    assert_eq!(inject.settings.unwrap().manual.pods, PodMode::Warn);
    assert!(differences.len() == 1 && differences[0].contains("has namespaces [default]"), "{differences:?}");
}

#[tokio::test]
async fn policies_are_read_with_their_status() {
    let configuration = configuration::parse(b"acr-registry-info: ''\n").unwrap().configuration;
    let pod = json!({ "kind": "Pod", "metadata": { "name": "web" }, "spec": { "containers": [] } });
    let mut manifest = Manifest::default();
    manifest.read(&pod, "default", true).unwrap();
    let subject = manifest.subjects.pop().unwrap();
    for (status, is_asked) in [("active", true), ("pending", false)] {
        let client = api_server(move |_, path, _| {
            if !path.contains("inject") {
                return refusal(404);
            }
            let policy =
                json!({ "metadata": { "name": "p" }, "spec": {}, "status": { "policyStatus": status } });
            (200, policy)
        });
        let read = policies::read(&client).await.unwrap();
        let read = Installed::new(&read, Some(&configuration), "acr-credential-secret-aggregation", None);
        let Installed { inject: Some(inject), guard: None, differences, assumed: None } = read else {
            panic!("one was read: {read:?}");
        };
        let answer = inject.inject(&subject, None, &Seen::default(), "");
        assert_eq!(answer == Answer::Added(Vec::new()), is_asked, "{status}");
        assert_eq!(differences, Vec::<String>::new());
    }
}
