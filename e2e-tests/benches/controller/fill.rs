//! How fast all namespaces get their first pull secret, and a renewed one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use acr_e2e_tests::sidecar::Running;
use acr_e2e_tests::table;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::bed::{Bed, PATIENCE};
use crate::load::{Load, Requests, send_all};
use crate::observer::Sight;
use crate::process::{self, Memory, Used};
use crate::written::{self, Asked, until_filled};

const ROUNDS: usize = 2;

/// How long so many writes took.
struct Pace {
    writes: usize,
    took: Duration,
    /// CPU time of all that took part, and of others.
    used: Used,
}

/// What the sidecar did.
struct Measured {
    what: &'static str,
    pace: Pace,
    /// CPU time that it has used, in seconds.
    cpu: f64,
    asked: Asked,
    memory: Memory,
}

/// The same beside the limit, which was measured before and after.
struct Row {
    measured: Measured,
    limits: [Pace; 2],
}

pub(crate) async fn measure(bed: &Bed) -> Result<()> {
    // Does not count: the caches of the control plane become warm, and the bare client learns what it is to imitate.
    let sidecar = bed.start_sidecar().await?;
    bed.configure(&json!({})).await?;
    let load = Load::like(&bed.admin, &bed.ours, &until_filled(bed).await?).await?;
    drop(sidecar);

    let mut rows = Vec::new();
    for round in 0..ROUNDS {
        bed.clear(&[&bed.ours, &bed.bare]).await?;
        let before = limit(bed, load.creations(&bed.bare.name, &bed.namespaces)?).await?;
        let mut sidecar = bed.start_sidecar().await?;
        let (fill, filled) = first_fill(bed, &mut sidecar).await?;
        bed.clear_secrets(&[&bed.bare]).await?;
        let after = limit(bed, load.creations(&bed.bare.name, &bed.namespaces)?).await?;
        rows.push(Row { measured: fill, limits: [before, after] });

        let before = limit(bed, updates(bed, &load, 2 * round)?).await?;
        let rotation = rotation(bed, &mut sidecar, &filled).await?;
        let after = limit(bed, updates(bed, &load, 2 * round + 1)?).await?;
        rows.push(Row { measured: rotation, limits: [before, after] });
        ensure!(sidecar.stop().await? == Some(0), "the sidecar did not end well: {}", sidecar.log()?);
    }
    rows.sort_by_key(|row| row.measured.what);
    print(&rows, bed.namespaces.len())
}

fn updates(bed: &Bed, load: &Load, round: usize) -> Result<Requests> {
    load.updates(&bed.bare.name, &bed.bare.observer.all(), round)
}

/// What the bare client makes of the same requests, once the control plane rests. Rests again in the end.
async fn limit(bed: &Bed, requests: Requests) -> Result<Pace> {
    bed.rest().await?;
    let counter = bed.counter(None)?;
    let writes = requests.len();
    let took = send_all(&bed.bare.client, requests).await?;
    let used = counter.end()?;
    bed.bare.observer.until("the limit is seen", bed.namespaces.len(), |_| true).await?;
    bed.rest().await?;
    Ok(Pace { writes, took, used })
}

/// Begins when the configuration is written.
async fn first_fill(bed: &Bed, sidecar: &mut Running) -> Result<(Measured, HashMap<String, Sight>)> {
    let id = sidecar.id()?;
    bed.rest().await?;
    let before = Asked::so_far(bed, sidecar).await?;
    let (before_cpu, counter) = (process::cpu(id)?, bed.counter(Some(id))?);
    let began = Instant::now();
    bed.configure(&json!({})).await?;
    let filled = until_filled(bed).await?;
    let (cpu, used) = (process::cpu(id)? - before_cpu, counter.end()?);
    written::check(bed).await?;
    bed.rest().await?;
    let last = filled.values().map(|sight| sight.at).max().context("nothing was filled")?;
    let measured = Measured {
        what: "first fill",
        pace: Pace { writes: filled.len(), took: last - began, used },
        cpu,
        asked: Asked::so_far(bed, sidecar).await?.since(before),
        memory: process::memory(id)?,
    };
    Ok((measured, filled))
}

