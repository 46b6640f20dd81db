//! `status`: reports the state of the cluster's pull secrets, read only from metadata, and the problems that the sidecar reports.

mod gather;
mod render;
mod state;
mod warnings;

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use self::state::Status;
use super::arguments::{self, ClusterArgs, Output};
use super::setup::{self, CommandError};
use super::{Exit, cluster, report};

/// The shortest pause between two reads of `--watch`.
const PAUSE: Duration = Duration::from_secs(2);

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = STATUS_HELP)]
pub struct StatusArgs {
    /// Show only this namespace [default: all namespaces].
    #[arg(long, short, value_name = "NAMESPACE", value_parser = arguments::namespace)]
    pub namespace: Option<String>,
    /// Show the state again whenever it changes, until interrupted.
    #[arg(long, short)]
    pub watch: bool,
    /// What to write.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: StatusOutput,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// The output format of `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusOutput {
    /// One of the formats of every command.
    Common(Output),
    /// For people, with a line for each namespace.
    Wide,
}

impl ValueEnum for StatusOutput {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Common(Output::Text), Self::Wide, Self::Common(Output::Json), Self::Common(Output::Yaml)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Common(output) => output.to_possible_value(),
            Self::Wide => Some(PossibleValue::new("wide").help("For people, with a line for each namespace")),
        }
    }
}

const STATUS_HELP: &str = "\
Reads only metadata, never the contents of a Secret. Needs the rights to list namespaces and, by its name, the pull secret. \
With -n, it needs no right outside of that namespace: the role edit is enough, and with the role view the pull secret is not \
seen. What you may not read is marked with -, and the line names the right.

--watch reads everything again every 2 seconds, or less often: a tenth of the time at most is spent on reading. A terminal \
shows the last state; a pipe gets each state that differs from the one before.

Exit codes: 0 no problem was found (what was not checked, marked with -, does not count), 1 a managed namespace has no good \
pull secret, or the configuration has mistakes, 2 wrong usage, or the cluster did not answer.";

pub(super) fn run(args: StatusArgs) -> Result<Exit, CommandError> {
    let StatusArgs { namespace, watch, output, cluster } = args;
    let (output, is_wide) = match output {
        StatusOutput::Common(output) => (output, false),
        StatusOutput::Wide => (Output::Text, true),
    };
    // A dumb terminal cannot be cleared: like a pipe, it gets each state that differs from the one before.
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let repaints = watch && output == Output::Text && io::stdout().is_terminal() && !is_dumb;
    setup::runtime()?.block_on(async {
        let client = cluster::connect(&cluster)?;
        let mut shown: Option<Status> = None;
        loop {
            let (now, started) = (Timestamp::now(), Instant::now());
            let read = Status::read(&client, &cluster, namespace.as_deref(), is_wide, now).await;
            let pause = pause(&read, started.elapsed());
            match read {
                Ok(status) if repaints || shown.as_ref() != Some(&status) => {
                    if repaints {
                        report::clear()?;
                    } else if shown.is_some() && output == Output::Text {
                        report::to_stdout("")?;
                    }
                    let text = |status: &Status| report::to_stdout(status.text(is_wide, now).trim_end());
                    let exit = report::finish(output, status.ok, &status, text)?;
                    if !watch {
                        return Ok(exit);
                    }
                    shown = Some(status);
                }
                Ok(_) => {}
                // What was watched before is watched on: the API server may only be restarting.
                Err(error) if shown.is_some() => report::error(&error),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
        }
    })
}

/// Returns the pause after a read that took this long. After a failure it is short, because the time was spent waiting.
fn pause<T, E>(read: &Result<T, E>, took: Duration) -> Duration {
    if read.is_ok() { PAUSE.max(took * 10) } else { PAUSE }
}

#[cfg(test)]
mod tests;
