//! The life of a release: installed, upgraded, uninstalled.

use std::collections::BTreeSet;

use acr_e2e_tests::cluster::{PATIENCE, named_namespace};
use acr_e2e_tests::sidecar::Ended;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use serde_json::json;

use super::bed::{NAMESPACE, Turn, VALUES, succeeded};
use super::kubelet::Started;
use crate::sidecar::stage::{logins, metric, until_page};
use crate::support::OURS;

pub const SIDECAR: &str = "acr-credential-sidecar";

/// The Job that runs before a release is uninstalled, and its account.
const CLEANUP: &str = "acr-credential-sidecar-cleanup";

/// The Pod that runs during `helm test`.
const TEST: &str = "acr-credential-sidecar-test";

/// Runs the Job when it comes.
pub async fn clean_up(turn: &Turn) -> Result<Ended> {
    Started::wait(turn, CLEANUP).await?.job().await
}

pub fn values(namespaces: &[&str], more: &str) -> String {
    format!("{VALUES}namespaces: {}\n{more}", json!(namespaces))
}

/// Waits for a pull secret with a credential in it.
pub async fn until_filled(turn: &Turn, namespace: &str) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(turn.client.clone(), namespace);
    wait_until(&format!("{namespace} has a pull secret"), PATIENCE, async || {
        let secret = secrets.get_opt(OURS).await?;
        Ok(secret.filter(|secret| !logins(secret).is_empty()).map(|_| ()))
    })
    .await
}

async fn until_listed(turn: &Turn, namespace: &str, expected: &[&str]) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(turn.client.clone(), namespace);
    wait_until(&format!("the account of {namespace} lists {expected:?}"), PATIENCE, async || {
        let list = accounts.get("default").await?.image_pull_secrets.unwrap_or_default();
        Ok(list.iter().map(|entry| entry.name.as_str()).eq(expected.iter().copied()).then_some(()))
    })
    .await
}

/// Waits until there is nothing that was not there before. What Kubernetes deletes by itself takes a moment.
async fn until_nothing_is_left(turn: &Turn, before: &BTreeSet<String>) -> Result<()> {
    let mut after = BTreeSet::new();
    let is_clean = wait_until("nothing is left", PATIENCE, async || {
        after = turn.everything().await?;
        Ok(after.is_subset(before).then_some(()))
    });
    let is_clean = is_clean.await;
    is_clean.with_context(|| format!("{:#?}", after.difference(before)))
}

#[tokio::test]
async fn a_release_serves_its_namespaces_follows_upgrades_and_leaves_nothing_behind() -> Result<()> {
    let turn = Turn::with_kubewarden().await?;
    let a = named_namespace(&turn.client, "chart-life-a", &[]).await?;
    let b = named_namespace(&turn.client, "chart-life-b", &[]).await?;
    let before = turn.everything().await?;

    let notes = succeeded(&turn.helm("install", &values(&[&a], "")).await?)?;
    assert!(notes.contains("mints credentials for 1 registry"), "{notes}");
    assert!(notes.contains(&format!("kubectl run demo -n {a}")), "{notes}");
    let pod = Started::wait(&turn, SIDECAR).await?;
    let mut sidecar = pod.controller()?;
    until_page(&mut sidecar, "/readyz", "it is ready, with all rights", |status, body| {
        status == 200 && body.contains("leader: this replica writes")
    })
    .await?;
    until_filled(&turn, &a).await?;
    until_page(&mut sidecar, "/metrics", "policies and configuration agree", |_, page| {
        metric(page, "policies_agree", &[]) == 1 && metric(page, "rights_missing", &[]) == 0
    })
    .await?;

    let upgrade = values(&[&a, &b], "attach: both\npolicies: {manualPullSecrets: {workloads: warn}}\n");
    succeeded(&turn.helm("upgrade", &upgrade).await?)?;
    for policy in ["inject", "guard"] {
        let policy = turn.get("clusteradmissionpolicies", &format!("acr-credential-helper-{policy}")).await?;
        assert_eq!(policy["spec"]["settings"]["namespaces"], json!([a, b]));
        assert_eq!(policy["spec"]["settings"]["manualPullSecrets"]["workloads"], "warn");
        let name = policy["spec"]["namespaceSelector"]["matchExpressions"][0].clone();
        assert_eq!(name, json!({ "key": "kubernetes.io/metadata.name", "operator": "In", "values": [a, b] }));
    }
    // The configuration is followed live, and the right to write the lists is there.
    until_filled(&turn, &b).await?;
    until_listed(&turn, &a, &[OURS]).await?;
    until_listed(&turn, &b, &[OURS]).await?;

    let (uninstalled, cleaned, ended) =
        tokio::try_join!(turn.uninstall(&[]), clean_up(&turn), pod.end(sidecar))?;
    assert_eq!(cleaned.code, Some(0), "{}{}", cleaned.stdout, cleaned.stderr);
    let order: Vec<_> =
        ["inject.\n", "guard.\n", "Stopped the Deployment", "Removed 3 Secrets and 2 entries"]
            .map(|part| cleaned.stdout.find(part))
            .into();
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{}", cleaned.stdout);
    assert_eq!(ended, Some(0), "the sidecar was told to end, and did");
    succeeded(&uninstalled)?;
    until_listed(&turn, &a, &[]).await?;
    until_nothing_is_left(&turn, &before).await
}