/// Waits for the next rotation and through it. It begins when the cloud is asked for the next credential.
async fn rotation(bed: &Bed, sidecar: &mut Running, there: &HashMap<String, Sight>) -> Result<Measured> {
    let id = sidecar.id()?;
    let before = Asked::so_far(bed, sidecar).await?;
    wait_until("the next credential is asked for", PATIENCE, async || {
        Ok((bed.mints().await? > before.mints).then_some(()))
    })
    .await?;
    let (before_cpu, counter) = (process::cpu(id)?, bed.counter(Some(id))?);
    let old = there.values().next().context("nothing was filled")?.hash.clone();
    let is_new = |sight: &Sight| sight.hash != old;
    let renewed = bed.ours.observer.until("all are renewed", bed.namespaces.len(), is_new).await?;
    let (cpu, used) = (process::cpu(id)? - before_cpu, counter.end()?);
    written::check(bed).await?;
    let last = renewed.values().map(|sight| sight.wall).max().context("nothing was renewed")?;
    let took = Duration::try_from(last.duration_since(bed.last_mint().await?))?;
    bed.rest().await?;
    Ok(Measured {
        what: "rotation",
        pace: Pace { writes: renewed.len(), took, used },
        cpu,
        asked: Asked::so_far(bed, sidecar).await?.since(before),
        memory: process::memory(id)?,
    })
}

fn print(rows: &[Row], namespaces: usize) -> Result<()> {
    let speed =
        rows.iter().map(|Row { measured: Measured { what, pace, cpu, .. }, limits: [before, after] }| {
            // The better of the two: a limit is what is possible.
            let limit = if before.took < after.took { before } else { after };
            let cells = |pace: &Pace| {
                [
                    format!("{:.2}", pace.took.as_secs_f64()),
                    format!("{:.0}", pace.rate()),
                    format!("{:.2}", pace.cpu_of_one()),
                    format!("{:.0} %", pace.used.elsewhere),
                ]
            };
            let frugal = before.cpu_of_one().min(after.cpu_of_one());
            let ratios = [
                format!("{:.0} %", pace.rate() / limit.rate() * 100.0),
                format!("{:.0} %", frugal / pace.cpu_of_one() * 100.0),
                format!("{cpu:.2}"),
            ];
            let name = [(*what).to_owned()];
            name.into_iter().chain(cells(pace)).chain(cells(limit)).chain(ratios).collect::<Vec<_>>()
        });
    table::print(
        &format!("{namespaces} namespaces, without spreading (goal: 70 % of the limit)"),
        &[
            "",
            "s",
            "writes/s",
            "CPU, ms each",
            "elsewhere",
            "limit, s",
            "writes/s",
            "CPU, ms each",
            "elsewhere",
            "of the limit",
            "by CPU",
            "sidecar's CPU, s",
        ],
        &speed.collect::<Vec<_>>(),
    )?;
    println!(
        "  (CPU is that of all that takes part. Where it is short, it says more than the time, which others share.)"
    );
    let cost = rows.iter().map(|Row { measured: Measured { what, asked, memory, .. }, limits: _ }| {
        vec![
            (*what).to_owned(),
            asked.mints.to_string(),
            asked.writes.to_string(),
            format!("{:.1}", memory.resident),
            format!("{:.1}", memory.anonymous),
            format!("{:.1}", memory.peak),
        ]
    });
    table::print(
        &format!(
            "What it took for {namespaces} namespaces (goals: 1 mint, {namespaces} writes, 24 MiB resident)"
        ),
        &["", "mints", "writes", "resident, MiB", "of it anonymous", "at most"],
        &cost.collect::<Vec<_>>(),
    )?;
    Ok(())
}

impl Pace {
    /// CPU time of one write, in milliseconds: the control plane's, and that of who writes.
    #[allow(clippy::cast_precision_loss)]
    fn cpu_of_one(&self) -> f64 {
        self.used.ours / self.writes as f64 * 1e3
    }

    /// Writes in a second.
    #[allow(clippy::cast_precision_loss)]
    fn rate(&self) -> f64 {
        self.writes as f64 / self.took.as_secs_f64()
    }
}
