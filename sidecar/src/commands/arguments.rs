//! Arguments that several commands share: the place of the cluster, and the connection to the cloud.

use std::path::PathBuf;

use acr_credential_core::{DEFAULT_PULL_SECRET, Pattern, Vocabulary};
use clap::{Args as ClapArgs, ValueEnum};

use crate::configuration::Region;

/// The cluster, and the names of the objects in it.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// The kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the account of the Pod this runs in].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: its current one].
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the sidecar, its ConfigMap and its Lease.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", hide_env_values = true, default_value = "kube-system", value_parser = namespace)]
    pub sidecar_namespace: String,
    /// ConfigMap with the configuration.
    #[arg(long, value_name = "NAME", default_value = "acr-configuration", value_parser = object)]
    pub config_map: String,
    /// Name of the pull secret.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PULL_SECRET, value_parser = object)]
    pub pull_secret: String,
}

/// Parses the name of a namespace.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    name(text, Vocabulary::Label)
}

/// Parses the name of a Secret or a ConfigMap.
pub(super) fn object(text: &str) -> Result<String, String> {
    name(text, Vocabulary::Subdomain)
}

fn name(text: &str, vocabulary: Vocabulary) -> Result<String, String> {
    match Pattern::parse(text, vocabulary) {
        Ok(Pattern::Name(name)) => Ok(name.into_owned()),
        Ok(Pattern::All | Pattern::Glob(_)) => Err("is a pattern; write one name".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The connection to the cloud. Endpoints are flags and never part of the configuration: a user who may edit a
/// ConfigMap must not be able to send credentials elsewhere.
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

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object, for scripts.
    Json,
    /// The same as YAML.
    Yaml,
}
