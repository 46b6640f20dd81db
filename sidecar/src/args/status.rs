//! Arguments of `status`.

use clap::Args as ClapArgs;

use super::{ClusterArgs, Output};

/// Arguments of `status`.
#[derive(Debug, ClapArgs)]
#[command(after_help = STATUS_HELP)]
pub struct StatusArgs {
    /// What to write.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

const STATUS_HELP: &str = "\
Reads metadata alone, never what is in a Secret. Needs the rights to list namespaces and, by its name, the pull secret, \
and to get the ConfigMap. Who may list Events in the sidecar's namespace sees what the sidecar says is wrong, too.

Exit codes: 0 all is well, 1 a managed namespace has no good pull secret, 2 wrong usage, or the cluster did not answer.";
