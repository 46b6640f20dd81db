//! `mint`: mints credentials once.

mod file;

use super::arguments::CloudArgs;
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use self::file::{Destination, Merged};
use super::Exit;
use super::report::{self, Line, Mark};
use super::setup::{self, CommandError};
use crate::broker::{self, RegistryState, Snapshot, Status};
use crate::clock::{Clock, SystemClock};
use crate::configuration::{Host, Instance, Registry};
use crate::docker_config::{DockerConfig, RegistrySet};

/// Arguments of `mint`.
#[derive(Debug, Args)]
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
    /// Write to this file instead of standard output, which is "-"; then docker-config is the default. A docker config that is
    /// there keeps its owner, its mode and everything except the logins of our hosts; a new file has the mode 0600.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// The connection to the cloud.
    #[command(flatten)]
    pub cloud: CloudArgs,
}

/// The output format of `mint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MintOutput {
    /// What docker, podman and the kubelet read. Holds the passwords.
    DockerConfig,
    /// What was minted, for people.
    Table,
    /// What was minted, for scripts.
    Json,
    /// The same as YAML.
    Yaml,
}

const MINT_HELP: &str = "\
Asks the cloud and no cluster, so it needs no right in Kubernetes.

Examples:
  Show what a configuration can pull, and until when:
    acr-credential-sidecar mint --config acr-configuration.yaml --output table

  Pull with skopeo, as the cluster would:
    acr-credential-sidecar mint --config acr-configuration.yaml --to auth.json
    skopeo inspect --authfile auth.json docker://a-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1

  Straight from the cluster's ConfigMap:
    kubectl get configmap -n kube-system acr-configuration -o yaml |
      acr-credential-sidecar mint --config - --registry 0

Exit codes: 0 minted, 1 something could not be minted (then no docker config is written), 2 wrong usage.";

pub(super) fn run(args: MintArgs) -> Result<Exit, CommandError> {
    let MintArgs { config, registry, output, to, cloud } = args;
    let to = to.filter(|path| path != Path::new("-"));
    let Some(configuration) = setup::configuration(&config)? else { return Ok(Exit::Findings) };
    let registries = chosen(configuration.registries, registry)?;
    // Passwords must not appear on a screen that others may see.
    let on_screen = to.is_none() && std::io::stdout().is_terminal();
    let output = output.unwrap_or(if on_screen { MintOutput::Table } else { MintOutput::DockerConfig });
    // What cannot be written is reported before anything is minted.
    let destination = to.map(Destination::find).transpose()?;
    match (&destination, output) {
        (Some(file), MintOutput::DockerConfig) => drop(file.with_logins(file::NO_LOGINS)?),
        (Some(file), MintOutput::Table | MintOutput::Json | MintOutput::Yaml) => {
            file.refuse_docker_config()?;
        }
        (None, _) => {}
    }
    let cloud = setup::cloud(cloud)?;

    let (snapshot, unresolved) = setup::runtime()?.block_on(async {
        let (mut resolved, mut unresolved) = (Vec::new(), Vec::new());
        for outcome in setup::resolve(&cloud, registries).await {
            match outcome {
                Ok(registry) => resolved.push(registry),
                Err(failure) => unresolved.push(failure),
            }
        }
        (broker::mint_once(cloud, Arc::new(SystemClock), resolved.into()).await, unresolved)
    });

    for conflict in &snapshot.conflicts {
        report::line_to_stderr(&Line::finding(Mark::Warning, &conflict.finding));
    }
    let unresolved = unresolved.iter().map(|(registry, error)| {
        Minted::new(registry, Some(Refusal { reason: error.reason.name(), message: error.to_string() }))
    });
    let minted: Vec<_> = snapshot.entries.iter().map(Minted::from).chain(unresolved).collect();
    if output == MintOutput::DockerConfig {
        hidden(&snapshot).iter().for_each(report::line_to_stderr);
    }
    let mut exit = Exit::Success;
    for failure in &minted {
        if let Some(Refusal { message, .. }) = &failure.error {
            report::line_to_stderr(&Line::new(Mark::Error, failure.place, message));
            exit = Exit::Findings;
        }
    }
    let document = BTreeMap::from([("registries", &minted)]);
    let text = match output {
        // An incomplete docker config would replace a complete one.
        MintOutput::DockerConfig if exit != Exit::Success => return Ok(exit),
        MintOutput::DockerConfig => {
            let all = RegistrySet::new(0..snapshot.entries.len());
            DockerConfig::render(&snapshot, &all, SystemClock.now())?.bytes
        }
        MintOutput::Table => table(&minted, SystemClock.wall()).into_bytes().into(),
        MintOutput::Json => report::json(&document)?.into_bytes().into(),
        MintOutput::Yaml => report::yaml(&document)?.into_bytes().into(),
    };
    let Some(file) = destination else {
        report::bytes_to_stdout(&text)?;
        return Ok(exit);
    };
    let name = file.named.display();
    if output == MintOutput::DockerConfig {
        // Read again as late as possible: another program may have logged in meanwhile.
        let Merged { bytes, warnings } = file.with_logins(&text)?;
        file.write(&bytes)?;
        for warning in warnings {
            report::line_to_stderr(&Line::new(Mark::Warning, &name, warning));
        }
    } else {
        file.write(&text)?;
    }
    report::to_stderr(format_args!("wrote {name}"));
    Ok(exit)
}