#[tokio::test]
async fn the_test_of_a_release_fails_while_a_namespace_lacks_its_pull_secret() -> Result<()> {
    let turn = Turn::with_kubewarden().await?;
    let namespace = named_namespace(&turn.client, "chart-test", &[]).await?;
    let before = turn.everything().await?;
    succeeded(&turn.helm("install", &values(&[&namespace], "")).await?)?;
    let run = async || Started::wait(&turn, TEST).await?.job().await;

    // The Pod of the sidecar does not run yet.
    let (tested, status) = tokio::try_join!(turn.test(), run())?;
    assert!(!tested.success && tested.stderr.contains(TEST), "{}{}", tested.stdout, tested.stderr);
    assert!(status.stdout.contains(&namespace), "{}{}", status.stdout, status.stderr);
    assert_eq!(status.code, Some(1), "{}", status.stderr);

    let pod = Started::wait(&turn, SIDECAR).await?;
    let sidecar = pod.controller()?;
    until_filled(&turn, &namespace).await?;
    // The Pod of the test that failed was left for its log, until the next one.
    let failed = turn.get("pods", TEST).await?["metadata"]["uid"].clone();
    let next = async || {
        wait_until("the Pod is replaced", PATIENCE, async || {
            Ok(turn.get("pods", TEST).await.ok().filter(|pod| pod["metadata"]["uid"] != failed).map(|_| ()))
        })
        .await?;
        run().await
    };
    let (tested, status) = tokio::try_join!(turn.test(), next())?;
    assert_eq!(status.code, Some(0), "{}{}", status.stdout, status.stderr);
    succeeded(&tested)?;
    let (uninstalled, cleaned, _) = tokio::try_join!(turn.uninstall(&[]), clean_up(&turn), pod.end(sidecar))?;
    assert_eq!(cleaned.code, Some(0), "{}", cleaned.stderr);
    succeeded(&uninstalled)?;
    until_nothing_is_left(&turn, &before).await
}

#[tokio::test]
async fn a_cleanup_that_does_not_end_leaves_the_release_and_can_be_tried_again() -> Result<()> {
    let turn = Turn::with_kubewarden().await?;
    succeeded(&turn.helm("install", VALUES).await?)?;
    // Nobody runs the Job.
    let uninstalled = turn.uninstall(&["--timeout", "3s"]).await?;
    assert!(!uninstalled.success, "{}", uninstalled.stdout);
    for (kind, name) in [
        ("clusteradmissionpolicies", "acr-credential-helper-inject"),
        ("configmaps", "acr-configuration"),
        ("deployments", SIDECAR),
        ("clusterroles", SIDECAR),
        ("validatingadmissionpolicies", "acr-credential-sidecar-secrets"),
    ] {
        turn.get(kind, name).await?;
    }
    // Neither does the account of the Job keep its rights.
    for kind in ["clusterroles", "clusterrolebindings", "roles", "rolebindings", "serviceaccounts"] {
        assert!(turn.get(kind, CLEANUP).await.is_err(), "{kind}: what the Job may do stays behind");
    }
    let job = ["delete", "job", CLEANUP, "--namespace", NAMESPACE, "--cascade=foreground"];
    succeeded(&turn.kubectl(&job, "").await?)?;
    let (uninstalled, cleaned) = tokio::try_join!(turn.uninstall(&[]), clean_up(&turn))?;
    assert_eq!(cleaned.code, Some(0), "{}", cleaned.stderr);
    succeeded(&uninstalled)?;
    Ok(())
}

