use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::json;

use super::gather::{Known, all, known, unknown, with_secrets};
use super::warnings::Warning;
use super::*;
use crate::cluster::observed::PullSecret;
use crate::commands::cluster::{FoundSecret, Leader, Seen};
use crate::commands::report::Line;
use crate::configuration::{self, Configuration};
use crate::kubernetes::Metadata;
use crate::telemetry::testing::api_server;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn namespace(
    name: &str,
    labels: &[(&str, &str)],
    configuration: Option<&Configuration>,
) -> (String, Option<bool>) {
    let labels: BTreeMap<_, _> = labels.iter().copied().collect();
    let metadata = json!({ "name": name, "uid": "u", "resourceVersion": "1", "labels": labels });
    let object = json!({ "metadata": metadata }).to_string();
    known(&Metadata::parse(&object).unwrap(), configuration).unwrap()
}

fn secret(namespace: &str, ours: bool, minutes: i64, registries: &[&str]) -> FoundSecret {
    let facts = PullSecret {
        uid: "u".into(),
        resource_version: "1".into(),
        ours,
        surely_ours: ours,
        intact: ours,
        other_manager: None,
        terminating: false,
        hash: Box::default(),
        inputs: Box::default(),
        expires_at: Some(NOW + SignedDuration::from_mins(minutes)),
        registries: registries.join(",").into(),
    };
    let name = "acr-credential-secret-aggregation".to_owned();
    FoundSecret { name, namespace: namespace.to_owned(), facts }
}

fn changed(mut secret: FoundSecret, by: &str) -> FoundSecret {
    secret.facts.intact = false;
    secret.facts.other_manager = Some(by.into());
    secret
}

fn example() -> Status {
    let configuration = configuration::parse(
        b"watch-namespace: team-*\nwatch-namespace-selector: '!legacy'\nacr-registry-info: ''\n",
    );
    let configuration = configuration.map(|parsed| parsed.configuration);
    let namespace = |name, labels| namespace(name, labels, configuration.as_ref().ok());
    let namespaces = [
        namespace("team-a", &[]),
        namespace("team-b", &[]),
        namespace("team-c", &[]),
        namespace("team-d", &[]),
        namespace("team-e", &[("legacy", "yes")]),
        namespace("team-f", &[]),
        namespace("other", &[]),
    ];
    let hangzhou = "cn-hangzhou/cri-demo";
    let secrets = vec![
        secret("team-a", true, 50, &[hangzhou, "cn-beijing/personal"]),
        secret("team-b", true, -5, &[hangzhou]),
        secret("team-c", false, 50, &[]),
        secret("team-e", true, 50, &[hangzhou]),
        changed(secret("team-f", true, 50, &[hangzhou]), "kubectl-edit"),
        secret("other", false, 50, &[]),
    ];
    let leader = Leader { name: "sidecar-0".to_owned(), is_alive: true };
    let namespaces = with_secrets(namespaces.into(), secrets);
    Status::new(&Seen::Found(configuration), &namespaces, Seen::Found(leader), false, NOW)
}

#[test]
fn a_failure_is_followed_by_a_short_pause() {
    let check = |read: Result<(), ()>, took, expected| {
        assert_eq!(pause(&read, Duration::from_secs(took)), Duration::from_secs(expected));
    };
    check(Ok(()), 0, 2);
    check(Ok(()), 3, 30);
    check(Err(()), 30, 2);
}

