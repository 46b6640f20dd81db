//! The setup that `mint` and `check` share: the configuration, and a connection to the cloud.

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

/// The reason why a command could not do its work.
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
    /// `action` and `problem` are written for people; kube's own texts are not.
    #[error("failed to {action}: {problem}")]
    Cluster { action: String, problem: String },
    /// Like `Cluster`, because a right is missing. `action` names the right: `get secrets named NAME in NAMESPACE`.
    #[error("failed to {action}: {problem}")]
    Forbidden { action: String, problem: String },
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

/// Reads the configuration of a file; returns `None` if it has mistakes. Mistakes and warnings are printed to standard error.
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

/// Reads the bytes of the configuration; `-` is standard input.
pub(super) fn read_configuration(path: &Path) -> Result<Vec<u8>, CommandError> {
    let failed = |source| CommandError::ReadConfiguration { path: path.to_owned(), source };
    read_just_beyond(configuration::MAX_BYTES, path).map_err(failed)
}

/// Reads the bytes of a file; `-` is standard input. The result is at most one byte longer than allowed, so that the
/// parser notices that the file is too large. Even an endless pipe ends there.
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

/// Creates a runtime with one thread: the cloud and the API server are slower than one, and threads that wake each other cost CPU
/// time.
pub(super) fn runtime() -> Result<Runtime, CommandError> {
    Builder::new_current_thread().enable_all().build().map_err(CommandError::StartRuntime)
}

/// Creates the client of the cloud from the flags and the environment.
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

/// A registry with its region, or the reason why the region is not known.
pub(super) type Resolved = Result<ResolvedRegistry, (Registry, CloudError)>;

/// Finds the regions of the registries. The cluster's own region is looked up once, and only if a registry names no region.
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
