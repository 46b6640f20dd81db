//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use acr_credential_core::DEFAULT_PULL_SECRET;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::configuration::Region;
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

/// Arguments of `mint`.
#[derive(Debug, ClapArgs)]
#[command(after_help = MINT_HELP)]
pub struct MintArgs {
    /// The configuration: a ConfigMap manifest, its data alone, or the managed add-on's JSON; "-" reads standard input.
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

/// Arguments of `check`.
#[derive(Debug, ClapArgs)]
#[command(after_help = CHECK_HELP)]
pub struct CheckArgs {
    /// The configuration: a ConfigMap manifest, its data alone, or the managed add-on's JSON; "-" reads standard input.
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

/// How the cloud is reached. Endpoints are flags and never part of the configuration: whoever may edit a ConfigMap must
/// not be able to send credentials elsewhere.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Cloud")]
pub struct CloudArgs {
    /// Region of the cluster, for entries without regionId [default: asked from ECS metadata].
    #[arg(long, value_name = "REGION", value_parser = Region::parse)]
    pub region: Option<Region>,
    /// Base URL of the ACR API, for one region or for all; can be repeated [default: cr.REGION.aliyuncs.com].
    #[arg(long, value_name = "[REGION=]URL")]
    pub acr_endpoint: Vec<String>,
    /// Base URL of STS, for one region or for all; can be repeated [default: sts.REGION.aliyuncs.com].
    #[arg(long, value_name = "[REGION=]URL")]
    pub sts_endpoint: Vec<String>,
    /// Base URL of ECS metadata [default: 100.100.100.200].
    #[arg(long, value_name = "URL")]
    pub metadata_endpoint: Option<String>,
    /// Call the APIs at their VPC endpoints.
    #[arg(long)]
    pub vpc_endpoints: bool,
    /// Directory of key Secrets, each a directory with the files access-key-id and access-key-secret, as Kubernetes mounts
    /// them; for accessKeySecretRef.
    #[arg(long, value_name = "DIR")]
    pub key_secrets: Option<PathBuf>,
}

const RUN_HELP: &str = "\
Examples:
  What would it do, with my rights?
    acr-credential-sidecar run --dry-run --region cn-hangzhou

Exit codes: 0 told to end, or all was done; 1 something could not be done, or a part of it failed; 2 wrong usage.";
/// Which cluster, and what things are called in it.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// The kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the account of the Pod this runs in].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: its current one].
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the sidecar.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", default_value = "kube-system")]
    pub sidecar_namespace: String,
    /// ConfigMap with the configuration.
    #[arg(long, value_name = "NAME", default_value = "acr-configuration")]
    pub config_map: String,
    /// Name of the pull secret.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PULL_SECRET)]
    pub pull_secret: String,
}

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
    /// Namespace [default: the manifest's, or default].
    #[arg(long, short, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Read the configuration from this file instead of the cluster. With --file, no cluster is asked at all.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
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

/// Arguments of `manifests`.
#[derive(Debug, ClapArgs)]
#[command(after_help = MANIFESTS_HELP)]
pub struct ManifestsArgs {
    /// The configuration: a ConfigMap manifest, its data alone, or the managed add-on's JSON; "-" reads standard input.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// With the optional policy that adds the pull secret to service accounts.
    #[arg(long)]
    pub serviceaccounts: bool,
    /// What to write.
    #[arg(long, short, value_enum, default_value_t = ManifestsOutput::Yaml)]
    pub output: ManifestsOutput,
    /// Name of the pull secret.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PULL_SECRET)]
    pub pull_secret: String,
    /// Namespace of the sidecar.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
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
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object, for scripts.
    Json,
}

const STATUS_HELP: &str = "\
Reads metadata alone, never what is in a Secret. Needs the rights to list namespaces and, by its name, the pull secret, \
and to get the ConfigMap.

Exit codes: 0 all is well, 1 a managed namespace has no good pull secret, 2 wrong usage, or the cluster did not answer.";

const EXPLAIN_HELP: &str = "\
Examples:
  Why does this Pod not start?
    acr-credential-sidecar explain pod web-5d9c7-x2x8k -n team-a

  And all Pods of this Deployment?
    acr-credential-sidecar explain deployment web -n team-a

  Will it? With no cluster:
    acr-credential-sidecar explain -f deployment.yaml --config acr-configuration.yaml

Exit codes: 0 nothing stands in the way, 1 something does, 2 wrong usage, or the cluster did not answer.";

const MANIFESTS_HELP: &str = "\
Namespaces, service accounts and label selector are the configuration's; everything else is as shipped. A configuration \
with attach: service-account needs no policy that adds to Pods, so that one is left out.

Examples:
  Install the policies for a configuration:
    acr-credential-sidecar manifests --config acr-configuration.yaml | kubectl apply -f -

  See whether those in the cluster are the same:
    acr-credential-sidecar manifests --config acr-configuration.yaml | kubectl diff -f -

Exit codes: 0 printed, 1 the configuration has mistakes, 2 wrong usage, or the file cannot be read.";

const CLEANUP_HELP: &str = "\
For uninstalling: scale the sidecar's Deployment to 0 first, or it writes everything again. Removed are Secrets of the \
pull secret's name with the label app.kubernetes.io/managed-by=acr-credential-sidecar, the sidecar's own state, and \
entries of the pull secret's name in the lists of service accounts. Running Pods are not touched; they cannot pull private images again.

Exit codes: 0 removed, 1 something could not be removed, 2 wrong usage, or the cluster did not answer.";

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

const CHECK_HELP: &str = "\
Examples:
  Before it is applied, with no cloud and no cluster:
    acr-credential-sidecar check --config acr-configuration.yaml

  All the way to the registries' hosts, from a machine with the same identity:
    acr-credential-sidecar check --config acr-configuration.yaml --online

Exit codes: 0 all is well (warnings included), 1 something is wrong, 2 wrong usage.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
