//! What becomes of pull secrets when somebody else writes them, and of those that are nobody's any more.

use acr_e2e_tests::cluster::{PATIENCE, apply};
use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::DeleteParams;
use serde_json::json;

use super::stage::{INSTANCE, LONG, Stage, annotation, logins, metric, until_page, version};

#[tokio::test]
async fn what_a_tenant_changes_is_put_right_and_said() -> Result<()> {
    let stage = Stage::new("tampering-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let _sidecar = stage.started(&[]).await?;
    let before = stage.until_filled(&namespace).await?;
    let stolen = STANDARD.encode(r#"{"auths":{}}"#);
    stage.tamper(&namespace, &json!({ "data": { ".dockerconfigjson": stolen } })).await?;
    let after = stage.until_filled(&namespace).await?;
    assert_eq!(logins(&after), logins(&before));
    assert_eq!(after.metadata.uid, before.metadata.uid, "it is repaired in place");
    let note = stage.until_event(&namespace, "PullSecretRepaired", PATIENCE).await?;
    assert!(note.contains("tenant changed"), "{note}");
    assert_eq!(stage.mints(), 1);
    Ok(())
}

#[tokio::test]
async fn a_deleted_pull_secret_comes_back() -> Result<()> {
    let stage = Stage::new("deletion-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let _sidecar = stage.started(&[]).await?;
    let before = stage.until_filled(&namespace).await?;
    stage.secrets(&namespace).delete(&stage.name, &DeleteParams::default()).await?;
    let after = stage
        .until(&namespace, "is a new one", PATIENCE, |secret| secret.metadata.uid != before.metadata.uid)
        .await?;
    assert_eq!(logins(&after), logins(&before));
    assert_eq!(stage.mints(), 1);
    Ok(())
}

#[tokio::test]
async fn a_foreign_secret_is_left_alone_until_adoption_is_asked_for() -> Result<()> {
    let stage = Stage::new("foreign-").await?;
    let (namespace, other) = (stage.namespace("a").await?, stage.namespace("b").await?);
    let foreign = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": stage.name, "namespace": namespace },
        "type": "kubernetes.io/dockerconfigjson",
        "data": { ".dockerconfigjson": STANDARD.encode(r#"{"auths":{}}"#) },
    });
    apply(&stage.client, &foreign).await?;
    let before = stage.pull_secret(&namespace).await?.map(|secret| version(&secret));
    stage.configure(INSTANCE, &[]).await?;
    let mut sidecar = stage.started(&[]).await?;
    stage.until_filled(&other).await?;
    let note = stage.until_event(&namespace, "ForeignPullSecret", PATIENCE).await?;
    assert!(note.contains("e2e-tests created this Secret") && note.contains("--adopt"), "{note}");
    until_page(&mut sidecar, "/metrics", "the Secret is counted", |_, body| {
        metric(body, "foreign_secrets", &[]) == 1
    })
    .await?;
    assert_eq!(stage.pull_secret(&namespace).await?.map(|secret| version(&secret)), before);
    assert_eq!(sidecar.stop().await?, Some(0));

    let _sidecar = stage.started(&["--adopt"]).await?;
    let adopted = stage.until_filled(&namespace).await?;
    assert_eq!(Some(adopted.metadata.uid), before.map(|(uid, _)| uid));
    stage.until_event(&namespace, "PullSecretAdopted", PATIENCE).await?;
    assert_eq!(stage.mints(), 1);
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_is_deselected_by_mistake_loses_nothing() -> Result<()> {
    let stage = Stage::new("deselected-").await?;
    let (namespace, kept) = (stage.namespace("a").await?, stage.namespace("b").await?);
    stage.configure(INSTANCE, &[]).await?;
    let mut sidecar = stage.started(&[]).await?;
    let before = stage.until_filled(&namespace).await?;
    stage.until_filled(&kept).await?;
    stage.configure(INSTANCE, &[("watch-namespace", &kept)]).await?;
    let managed = |body: &str, number| {
        body.lines().any(|line| line == format!("acr_credential_sidecar_managed_namespaces {number}"))
    };
    until_page(&mut sidecar, "/metrics", "one namespace is managed", |_, body| managed(body, 1)).await?;
    assert_eq!(stage.pull_secret(&namespace).await?.as_ref().map(version), Some(version(&before)));
    stage.configure(INSTANCE, &[]).await?;
    until_page(&mut sidecar, "/metrics", "two namespaces are managed", |_, body| managed(body, 2)).await?;
    assert_eq!(stage.pull_secret(&namespace).await?.as_ref().map(version), Some(version(&before)));
    assert_eq!(stage.mints(), 1);
    Ok(())
}

#[tokio::test]
async fn the_secret_of_a_deselected_namespace_goes_when_its_credential_expires() -> Result<()> {
    let stage = Stage::new("expiring-").await?;
    stage.cloud().patch(&json!({ "credentialSeconds": 40 }))?;
    let (namespace, kept) = (stage.namespace("a").await?, stage.namespace("b").await?);
    stage.configure(INSTANCE, &[]).await?;
    let _sidecar = stage.started(&[]).await?;
    let secret = stage.until_filled(&namespace).await?;
    let expiry: jiff::Timestamp = annotation(&secret, "expires-at").parse()?;
    stage.configure(INSTANCE, &[("watch-namespace", &kept)]).await?;
    acr_e2e_tests::wait::wait_until("the pull secret is gone", LONG, async || {
        let found = stage.pull_secret(&namespace).await?;
        Ok(found.is_none().then_some(()))
    })
    .await?;
    assert!(jiff::Timestamp::now() >= expiry, "it went before its credential expired");
    Ok(())
}