fn chosen(mut registries: Vec<Registry>, only: Option<usize>) -> Result<Vec<Registry>, CommandError> {
    match only {
        None => Ok(registries),
        Some(wanted) if wanted < registries.len() => Ok(vec![registries.swap_remove(wanted)]),
        Some(wanted) => Err(CommandError::NoSuchRegistry { wanted, there: registries.len() }),
    }
}

/// The result for one registry. It contains no secret.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Minted<'a> {
    place: &'a str,
    edition: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    hosts: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Refusal>,
}

#[derive(Serialize)]
struct Refusal {
    reason: &'static str,
    message: String,
}

impl<'a> Minted<'a> {
    /// Creates a result with only the facts of the configuration.
    fn new(registry: &'a Registry, error: Option<Refusal>) -> Self {
        let (edition, instance_id) = match &registry.instance {
            Instance::Enterprise(id) => ("Enterprise", Some(id.as_str())),
            Instance::Personal => ("Personal", None),
        };
        let place = &registry.place;
        Self { place, edition, instance_id, region: None, hosts: Vec::new(), expires_at: None, error }
    }
}

impl<'a> From<&'a RegistryState> for Minted<'a> {
    fn from(entry: &'a RegistryState) -> Self {
        let error = match &entry.status {
            Status::Valid => None,
            Status::Failing(trouble) | Status::Expired { trouble: Some(trouble), .. } => {
                Some(Refusal { reason: trouble.failure.reason(), message: trouble.failure.to_string() })
            }
            Status::Pending | Status::Expired { trouble: None, .. } => Some(Refusal {
                reason: "ExpiredOnArrival",
                message: "the credential had already expired when it arrived: compare this machine's clock with the true time"
                    .to_owned(),
            }),
        };
        Self {
            region: Some(entry.key.region.as_str()),
            hosts: entry.hosts.iter().map(Host::as_str).collect(),
            expires_at: entry.issued.as_ref().map(|issued| issued.credential.expires_at),
            ..Self::new(&entry.registry.registry, error)
        }
    }
}

/// Returns warnings about hosts that several registries share. Registries for different namespaces may have the same
/// host, but a docker config has only one credential for each host.
fn hidden(snapshot: &Snapshot) -> Vec<Line> {
    let mut owners: BTreeMap<&Host, &RegistryState> = BTreeMap::new();
    let mut lines = Vec::new();
    for entry in &snapshot.entries {
        for host in &*entry.hosts {
            let owner = *owners.entry(host).or_insert(entry);
            if owner.key != entry.key {
                let of_owner = &owner.registry.registry.place;
                let message = format!(
                    "{host} has the credential of {of_owner} in this docker config: mint only this entry, with --registry"
                );
                lines.push(Line::new(Mark::Warning, &entry.registry.registry.place, message));
            }
        }
    }
    lines
}

fn table(minted: &[Minted<'_>], now: Timestamp) -> String {
    let mut table = report::table(["REGISTRY", "REGION", "HOSTS", "VALID FOR"]);
    for Minted { place: _, edition, instance_id, region, hosts, expires_at, error } in minted {
        let valid_for = match (error, expires_at) {
            (Some(Refusal { reason, .. }), _) => (*reason).to_owned(),
            (None, Some(expires_at)) => report::time_left(now, *expires_at),
            (None, None) => String::new(),
        };
        let name = instance_id.map_or_else(|| format!("{edition} Edition"), str::to_owned);
        table.add_row([name, region.unwrap_or_default().to_owned(), hosts.join("\n"), valid_for]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}
