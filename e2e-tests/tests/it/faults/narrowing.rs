//! Keys that narrow, left without a value in the ConfigMap of a running sidecar.

use acr_e2e_tests::cluster::{PATIENCE, named_namespace};
use acr_e2e_tests::sidecar::Running;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::sidecar::stage::{INSTANCE, Stage, logins, until_page};

const OPEN: &str = "open.example.test";
const CLOSED: &str = "closed.example.test";

/// A registry for all managed namespaces, and one whose `namespaces` are these.
fn registries(namespaces: &str) -> String {
    format!("{INSTANCE}  domains: {OPEN}\n{INSTANCE}  domains: {CLOSED}\n  namespaces:{namespaces}\n")
}

/// The hosts of a namespace's pull secret.
async fn hosts(stage: &Stage, namespace: &str) -> Result<Vec<String>> {
    let secret = stage.pull_secret(namespace).await?;
    Ok(secret.map_or(Vec::new(), |secret| logins(&secret).into_keys().collect()))
}

/// Waits until the sidecar reports that the configuration cannot be used, and where. Until then, and then, this namespace has no other
/// hosts than these.
async fn until_refused(
    stage: &Stage,
    sidecar: &mut Running,
    place: &str,
    namespace: &str,
    expected: &[&str],
) -> Result<()> {
    let unchanged = async || {
        let found = hosts(stage, namespace).await?;
        ensure!(found == expected, "{namespace} has got {found:?}");
        Ok(())
    };
    wait_until(&format!("{place} is reported"), PATIENCE, async || {
        unchanged().await?;
        let Some((_, page)) = sidecar.page("/metrics").await? else { return Ok(None) };
        let is_refused = page.contains("acr_credential_sidecar_configuration_valid 0");
        Ok((is_refused && sidecar.log()?.contains(place)).then_some(()))
    })
    .await?;
    unchanged().await
}

async fn until_applied(sidecar: &mut Running) -> Result<()> {
    until_page(sidecar, "/metrics", "the configuration is in use", |_, page| {
        page.contains("acr_credential_sidecar_configuration_valid 1")
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_registry_whose_last_namespace_is_commented_out_goes_to_nobody_new() -> Result<()> {
    let stage = Stage::new("narrow-").await?;
    let (inside, outside) = (stage.namespace("in").await?, stage.namespace("out").await?);
    let good = registries(&format!("\n    - {inside}"));
    stage.configure(&good, &[]).await?;
    let mut sidecar = stage.started(&[]).await?;
    stage.until_filled(&outside).await?;
    stage.until(&inside, "has both registries", PATIENCE, |secret| logins(secret).len() == 2).await?;

    let place = "acr-registry-info[1].namespaces: names no namespace";
    for value in [format!("\n    # - {inside}"), " null".to_owned(), " ~".to_owned(), " []".to_owned()] {
        stage.configure(&registries(&value), &[]).await?;
        until_refused(&stage, &mut sidecar, place, &outside, &[OPEN]).await?;
        stage.configure(&good, &[]).await?;
        until_applied(&mut sidecar).await?;
    }

    stage.configure(&registries(""), &[]).await?;
    until_refused(&stage, &mut sidecar, place, &outside, &[OPEN]).await?;
    let note = stage.until_event(&stage.name, "ConfigurationInvalid", PATIENCE).await?;
    assert!(note.contains(place), "{note}");
    // The last good configuration is at work, for namespaces to come, too.
    let new = stage.namespace("new").await?;
    stage.until_filled(&new).await?;
    assert_eq!(hosts(&stage, &new).await?, [OPEN]);
    assert_eq!(hosts(&stage, &inside).await?, [CLOSED, OPEN]);
    Ok(())
}

#[tokio::test]
async fn domains_without_a_host_do_not_make_a_credential_good_for_all_hosts() -> Result<()> {
    let stage = Stage::new("narrow-hosts-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(&format!("{INSTANCE}  domains: {OPEN}\n"), &[]).await?;
    let mut sidecar = stage.started(&[]).await?;
    stage.until_filled(&namespace).await?;
    stage.configure(&format!("{INSTANCE}  domains: # {OPEN}\n"), &[]).await?;
    let place = "acr-registry-info[0].domains: names no host";
    until_refused(&stage, &mut sidecar, place, &namespace, &[OPEN]).await
}

#[tokio::test]
async fn a_label_selector_that_is_emptied_selects_nothing_new() -> Result<()> {
    let stage = Stage::new("narrow-labels-").await?;
    let selected =
        named_namespace(&stage.client, &format!("{}-a", stage.name), &[("granted", "yes")]).await?;
    let other = stage.namespace("b").await?;
    let registries = format!("{INSTANCE}  domains: {OPEN}\n");
    stage.configure(&registries, &[("watch-namespace-selector", "granted")]).await?;
    let mut sidecar = stage.started(&[]).await?;
    stage.until_filled(&selected).await?;
    let place = "watch-namespace-selector: is empty";
    stage.configure(&registries, &[("watch-namespace-selector", " ")]).await?;
    until_refused(&stage, &mut sidecar, place, &other, &[]).await?;

    // What becomes of `null`, as docs/configuration.md has it: an empty text where it is new, nothing where it was a text.
    let stored = async |command: &str, name: &str, selector: Value| {
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": name, "namespace": stage.name },
            "data": {
                "watch-namespace": format!("{}-*", stage.name),
                "watch-namespace-selector": selector,
                "acr-registry-info": registries,
            },
        });
        let output =
            stage.cluster.kubectl(&[command, "--filename=-", "--output=json"], &manifest.to_string()).await?;
        ensure!(output.success, "{}", output.stderr);
        let stored: Value = serde_json::from_str(&output.stdout)?;
        Ok(stored["data"]["watch-namespace-selector"].clone())
    };
    assert_eq!(stored("apply", "another", json!("granted")).await?, "granted");
    assert_eq!(stored("apply", "another", json!(null)).await?, json!(null));
    let delete = ["delete", "configmap", "acr-configuration", "--namespace", &stage.name];
    ensure!(stage.cluster.kubectl(&delete, "").await?.success, "it cannot be deleted");
    assert_eq!(stored("create", "acr-configuration", json!(null)).await?, "");
    until_refused(&stage, &mut sidecar, place, &other, &[]).await?;
    assert_eq!(hosts(&stage, &selected).await?, [OPEN]);
    Ok(())
}
