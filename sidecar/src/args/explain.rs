//! Arguments of `explain`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{ClusterArgs, Output};

/// Arguments of `explain`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXPLAIN_HELP)]
pub struct ExplainArgs {
    /// The Pod or workload: `pod NAME`, `deployment/NAME`, …
    #[arg(value_name = "KIND NAME", num_args = 1..=2, required_unless_present = "file")]
    pub object: Vec<String>,
    /// Explain the Pods and workloads of this manifest instead, before it is applied; "-" reads standard input.
    #[arg(long, short, value_name = "FILE", conflicts_with = "object")]
    pub file: Option<PathBuf>,
    /// Namespace [default: the manifest's, or that of the kubeconfig's context, or default].
    #[arg(long, short, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Read the configuration from this file instead of the cluster. With --file, no cluster is asked at all.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Judge the manifest with the policies in this file. Without it: those of the cluster, or, if no cluster is asked, those
    /// that `manifests` prints for the configuration.
    #[arg(long, value_name = "FILE", requires = "file")]
    pub policies: Option<PathBuf>,
    /// Judge the manifest as created by this user, such as system:serviceaccount:ci:runner [default: a person].
    #[arg(long = "as", value_name = "USER", requires = "file")]
    pub user: Option<String>,
    /// Read the hosts in the pull secret too. Needs the right to get that Secret; its passwords are never shown.
    #[arg(long)]
    pub read_secret: bool,
    /// What to write.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

const EXPLAIN_HELP: &str = "\
Examples:
  Why does this Pod not start?
    acr-credential-sidecar explain pod web-5d9c7-x2x8k -n team-a

  And all Pods of this Deployment?
    acr-credential-sidecar explain deployment web -n team-a

  Will it? With no cluster:
    acr-credential-sidecar explain -f deployment.yaml --config acr-configuration.yaml

  And when a CI runner creates it?
    acr-credential-sidecar explain -f pod.yaml --config acr-configuration.yaml --as system:serviceaccount:ci:runner

Exit codes: 0 no error was found (warnings, marked with !, do not count), 1 an error or a refusal, marked with ✗, 2 wrong
usage, or the cluster did not answer.";
