//! A configuration that changes while the sidecar runs.

use acr_e2e_tests::cluster::PATIENCE;
use anyhow::Result;

use super::stage::{INSTANCE, Stage, until_page, version};

#[tokio::test]
async fn a_mistake_keeps_the_last_good_configuration_and_is_said() -> Result<()> {
    let stage = Stage::new("mistake-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let mut sidecar = stage.started(&[]).await?;
    let before = stage.until_filled(&namespace).await?;
    stage.configure("- instanceID: cri-example\n", &[]).await?;
    let note = stage.until_event(&stage.name, "ConfigurationInvalid", PATIENCE).await?;
    assert!(note.contains("acr-registry-info[0]"), "{note}");
    until_page(&mut sidecar, "/metrics", "the mistake is counted", |_, body| {
        body.contains("acr_credential_sidecar_configuration_valid 0")
    })
    .await?;
    // The last good one is at work still.
    let later = stage.namespace("b").await?;
    stage.until_filled(&later).await?;
    assert_eq!(stage.pull_secret(&namespace).await?.as_ref().map(version), Some(version(&before)));
    assert!(sidecar.log()?.contains("the last good configuration stays in use"));

    stage.configure(INSTANCE, &[("expiring-threshold", "16m")]).await?;
    stage.until_event(&stage.name, "ConfigurationApplied", PATIENCE).await?;
    assert_eq!(stage.mints(), 1);
    Ok(())
}

#[tokio::test]
async fn a_host_of_two_registries_is_an_event_with_both_places_and_the_way_out() -> Result<()> {
    let stage = Stage::new("disputed-").await?;
    let other = "- instanceId: cri-beijing\n  regionId: cn-beijing\n  domains: images.example.test\n";
    stage.configure(&format!("{INSTANCE}{other}"), &[]).await?;
    let _sidecar = stage.started(&[]).await?;
    let note = stage.until_event(&stage.name, "HostDisputed", PATIENCE).await?;
    assert_eq!(
        note,
        "acr-registry-info[0]: images.example.test also belongs to acr-registry-info[1], which lists its hosts in domains and gets \
         it: list the hosts of each in domains, or give them different namespaces"
    );

    // What changes nothing about it is no reason to say it again.
    stage.configure(&format!("{INSTANCE}{other}"), &[("expiring-threshold", "16m")]).await?;
    stage.until_event(&stage.name, "ConfigurationApplied", PATIENCE).await?;
    let events = stage.events(&stage.name).await?;
    let disputes = events.iter().filter(|event| event.reason.as_deref() == Some("HostDisputed"));
    assert_eq!(disputes.count(), 1);
    Ok(())
}

#[tokio::test]
async fn without_a_configuration_the_sidecar_is_not_ready_and_says_why() -> Result<()> {
    let stage = Stage::new("missing-").await?;
    let mut sidecar = stage.start(&[])?;
    until_page(&mut sidecar, "/readyz", "the ConfigMap is missed", |status, body| {
        status == 503 && body.contains("✗ configuration: there is no ConfigMap\n")
    })
    .await?;
    stage.until_told(&sidecar, &["ConfigMap acr-configuration: is missing"]).await?;
    stage.configure(INSTANCE, &[]).await?;
    until_page(&mut sidecar, "/readyz", "it is ready", |status, _| status == 200).await?;
    Ok(())
}
