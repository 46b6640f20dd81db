//! How fast all namespaces get their first pull secret, and a renewed one.
//!
//! On a machine that others share, the same write costs a third more or less CPU time a minute later. etcd does the same for sidecar and
//! limit, so shares are of CPU time in units of etcd's.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use acr_e2e_tests::sidecar::Running;
use acr_e2e_tests::table;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::NAMESPACES;
use crate::bed::{Bed, LONG_LIFE, PATIENCE};
use crate::load::{Load, Requests, send_all};
use crate::observer::Sight;
use crate::process::{self, Memory, Used};
use crate::written::{self, Asked, until_filled};

const ROUNDS: usize = 5;

/// Short enough for a rotation one minute after each mint, in seconds: the sidecar does not mint more often.
const SHORT_LIFE: i64 = 120;

/// How long so many writes took.
struct Pace {
    writes: usize,
    took: Duration,
    /// CPU time of all that took part, and of others.
    used: Used,
}

/// What the sidecar did.
struct Measured {
    pace: Pace,
    asked: Asked,
    memory: Memory,
}

/// The same in each round, beside the limit, which was measured just before.
#[derive(Default)]
struct Rounds {
    measured: Vec<Measured>,
    limits: Vec<Pace>,
}

pub(crate) async fn measure(bed: &Bed) -> Result<()> {
    bed.live_for(SHORT_LIFE).await?;
    // Does not count: the caches of the control plane become warm, and the bare client learns what it is to imitate.
    let sidecar = bed.start_sidecar().await?;
    bed.configure(&json!({})).await?;
    let load = Load::like(&bed.admin, &bed.ours, &until_filled(bed).await?).await?;
    drop(sidecar);

    let [mut fills, mut rotations] = [Rounds::default(), Rounds::default()];
    for round in 0..ROUNDS {
        bed.clear(&[&bed.ours, &bed.bare]).await?;
        fills.limits.push(limit(bed, load.creations(&bed.bare.name, &bed.namespaces)?).await?);
        let mut sidecar = bed.start_sidecar().await?;
        let (fill, filled) = first_fill(bed, &mut sidecar).await?;
        fills.measured.push(fill);

        let updates = load.updates(&bed.bare.name, &bed.bare.observer.all(), round)?;
        rotations.limits.push(limit(bed, updates).await?);
        rotations.measured.push(rotation(bed, &mut sidecar, &filled).await?);
        ensure!(sidecar.stop().await? == Some(0), "the sidecar did not end well: {}", sidecar.log()?);
    }
    bed.live_for(LONG_LIFE).await?;
    print(&[("first fill", fills), ("rotation", rotations)])
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
    let counter = bed.counter(Some(id))?;
    let began = Instant::now();
    bed.configure(&json!({})).await?;
    let filled = until_filled(bed).await?;
    let used = counter.end()?;
    written::check(bed).await?;
    bed.rest().await?;
    let last = filled.values().map(|sight| sight.at).max().context("nothing was filled")?;
    let measured = Measured {
        pace: Pace { writes: filled.len(), took: last - began, used },
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
    let counter = bed.counter(Some(id))?;
    let old = there.values().next().context("nothing was filled")?.hash.clone();
    let is_new = |sight: &Sight| sight.hash != old;
    let renewed = bed.ours.observer.until("all are renewed", bed.namespaces.len(), is_new).await?;
    let used = counter.end()?;
    written::check(bed).await?;
    let last = renewed.values().map(|sight| sight.wall).max().context("nothing was renewed")?;
    let took = Duration::try_from(last.duration_since(bed.last_mint().await?))?;
    bed.rest().await?;
    Ok(Measured {
        pace: Pace { writes: renewed.len(), took, used },
        asked: Asked::so_far(bed, sidecar).await?.since(before),
        memory: process::memory(id)?,
    })
}

fn print(rows: &[(&str, Rounds)]) -> Result<()> {
    let speed = rows.iter().map(|(what, rounds)| {
        let [ours, limits] = rounds.paces();
        let medians = |of_one: fn(&Pace) -> f64| {
            [&ours, &limits].map(|paces| median(paces.iter().map(|pace| of_one(pace))))
        };
        let ([rate, rate_limit], [cpu, cpu_limit]) = (medians(Pace::rate), medians(Pace::cpu_of_one));
        let shares = ours.iter().zip(&limits).map(|(ours, limit)| limit.in_etcds() / ours.in_etcds() * 100.0);
        let shares: Vec<f64> = shares.collect();
        let elsewhere = ours.iter().chain(&limits).map(|pace| pace.used.elsewhere).fold(0.0, f64::max);
        vec![
            (*what).to_owned(),
            format!("{rate:.0}"),
            format!("{rate_limit:.0}"),
            format!("{cpu:.2}"),
            format!("{cpu_limit:.2}"),
            format!("{:.0} %", median(shares.iter().copied())),
            shares.iter().map(|share| format!("{share:.0}")).collect::<Vec<_>>().join(" "),
            format!("{elsewhere:.0} %"),
        ]
    });
    table::print(
        &format!(
            "{NAMESPACES} namespaces, without spreading, medians of {ROUNDS} rounds (goal: 90 % of the limit)"
        ),
        &[
            "",
            "writes/s",
            "limit",
            "CPU, ms each",
            "limit",
            "share, by CPU in etcd's",
            "in each round",
            "elsewhere, at most",
        ],
        &speed.collect::<Vec<_>>(),
    )?;
    println!("  (CPU is that of all that takes part.)");
    let paces: Vec<_> = rows.iter().flat_map(|(_, rounds)| rounds.paces()).collect();
    let names = paces.iter().flatten().flat_map(|pace| &pace.used.by).map(|(name, _)| name);
    let by = names.collect::<BTreeSet<_>>().into_iter().map(|name| {
        let of_one = paces.iter().map(|paces| median(paces.iter().map(|pace| pace.each(pace.used.of(name)))));
        std::iter::once(name.clone()).chain(of_one.map(|of_one| format!("{of_one:.2}"))).collect::<Vec<_>>()
    });
    table::print(
        "Whose CPU time it is, ms for each write",
        &["", "first fill", "limit", "rotation", "limit"],
        &by.collect::<Vec<_>>(),
    )?;
    let cost = rows.iter().flat_map(|(what, rounds)| {
        rounds.measured.iter().map(move |Measured { asked, memory, .. }| {
            vec![
                (*what).to_owned(),
                asked.mints.to_string(),
                asked.writes.to_string(),
                format!("{:.1}", memory.resident),
                format!("{:.1}", memory.anonymous),
                format!("{:.1}", memory.peak),
            ]
        })
    });
    table::print(
        &format!(
            "What it took for {NAMESPACES} namespaces (goals: 1 mint, {NAMESPACES} writes, 16 MiB resident)"
        ),
        &["", "mints", "writes", "resident, MiB", "of it anonymous", "at most"],
        &cost.collect::<Vec<_>>(),
    )?;
    Ok(())
}

/// The one in the middle.
fn median(of: impl Iterator<Item = f64>) -> f64 {
    let mut of: Vec<f64> = of.collect();
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Rounds {
    /// The sidecar's, and those of the limit.
    fn paces(&self) -> [Vec<&Pace>; 2] {
        [self.measured.iter().map(|measured| &measured.pace).collect(), self.limits.iter().collect()]
    }
}

impl Pace {
    /// CPU time of one write, in milliseconds: the control plane's, and that of who writes.
    fn cpu_of_one(&self) -> f64 {
        self.each(self.used.total())
    }

    /// CPU time of all that takes part, in units of what etcd used.
    fn in_etcds(&self) -> f64 {
        self.used.total() / self.used.of("etcd")
    }

    /// Seconds for all writes, as milliseconds for one.
    #[allow(clippy::cast_precision_loss)]
    fn each(&self, seconds: f64) -> f64 {
        seconds / self.writes as f64 * 1e3
    }

    /// Writes in a second.
    #[allow(clippy::cast_precision_loss)]
    fn rate(&self) -> f64 {
        self.writes as f64 / self.took.as_secs_f64()
    }
}
