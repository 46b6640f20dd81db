//! An API server that goes away, and comes back.

use std::time::Duration;

use acr_e2e_tests::cluster::Cluster;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{sleep, timeout};

use super::guard::Guard;
use crate::sidecar::stage::{
    INSTANCE, LONG, Stage, metric, until_leads, until_page, until_stands_by, version,
};

#[tokio::test]
async fn an_api_server_that_crashes_or_waits_for_its_etcd_costs_no_mint_and_no_write() -> Result<()> {
    // One of its own, which ends with this process.
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start().await?));
    let stage = Stage::on_cluster("crash-", cluster).await?;
    let namespaces = [stage.namespace("a").await?, stage.namespace("b").await?];
    stage.configure(INSTANCE, &[]).await?;
    let mut sidecar = stage.started(&["--replica=one"]).await?;
    let mut before = Vec::new();
    for namespace in &namespaces {
        before.push(version(&stage.until_filled(namespace).await?));
    }
    stage.until_state_is_written().await?;

    let renewed = stage.lease_renewed().await?;
    cluster.restart_api_server().await?;
    // Where it takes longer to start than a Lease lasts, a leader ends, as it should, and Kubernetes starts it again.
    let outcome = wait_until("the lease is renewed, or the leader has ended", LONG, async || {
        if sidecar.has_ended()? {
            return Ok(Some(false));
        }
        // The API server may be on its way still.
        let now = stage.lease_renewed().await.ok().flatten();
        Ok((now.is_some() && now != renewed).then_some(true))
    });
    if !outcome.await? {
        assert!(sidecar.log()?.contains("the lease could not be renewed"), "{}", sidecar.log()?);
        sidecar = stage.started(&["--replica=one"]).await?;
    }
    let new = stage.namespace("c").await?;
    let written = version(&stage.until_filled(&new).await?);
    for (namespace, before) in namespaces.iter().zip(before) {
        assert_eq!(stage.pull_secret(namespace).await?.as_ref().map(version), Some(before), "{namespace}");
    }

    // An etcd that stands still for two seconds out of three, as on a disk that is too slow.
    let etcd = *cluster.processes().get("etcd").context("there is no etcd")?;
    let etcd = Pid::from_raw(i32::try_from(etcd)?);
    let stalls = async {
        for _ in 0..6 {
            kill(etcd, Signal::SIGSTOP)?;
            sleep(Duration::from_secs(2)).await;
            kill(etcd, Signal::SIGCONT)?;
            sleep(Duration::from_secs(1)).await;
        }
        Ok::<_, anyhow::Error>(())
    };
    let filled = async {
        let slow = stage.namespace("d").await?;
        stage.until_filled(&slow).await
    };
    let (stalled, filled) = tokio::join!(stalls, filled);
    stalled?;
    filled?;
    let unchanged = stage.until_filled(&new).await?;
    assert_eq!(version(&unchanged), written, "it was written again");
    until_leads(&mut sidecar).await?;
    until_page(&mut sidecar, "/livez", "it is alive", |status, _| status == 200).await?;
    assert_eq!(stage.mints(), 1);
    Ok(())
}

#[tokio::test]
async fn a_leader_without_an_api_server_ends_and_a_standby_waits() -> Result<()> {
    let stage = Stage::new("unreachable-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let proxy = stage.proxy().await?;
    let mut leader = stage.started_through_proxy(&["--replica=one"]).await?;
    let before = version(&stage.until_filled(&namespace).await?);
    stage.until_state_is_written().await?;
    let mut standby = stage.start_through_proxy(&["--replica=two"])?;
    until_stands_by(&mut standby).await?;
    let guard = Guard::over(&stage).await?;

    proxy.be_out_of_reach(true);
    let code = timeout(LONG, leader.ended()).await.context("the leader does not end")??;
    assert_eq!(code, Some(1));
    let log = leader.log()?;
    assert!(log.contains("the Lease could not be renewed within 10 s: this process stops"), "{log}");
    until_page(&mut standby, "/livez", "the standby is alive", |status, _| status == 200).await?;

    proxy.be_out_of_reach(false);
    until_leads(&mut standby).await?;
    let mut restarted = stage.start_through_proxy(&["--replica=one"])?;
    until_stands_by(&mut restarted).await?;
    let new = stage.namespace("b").await?;
    stage.until_filled(&new).await?;
    assert_eq!(stage.pull_secret(&namespace).await?.as_ref().map(version), Some(before));
    let page = until_page(&mut standby, "/metrics", "the write is counted", |_, body| {
        metric(body, "writes_total", &["success"]) > 0
    })
    .await?;
    assert_eq!(metric(&page, "writes_total", &[]), 1, "{page}");
    assert_eq!(stage.mints(), 1);
    guard.end().await?;
    Ok(())
}
