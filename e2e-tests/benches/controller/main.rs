//! What the controller does to a real API server and to the machine it runs on, each figure beside the server's own limit.
//!
//! `cargo bench --manifest-path e2e-tests/Cargo.toml --bench controller`, and `-- fill rest latency large` to
//! choose among the parts.
//!
//! The sidecar is the binary of the image, with exactly the rights of `deploy/sidecar.yaml`; the control plane, the cloud and the
//! sidecar are processes of their own. The limit is a bare client in this process, with the same rights, that sends the
//! same requests: same verb, same bytes, as many at a time, over the same HTTP client, but made beforehand, from no watch and
//! no plan. Both write to the same namespaces, Secrets of two names, in turns; the control plane rests before each of
//! them, and has served a fill that does not count. The clock of the sidecar ends when a watch of ours has seen the last
//! Secret; that of the limit, when the last answer has been read. The watch sees both. What was written is read back and
//! compared before a figure counts.
//!
//! All of it shares the machine, so ratios say more than times. The last column says what others have used of it meanwhile.

mod bed;
mod fill;
mod large;
mod latency;
mod load;
mod observer;
mod process;
mod rest;
mod written;

use std::time::Instant;

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;

use crate::bed::Bed;

/// Namespaces of all parts but the last.
const NAMESPACES: usize = 2000;

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |part: &str| chosen.is_empty() || chosen.iter().any(|name| name == part);
    if !["fill", "rest", "latency", "large"].into_iter().any(wanted) {
        return Ok(());
    }
    let runtime = tokio::runtime::Runtime::new().context("failed to start the async runtime")?;
    runtime.block_on(measure(wanted))
}

async fn measure(wanted: impl Fn(&str) -> bool) -> Result<()> {
    let began = Instant::now();
    let mut bed = Bed::start().await?;
    bed.add_namespaces(NAMESPACES).await?;
    eprintln!("{NAMESPACES} namespaces are there after {:.0} s", began.elapsed().as_secs_f64());
    if wanted("fill") {
        fill::measure(&bed).await?;
    }
    if wanted("rest") {
        rest::measure(&bed).await?;
    }
    if wanted("latency") {
        latency::measure(&mut bed).await?;
    }
    if wanted("large") {
        large::measure(&mut bed).await?;
    }
    println!("\nTook {:.0} s.", began.elapsed().as_secs_f64());
    Ok(())
}

/// Does something with each of these, so many at a time.
async fn each<T, F>(at_a_time: usize, items: impl IntoIterator<Item = T>, work: impl Fn(T) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut running = JoinSet::new();
    for item in items {
        if running.len() >= at_a_time
            && let Some(done) = running.join_next().await
        {
            done??;
        }
        running.spawn(work(item));
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}
