//! Whether what was measured is what should have been done, and how much was asked for.

use std::collections::HashMap;

use acr_e2e_tests::sidecar::{Running, metric};
use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;

use crate::bed::Bed;
use crate::observer::Sight;

/// What the sidecar has asked for so far.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) mints: u64,
    pub(crate) writes: u64,
}

impl Asked {
    /// Counts mints where they were asked for, and writes where they were made.
    pub(crate) async fn so_far(bed: &Bed, sidecar: &mut Running) -> Result<Self> {
        let page = sidecar.page("/metrics").await?.context("the sidecar does not answer")?.1;
        Ok(Self { mints: bed.mints().await?, writes: metric(&page, "writes_total", &[]) })
    }

    /// What was asked for since.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { mints: self.mints - before.mints, writes: self.writes - before.writes }
    }
}

/// Waits until every managed namespace has a pull secret with a hash.
pub(crate) async fn until_filled(bed: &Bed) -> Result<HashMap<String, Sight>> {
    let has_hash = |sight: &Sight| !sight.hash.is_empty();
    bed.ours.observer.until("all are filled", bed.namespaces.len(), has_hash).await
}

/// Reads all pull secrets back: each must hold the credential that was minted last.
pub(crate) async fn check(bed: &Bed) -> Result<()> {
    let secrets: Api<Secret> = Api::all(bed.admin.clone());
    let by_name = ListParams::default().fields(&format!("metadata.name={}", bed.ours.name));
    let secrets = secrets.list(&by_name).await?.items;
    let (found, expected) = (secrets.len(), bed.namespaces.len());
    ensure!(found == expected, "{found} Secrets in {expected} namespaces");
    let first = secrets.first().context("there is no Secret")?;
    ensure!(secrets.iter().all(|secret| secret.data == first.data), "Secrets hold different things");
    let annotations = |secret: &Secret| secret.metadata.annotations.clone().unwrap_or_default();
    let expected = annotations(first);
    ensure!(secrets.iter().all(|secret| annotations(secret) == expected), "Secrets say different things");

    let data = first.data.as_ref().and_then(|data| data.get(".dockerconfigjson")).context("no data")?;
    let document: Value = serde_json::from_slice(&data.0).context("no docker config")?;
    let logins = document["auths"].as_object().context("no logins")?;
    let is_login = |login: &Value| login["password"].as_str().is_some_and(|password| !password.is_empty());
    ensure!(!logins.is_empty() && logins.values().all(is_login), "a login has no password");
    let expires_at = expected.get("acr-credential-helper.io/expires-at").context("no expiry")?;
    let life = expires_at.parse::<Timestamp>()?.duration_since(bed.last_mint().await?).as_secs();
    let asked = bed.cloud.read("state").await?["credentialSeconds"].as_i64().context("no life")?;
    ensure!((life - asked).abs() <= 1, "credentials live {asked} s, and what is there {life} s");
    Ok(())
}
