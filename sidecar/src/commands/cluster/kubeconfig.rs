//! The kubeconfig, read as kubectl reads it: files, context, and what they lead to.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use kube::Config;
use kube::config::{AuthInfo, Cluster, Context, Kubeconfig, KubeconfigError, LoadDataError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::proxy::Proxy;
use crate::cloud::Environment;
use crate::commands::arguments::ClusterArgs;
use crate::commands::report;
use crate::kubernetes::api_error::with_causes;

/// The files that may contain the kubeconfig, in order of precedence.
pub(super) struct Files {
    paths: Vec<PathBuf>,
    /// Whether the user named this one file, so that it must exist.
    is_explicit: bool,
}

/// The cluster, as the kubeconfig or the Pod describes it.
pub(super) struct Found {
    pub(super) config: Config,
    pub(super) proxy: Option<Proxy>,
    /// What the answer 401 means, for messages: `it does not accept the token of the user dev in the kubeconfig, …`.
    pub(super) refused: String,
    pub(super) plugin: Option<Plugin>,
}

/// The kubeconfig's exec plugin.
pub(super) struct Plugin {
    pub(super) command: String,
    /// How it is installed, in the words of the kubeconfig.
    pub(super) install_hint: Option<String>,
}

impl Files {
    pub(super) fn new(explicit: Option<&Path>, variable: Option<&OsStr>, home: Option<PathBuf>) -> Self {
        if let Some(path) = explicit {
            return Self { paths: vec![path.to_owned()], is_explicit: true };
        }
        let listed = variable.into_iter().flat_map(std::env::split_paths);
        let listed: Vec<_> = listed.filter(|path| !path.as_os_str().is_empty()).collect();
        let default = || home.into_iter().map(|home| home.join(".kube/config")).collect();
        Self { paths: if listed.is_empty() { default() } else { listed }, is_explicit: false }
    }

    pub(super) fn of_process(args: &ClusterArgs) -> Self {
        let variable = std::env::var_os("KUBECONFIG");
        Self::new(args.kubeconfig.as_deref(), variable.as_deref(), std::env::home_dir())
    }

    /// Reads and merges the files that exist; the first one to set a value wins. Returns `None` if there is nothing in them.
    pub(super) fn read(&self) -> Result<Option<Kubeconfig>, String> {
        let mut merged = Kubeconfig::default();
        for path in &self.paths {
            let mut next = match Kubeconfig::read_from(path) {
                Err(KubeconfigError::ReadConfig(error, _))
                    if !self.is_explicit && error.kind() == io::ErrorKind::NotFound =>
                {
                    continue;
                }
                read => read.map_err(|error| format!("{}: {}", path.display(), problem_of(&error)))?,
            };
            // An empty one counts as absent.
            next.current_context = next.current_context.filter(|name| !name.is_empty());
            merged =
                merged.merge(next).map_err(|error| format!("{}: {}", path.display(), problem_of(&error)))?;
        }
        let is_empty =
            merged.contexts.is_empty() && merged.clusters.is_empty() && merged.auth_infos.is_empty();
        Ok((!is_empty).then_some(merged))
    }

    /// Returns the names of the files, for messages.
    pub(super) fn shown(&self) -> String {
        let names: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
        names.join(", ")
    }
}

/// Returns the context that the user or the kubeconfig chose.
pub(super) fn context<'a>(
    kubeconfig: &'a Kubeconfig,
    wanted: Option<&'a str>,
) -> Result<(&'a str, &'a Context), String> {
    let name = wanted.or(kubeconfig.current_context.as_deref());
    let name = name.ok_or("no context is set: use --context or kubectl config use-context")?;
    let named = kubeconfig.contexts.iter().find(|context| context.name == name);
    match named.and_then(|context| context.context.as_ref()) {
        Some(context) => Ok((name, context)),
        None => Err(format!("there is no context {name}: list them with kubectl config get-contexts")),
    }
}

