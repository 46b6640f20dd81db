//! The desired content of a pull secret.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tokio::time::Instant;

use super::fingerprint::{Fingerprint, instance_name};
use super::observed::LONGEST_REGISTRIES;
use crate::broker::{RegistryState, Snapshot, Status};
use crate::clock::Moment;
use crate::docker_config::{DockerConfig, RegistrySet};

/// The desired content of the pull secrets in all namespaces with the same registries.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct DesiredSecret {
    /// The docker config.
    pub docker_config: DockerConfig,
    /// Fingerprint of what the configuration asks for: it is equal while only credentials change.
    pub inputs: String,
    /// The registries in it, in the form of the annotation: `region/instance`, separated by commas.
    pub registries: String,
    /// Registries that should be in it, but this process never had a credential for them. A pull secret may still
    /// contain a good credential of an earlier process.
    pub awaited: Vec<String>,
    /// Whether the first answer for one of them has not arrived yet.
    pub pending: bool,
    /// When the first of its credentials was minted; `None` if an earlier process minted one.
    pub minted: Option<Instant>,
}

/// Renders each distinct set of registries once per snapshot, and again when a credential expires.
#[derive(Debug, Default)]
pub struct DesiredSecrets {
    version: u64,
    known: HashMap<RegistrySet, Arc<DesiredSecret>>,
}

impl DesiredSecrets {
    /// Returns what the pull secret of a managed namespace should contain now.
    pub fn for_namespace(
        &mut self,
        snapshot: &Snapshot,
        namespace: &str,
        now: Moment,
    ) -> Result<Arc<DesiredSecret>, serde_json::Error> {
        if self.version != snapshot.version {
            self.version = snapshot.version;
            self.known.clear();
        }
        let registries = snapshot.entries.iter().map(|entry| &*entry.registry);
        let set = RegistrySet::for_namespace(registries, namespace);
        if let Some(known) = self.known.get(&set)
            && known.docker_config.is_current(now)
        {
            return Ok(Arc::clone(known));
        }
        let desired = DesiredSecret::new(snapshot, &set, DockerConfig::render(snapshot, &set, now)?);
        let desired = Arc::new(desired);
        self.known.insert(set, Arc::clone(&desired));
        Ok(desired)
    }
}

impl DesiredSecret {
    fn new(snapshot: &Snapshot, set: &RegistrySet, docker_config: DockerConfig) -> Self {
        let mut inputs = Fingerprint::default();
        let mut registries = String::new();
        let mut awaited = Vec::new();
        let mut pending = false;
        let mut minted = Vec::new();
        for &position in set.positions() {
            let Some(entry) = snapshot.entries.get(position) else { continue };
            inputs.key(&entry.key);
            inputs.hosts(&entry.registry.registry.domains);
            if docker_config.registries.positions().contains(&position) {
                minted.extend(entry.issued.as_ref().map(|issued| issued.minted));
                let name = registry_name(entry);
                // A longer annotation would not be read back, and the Secret would be written again and again.
                if registries.len() + name.len() < LONGEST_REGISTRIES {
                    let comma = if registries.is_empty() { "" } else { "," };
                    // Writing to a String cannot fail.
                    let _ = write!(registries, "{comma}{name}");
                }
            } else if entry.hosts.is_empty() || entry.issued.is_none() {
                pending |= entry.status == Status::Pending;
                if !matches!(entry.status, Status::Expired { .. }) {
                    awaited.push(registry_name(entry));
                }
            }
        }
        // `None` is less than any time.
        let minted = minted.into_iter().min().flatten();
        Self { docker_config, inputs: inputs.finish(), registries, awaited, pending, minted }
    }

    /// Returns whether it contains no credential.
    pub fn is_empty(&self) -> bool {
        self.docker_config.registries.positions().is_empty()
    }
}

fn registry_name(entry: &RegistryState) -> String {
    format!("{}/{}", entry.key.region, instance_name(&entry.key.instance))
}

#[cfg(test)]
mod tests;
