//! Clients from kubeconfig files.

use std::path::Path;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// A client for the current context of a kubeconfig. It lives as long as the tokio runtime that it was made in.
///
/// # Errors
/// When the file cannot be read or describes no cluster.
pub async fn client(path: &Path) -> Result<Client> {
    Client::try_from(config(path).await?).context("failed to set up a Kubernetes client")
}

/// The configuration behind [`client`], to be changed before use.
///
/// # Errors
/// As [`client`].
pub async fn config(path: &Path) -> Result<Config> {
    let kubeconfig =
        Kubeconfig::read_from(path).with_context(|| format!("failed to read {}", path.display()))?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("failed to use {}", path.display()))
}

/// A kubeconfig with a fresh token of this service account and nothing else: what a Pod of it may do, it may do.
///
/// # Errors
/// When there is no such account, or the API server does not hand out a token.
pub async fn of_account(cluster: &Cluster, namespace: &str, name: &str) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client().await?, namespace);
    let request = TokenRequest { spec: Some(TokenRequestSpec::default()), ..TokenRequest::default() };
    let made = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .with_context(|| format!("failed to get a token of {namespace}/{name}"))?;
    let token = made.status.context("there is no token in the answer")?.token;
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "test",
            "cluster": { "server": cluster.server(), "certificate-authority": cluster.ca_file() },
        }],
        "users": [{ "name": "test", "user": { "token": token } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "current-context": "test",
    });
    // JSON is YAML.
    Ok(document.to_string())
}

/// The same kubeconfig for a proxy in front of the API server, which is spoken to without TLS.
///
/// # Errors
/// When the kubeconfig is not one of [`of_account`].
pub fn through(kubeconfig: &str, proxy: &str) -> Result<String> {
    let mut document: Value = serde_json::from_str(kubeconfig).context("the kubeconfig is not JSON")?;
    document["clusters"][0]["cluster"] = json!({ "server": proxy });
    Ok(document.to_string())
}
