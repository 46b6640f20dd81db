//! `make demo` and `make demo-shell`: the whole product on a real Kubernetes control plane and a fake Alibaba Cloud.
//!
//! Every command that is shown is run as it is shown, by `sh`, in a directory with `kubectl` and
//! `acr-credential-sidecar` on its `PATH` ([`desk`]).

mod desk;
mod output;
mod play;
mod shell;
mod signals;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Parser;

use crate::output::Output;
use crate::signals::Signals;

/// Plays the whole product on a real Kubernetes control plane and a fake Alibaba Cloud, in less than a minute and a half.
///
/// Nothing is installed, nothing outside this machine is contacted, and everything is gone at the end.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  make demo
  make demo-shell

Exit codes: 0 all went as it should, 1 something did not, 2 wrong usage.")]
struct Args {
    /// Set everything up, say what to try, and leave it to you: in a shell of its own where standard input is a
    /// terminal, else until that ends.
    #[arg(long)]
    shell: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What was expected and did not come is told; where in this program it was is of no use to a user.
            eprintln!("\n✗ {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Args { shell }: Args) -> Result<()> {
    let start = Instant::now();
    let out = Output::new();
    let mut signals = Signals::new()?;
    if shell {
        return shell::run(&out, &mut signals).await;
    }
    tokio::select! {
        played = play::run(&out, start) => played,
        signal = signals.any() => bail!("{signal}: the demo ended early, and nothing is left of it"),
    }
}
