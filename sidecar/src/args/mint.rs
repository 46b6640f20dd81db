//! Arguments of `mint`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::CloudArgs;

/// Arguments of `mint`.
#[derive(Debug, ClapArgs)]
#[command(after_help = MINT_HELP)]
pub struct MintArgs {
    /// The configuration: a ConfigMap manifest, its data alone, or an add-on's JSON; "-" reads standard input.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Mint this entry of acr-registry-info alone; the first one is 0.
    #[arg(long, value_name = "N")]
    pub registry: Option<usize>,
    /// What to write. Only docker-config holds secrets [default: docker-config, but table on a terminal].
    #[arg(long, short, value_enum)]
    pub output: Option<MintOutput>,
    /// Write to this file (mode 0600, replaced as a whole) instead of standard output; then docker-config is the default.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// How the cloud is reached.
    #[command(flatten)]
    pub cloud: CloudArgs,
}

/// What `mint` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MintOutput {
    /// What docker, podman and the kubelet read. Holds the passwords.
    DockerConfig,
    /// What was minted, for people.
    Table,
    /// What was minted, for scripts.
    Json,
}

const MINT_HELP: &str = "\
Examples:
  Show what a configuration can pull, and until when:
    acr-credential-sidecar mint --config acr-configuration.yaml --output table

  Pull with skopeo, as the cluster would:
    acr-credential-sidecar mint --config acr-configuration.yaml --to auth.json
    skopeo inspect --authfile auth.json docker://demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1

  Straight from the cluster's ConfigMap:
    kubectl get configmap -n kube-system acr-configuration -o yaml | acr-credential-sidecar mint --config - --registry 0

Exit codes: 0 minted, 1 something could not be minted (then no docker config is written), 2 wrong usage.";
