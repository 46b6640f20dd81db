//! Arguments of `cleanup`.

use clap::Args as ClapArgs;

use super::ClusterArgs;

/// Arguments of `cleanup`.
#[derive(Debug, ClapArgs)]
#[command(after_help = CLEANUP_HELP)]
pub struct CleanupArgs {
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask. Needed where nobody can be asked.
    #[arg(long, short)]
    pub yes: bool,
    /// Delete the policies of this project first, and wait until they are gone: new Pods would name a Secret that is not there.
    #[arg(long)]
    pub policies: bool,
    /// Then scale this Deployment in the sidecar's namespace to 0, and wait until its Pods are gone.
    #[arg(long, value_name = "DEPLOYMENT")]
    pub stop: Option<String>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

const CLEANUP_HELP: &str = "\
For uninstalling: stop the sidecar first (--stop), or it writes everything again. Removed are Secrets of the \
pull secret's name with the label app.kubernetes.io/managed-by=acr-credential-sidecar, the sidecar's own state and Lease, and \
entries of the pull secret's name in the lists of service accounts. Running Pods are not touched; they cannot pull private images again.

Exit codes: 0 removed, 1 something could not be removed, 2 wrong usage, or the cluster did not answer.";