/// Follows the kubeconfig to the cluster.
pub(super) fn find(
    kubeconfig: &Kubeconfig,
    wanted: Option<&str>,
    environment: &Environment,
) -> Result<Found, String> {
    let (context_name, context) = context(kubeconfig, wanted)?;
    let name = &context.cluster;
    let named = kubeconfig.clusters.iter().find(|cluster| cluster.name == *name);
    let cluster = named
        .and_then(|cluster| cluster.cluster.as_ref())
        .ok_or_else(|| format!("there is no cluster {name}, which the context {context_name} names"))?;
    let cluster = &without_empty_values(cluster.clone());
    let of_cluster = |problem: String| format!("cluster {name}: {problem}");
    let server = cluster.server.as_deref().unwrap_or_default();
    let server =
        server.parse::<Uri>().ok().filter(|server| server.scheme().is_some() && server.host().is_some());
    let server =
        server.ok_or_else(|| of_cluster("server is not a URL: write https://HOST:PORT".to_owned()))?;

    let user = context.user.as_deref().unwrap_or_default();
    let named = kubeconfig.auth_infos.iter().find(|named| named.name == user);
    // As in kubectl, this is no mistake: some API servers ask for no credential.
    let mut auth_info = named.and_then(|named| named.auth_info.clone()).unwrap_or_default();
    let refused = match named {
        Some(_) => {
            format!(
                "it does not accept {} of the user {user} in the kubeconfig, which may have expired",
                kind(&auth_info)
            )
        }
        None => format!(
            "it does not accept a call without a user: the context {context_name} has none that exists"
        ),
    };
    let mut plugin = None;
    if let Some(exec) = &mut auth_info.exec {
        let install_hint = exec.install_hint.clone();
        plugin = exec.command.clone().map(|command| Plugin { command, install_hint });
        if exec.provide_cluster_info {
            exec.cluster = Some(cluster.try_into().map_err(|error| of_cluster(problem_of(&error)))?);
        }
    }

    let proxy = Proxy::choose(&server, cluster.proxy_url.as_deref(), environment).map_err(of_cluster)?;
    let mut config = Config::new(server);
    config.root_cert = authorities(cluster).map_err(of_cluster)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or_default();
    config.disable_compression = cluster.disable_compression.unwrap_or_default();
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    config.auth_info = auth_info;
    if let Some(namespace) = namespace(context) {
        config.default_namespace = namespace;
    }
    Ok(Found { config, proxy, refused, plugin })
}

/// Removes the empty values, because kubectl treats them as absent.
fn without_empty_values(mut cluster: Cluster) -> Cluster {
    cluster.certificate_authority_data.take_if(|data| data.is_empty());
    // kube has put the directory of the kubeconfig before the empty path.
    cluster.certificate_authority.take_if(|path| path.is_empty() || path.ends_with(std::path::is_separator));
    cluster.tls_server_name.take_if(|name| name.is_empty());
    cluster
}

/// Returns the namespace of a context.
pub(super) fn namespace(context: &Context) -> Option<String> {
    context.namespace.clone().filter(|namespace| !namespace.is_empty())
}

/// Returns what a user is identified by. If there are several, the API server decides.
fn kind(user: &AuthInfo) -> &'static str {
    match user {
        AuthInfo { exec: Some(_), .. } => "the credential from the exec plugin",
        AuthInfo { token: Some(_), .. } | AuthInfo { token_file: Some(_), .. } => "the token",
        AuthInfo { client_certificate: Some(_), .. } | AuthInfo { client_certificate_data: Some(_), .. } => {
            "the client certificate"
        }
        _ => "the credential",
    }
}

fn authorities(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, String> {
    const DATA: &str = "certificate-authority-data";
    let (place, pem) = match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        (Some(data), _) => (DATA, STANDARD.decode(data).map_err(|_| format!("{DATA} is not base64"))?),
        (None, Some(path)) => {
            let read = std::fs::read(path);
            (path.as_str(), read.map_err(|error| format!("certificate-authority {path}: {error}"))?)
        }
        (None, None) => return Ok(None),
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(all) if !all.is_empty() => Ok(Some(all.iter().map(|one| one.to_vec()).collect())),
        _ => Err(format!("{place} contains no certificate in PEM")),
    }
}

/// Describes what is wrong with a kubeconfig. The parsers' own messages quote the file, which may contain tokens and keys.
pub(super) fn problem_of(error: &KubeconfigError) -> String {
    use KubeconfigError as E;
    match error {
        E::Parse(error) => format!("is not a kubeconfig{}", report::place_in(error)),
        // Its path is already part of the message.
        E::ReadConfig(error, _) => error.to_string(),
        E::LoadCertificateAuthority(LoadDataError::DecodeBase64(_)) => {
            "certificate-authority-data is not base64".to_owned()
        }
        E::LoadClientCertificate(LoadDataError::DecodeBase64(_)) => {
            "client-certificate-data is not base64".to_owned()
        }
        E::LoadClientKey(LoadDataError::DecodeBase64(_)) => "client-key-data is not base64".to_owned(),
        error => with_causes(error),
    }
}

#[cfg(test)]
mod tests;
