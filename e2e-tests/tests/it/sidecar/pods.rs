//! Pods of a stage, and the policy that adds the pull secret to them.

use acr_e2e_tests::cluster::PATIENCE;
use acr_e2e_tests::installation::{Installation, Namespaces, policies_for, select_namespaces, set};
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::stage::Stage;

/// The policy that adds the pull secret to Pods, for namespaces of a stage. The first of them is there already.
pub async fn inject(stage: &Stage, namespaces: &[&str]) -> Result<Installation> {
    let first = namespaces.first().context("no namespace")?;
    let mut policies = policies_for(first, &["inject"])?;
    for policy in &mut policies {
        set(policy, "namespaces", json!(namespaces))?;
        set(policy, "pullSecret", json!(stage.name))?;
        set(policy, "serviceAccounts", json!(["default", "web"]))?;
        select_namespaces(policy, &Namespaces::Named(namespaces))?;
        for condition in policy.spec.match_conditions.iter_mut().flatten() {
            condition.expression =
                condition.expression.replace("acr-credential-secret-aggregation", &stage.name);
        }
    }
    Installation::start(stage.cluster, policies).await
}

/// A Deployment of one Pod with this service account and image, and no pull secrets.
pub fn deployment(namespace: &str, account: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web", "namespace": namespace },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "serviceAccountName": account, "containers": [{ "name": "web", "image": image }] },
            },
        },
    })
}

/// Waits until a Pod of the Deployment runs.
pub async fn until_running(stage: &Stage, namespace: &str) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), namespace);
    wait_until(&format!("a Pod runs in {namespace}"), PATIENCE, async || {
        let pods = pods.list(&ListParams::default().labels("app=web")).await?;
        Ok(pods.items.into_iter().find(runs))
    })
    .await
}

/// Whether a Pod runs.
pub fn runs(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"))
}

/// Waits for a Pod that is as it should be.
pub async fn until_pod(
    stage: &Stage,
    namespace: &str,
    name: &str,
    what: &str,
    is_so: impl Fn(&Pod) -> bool,
) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), namespace);
    let mut last = None;
    let what = format!("the Pod {namespace}/{name} {what}");
    let found = wait_until(&what, PATIENCE, async || {
        last = pods.get_opt(name).await?;
        Ok(last.clone().filter(&is_so))
    })
    .await;
    found.with_context(|| format!("it is {:?}", last.and_then(|pod| pod.status)))
}

/// What the first container of a Pod waits for.
pub fn waits_for(pod: &Pod) -> &str {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let state = containers.and_then(|all| all.first()).and_then(|first| first.state.as_ref());
    state
        .and_then(|state| state.waiting.as_ref())
        .and_then(|waiting| waiting.reason.as_deref())
        .unwrap_or_default()
}
