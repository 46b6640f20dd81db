//! The whole product: a configuration comes in, and Pods with private images start.

use acr_e2e_tests::cluster::PATIENCE;
use acr_e2e_tests::installation::{Installation, policies_for, set};
use acr_e2e_tests::manifests::ClusterAdmissionPolicy;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::stage::{IMAGE, INSTANCE, Stage, annotation, logins};
use crate::support::create;

/// The policy that adds the pull secret to Pods, for namespaces of a stage. The first of them is there already.
async fn inject(stage: &Stage, namespaces: &[&str]) -> Result<Installation> {
    let first = namespaces.first().context("no namespace")?;
    let mut policies = policies_for(first, &["inject"])?;
    for policy in &mut policies {
        set(policy, "namespaces", json!(namespaces))?;
        set(policy, "pullSecret", json!(stage.name))?;
        set(policy, "serviceAccounts", json!(["default", "web"]))?;
        select(policy, namespaces, &stage.name);
    }
    Installation::start(stage.cluster, policies).await
}

fn select(policy: &mut ClusterAdmissionPolicy, namespaces: &[&str], pull_secret: &str) {
    let selector = policy.spec.namespace_selector.as_mut();
    for expression in selector.and_then(|selector| selector.match_expressions.as_mut()).into_iter().flatten()
    {
        if expression.operator == "In" {
            expression.values = Some(namespaces.iter().map(|name| (*name).to_owned()).collect());
        }
    }
    for condition in policy.spec.match_conditions.iter_mut().flatten() {
        condition.expression = condition.expression.replace("acr-credential-secret-aggregation", pull_secret);
    }
}

fn deployment(namespace: &str, account: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web", "namespace": namespace },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "serviceAccountName": account, "containers": [{ "name": "web", "image": IMAGE }] },
            },
        },
    })
}

/// Waits until a Pod of the Deployment runs.
async fn until_running(stage: &Stage, namespace: &str) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), namespace);
    wait_until(&format!("a Pod runs in {namespace}"), PATIENCE, async || {
        let pods = pods.list(&ListParams::default().labels("app=web")).await?;
        let runs =
            |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
        Ok(pods.items.into_iter().find(runs))
    })
    .await
}

#[tokio::test]
async fn a_deployment_with_a_private_image_and_no_pull_secrets_of_its_own_starts() -> Result<()> {
    let stage = Stage::with_registry("story-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[("service-account", "default,web")]).await?;
    let _sidecar = stage.started(&[]).await?;
    let secret = stage.until_filled(&namespace).await?;
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/dockerconfigjson"));
    let labels = secret.metadata.labels.clone().unwrap_or_default();
    assert_eq!(
        labels.get("app.kubernetes.io/managed-by").map(String::as_str),
        Some("acr-credential-sidecar")
    );
    assert_eq!(annotation(&secret, "registries"), "cn-hangzhou/cri-example");
    assert!(annotation(&secret, "expires-at").parse::<jiff::Timestamp>()? > jiff::Timestamp::now());
    assert!(!annotation(&secret, "hash").is_empty() && !annotation(&secret, "inputs").is_empty());
    let hosts: Vec<_> = logins(&secret).into_keys().collect();
    assert_eq!(
        hosts,
        [
            "example-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
            "example-registry.cn-hangzhou.cr.aliyuncs.com",
            "images.example.test",
        ]
    );
    let _policy = inject(&stage, &[&namespace]).await?;
    create(&stage.client, &deployment(&namespace, "default"), false).await?.map_err(anyhow::Error::msg)?;
    let pod = until_running(&stage, &namespace).await?;
    let listed = pod.spec.and_then(|spec| spec.image_pull_secrets).unwrap_or_default();
    assert_eq!(listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), [stage.name.as_str()]);
    Ok(())
}

#[tokio::test]
async fn a_namespace_with_all_that_is_in_it_can_be_applied_at_once() -> Result<()> {
    let stage = Stage::with_registry("fresh-").await?;
    let first = stage.namespace("a").await?;
    let namespace = format!("{}-new", stage.name);
    stage.configure(INSTANCE, &[("service-account", "default,web")]).await?;
    let _sidecar = stage.started(&[]).await?;
    stage.until_filled(&first).await?;
    let _policy = inject(&stage, &[&first, &namespace]).await?;
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "web", "namespace": namespace },
    });
    let list = json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } },
            account,
            deployment(&namespace, "web"),
        ],
    });
    let applied = stage.cluster.kubectl(&["apply", "-f", "-"], &list.to_string()).await?;
    assert!(applied.success, "{}", applied.stderr);
    until_running(&stage, &namespace).await?;
    Ok(())
}
