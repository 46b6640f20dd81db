//! A sidecar that is killed, again and again.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use acr_e2e_tests::api_proxy::{Calls, Fault, Rule};
use acr_e2e_tests::cluster::PATIENCE;
use acr_e2e_tests::sidecar::Running;
use acr_e2e_tests::wait::wait_until;
use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::ListParams;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::time::sleep;

use super::guard::{Guard, OURS};
use crate::sidecar::stage::{INSTANCE, LONG, Stage, annotation, metric, until_page};

pub const NAMESPACES: usize = 100;

/// It always has this name, as the Pod of a container that was killed: it takes its own Lease up at once.
pub const NAME: &[&str] = &["--replica=one"];

/// How many pull secrets of ours there are, and their hashes: one where a rotation is over.
pub async fn hashes(stage: &Stage) -> Result<(usize, BTreeSet<String>)> {
    let secrets: Api<Secret> = Api::all(stage.client.clone());
    let by_name = ListParams::default().fields(&format!("metadata.name={}", stage.name)).labels(OURS);
    let found = secrets.list(&by_name).await?.items;
    Ok((found.len(), found.iter().map(|secret| annotation(secret, "hash").to_owned()).collect()))
}

/// Waits until all namespaces hold the same, which is not this. Returns it.
async fn until_all_hold_another_than(stage: &Stage, before: &str) -> Result<String> {
    wait_until("all namespaces hold the new credential", LONG, async || {
        let (count, hashes) = hashes(stage).await?;
        let only = hashes.into_iter().collect::<Vec<_>>();
        Ok(match only.as_slice() {
            [hash] if count == NAMESPACES && hash != before => Some(hash.clone()),
            _ => None,
        })
    })
    .await
}

pub async fn filled(prefix: &str) -> Result<(Stage, Running, String)> {
    let stage = Stage::new(prefix).await?;
    // Short enough to expire in the course of a test in which rotations never come through, on a slow machine as well.
    stage.cloud().patch(&json!({ "credentialSeconds": 420 }))?;
    let make = async |number| stage.namespace(&format!("{number:03}")).await;
    let namespaces = futures::stream::iter((0..NAMESPACES).map(make)).buffer_unordered(16);
    namespaces.try_collect::<Vec<_>>().await?;
    stage.configure(INSTANCE, &[]).await?;
    let sidecar = stage.started(NAME).await?;
    let hash = until_all_hold_another_than(&stage, "").await?;
    stage.until_state_is_written().await?;
    Ok((stage, sidecar, hash))
}

#[tokio::test]
async fn a_rotation_that_is_killed_halfway_is_finished_with_the_same_credential() -> Result<()> {
    let (stage, mut sidecar, first) = filled("halfway-").await?;
    let guard = Guard::over(&stage).await?;
    sidecar.kill().await?;
    stage.forget_credentials().await?;
    let proxy = stage.proxy().await?;
    let of_pull_secrets = Calls::writes().of(&format!("/secrets/{}?", stage.name));
    let halfway = proxy.set(Rule::new(of_pull_secrets, Fault::Hold).after(50));
    let mut sidecar = stage.start_through_proxy(NAME)?;
    halfway.until_met(1, PATIENCE).await?;
    stage.until_state_is_written().await?;
    // Those that are let through are all answered: none is on its way any more.
    until_page(&mut sidecar, "/metrics", "the first half is counted", |_, body| {
        metric(body, "writes_total", &["update", "success"]) == 50
    })
    .await?;
    sidecar.kill().await?;
    let (_, halves) = hashes(&stage).await?;
    assert_eq!(halves.len(), 2, "it is not halfway");

    let mut sidecar = stage.started(NAME).await?;
    let second = until_all_hold_another_than(&stage, &first).await?;
    assert!(halves.contains(&second), "it is another rotation");
    until_page(&mut sidecar, "/metrics", "the second half is counted", |_, body| {
        metric(body, "writes_total", &["update", "success"]) == 50 && metric(body, "writes_total", &[]) == 50
    })
    .await?;
    assert_eq!(stage.mints(), 2);
    let versions = guard.end().await?;
    assert_eq!(versions.len(), NAMESPACES);
    assert!(versions.values().all(|versions| *versions == 1), "some were written twice: {versions:?}");
    Ok(())
}

#[tokio::test]
async fn a_sidecar_that_is_killed_at_every_step_leaves_no_namespace_without_a_credential() -> Result<()> {
    let (stage, mut sidecar, _) = filled("killed-").await?;
    let guard = Guard::over(&stage).await?;
    let proxy = stage.proxy().await?;
    sidecar.kill().await?;
    // The Lease and the state come first, then one namespace after the other.
    let mut kills = 0;
    for step in (0..8).chain([12, 20, 40, 70, 100]) {
        for fault in [Fault::Hold, Fault::HoldAnswer] {
            stage.forget_credentials().await?;
            let here = proxy.set(Rule::new(Calls::writes(), fault).after(step));
            let mut sidecar = stage.start_through_proxy(NAME)?;
            here.until_met(1, PATIENCE).await?;
            sidecar.kill().await?;
            here.lift();
            kills += 1;
        }
    }
    // And at any time, by dice that fall the same way in each run.
    let mut dice = fastrand::Rng::with_seed(5);
    for number in 0..15 {
        if number % 3 == 0 {
            stage.forget_credentials().await?;
        }
        let mut sidecar = stage.start_through_proxy(NAME)?;
        sleep(Duration::from_millis(dice.u64(0..1500))).await;
        sidecar.kill().await?;
        kills += 1;
    }

    let (_, before) = hashes(&stage).await?;
    stage.forget_credentials().await?;
    let mut sidecar = stage.started(NAME).await?;
    let last = wait_until("the last rotation is over", LONG, async || {
        let (count, hashes) = hashes(&stage).await?;
        Ok((count == NAMESPACES && hashes.len() == 1 && hashes.is_disjoint(&before)).then_some(hashes))
    })
    .await?;
    stage.until_state_is_written().await?;
    assert!(stage.mints() <= kills + 2, "{} mints in {} lives", stage.mints(), kills + 2);
    let mints = stage.mints();
    assert_eq!(sidecar.stop().await?, Some(0));

    let mut sidecar = stage.started(NAME).await?;
    let page = until_page(&mut sidecar, "/metrics", "everything has been looked at", |_, body| {
        metric(body, "last_sync_timestamp_seconds", &[]) > 0
            && metric(body, "managed_namespaces", &[]) == NAMESPACES as u64
    })
    .await?;
    assert_eq!(metric(&page, "writes_total", &[]), 0, "{page}");
    assert_eq!((hashes(&stage).await?, stage.mints()), ((NAMESPACES, last), mints));
    guard.end().await?;
    Ok(())
}

#[tokio::test]
async fn a_process_that_aborts_leaves_no_core_dump_and_still_measures_itself() -> Result<()> {
    let stage = Stage::new("core-").await?;
    stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let (_, most) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, most, most)?;
    let mut sidecar = stage.started(&[]).await?;
    until_page(&mut sidecar, "/metrics", "it measures itself", |_, body| {
        ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"]
            .iter()
            .all(|name| body.contains(&format!("\n{name} ")))
    })
    .await?;
    let mut shell = std::process::Command::new("sh");
    let dumps =
        shell.args(["-c", "kill -ABRT $$"]).current_dir(stage.sidecar.directory()).status()?.core_dumped();
    // Where this machine allows none at all, there is nothing to see.
    assert!(!(sidecar.abort().await? && dumps), "its memory is in a core dump");
    Ok(())
}
