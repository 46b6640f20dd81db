//! Two replicas, of which the leader freezes, is killed, or ends.

use acr_e2e_tests::api_proxy::{Calls, Fault, Rule};
use acr_e2e_tests::cluster::PATIENCE;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use tokio::time::timeout;

use super::guard::Guard;
use crate::sidecar::stage::{
    INSTANCE, LONG, STATE, Stage, annotation, logins, metric, until_leads, until_page, until_stands_by,
    version,
};

/// The same registry with its hosts written down: something to be written everywhere, without a mint.
const ONE_HOST: &str = "- instanceId: cri-example\n  regionId: cn-hangzhou\n  domains: images.example.test\n";

#[tokio::test]
async fn a_frozen_leader_that_wakes_up_changes_nothing_and_ends() -> Result<()> {
    let stage = Stage::new("frozen-").await?;
    let namespaces = [stage.namespace("a").await?, stage.namespace("b").await?, stage.namespace("c").await?];
    stage.configure(INSTANCE, &[]).await?;
    let proxy = stage.proxy().await?;
    let mut old = stage.started_through_proxy(&["--replica=old"]).await?;
    for namespace in &namespaces {
        stage.until_filled(namespace).await?;
    }
    stage.until_state_is_written().await?;
    let mut new = stage.start(&["--replica=new"])?;
    until_stands_by(&mut new).await?;
    let guard = Guard::over(&stage).await?;

    // The leader is frozen just when it writes everywhere: its writes are on their way, and arrive much later.
    let of_pull_secrets = Calls::writes().of(&format!("/secrets/{}?", stage.name));
    let late = proxy.set(Rule::new(of_pull_secrets.clone(), Fault::Hold));
    let of_state = Calls::writes().of(STATE);
    let late_state = proxy.set(Rule::new(of_state.clone(), Fault::Hold));
    stage.configure(ONE_HOST, &[]).await?;
    late.until_met(3, PATIENCE).await?;
    old.freeze()?;
    // So that the new leader has a credential of its own, which is younger.
    stage.forget_credentials().await?;
    until_leads(&mut new).await?;
    let mut versions = Vec::new();
    for namespace in &namespaces {
        let is_new = |secret: &_| logins(secret).len() == 1;
        versions.push(version(&stage.until(namespace, "is the new leader's", PATIENCE, is_new).await?));
    }
    assert_eq!(stage.mints(), 2);

    let written_before = proxy.calls(&of_pull_secrets).len() - 3;
    let states_before = proxy.calls(&of_state).len() - usize::try_from(late_state.met())?;
    late.lift();
    late_state.lift();
    let outdated = wait_until("the late writes are answered", PATIENCE, async || {
        let late = proxy.calls(&of_pull_secrets).split_off(written_before);
        Ok(late.iter().all(|call| call.status.is_some()).then_some(late))
    })
    .await?;
    assert!(outdated.iter().all(|call| call.status == Some(409)), "{outdated:?}");
    old.thaw()?;
    let code = timeout(LONG, old.ended()).await.context("the old leader does not end")??;
    assert_eq!(code, Some(1), "{}", old.log()?);
    let log = old.log()?;
    assert!(log.contains("this process stops and restarts as a standby"), "{log}");
    let later = proxy.calls(&of_pull_secrets).split_off(written_before + outdated.len());
    let states = proxy.calls(&of_state).split_off(states_before);
    for calls in [later, states] {
        assert!(calls.iter().all(|call| call.status.is_none_or(|status| status == 409)), "{calls:?}");
    }
    for (namespace, version_before) in namespaces.iter().zip(versions) {
        assert_eq!(stage.pull_secret(namespace).await?.as_ref().map(version), Some(version_before));
    }
    until_leads(&mut new).await?;
    let versions = guard.end().await?;
    assert!(versions.values().all(|count| *count == 1), "{versions:?}");

    let mut old = stage.start_through_proxy(&["--replica=old"])?;
    until_stands_by(&mut old).await?;
    Ok(())
}

#[tokio::test]
async fn a_leader_that_ends_or_is_killed_is_replaced_and_nothing_is_written_anew() -> Result<()> {
    let stage = Stage::new("replaced-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let mut one = stage.started(&["--replica=one"]).await?;
    let before = stage.until_filled(&namespace).await?;
    stage.until_state_is_written().await?;
    let mut two = stage.start(&["--replica=two"])?;
    until_stands_by(&mut two).await?;
    let guard = Guard::over(&stage).await?;

    assert_eq!(one.stop().await?, Some(0));
    assert!(one.log()?.contains("the lease is released"), "{}", one.log()?);
    until_leads(&mut two).await?;
    let mut three = stage.start(&["--replica=three"])?;
    until_stands_by(&mut three).await?;
    two.kill().await?;
    until_leads(&mut three).await?;

    let new = stage.namespace("b").await?;
    stage.until_filled(&new).await?;
    let after = stage.pull_secret(&namespace).await?.context("it is gone")?;
    assert_eq!(version(&after), version(&before));
    assert_eq!(annotation(&after, "expires-at"), annotation(&before, "expires-at"));
    let page = until_page(&mut three, "/metrics", "the write is counted", |_, body| {
        metric(body, "writes_total", &["success"]) > 0
    })
    .await?;
    assert_eq!(metric(&page, "writes_total", &[]), 1, "{page}");
    assert_eq!(stage.mints(), 1);
    guard.end().await?;
    Ok(())
}
