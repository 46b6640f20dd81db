//! Helm, run as a user runs it.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::cluster::{Cluster, Output, output_of};
use crate::paths;

/// Helm for one cluster, with a home of its own: nothing of the user's is read or written.
pub struct Helm {
    home: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Helm {
    /// Helm with the administrator's rights.
    ///
    /// # Errors
    /// When there is no room for a directory.
    pub fn new(cluster: &Cluster) -> Result<Self> {
        let home = tempfile::tempdir().context("failed to make a directory for Helm")?;
        Ok(Self { home, kubeconfig: cluster.kubeconfig().to_owned() })
    }

    /// Runs a command, with these values (YAML) on its standard input for `--values -`. A failure is no error: its output is
    /// what a test wants to see.
    ///
    /// # Errors
    /// When Helm cannot be run.
    pub async fn run(&self, arguments: &[&str], values: &str) -> Result<Output> {
        let home = self.home.path();
        let mut helm = Command::new(paths::helm_binary()?);
        helm.args(arguments)
            .env_clear()
            .env("HOME", home)
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"))
            .env("KUBECONFIG", &self.kubeconfig);
        output_of(helm, "helm", values).await
    }
}
