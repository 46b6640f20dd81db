//! `cleanup`: removes everything that the sidecar ever put into the cluster. On demand it first removes what would restore or
//! need it: the policies and the sidecar itself, as the chart's Job does.

mod deadline;
mod leftovers;
mod policies;
mod removal;
mod sidecar;

use super::arguments::ClusterArgs;
use clap::Args;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

use jiff::Timestamp;

use self::deadline::Deadline;
use self::leftovers::{First, Leftovers};
use super::Exit;
use super::cluster::{self, Leader};
use super::report;
use super::setup::{self, CommandError};

/// Arguments of `cleanup`.
#[derive(Debug, Args)]
#[command(after_help = CLEANUP_HELP)]
pub struct CleanupArgs {
    /// Show what would be removed, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask. Needed where there is no terminal.
    #[arg(long, short)]
    pub yes: bool,
    /// Delete the policies of this project first, and wait until they are gone: new Pods would name a Secret that is not there.
    #[arg(long)]
    pub policies: bool,
    /// Then scale this Deployment in the sidecar's namespace to 0, and wait until its Pods are gone.
    #[arg(long, value_name = "DEPLOYMENT", value_parser = super::arguments::object)]
    pub stop: Option<String>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

pub(super) const CLEANUP_HELP: &str = "\
For uninstalling: stop the sidecar first (--stop), or it writes everything again. This command removes Secrets that have the pull \
secret's name, the label app.kubernetes.io/managed-by=acr-credential-sidecar and the sidecar's entry in managedFields; Secrets \
of that name with only the label or only the entry are named and left alone. It also removes the sidecar's own state and \
Lease, and the pull secret's entries in the lists of service accounts. Running Pods are not touched; they cannot pull private \
images again.

Needs the rights to list, get and delete secrets with the pull secret's name; to list, get and patch serviceaccounts; for \
--policies, to get and delete clusteradmissionpolicies; and in the sidecar's namespace to get and delete secrets, to get and \
delete leases, and for --stop to get deployments, to patch deployments/scale and to list pods.

Examples:
  What is there to remove?
    acr-credential-sidecar cleanup --policies --stop acr-credential-sidecar --dry-run

  Remove everything in the right order, after a question:
    acr-credential-sidecar cleanup --policies --stop acr-credential-sidecar

Exit codes: 0 removed, 1 something could not be removed, 2 wrong usage, or the cluster did not answer.";

pub(super) fn run(args: CleanupArgs) -> Result<Exit, CommandError> {
    let CleanupArgs { dry_run, yes, policies, stop, cluster } = args;
    let can_ask = std::io::stdin().is_terminal();
    if !dry_run && !yes && !can_ask {
        let advice = "there is no terminal to ask for confirmation: add --yes to remove everything, or --dry-run to see what \
                      would be removed";
        return Err(CommandError::Refused(advice.to_owned()));
    }
    setup::runtime()?.block_on(async {
        let client = cluster::connect(&cluster)?;
        if !dry_run && stop.is_none() {
            refuse_while_led(cluster::leader(&client, &cluster, Timestamp::now()).await?.as_ref())?;
        }
        if dry_run || !yes {
            let first = First::look(&client, &cluster, policies, stop.as_deref()).await?;
            let found = Leftovers::look(&client, &cluster).await?;
            let steps = steps(&first, &found);
            if dry_run {
                found.left_alone.iter().for_each(report::line_to_stderr);
                let lines = first.lines().into_iter().chain(found.lines(&cluster.pull_secret));
                for line in lines.chain([format!("Would {steps}.")]) {
                    report::to_stdout(line)?;
                }
                return Ok(Exit::Success);
            }
            let is_idle = first.is_empty() && found.is_empty();
            if !is_idle && !confirmed(&steps)? {
                report::to_stdout("Nothing was removed.")?;
                return Ok(Exit::Success);
            }
        }
        let deadline = Deadline::start();
        if policies {
            policies::remove(&client, deadline).await?;
        }
        if let Some(deployment) = stop {
            sidecar::stop(&client, &cluster, &deployment, deadline).await?;
        }
        // This happens only now because the sidecar was at work until it ended.
        let found = Leftovers::look(&client, &cluster).await?;
        if found.is_empty() {
            found.left_alone.iter().for_each(report::line_to_stderr);
            report::to_stdout("There is nothing to remove.")?;
            return Ok(Exit::Success);
        }
        found.remove(&client, &cluster.pull_secret, deadline).await
    })
}

fn refuse_while_led(leader: Option<&Leader>) -> Result<(), CommandError> {
    match leader {
        Some(leader) if leader.is_alive => Err(CommandError::Refused(format!(
            "the sidecar {} is running and would write everything again: add --stop with the name of its Deployment, \
             or scale that to 0 and wait until its Pods are gone",
            leader.name
        ))),
        _ => Ok(()),
    }
}

/// Returns all steps, in their order.
fn steps(first: &First, found: &Leftovers) -> String {
    let mut steps = first.steps();
    steps.push(format!("remove {}", found.summary()));
    steps.join(", then ")
}

fn confirmed(steps: &str) -> Result<bool, CommandError> {
    let mut stderr = std::io::stderr();
    write!(stderr, "This will {steps}. Continue? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests;
