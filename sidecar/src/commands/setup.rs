//! What `mint` and `check` need alike: the configuration, and a way to the cloud.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;

use super::arguments::CloudArgs;
use super::report::{self, Line, Mark};
use crate::broker::ResolvedRegistry;
use crate::clock::SystemClock;
use crate::cloud::endpoints::Flags;
use crate::cloud::{
    Cloud, CloudError, CloudSettings, EndpointError, Endpoints, Environment, Limits, ProxyError,
};
use crate::configuration::{self, Configuration, Examined, Finding, Registry};

/// Why a command could not do its work as it was called.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("failed to read the configuration {}", path.display())]
    ReadConfiguration { path: PathBuf, source: io::Error },
    #[error("failed to read the manifest {}", path.display())]
    ReadManifest { path: PathBuf, source: io::Error },
    #[error("--registry {wanted}: there are {there} registries in the configuration, the first one is 0")]
    NoSuchRegistry { wanted: usize, there: usize },
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// Both halves are whole sentences: kube's own texts are not for people.
    #[error("failed to {action}: {problem}")]
    Cluster { action: String, problem: String },
    #[error("{0}")]
    Refused(String),
    #[error("failed to listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("failed to start the async runtime")]
    StartRuntime(#[source] io::Error),
    #[error("failed to write {}", path.display())]
    WriteFile { path: PathBuf, source: io::Error },
    #[error("failed to write to standard output")]
    WriteOutput(#[from] io::Error),
    #[error("failed to write JSON")]
    WriteJson(#[from] serde_json::Error),
}

/// The configuration of a file; none where it has mistakes. Mistakes and warnings go to standard error.
pub(super) fn configuration(path: &Path) -> Result<Option<Configuration>, CommandError> {
    let Examined { outcome, warnings } = configuration::examine(&read_configuration(path)?);
    let show = |mark, findings: &[Finding]| {
        for finding in findings {
            report::line_to_stderr(&Line::finding(mark, finding));
        }
    };
    show(Mark::Warning, &warnings);
    outcome.inspect_err(|mistakes| show(Mark::Error, &mistakes.0)).map_or(Ok(None), |usable| Ok(Some(usable)))
}

/// The bytes of the configuration; `-` is standard input.
pub(super) fn read_configuration(path: &Path) -> Result<Vec<u8>, CommandError> {
    let failed = |source| CommandError::ReadConfiguration { path: path.to_owned(), source };
    read_just_beyond(configuration::MAX_BYTES, path).map_err(failed)
}

/// The bytes of a file, `-` being standard input. One byte more than is allowed, so that whoever parses it sees that it is
/// too much; an endless pipe ends there.
pub(super) fn read_just_beyond(most: usize, path: &Path) -> io::Result<Vec<u8>> {
    let most = most as u64 + 1;
    let mut text = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut text)?;
    } else {
        File::open(path)?.take(most).read_to_end(&mut text)?;
    }
    Ok(text)
}

/// One thread: all that these commands do is wait for the cloud.
pub(super) fn runtime() -> Result<Runtime, CommandError> {
    Builder::new_current_thread().enable_all().build().map_err(CommandError::StartRuntime)
}

/// The client of the cloud that the flags and the environment ask for.
pub(super) fn cloud(args: CloudArgs) -> Result<Arc<Cloud>, CommandError> {
    let CloudArgs { region, acr_endpoint, sts_endpoint, metadata_endpoint, vpc_endpoints, key_secrets } =
        args;
    let endpoints = Endpoints::parse(Flags {
        acr: &acr_endpoint,
        sts: &sts_endpoint,
        metadata: metadata_endpoint.as_deref(),
        vpc: vpc_endpoints,
    })?;
    let settings = CloudSettings {
        endpoints,
        region,
        key_secrets,
        environment: Environment::from_process(),
        limits: Limits::default(),
    };
    Ok(Arc::new(Cloud::new(settings, Arc::new(SystemClock))?))
}

/// A registry with its region, or why that is not known.
pub(super) type Resolved = Result<ResolvedRegistry, (Registry, CloudError)>;

/// The registries with their regions. The cluster's own is looked up once, and only if a registry names none.
pub(super) async fn resolve(cloud: &Cloud, registries: Vec<Registry>) -> Vec<Resolved> {
    let of_cluster = OnceCell::new();
    let mut resolved = Vec::with_capacity(registries.len());
    for registry in registries {
        let region = match &registry.region {
            Some(region) => Ok(region.clone()),
            None => of_cluster.get_or_init(|| cloud.region()).await.clone(),
        };
        resolved.push(match region {
            Ok(region) => Ok(ResolvedRegistry { region, registry }),
            Err(error) => Err((registry, error)),
        });
    }
    resolved
}
