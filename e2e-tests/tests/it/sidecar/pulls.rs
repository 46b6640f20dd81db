//! Pods that pull again after the credential of their first pull was renewed.

use acr_e2e_tests::cluster::apply;
use acr_e2e_tests::installation::pod;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::pods::{deployment, inject, runs, until_pod, until_running, waits_for};
use super::stage::{Identity, LONG, Stage, annotation};
use crate::support::create;

/// An instance whose credentials live shortly, so that one ends within a test.
const SHORT_LIVED: &str = "- instanceId: cri-shortlived\n  regionId: cn-hangzhou\n";
const IMAGE: &str = "shortlived-registry.cn-hangzhou.cr.aliyuncs.com/team/web";

#[tokio::test]
async fn pods_from_before_a_rotation_pull_when_the_first_credential_has_expired() -> Result<()> {
    let stage = Stage::with_registry("rotated-", Identity::User).await?;
    let (namespace, other) = (stage.namespace("a").await?, stage.namespace("b").await?);
    stage.configure(SHORT_LIVED, &[]).await?;
    let _sidecar = stage.started(&[]).await?;
    let first = stage.until_filled(&namespace).await?;
    let _policy = inject(&stage, &[&namespace]).await?;
    let image = format!("{IMAGE}:1");
    create(&stage.client, &deployment(&namespace, "default", &image), false)
        .await?
        .map_err(anyhow::Error::msg)?;
    let old = until_running(&stage, &namespace).await?;

    let renewed = |secret: &_| annotation(secret, "hash") != annotation(&first, "hash");
    stage.until(&namespace, "is renewed", LONG, renewed).await?;
    let expiry: jiff::Timestamp = annotation(&first, "expires-at").parse()?;
    wait_until("the first credential has expired", LONG, async || {
        Ok((jiff::Timestamp::now() > expiry).then_some(()))
    })
    .await?;

    // Whoever kept the first credential cannot pull any more.
    let copy = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "copy", "namespace": other },
        "type": "kubernetes.io/dockerconfigjson",
        "data": first.data,
    });
    apply(&stage.client, &copy).await?;
    let mut late = pod(&other, "late", &["copy"]);
    late["spec"]["containers"][0]["image"] = json!(image);
    create(&stage.client, &late, false).await?.map_err(anyhow::Error::msg)?;
    until_pod(&stage, &other, "late", "cannot pull", |pod| waits_for(pod) == "ErrImagePull").await?;

    // The old Pod pulls another image: what it refers to has changed, not the reference.
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), &namespace);
    let change = json!({ "spec": { "containers": [{ "name": "web", "image": format!("{IMAGE}:2") }] } });
    pods.patch(&old.name_any(), &PatchParams::default(), &Patch::Strategic(change)).await?;
    let after = until_pod(&stage, &namespace, &old.name_any(), "runs the other image", |pod| {
        let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        runs(pod) && containers.into_iter().flatten().all(|container| container.image.ends_with(":2"))
    })
    .await?;
    assert_eq!(after.uid(), old.uid());

    // And so does the Pod that replaces it.
    pods.delete(&old.name_any(), &DeleteParams::default()).await?;
    wait_until("the old Pod is gone", LONG, async || {
        Ok(pods.get_opt(&old.name_any()).await?.is_none().then_some(()))
    })
    .await?;
    let replacement = until_running(&stage, &namespace).await?;
    assert_ne!(replacement.uid().context("no uid")?, old.uid().context("no uid")?);
    Ok(())
}