#[tokio::test]
async fn what_cannot_be_read_is_part_of_the_state() {
    let client = api_server(|_, path, _| {
        let good = json!({ "name": "team-a", "namespace": "team-a", "uid": "u", "resourceVersion": "1" });
        let name = if path.contains("/secrets") { "a-secret" } else { "a-namespace" };
        (200, json!({ "metadata": {}, "items": [{ "metadata": good }, { "metadata": { "name": name } }] }))
    });
    let (known, unreadable) = all(&client, "acr-pull", None).await.unwrap();
    assert_eq!(known.len(), 1);
    let lines: Vec<_> = unreadable.iter().map(Line::to_string).collect();
    assert!(lines[0].starts_with("! /a-namespace: cannot be read, and is left out: "), "{lines:?}");
    assert!(lines[1].starts_with("! /a-secret: cannot be read, and is left out: "), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn each_namespace_is_counted_once_and_named_where_something_is_wrong() {
    let status = Status { pull_secrets: Vec::new(), ..example() };
    insta::assert_snapshot!(status.text(false, NOW), @r"
    leader: sidecar-0

     REGISTRY              NAMESPACES  FIRST EXPIRES IN
     cn-beijing/personal   1           50 min
     cn-hangzhou/cri-demo  3           expired

     NAMESPACES
     managed     5
     fresh       1
     stale       1  team-b
     missing     1  team-d
     foreign     1  team-c
     contested   1  team-f (by kubectl-edit)
     leftover    1  team-e
    ");
}

#[test]
fn what_the_sidecar_said_comes_last() {
    let warning = Warning {
        at: NOW - SignedDuration::from_mins(2),
        reason: "Credential\nUnavailable".to_owned(),
        message: "acr-registry-info[1]: GetAuthorizationToken: not authorized".to_owned(),
    };
    let text = Status { pull_secrets: Vec::new(), warnings: vec![warning], ..example() }.text(false, NOW);
    assert!(
        text.ends_with(
            " leftover    1  team-e\n\n WARNINGS\n 2 min ago  Credential\\nUnavailable: acr-registry-info[1]: \
             GetAuthorizationToken: not authorized"
        ),
        "{text}"
    );
}

#[test]
fn the_wide_output_has_a_line_for_each_pull_secret() {
    let text = example().text(true, NOW);
    let (_, wide) = text.split_once("leftover    1  team-e\n\n").unwrap();
    insta::assert_snapshot!(wide, @r"
    NAMESPACE  STATE                        EXPIRES IN  REGISTRIES                                 HASH
    team-a     fresh                        50 min      cn-hangzhou/cri-demo, cn-beijing/personal
    team-b     stale                        expired     cn-hangzhou/cri-demo
    team-c     foreign
    team-d     missing
    team-e     leftover                     50 min      cn-hangzhou/cri-demo
    team-f     contested (by kubectl-edit)
    ");
    assert!(text.contains("FIRST EXPIRES IN  LAST EXPIRES IN"), "{text}");
}

/// A tenant sees its own namespace, and what it does not see is neither good nor bad.
#[test]
fn what_was_not_seen_is_not_counted() {
    let forbidden = || Seen::<PullSecret>::Unknown("you may not get it".to_owned());
    let status = |secret: Seen<PullSecret>| {
        let known = Known { name: "team-a".to_owned(), is_managed: None, secret };
        let status =
            Status::new(&Seen::Unknown("no".to_owned()), &[known], Seen::Unknown("no".to_owned()), true, NOW);
        let line = unknown("configuration", &forbidden());
        let status = Status { not_checked: line.into_iter().collect(), ..status };
        (status.ok, status.text(false, NOW))
    };
    let head = "- configuration: not checked: you may not get it\n\n NAMESPACE  STATE";
    let check = |secret, is_good: bool, row: &str| {
        let (ok, text) = status(secret);
        assert!(text.starts_with(head), "{text}");
        assert_eq!((ok, text.lines().last().unwrap()), (is_good, row));
    };
    check(
        Seen::Found(secret("team-a", true, 50, &["cn-hangzhou/cri-demo"]).facts),
        true,
        " team-a     fresh  50 min      cn-hangzhou/cri-demo",
    );
    check(
        Seen::Found(secret("team-a", true, -1, &["cn-hangzhou/cri-demo"]).facts),
        false,
        " team-a     stale  expired     cn-hangzhou/cri-demo",
    );
    check(Seen::Found(secret("team-a", false, 50, &[]).facts), false, " team-a     foreign");
    check(Seen::Absent, true, " team-a     absent");
    check(forbidden(), true, " team-a     unknown");
}

#[test]
fn scripts_get_all_names() {
    let status = example();
    assert!(!status.ok);
    let document = serde_json::to_value(&status).unwrap();
    assert_eq!(
        document["namespaces"],
        json!({
            "managed": 5, "fresh": 1, "stale": ["team-b"], "missing": ["team-d"], "foreign": ["team-c"],
            "contested": ["team-f"], "contestedBy": { "team-f": "kubectl-edit" }, "leftover": ["team-e"],
        })
    );
}

#[test]
fn without_a_configuration_nothing_is_missing_but_it() {
    let namespaces = with_secrets(vec![namespace("team-a", &[], None)], Vec::new());
    let status = Status::new(&Seen::Absent, &namespaces, Seen::Absent, false, NOW);
    assert!(!status.ok);
    assert_eq!(status.namespaces.managed, None);
    assert!(status.text(false, NOW).starts_with("configuration: there is no such ConfigMap\nleader: none"));
}
