//! Writes the lists of service accounts.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::ServiceAccount as ServiceAccountKind;
use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Writer, read};
use crate::cluster::observed::ServiceAccount;
use crate::cluster::plan::{AccountAction, Version};
use crate::kubernetes::{ApiError, FIELD_MANAGER, at, request, within};

impl Writer {
    /// Writes a new list to a service account.
    pub async fn account(&self, namespace: &str, action: &AccountAction) -> Result<ServiceAccount, ApiError> {
        let AccountAction { name, version: Version { uid, resource_version }, pull_secrets, attach } = action;
        let entries = pull_secrets.iter().map(|name| match &**name {
            "" => json!({}),
            name => json!({ "name": name }),
        });
        let entries: Vec<_> = entries.collect();
        // The list is atomic: without the version, two writers would lose each other's entries. With the uid, a write to an
        // account that is gone is a conflict, and does not create the account again.
        let metadata = json!({ "name": name, "uid": uid, "resourceVersion": resource_version });
        let written = if *attach {
            // Without an apply, the API server would not record the writer of each field in an account that was created without
            // any field, as every `default` account is.
            let body = json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": metadata,
                "imagePullSecrets": entries,
            });
            let params = PatchParams::apply(FIELD_MANAGER).force();
            self.patch_account(namespace, name, &params, &Patch::Apply(body)).await
        } else {
            // A manager that applies an empty list still owns it, and conflicts with the next manager that applies a list. A list
            // that is removed has no owner.
            let list = if entries.is_empty() { Value::Null } else { entries.into() };
            let body = json!({ "metadata": metadata, "imagePullSecrets": list });
            let params =
                PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            match self.patch_account(namespace, name, &params, &Patch::Merge(&body)).await {
                // The API server accepts dates in managedFields that it cannot read itself, and then it accepts no patch of such
                // an object. This patch empties them
                // (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#clearing-managedfields>).
                Err(ApiError::Invalid(_)) => {
                    let metadata = json!({
                        "name": name, "uid": uid, "resourceVersion": resource_version, "managedFields": [{}],
                    });
                    let body = json!({ "metadata": metadata, "imagePullSecrets": list });
                    self.patch_account(namespace, name, &params, &Patch::Merge(&body)).await
                }
                written => written,
            }
        };
        read(&written?).map(|metadata| ServiceAccount::written(&metadata, pull_secrets.clone()))
    }

    async fn patch_account<T: Serialize + Debug>(
        &self,
        namespace: &str,
        name: &str,
        params: &PatchParams,
        patch: &Patch<T>,
    ) -> Result<String, ApiError> {
        let patch = at::<ServiceAccountKind>(Some(namespace)).patch_metadata(name, params, patch);
        within(request(&self.client, patch)).await
    }
}
