//! Arguments of `check`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::CloudArgs;

/// Arguments of `check`.
#[derive(Debug, ClapArgs)]
#[command(after_help = CHECK_HELP)]
pub struct CheckArgs {
    /// The configuration: a ConfigMap manifest, its data alone, or an add-on's JSON; "-" reads standard input.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Call the cloud too: identity, role, endpoints, token, and each host.
    #[arg(long)]
    pub online: bool,
    /// What to write.
    #[arg(long, short, value_enum, default_value_t = CheckOutput::Text)]
    pub output: CheckOutput,
    /// How the cloud is reached.
    #[command(flatten)]
    pub cloud: CloudArgs,
}

/// What `check` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckOutput {
    /// A line for each finding, for people.
    Text,
    /// One JSON object, for scripts.
    Json,
}

const CHECK_HELP: &str = "\
Examples:
  Before it is applied, with no cloud and no cluster:
    acr-credential-sidecar check --config acr-configuration.yaml

  All the way to the registries' hosts, from a machine with the same identity:
    acr-credential-sidecar check --config acr-configuration.yaml --online

Exit codes: 0 all is well (warnings included), 1 something is wrong, 2 wrong usage.";