#[tokio::test]
async fn the_vendors_config_map_is_used_and_never_replaced() -> Result<()> {
    let turn = Turn::with_kubewarden().await?;
    let namespace = named_namespace(&turn.client, "chart-vendor", &[]).await?;
    let vendors = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "acr-configuration", "namespace": NAMESPACE },
        "data": {
            "watch-namespace": namespace,
            "service-account": "default",
            "expiring-threshold": "15m",
            "acr-registry-info": "- instanceId: cri-example\n  regionId: cn-hangzhou\n",
        },
    });
    succeeded(&turn.kubectl(&["create", "-f", "-"], &vendors.to_string()).await?)?;

    let refused = turn.helm("install", &values(&[&namespace], "")).await?;
    assert!(!refused.success, "{}", refused.stdout);
    assert!(refused.stderr.contains("ConfigMap \"acr-configuration\""), "{}", refused.stderr);
    let kept = turn.get("configmaps", "acr-configuration").await?;
    assert_eq!(kept["data"], vendors["data"]);
    succeeded(&turn.uninstall(&["--no-hooks", "--ignore-not-found"]).await?)?;

    let existing = format!(
        "configuration: {{existing: acr-configuration}}\nnamespaces: [{namespace}]\nspreadSeconds: 0\n"
    );
    succeeded(&turn.helm("install", &existing).await?)?;
    let pod = Started::wait(&turn, SIDECAR).await?;
    let mut sidecar = pod.controller()?;
    until_filled(&turn, &namespace).await?;
    until_page(&mut sidecar, "/metrics", "policies and configuration agree", |_, page| {
        metric(page, "policies_agree", &[]) == 1
    })
    .await?;
    let (uninstalled, cleaned, _) = tokio::try_join!(turn.uninstall(&[]), clean_up(&turn), pod.end(sidecar))?;
    assert_eq!(cleaned.code, Some(0), "{}", cleaned.stderr);
    succeeded(&uninstalled)?;
    let kept = turn.get("configmaps", "acr-configuration").await?;
    assert_eq!(kept["data"], vendors["data"]);
    let gone = ["delete", "configmap", "acr-configuration", "--namespace", NAMESPACE];
    succeeded(&turn.kubectl(&gone, "").await?)?;
    Ok(())
}

#[tokio::test]
async fn without_kubewarden_helm_refuses_the_policies_and_installs_the_sidecar_alone() -> Result<()> {
    let turn = Turn::without_kubewarden().await?;
    let before = turn.everything().await?;
    let refused = turn.helm("install", VALUES).await?;
    assert!(!refused.success, "{}", refused.stdout);
    assert!(refused.stderr.contains("no matches for kind \"ClusterAdmissionPolicy\""), "{}", refused.stderr);
    assert!(refused.stderr.contains("ensure CRDs are installed first"), "{}", refused.stderr);
    until_nothing_is_left(&turn, &before).await?;

    let notes = succeeded(&turn.helm("install", &format!("{VALUES}policies: {{enabled: false}}\n")).await?)?;
    assert!(notes.contains("The policies are switched off"), "{notes}");
    let (uninstalled, cleaned) = tokio::try_join!(turn.uninstall(&[]), clean_up(&turn))?;
    assert_eq!(cleaned.code, Some(0), "{}", cleaned.stderr);
    succeeded(&uninstalled)?;
    Ok(())
}
