//! The whole product, out of the chart alone.

use acr_e2e_tests::cluster::{PATIENCE, apply, named_namespace};
use acr_e2e_tests::installation::{Installation, pod as pod_of, workload};
use acr_e2e_tests::manifests::Manifests;
use acr_e2e_tests::wait::wait_until;
use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::bed::{Turn, succeeded};
use super::kubelet::Started;
use super::life::{SIDECAR, clean_up, until_filled, values};
use crate::sidecar::stage::IMAGE;
use crate::support::{OURS, create};

/// What Kubewarden makes of the policies of the release.
async fn kubewarden(turn: &Turn) -> Result<Installation> {
    let mut policies = Vec::new();
    for name in ["inject", "guard"] {
        let policy = turn.get("clusteradmissionpolicies", &format!("acr-credential-helper-{name}")).await?;
        policies.extend(Manifests::parse(&policy.to_string())?.policies);
    }
    Installation::start(turn.cluster, policies).await
}

#[tokio::test]
async fn a_private_image_runs_in_a_cluster_with_nothing_but_the_chart() -> Result<()> {
    let turn = Turn::with_kubewarden().await?;
    let namespace = named_namespace(&turn.client, "chart-story", &[]).await?;
    succeeded(&turn.helm("install", &values(&[&namespace], "")).await?)?;
    let pod = Started::wait(&turn, SIDECAR).await?;
    let sidecar = pod.controller()?;
    let policies = kubewarden(&turn).await?;
    until_filled(&turn, &namespace).await?;

    let deployment = |name: &str, pull_secrets: &[&str]| -> Result<Value> {
        let mut deployment = workload("Deployment", &namespace, name, pull_secrets)?;
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!(IMAGE);
        Ok(deployment)
    };
    create(&turn.client, &deployment("web", &[])?, false).await?.map_err(anyhow::Error::msg)?;
    let pods: Api<Pod> = Api::namespaced(turn.client.clone(), &namespace);
    let pod_of_web = wait_until("the Pod runs", PATIENCE, async || {
        let all = pods.list(&ListParams::default().labels("app=web")).await?.items;
        let runs =
            |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
        Ok(all.into_iter().find(runs))
    })
    .await?;
    let listed = pod_of_web.spec.and_then(|spec| spec.image_pull_secrets).unwrap_or_default();
    assert_eq!(listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), [OURS]);

    create(&turn.client, &deployment("manual", &["mine"])?, true).await?.map_err(anyhow::Error::msg)?;
    // With the right that the chart gives the policy server.
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": "default", "namespace": namespace },
        "imagePullSecrets": [{ "name": "theirs" }],
    });
    apply(&turn.client, &account).await?;
    let copied = pod_of(&namespace, "copied", &[]).to_string();
    let list = "jsonpath={.spec.imagePullSecrets[*].name}";
    let copied =
        turn.kubectl(&["create", "--dry-run=server", "--output", list, "--filename", "-"], &copied).await?;
    assert_eq!((copied.stdout.as_str(), copied.stderr.as_str()), (&*format!("theirs {OURS}"), ""));
    // After that: the policy server keeps for some seconds what it has read of an account.
    let refusal = create(&turn.client, &pod_of(&namespace, "manual", &["mine"]), false).await?.unwrap_err();
    assert!(refusal.contains("spec.imagePullSecrets lists \"mine\""), "{refusal}");

    let (uninstalled, cleaned, _) = tokio::try_join!(turn.uninstall(&[]), clean_up(&turn), pod.end(sidecar))?;
    assert_eq!(cleaned.code, Some(0), "{}", cleaned.stderr);
    succeeded(&uninstalled)?;
    drop(policies);
    Ok(())
}
