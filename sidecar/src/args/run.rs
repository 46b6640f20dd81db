//! Arguments of `run`.

use std::net::SocketAddr;

use clap::Args as ClapArgs;

use super::{CloudArgs, ClusterArgs};

/// Arguments of `run`.
#[derive(Debug, ClapArgs)]
#[command(after_help = RUN_HELP)]
pub struct RunArgs {
    /// Do what is to be done now, and exit.
    #[arg(long)]
    pub once: bool,
    /// Mint, show what would be written, and exit. Nothing is written.
    #[arg(long)]
    pub dry_run: bool,
    /// Take over Secrets of the pull secret's name which somebody else made. Without it they are left alone, and said.
    #[arg(long)]
    pub adopt: bool,
    /// Writes at a time.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=256))]
    pub concurrency: u16,
    /// Seconds over which a renewed credential is spread to the namespaces. New namespaces never wait.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u16).range(..=600))]
    pub spread: u16,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    pub listen: SocketAddr,
    /// Name of this replica, in the Lease and in Events [default: a random one].
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub replica: Option<String>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How the cloud is reached.
    #[command(flatten)]
    pub cloud: CloudArgs,
}

const RUN_HELP: &str = "\
Examples:
  What would it do, with my rights?
    acr-credential-sidecar run --dry-run --region cn-hangzhou

Exit codes: 0 told to end, or all was done; 1 something could not be done, or a part of it failed; 2 wrong usage.";
