//! The state Secret: the credentials that this process holds, kept in the sidecar's own namespace so that a restart needs no call
//! to the cloud and no write to the cluster. It is never in a tenant's namespace, because tenants can write there.

mod document;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource as _};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;
use zeroize::Zeroizing;

pub use self::document::SavedState;
use super::observed::MANAGED_BY;
use crate::broker::{Held, ResolvedRegistry, Snapshot};
use crate::clock::Clock;
use crate::credential::CredentialKey;
use crate::kubernetes::{ApiError, FIELD_MANAGER, NO_VERSION, within};

/// Name of the state Secret.
pub const STATE_SECRET: &str = "acr-credential-sidecar-state";

const KEY: &str = "state.json";

/// A write that failed is retried after this long, because nothing waits for it.
const RETRY: Duration = Duration::from_secs(10);

/// The state Secret, and its content.
pub struct Keeper {
    client: Client,
    namespace: Arc<str>,
    clock: Arc<dyn Clock>,
    version: String,
    document: SavedState,
}

/// The state Secret as it is read. `Debug` does not print its data.
#[derive(Clone, Deserialize, kube::Resource)]
#[resource(inherit = Secret)]
struct StateSecret {
    metadata: ObjectMeta,
    #[serde(default)]
    data: BTreeMap<String, ByteString>,
}

impl fmt::Debug for StateSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateSecret").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Reads the state Secret. If it cannot be used, that is logged, and costs only a few mints.
    pub async fn load(client: Client, namespace: Arc<str>, clock: Arc<dyn Clock>) -> Result<Self, ApiError> {
        let secrets: Api<StateSecret> = Api::namespaced(client.clone(), &namespace);
        let found = within(secrets.get_opt(STATE_SECRET)).await?;
        let mut keeper = Self::empty(client, namespace, clock);
        let Some(StateSecret { metadata, mut data }) = found else {
            tracing::info!("there is no state of an earlier process: credentials will be minted again");
            return Ok(keeper);
        };
        keeper.version = metadata.resource_version.unwrap_or(keeper.version);
        let bytes = Zeroizing::new(data.remove(KEY).map(|bytes| bytes.0).unwrap_or_default());
        match SavedState::parse(&bytes) {
            Ok(document) => keeper.document = document,
            Err(problem) => {
                tracing::warn!("Secret {STATE_SECRET}: {problem}: credentials will be minted again");
            }
        }
        Ok(keeper)
    }

    /// Creates a keeper that knows no credentials.
    pub fn empty(client: Client, namespace: Arc<str>, clock: Arc<dyn Clock>) -> Self {
        Self { client, namespace, clock, version: NO_VERSION.to_owned(), document: SavedState::default() }
    }

    /// Returns the part that these registries can use.
    pub fn restore(&self, registries: &[ResolvedRegistry]) -> HashMap<CredentialKey, Held> {
        let now = self.clock.wall();
        let restored = self.document.restore(registries, now);
        let (kept, known) = (restored.len(), self.document.len());
        if kept > 0 {
            tracing::info!("{kept} credentials of an earlier process are still valid");
        }
        if kept < known {
            tracing::info!(
                "{} credentials of an earlier process have expired or are no longer needed",
                known - kept
            );
        }
        restored
    }

    /// Writes down every change of the credentials, until the snapshots end.
    pub async fn follow(mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        // The snapshot from before the broker starts contains nothing, and would remove everything from the state.
        if snapshots.wait_for(|snapshot| snapshot.version > 0).await.is_err() {
            return;
        }
        loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let document = self.document.updated(&snapshot, self.clock.wall());
            if document != self.document {
                match self.write(&document).await {
                    Ok(version) => {
                        self.document = document;
                        self.version = version;
                    }
                    Err(failure) => {
                        tracing::warn!(
                            "Secret {STATE_SECRET}: failed to write it, so a restart now would mint again: {failure}"
                        );
                        if failure == ApiError::Conflict {
                            self.refresh_version().await;
                        }
                        sleep(RETRY).await;
                        continue;
                    }
                }
            }
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    /// Writes only over the version that was read or written last. A replica that was replaced and does not know it gets a
    /// conflict.
    async fn write(&self, document: &SavedState) -> Result<String, ApiError> {
        let bytes = document.to_bytes().map_err(|error| ApiError::Refused(error.to_string()))?;
        let text = Zeroizing::new(STANDARD.encode(&*bytes));
        let body = Redacted(json!({
            "apiVersion": Secret::api_version(&()),
            "kind": Secret::kind(&()),
            "metadata": {
                "name": STATE_SECRET,
                "resourceVersion": self.version,
                "labels": { MANAGED_BY: FIELD_MANAGER },
            },
            "type": "Opaque",
            "data": { KEY: *text },
        }));
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let written = within(secrets.patch_metadata(STATE_SECRET, &params, &Patch::Apply(&body))).await?;
        written.metadata.resource_version.ok_or_else(ApiError::malformed)
    }

    async fn refresh_version(&mut self) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        match within(secrets.get_metadata_opt(STATE_SECRET)).await {
            Ok(found) => {
                let version = found.and_then(|found| found.metadata.resource_version);
                self.version = version.unwrap_or_else(|| NO_VERSION.to_owned());
            }
            Err(failure) => tracing::warn!("Secret {STATE_SECRET}: failed to read it: {failure}"),
        }
    }
}

/// A body that contains secrets. `Debug` does not print them.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Redacted(serde_json::Value);

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
