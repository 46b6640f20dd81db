//! Clients from kubeconfig files.

use std::path::Path;

use anyhow::{Context as _, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

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
