//! Counts mints.

use std::sync::Arc;

use super::metrics::Metrics;
use crate::broker::Minter;
use crate::cloud::CloudError;
use crate::configuration::Host;
use crate::credential::{Credential, CredentialKey};

/// A minter that counts its mints.
#[derive(Debug)]
pub struct Counted<M> {
    minter: M,
    metrics: Arc<Metrics>,
}

impl<M> Counted<M> {
    /// Counts the mints of this minter.
    pub fn new(minter: M, metrics: Arc<Metrics>) -> Self {
        Self { minter, metrics }
    }
}

impl<M: Minter> Minter for Counted<Arc<M>> {
    async fn credential(&self, key: &CredentialKey) -> Result<Credential, CloudError> {
        let outcome = self.minter.credential(key).await;
        self.metrics.minted(&outcome);
        outcome
    }

    async fn hosts(&self, key: &CredentialKey) -> Result<Vec<Host>, CloudError> {
        self.minter.hosts(key).await
    }
}
