//! Watches that break, and lists that fail.

use std::collections::BTreeMap;

use acr_e2e_tests::api_proxy::{Calls, Fault, Rule};
use acr_e2e_tests::cluster::PATIENCE;
use acr_e2e_tests::wait::wait_until;
use anyhow::Result;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use crate::sidecar::stage::{INSTANCE, LONG, Stage, logins, metric, until_leads, until_page};

/// One of the hosts of the instance.
const HOST: &str = "images.example.test";

const UNAVAILABLE: Fault = Fault::Refuse { status: 503, retry_after: None };

#[tokio::test]
async fn what_happens_while_all_watches_are_cut_is_caught_up_with() -> Result<()> {
    let stage = Stage::new("cut-").await?;
    let (changed, deleted, ended) =
        (stage.namespace("a").await?, stage.namespace("b").await?, stage.namespace("c").await?);
    stage.configure(INSTANCE, &[]).await?;
    let proxy = stage.proxy().await?;
    let mut sidecar = stage.started_through_proxy(&[]).await?;
    let before = stage.until_filled(&changed).await?;
    let uid = stage.until_filled(&deleted).await?.metadata.uid;
    stage.until_filled(&ended).await?;

    let cut = proxy.set(Rule::new(Calls::watches(), UNAVAILABLE));
    proxy.cut_watches();
    // Namespaces, pull secrets, and the ConfigMap.
    cut.until_met(3, PATIENCE).await?;
    let new = stage.namespace("d").await?;
    stage.tamper(&changed, &json!({ "data": { ".dockerconfigjson": "e30=" } })).await?;
    stage.secrets(&deleted).delete(&stage.name, &DeleteParams::default()).await?;
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces.delete(&ended, &DeleteParams::default()).await?;
    stage.configure(&format!("{INSTANCE}  domains: {HOST}\n"), &[]).await?;
    assert!(stage.pull_secret(&new).await?.is_none(), "nobody can know of it yet");
    cut.lift();

    let login = BTreeMap::from([(HOST.to_owned(), logins(&before)[HOST].clone())]);
    for namespace in [&new, &changed, &deleted] {
        let is_so = |secret: &Secret| logins(secret) == login;
        let secret = stage.until(namespace, "is the new configuration's", LONG, is_so).await?;
        assert_ne!(secret.metadata.uid, uid, "it was deleted");
    }
    let page = until_page(&mut sidecar, "/metrics", "three namespaces are managed", |_, body| {
        body.lines().any(|line| line == "acr_credential_sidecar_managed_namespaces 3")
    })
    .await?;
    assert!(metric(&page, "watch_failures_total", &[]) >= 2, "{page}");
    assert_eq!(stage.mints(), 1);
    Ok(())
}

#[tokio::test]
async fn a_watch_that_has_lost_its_place_lists_again() -> Result<()> {
    let stage = Stage::new("outdated-").await?;
    let first = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let proxy = stage.proxy().await?;
    let _sidecar = stage.started_through_proxy(&[]).await?;
    let before = stage.until_filled(&first).await?;
    let lists = Calls::reads().of("/api/v1/namespaces?");
    for (suffix, fault) in [("b", Fault::Outdate), ("c", Fault::Refuse { status: 410, retry_after: None })] {
        let listed = proxy.calls(&lists).len();
        let outdated = proxy.set(Rule::new(Calls::watches(), fault).times(3));
        proxy.cut_watches();
        outdated.until_met(3, PATIENCE).await?;
        wait_until("namespaces are listed again", PATIENCE, async || {
            Ok((proxy.calls(&lists).len() > listed).then_some(()))
        })
        .await?;
        let namespace = stage.namespace(suffix).await?;
        stage.until_filled(&namespace).await?;
        assert!(proxy.calls(&lists).len() <= listed + 3, "it lists again and again");
    }
    let after = stage.pull_secret(&first).await?;
    assert_eq!(after.map(|secret| secret.metadata.resource_version), Some(before.metadata.resource_version));
    assert_eq!(stage.mints(), 1);
    Ok(())
}

#[tokio::test]
async fn a_start_survives_lists_that_fail_and_says_what_it_waits_for() -> Result<()> {
    let stage = Stage::new("unlisted-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let proxy = stage.proxy().await?;
    let failing = Fault::Refuse { status: 500, retry_after: None };
    let fails = proxy.set(Rule::new(Calls::reads().of("/api/v1/namespaces?"), failing));
    let mut sidecar = stage.start_through_proxy(&[])?;
    fails.until_met(2, PATIENCE).await?;
    until_page(&mut sidecar, "/readyz", "the list is missed", |status, body| {
        status == 503 && body.contains("✗ namespaces")
    })
    .await?;
    fails.lift();
    until_leads(&mut sidecar).await?;
    stage.until_filled(&namespace).await?;
    assert_eq!(stage.mints(), 1);
    Ok(())
}

#[tokio::test]
async fn a_watch_that_stays_refused_is_said_once_and_makes_unready_after_a_minute() -> Result<()> {
    let stage = Stage::new("refused-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let proxy = stage.proxy().await?;
    let mut sidecar = stage.started_through_proxy(&[]).await?;
    stage.until_filled(&namespace).await?;
    let watches = Calls::watches().of("/api/v1/namespaces?");
    let refused = proxy.set(Rule::new(watches.clone(), Fault::Refuse { status: 403, retry_after: None }));
    proxy.cut_watches();
    refused.until_met(1, PATIENCE).await?;
    let calls = proxy.calls(&watches).len();
    until_page(&mut sidecar, "/readyz", "the watch is missed", |status, body| {
        status == 503 && body.contains("✗ namespaces")
    })
    .await?;
    let tries = proxy.calls(&watches).len() - calls;
    assert!(tries < 20, "pauses grow: {tries} tries within a minute");
    let said = sidecar.log()?.matches("failed to watch namespaces").count();
    assert!(
        (1..=2).contains(&said),
        "once for the cut, and once for the refusal, but it is said {said} times"
    );
    refused.lift();
    until_leads(&mut sidecar).await?;
    Ok(())
}
