use clap::Parser as _;
use kube::Client;
use kube::api::ObjectMeta;
use serde_json::json;

use super::leftovers::ListingAccount;
use super::*;
use crate::commands::arguments::ClusterArgs;
use crate::commands::{Args, Command};
use crate::telemetry::testing::{api_server, refusal};

#[test]
fn a_sidecar_at_work_is_named_and_one_that_is_gone_does_not_matter() {
    let leader = |is_alive| Leader { name: "sidecar-0".to_owned(), is_alive };
    let error = refuse_while_led(Some(&leader(true))).unwrap_err().to_string();
    assert!(
        error.starts_with("the sidecar sidecar-0 is running and would write everything again: add --stop"),
        "{error}"
    );
    assert!(refuse_while_led(Some(&leader(false))).is_ok());
    assert!(refuse_while_led(None).is_ok());
}

fn args() -> ClusterArgs {
    match Args::parse_from(["acr-credential-sidecar", "cleanup"]).command {
        Command::Cleanup(CleanupArgs { cluster, .. }) => cluster,
        _ => unreachable!(),
    }
}

fn found(accounts: usize, lease: bool) -> Leftovers {
    let account = || ListingAccount { namespace: "team-a".to_owned(), name: "default".to_owned() };
    let lease = lease.then(|| ObjectMeta {
        namespace: Some("kube-system".to_owned()),
        name: Some("acr-credential-sidecar".to_owned()),
        ..ObjectMeta::default()
    });
    Leftovers {
        secrets: Vec::new(),
        accounts: (0..accounts).map(|_| account()).collect(),
        lease,
        left_alone: Vec::new(),
    }
}

#[test]
fn the_summary_counts_in_words() {
    let check = |accounts, lease, expected| assert_eq!(found(accounts, lease).summary(), expected);
    check(1, false, "0 Secrets and 1 entry of a service account");
    check(0, false, "0 Secrets and 0 entries of service accounts");
    check(
        2,
        true,
        "0 Secrets and 2 entries of service accounts, and the Lease kube-system/acr-credential-sidecar",
    );
}

/// A cluster with two of the policies and the Deployment.
fn cluster_with_all() -> Client {
    api_server(|method, path, _| {
        assert_eq!(method, "GET");
        match path.rsplit('/').next() {
            Some("acr-credential-helper-inject" | "acr-credential-helper-guard") => {
                (200, json!({ "metadata": {}, "spec": {} }))
            }
            Some("sidecar") => (200, json!({ "metadata": {}, "spec": { "selector": {}, "template": {} } })),
            _ => refusal(404),
        }
    })
}

#[tokio::test]
async fn all_that_is_destroyed_is_named_in_its_order() {
    let first = First::look(&cluster_with_all(), &args(), true, Some("sidecar")).await.unwrap();
    assert_eq!(
        steps(&first, &found(1, true)),
        "delete the ClusterAdmissionPolicies acr-credential-helper-inject, acr-credential-helper-guard, then scale \
         the Deployment kube-system/sidecar to 0, then remove 0 Secrets and 1 entry of a service account, and the \
         Lease kube-system/acr-credential-sidecar"
    );
    let lines: Vec<_> = first.lines().into_iter().chain(found(1, true).lines("acr-pull")).collect();
    assert_eq!(
        lines,
        [
            "would delete the ClusterAdmissionPolicy acr-credential-helper-inject",
            "would delete the ClusterAdmissionPolicy acr-credential-helper-guard",
            "would scale the Deployment kube-system/sidecar to 0",
            "would remove acr-pull from the ServiceAccount team-a/default",
            "would delete the Lease kube-system/acr-credential-sidecar",
        ]
    );
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_looked_for() {
    let client = api_server(|_, path, _| panic!("{path}"));
    let first = First::look(&client, &args(), false, None).await.unwrap();
    assert!(first.is_empty());
    assert_eq!(steps(&first, &found(0, false)), "remove 0 Secrets and 0 entries of service accounts");
}

#[tokio::test]
async fn a_deployment_that_is_not_there_is_said() {
    let first = First::look(&cluster_with_all(), &args(), false, Some("a-typo")).await.unwrap();
    assert!(first.is_empty());
    assert_eq!(first.lines(), ["there is no Deployment kube-system/a-typo to scale to 0"]);
}
