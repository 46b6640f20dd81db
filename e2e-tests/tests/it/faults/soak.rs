//! Everything at once, for as long as one likes: kills at random points of rotations, faults of the API server, objects that no
//! client can decode, and tenants who make noise.
//!
//! `make soak` runs it at length; `SOAK_KILLS` and `SOAK_SEED` are the number of kills and where the dice begin.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use acr_e2e_tests::api_proxy::{ApiProxy, Calls, Fault, Rule, Set};
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::guard::{Guard, SPOILT};
use super::killed::{NAME, NAMESPACES, filled, hashes};
use super::noise::Noise;
use super::tenant::{Tenant, poison_elsewhere};
use crate::sidecar::stage::{LONG, Stage, logins};

/// What a run of `make test` takes the time for.
const SHORT: u64 = 15;

/// A line of progress after so many kills.
const PROGRESS: u64 = 10;

fn setting<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Something that goes wrong for a few calls.
fn fault(dice: &mut fastrand::Rng) -> Rule {
    let status = [409, 429, 500, 503][dice.usize(0..4)];
    let fault = match dice.u8(0..4) {
        0 => Fault::Refuse { status, retry_after: None },
        1 => Fault::LoseAnswer,
        2 => Fault::Delay(Duration::from_millis(dice.u64(0..500))),
        _ => Fault::HoldAnswer,
    };
    Rule::new(Calls::writes(), fault).after(dice.u32(0..120)).times(dice.u32(1..6))
}

/// A tenant who spoils his own pull secret whenever it is whole. Counts the repairs.
fn spoil(stage: &Arc<Stage>, namespace: &str) -> (JoinHandle<Result<()>>, Arc<AtomicUsize>) {
    let repairs = Arc::new(AtomicUsize::new(0));
    let (stage, namespace, counted) = (Arc::clone(stage), namespace.to_owned(), Arc::clone(&repairs));
    let task = tokio::spawn(async move {
        loop {
            let secret = stage.pull_secret(&namespace).await?;
            if secret.is_some_and(|secret| !logins(&secret).is_empty()) {
                counted.fetch_add(1, Ordering::Relaxed);
                stage.tamper(&namespace, &json!({ "data": { ".dockerconfigjson": "e30=" } })).await?;
            }
            sleep(Duration::from_millis(300)).await;
        }
    });
    (task, repairs)
}

/// One life of a sidecar, in which things go wrong, and which ends at a random moment.
async fn live(stage: &Stage, proxy: &ApiProxy, dice: &mut fastrand::Rng) -> Result<()> {
    if dice.u8(0..3) == 0 {
        stage.forget_credentials().await?;
    }
    let faults: Vec<Set> = (0..dice.u8(0..3)).map(|_| proxy.set(fault(dice))).collect();
    let mut sidecar = stage.start_through_proxy(NAME)?;
    sleep(Duration::from_millis(dice.u64(0..1500))).await;
    if dice.u8(0..4) == 0 {
        proxy.cut_watches();
        sleep(Duration::from_millis(dice.u64(0..500))).await;
    }
    sidecar.kill().await?;
    faults.iter().for_each(Set::lift);
    Ok(())
}

#[tokio::test]
async fn kills_faults_poison_and_noise_together_cost_no_namespace_its_credential() -> Result<()> {
    let (kills, seed) = (setting("SOAK_KILLS", SHORT), setting("SOAK_SEED", 5));
    let mut dice = fastrand::Rng::with_seed(seed);
    let (stage, mut sidecar, _) = filled("soak-").await?;
    sidecar.stop().await?;
    let stage = Arc::new(stage);
    poison_elsewhere(&stage).await?;
    let guard = Guard::over(&stage).await?;
    let (spoiling, repairs) = spoil(&stage, &stage.namespace(SPOILT.trim_start_matches('-')).await?);
    let loud = format!("{}-000", stage.name);
    let tenant = Tenant::of(&stage, &loud).await?;
    let noise = Noise::start(
        &tenant,
        "secrets",
        &stage.name,
        |number| json!({ "metadata": { "annotations": { "noise": number.to_string() } } }),
    );
    let proxy = stage.proxy().await?;
    let began = Instant::now();
    for kill in 1..=kills {
        live(&stage, &proxy, &mut dice).await.with_context(|| format!("kill {kill} with the seed {seed}"))?;
        guard.check()?;
        if kill % PROGRESS == 0 {
            let (seconds, mints) = (began.elapsed().as_secs(), stage.mints());
            let repairs = repairs.load(Ordering::Relaxed);
            eprintln!("{kill} of {kills} kills in {seconds} s: {mints} mints, {repairs} repairs");
        }
    }
    let patches = noise.end().await?;
    spoiling.abort();
    let (_, before) = hashes(&stage).await?;
    stage.forget_credentials().await?;
    let mut sidecar = stage.started(NAME).await?;
    wait_until("the last rotation is over", LONG, async || {
        let (count, hashes) = hashes(&stage).await?;
        Ok((count == NAMESPACES + 1 && hashes.len() == 1 && hashes.is_disjoint(&before)).then_some(()))
    })
    .await?;
    sidecar.stop().await?;
    let versions = guard.end().await?;
    let by_us = versions.iter().filter(|(namespace, _)| **namespace != loud);
    let writes: usize = by_us.map(|(_, versions)| versions).sum();
    eprintln!(
        "{kills} kills in {} s (seed {seed}), {writes} writes, {} mints, {} repairs, {patches} patches of a tenant; missing 0, \
         empty 0, expired 0, lowered 0",
        began.elapsed().as_secs(),
        stage.mints(),
        repairs.load(Ordering::Relaxed)
    );
    Ok(())
}
