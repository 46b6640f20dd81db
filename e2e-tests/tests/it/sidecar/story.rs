//! The whole product: a configuration comes in, and Pods with private images start.

use anyhow::{Context as _, Result};
use kube::api::ObjectMeta;
use serde_json::json;

use super::pods::{deployment, inject, until_running};
use super::stage::{IMAGE, INSTANCE, Identity, Stage, annotation, logins};
use crate::support::create;

#[tokio::test]
async fn a_deployment_with_a_private_image_and_no_pull_secrets_of_its_own_starts() -> Result<()> {
    let stage = Stage::with_registry("story-", Identity::User).await?;
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
    create(&stage.client, &deployment(&namespace, "default", IMAGE), false)
        .await?
        .map_err(anyhow::Error::msg)?;
    let pod = until_running(&stage, &namespace).await?;
    let listed = pod.spec.and_then(|spec| spec.image_pull_secrets).unwrap_or_default();
    assert_eq!(listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), [stage.name.as_str()]);
    Ok(())
}

#[tokio::test]
async fn a_namespace_with_all_that_is_in_it_can_be_applied_at_once() -> Result<()> {
    let stage = Stage::with_registry("fresh-", Identity::User).await?;
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
            deployment(&namespace, "web", IMAGE),
        ],
    });
    let applied = stage.cluster.kubectl(&["apply", "-f", "-"], &list.to_string()).await?;
    assert!(applied.success, "{}", applied.stderr);
    let pod = until_running(&stage, &namespace).await?;
    // A kubelet whose first pull fails tries again after ten seconds: then at the latest the Secret has to be there.
    let secret = stage.until_filled(&namespace).await?;
    let created = |metadata: &ObjectMeta| metadata.creation_timestamp.clone().map(|time| time.0);
    let (made, came) =
        (created(&pod.metadata).context("no time")?, created(&secret.metadata).context("no time")?);
    assert!(came.duration_since(made).as_secs() < 10, "the Secret came at {came}, the Pod at {made}");
    Ok(())
}
