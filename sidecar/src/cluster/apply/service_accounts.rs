//! Writes lists of service accounts.

use k8s_openapi::api::core::v1::ServiceAccount as ServiceAccountKind;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Failure, Writer, read, within};
use crate::cluster::observed::{FIELD_MANAGER, ServiceAccount};
use crate::cluster::plan::{AccountAction, Version};
use crate::kubernetes::{at, request};

impl Writer {
    /// Gives a service account another list.
    pub(super) async fn account(
        &self,
        namespace: &str,
        action: &AccountAction,
    ) -> Result<ServiceAccount, Failure> {
        let AccountAction { name, version: Version { uid, resource_version }, pull_secrets, attach } = action;
        let entries = pull_secrets.iter().map(|name| match &**name {
            "" => json!({}),
            name => json!({ "name": name }),
        });
        let entries: Vec<_> = entries.collect();
        // The list is atomic: without the version, two writers would lose each other's entries. With the uid, an account
        // that is gone is a conflict, and is not made again.
        let metadata = json!({ "name": name, "uid": uid, "resourceVersion": resource_version });
        let account = at::<ServiceAccountKind>(Some(namespace));
        let patch = if *attach {
            // Without an apply, the API server would not keep who wrote what in an account that was created without any
            // field, as every `default` is.
            let patch = json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": metadata,
                "imagePullSecrets": entries,
            });
            let params = PatchParams::apply(FIELD_MANAGER).force();
            account.patch_metadata(name, &params, &Patch::Apply(&patch))
        } else {
            // Who applies an empty list owns it still, and would be in the way of whoever applies one later. A list that is
            // taken away is nobody's.
            let list = if entries.is_empty() { Value::Null } else { entries.into() };
            let patch = json!({ "metadata": metadata, "imagePullSecrets": list });
            let params =
                PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            account.patch_metadata(name, &params, &Patch::Merge(&patch))
        };
        let written = within(request(&self.client, patch)).await?;
        read(&written).map(|metadata| ServiceAccount::written(&metadata, pull_secrets.clone()))
    }
}
