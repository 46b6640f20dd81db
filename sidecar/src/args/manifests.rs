//! Arguments of `manifests`.

use std::path::PathBuf;

use acr_credential_core::DEFAULT_PULL_SECRET;
use clap::{Args as ClapArgs, ValueEnum};

/// Arguments of `manifests`.
#[derive(Debug, ClapArgs)]
#[command(after_help = MANIFESTS_HELP)]
pub struct ManifestsArgs {
    /// The configuration: a ConfigMap manifest, its data alone, or an add-on's JSON; "-" reads standard input.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// With the optional policy that adds the pull secret to service accounts.
    #[arg(long)]
    pub serviceaccounts: bool,
    /// What to write.
    #[arg(long, short, value_enum, default_value_t = ManifestsOutput::Yaml)]
    pub output: ManifestsOutput,
    /// Name of the pull secret.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PULL_SECRET, value_parser = super::shared::object)]
    pub pull_secret: String,
    /// Namespace of the sidecar.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system", value_parser = super::shared::namespace)]
    pub sidecar_namespace: String,
}

/// What `manifests` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ManifestsOutput {
    /// Documents with their comments.
    Yaml,
    /// One list.
    Json,
}

const MANIFESTS_HELP: &str = "\
Namespaces, service accounts and label selector are the configuration's; everything else is as shipped. A configuration \
with attach: service-account needs no policy that adds to Pods, so that one is left out; the guard then has ownedPods: ignore.

Examples:
  Install the policies for a configuration:
    acr-credential-sidecar manifests --config acr-configuration.yaml | kubectl apply -f -

  See whether those in the cluster are the same:
    acr-credential-sidecar manifests --config acr-configuration.yaml | kubectl diff -f -

Exit codes: 0 printed, 1 the configuration has mistakes, 2 wrong usage, or the file cannot be read.";
