//! The command line.

mod check;
mod cleanup;
mod explain;
mod manifests;
mod mint;
mod run;
mod shared;
mod status;

use clap::{Parser, Subcommand};

pub use self::check::{CheckArgs, CheckOutput};
pub use self::cleanup::CleanupArgs;
pub use self::explain::ExplainArgs;
pub use self::manifests::{ManifestsArgs, ManifestsOutput};
pub use self::mint::{MintArgs, MintOutput};
pub use self::run::RunArgs;
pub use self::shared::{CloudArgs, ClusterArgs, Output};
pub use self::status::StatusArgs;
use crate::logging::{Level, LoggingArgs};

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
    /// Show how the pull secrets of the cluster stand.
    Status(StatusArgs),
    /// Explain why a Pod or a workload can or cannot pull its images.
    Explain(ExplainArgs),
    /// Remove all pull secrets, and the entries of service accounts that refer to them.
    Cleanup(CleanupArgs),
    /// Print the policies for a configuration.
    Manifests(ManifestsArgs),
}

impl Command {
    /// How much is logged where nobody says otherwise.
    #[must_use]
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
