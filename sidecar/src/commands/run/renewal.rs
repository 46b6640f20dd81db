//! Keeps credentials fresh while this replica leads. It begins with what an earlier process knew.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::broker::{ActiveConfiguration, Broker, SnapshotPublisher};
use crate::clock::Clock;
use crate::cloud::Cloud;
use crate::cluster::saved_state::Keeper;
use crate::kubernetes::ApiError;
use crate::telemetry::minter::Counted;

/// The state is read again after this long if the API server could not be reached.
const RETRY: Duration = Duration::from_secs(3);

/// The parts that renewal needs.
pub(super) struct Renewal {
    pub(super) minter: Arc<Counted<Arc<Cloud>>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) client: Client,
    pub(super) namespace: Arc<str>,
    pub(super) snapshots: SnapshotPublisher,
    /// Whether credentials are written down for the next process.
    pub(super) writes_state: bool,
}

impl Renewal {
    /// Waits until this replica leads and is configured, and then renews without end. A standby mints nothing:
    /// credentials that the leader has minted are in the state.
    pub(super) async fn run(
        self,
        mut leading: watch::Receiver<bool>,
        active: watch::Receiver<Option<Arc<ActiveConfiguration>>>,
    ) {
        let mut configured = active.clone();
        let begun = async {
            leading.wait_for(|leads| *leads).await.ok()?;
            let keeper = self.load().await;
            let first = configured.wait_for(Option::is_some).await.ok()?.clone()?;
            Some((keeper, first))
        };
        let begun = tokio::select! {
            begun = begun => begun,
            () = self.snapshots.follow(active.clone()) => None,
        };
        let Some((keeper, first)) = begun else { return };
        let restored = keeper.restore(&first.registries);
        let snapshots = self.snapshots.subscribe();
        let broker = Broker::new(self.minter, self.clock, restored, self.snapshots);
        tokio::select! {
            () = broker.run(active) => {}
            () = keeper.follow(snapshots), if self.writes_state => {}
        }
    }

    /// Loads the state. Without the right to read it, the sidecar continues without it: images are still pulled.
    async fn load(&self) -> Keeper {
        loop {
            let (client, namespace) = (self.client.clone(), Arc::clone(&self.namespace));
            match Keeper::load(client.clone(), Arc::clone(&namespace), Arc::clone(&self.clock)).await {
                Ok(keeper) => return keeper,
                Err(failure @ (ApiError::Busy { .. } | ApiError::Unreachable(_))) => {
                    tracing::warn!("failed to read the state of an earlier process, trying again: {failure}");
                    sleep(RETRY).await;
                }
                Err(failure) => {
                    tracing::error!(
                        "failed to read the state of an earlier process, continuing without it: {failure}"
                    );
                    return Keeper::empty(client, namespace, Arc::clone(&self.clock));
                }
            }
        }
    }
}
