//! What the shipped rights do not allow.

use acr_e2e_tests::cluster::PATIENCE;
use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::stage::{INSTANCE, Stage};

#[track_caller]
fn refused<T: std::fmt::Debug>(what: &str, outcome: kube::Result<T>) {
    match outcome {
        Err(kube::Error::Api(status)) if status.code == 403 => {}
        other => panic!("{what} is not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_sidecar_can_do_nothing_but_its_work() -> Result<()> {
    let stage = Stage::new("rights-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let client = stage.client_of_sidecar().await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "other" } });
    let applied = Patch::Apply(&secret);
    let params = PatchParams::apply("acr-credential-sidecar");
    let all = ListParams::default();
    refused("reading another Secret", secrets.get("other").await);
    refused("making another Secret", secrets.patch("other", &params, &applied).await);
    refused("deleting another Secret", secrets.delete("other", &kube::api::DeleteParams::default()).await);
    refused("listing all Secrets", secrets.list(&all).await);
    refused("listing all Secrets of the cluster", Api::<Secret>::all(client.clone()).list(&all).await);
    let posted: Secret = serde_json::from_value(
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": stage.name } }),
    )?;
    refused("POST of the pull secret", secrets.create(&PostParams::default(), &posted).await);
    let own: Api<Secret> = Api::namespaced(client.clone(), &stage.name);
    refused("a key Secret that nobody granted", own.get("my-access-key").await);
    refused("reading the state in another namespace", secrets.get("acr-credential-sidecar-state").await);

    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    refused("another namespace's ConfigMap", config_maps.get("acr-configuration").await);
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), &stage.name);
    refused("another ConfigMap", config_maps.get("kube-root-ca.crt").await);
    let data = Patch::Merge(json!({ "data": { "watch-namespace": "*" } }));
    refused(
        "changing the configuration",
        config_maps.patch("acr-configuration", &PatchParams::default(), &data).await,
    );

    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    let role = Patch::Merge(
        json!({ "metadata": { "annotations": { "pod-identity.alibabacloud.com/role-name": "x" } } }),
    );
    refused(
        "binding an account to a cloud identity",
        accounts.patch("default", &PatchParams::default(), &role).await,
    );
    refused("listing service accounts", accounts.list(&all).await);
    refused("listing Pods", Api::<Pod>::namespaced(client, &namespace).list(&all).await);
    Ok(())
}

#[tokio::test]
async fn a_missing_right_is_named() -> Result<()> {
    let stage = Stage::new("lacking-").await?;
    stage.configure(INSTANCE, &[("attach", "both")]).await?;
    let mut sidecar = stage.start(&[])?;
    super::stage::until_page(&mut sidecar, "/readyz", "the right is missed", |status, body| {
        status == 503 && body.contains("✗ rights: missing: 1\n")
    })
    .await?;
    stage.until_told(&sidecar, &["list, watch, patch serviceaccounts: add to the ClusterRole"]).await?;
    let note = stage.until_event(&stage.name, "RightsMissing", PATIENCE).await?;
    assert!(note.contains("list, watch, patch serviceaccounts"), "{note}");
    Ok(())
}
