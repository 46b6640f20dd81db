//! What it costs when nothing happens, and what a restart costs.

use std::time::{Duration, Instant};

use acr_e2e_tests::sidecar::{Running, metric};
use acr_e2e_tests::table;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::bed::{Bed, PATIENCE};
use crate::process::{self, Memory};
use crate::written::{self, Asked, until_filled};

/// Long enough that what happens every few seconds is in it some times.
const IDLE: Duration = Duration::from_secs(20);

pub(crate) async fn measure(bed: &Bed) -> Result<()> {
    bed.clear(&[&bed.ours]).await?;
    let mut sidecar = bed.start_sidecar().await?;
    bed.configure(&json!({})).await?;
    until_filled(bed).await?;
    written::check(bed).await?;
    let at_rest = Rest::of(bed, &sidecar).await?;
    let restart = Restart::of(bed, &mut sidecar).await?;
    print(bed, &[("after a first fill", &at_rest)], &restart)
}

/// A process at rest.
pub(crate) struct Rest {
    memory: Memory,
    /// Per cent of a core.
    cpu: f64,
}

/// A process that was told to end and started again.
pub(crate) struct Restart {
    until_ready: Duration,
    asked: Asked,
    at_rest: Rest,
}

impl Rest {
    pub(crate) async fn of(bed: &Bed, sidecar: &Running) -> Result<Self> {
        bed.rest().await?;
        let id = sidecar.id()?;
        let (before, began) = (process::cpu(id)?, Instant::now());
        tokio::time::sleep(IDLE).await;
        let cpu = (process::cpu(id)? - before) / began.elapsed().as_secs_f64() * 100.0;
        Ok(Self { memory: process::memory(id)?, cpu })
    }
}

impl Restart {
    /// Ends it and starts it again, where it has nothing to do, and checks that it does nothing.
    pub(crate) async fn of(bed: &Bed, sidecar: &mut Running) -> Result<Self> {
        let versions = || {
            let seen = bed.ours.observer.all().into_iter();
            seen.map(|(namespace, sight)| (namespace, sight.version))
                .collect::<std::collections::HashMap<_, _>>()
        };
        let (mints, before) = (bed.mints().await?, versions());
        ensure!(sidecar.stop().await? == Some(0), "the sidecar did not end well: {}", sidecar.log()?);
        bed.rest().await?;
        let began = Instant::now();
        *sidecar = bed.start_sidecar().await?;
        wait_until("it is ready", PATIENCE, async || {
            Ok(sidecar.page("/readyz").await?.filter(|(status, _)| *status == 200).map(|_| ()))
        })
        .await?;
        let until_ready = began.elapsed();
        let expected = u64::try_from(bed.namespaces.len()).context("so many namespaces")?;
        wait_until("it has looked at everything", PATIENCE, async || {
            let page = sidecar.page("/metrics").await?.map(|(_, body)| body).unwrap_or_default();
            let is_done = metric(&page, "last_sync_timestamp_seconds", &[]) > 0
                && metric(&page, "managed_namespaces", &[]) == expected
                && metric(&page, "service_accounts_pending", &[]) == 0;
            Ok(is_done.then_some(()))
        })
        .await?;
        let at_rest = Rest::of(bed, sidecar).await?;
        let Asked { mints: after, writes } = Asked::so_far(bed, sidecar).await?;
        ensure!(versions() == before, "a restart has changed Secrets");
        Ok(Self { until_ready, asked: Asked { mints: after - mints, writes }, at_rest })
    }
}

/// Prints these, and a restart.
pub(crate) fn print(bed: &Bed, rests: &[(&str, &Rest)], restart: &Restart) -> Result<()> {
    let namespaces = bed.namespaces.len();
    let rows: Vec<_> = rests
        .iter()
        .chain(&[("after a restart", &restart.at_rest)])
        .map(|(what, Rest { memory, cpu })| {
            vec![
                (*what).to_owned(),
                format!("{:.1}", memory.resident),
                format!("{:.1}", memory.anonymous),
                format!("{:.1}", memory.peak),
                format!("{cpu:.2} %"),
            ]
        })
        .collect();
    table::print(
        &format!("{namespaces} namespaces, at rest (goal: 0.2 % of a core, counted in steps of 0.05 %)"),
        &["", "resident, MiB", "of it anonymous", "at most", "of a core"],
        &rows,
    )?;
    table::print(
        "A restart (goal: nothing asked for)",
        &["", "ms", "mints", "writes"],
        &[vec![
            "until it is ready and leads".to_owned(),
            restart.until_ready.as_millis().to_string(),
            restart.asked.mints.to_string(),
            restart.asked.writes.to_string(),
        ]],
    )?;
    Ok(())
}
