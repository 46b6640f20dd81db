//! The command line and its commands.

mod arguments;
mod check;
mod cleanup;
mod cluster;
mod explain;
mod manifests;
mod mint;
mod report;
mod run;
mod setup;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::check::CheckArgs;
use self::cleanup::CleanupArgs;
use self::explain::ExplainArgs;
use self::manifests::ManifestsArgs;
use self::mint::MintArgs;
use self::run::RunArgs;
use self::status::StatusArgs;
use crate::telemetry::logging::{Level, LoggingArgs};

/// Mints short-lived credentials of Alibaba Cloud Container Registry (ACR), so that Kubernetes can pull private images.
#[derive(Debug, Parser)]
#[command(
    name = "acr-credential-sidecar",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Args {
    /// How much is logged, and how.
    #[command(flatten)]
    pub logging: LoggingArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keep the pull secret of every managed namespace fresh.
    Run(RunArgs),
    /// Mint credentials once, and write them as a docker config.
    Mint(MintArgs),
    /// Check a configuration, and with --online all that it needs.
    Check(CheckArgs),
    /// Show the state of the pull secrets of the cluster.
    Status(StatusArgs),
    /// Explain why a Pod or a workload can or cannot pull its images.
    Explain(ExplainArgs),
    /// Remove all pull secrets, and the entries of service accounts that refer to them.
    Cleanup(CleanupArgs),
    /// Print the policies for a configuration.
    Manifests(ManifestsArgs),
}

impl Command {
    /// Returns the default log level of the command.
    pub fn log_level(&self) -> Level {
        match self {
            Self::Run(RunArgs { once: false, dry_run: false, .. }) => Level::Info,
            Self::Run(_) => Level::Warn,
            Self::Mint(_)
            | Self::Check(_)
            | Self::Status(_)
            | Self::Explain(_)
            | Self::Cleanup(_)
            | Self::Manifests(_) => Level::Off,
        }
    }
}

/// The outcome of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// No problems: 0.
    Success,
    /// The command found problems: 1.
    Findings,
    /// The command could not run with these arguments: 2, as for flags that do not exist.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Findings => 1,
            Exit::Usage => 2,
        })
    }
}

/// Reads a manifest like `explain -f`.
#[cfg(any(test, fuzzing))]
pub fn fuzz_manifest(text: &[u8]) {
    explain::fuzz(text);
}

/// Runs a command and returns its outcome.
pub fn run(command: Command) -> Exit {
    let outcome = match command {
        Command::Run(args) => run::run(args),
        Command::Mint(args) => mint::run(args),
        Command::Check(args) => check::run(args),
        Command::Status(args) => status::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Cleanup(args) => cleanup::run(args),
        Command::Manifests(args) => manifests::run(args),
    };
    outcome.unwrap_or_else(|error| {
        report::error(&error);
        Exit::Usage
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
