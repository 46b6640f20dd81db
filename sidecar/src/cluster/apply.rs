//! Carries out a plan: the only code of the controller that writes Secrets and service accounts in a tenant's namespace. Events
//! in tenants' namespaces are created in `telemetry::events`.
//!
//! Answers to writes are requested as metadata only, so that no token ever returns from the API server.

mod service_accounts;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, Resource};
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::desired::DesiredSecret;
use super::observed::{EXPIRES_AT, HASH, INPUTS, MANAGED_BY, PullSecret, REGISTRIES, ServiceAccount};
use super::plan::{AccountAction, SecretAction, Version};
use crate::kubernetes::{ApiError, FIELD_MANAGER, Metadata, NO_VERSION, as_metadata, at, request, within};

/// Writes pull secrets and the lists of them.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    pull_secret: Arc<str>,
}

/// The results of a plan. Actions that leave an object alone have no result.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The result for the pull secret.
    pub pull_secret: Option<Result<Written, ApiError>>,
    /// The result for each service account.
    pub service_accounts: Vec<(AccountAction, Result<ServiceAccount, ApiError>)>,
}

/// The result of a write to the pull secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It exists, with these facts.
    There(PullSecret),
    /// The Secret with this uid is gone, or going.
    Deleted(Box<str>),
}

impl Writer {
    /// Creates a writer of pull secrets with this name.
    pub fn new(client: Client, pull_secret: Arc<str>) -> Self {
        Self { client, pull_secret }
    }

    /// Writes the changes in one namespace: first the pull secret, then the references to it. If the pull secret could not be
    /// written, no new references to it are written.
    pub async fn apply(
        &self,
        namespace: &str,
        pull_secret: &SecretAction,
        service_accounts: Vec<AccountAction>,
    ) -> Outcome {
        let mut outcome =
            Outcome { pull_secret: self.secret(namespace, pull_secret).await, ..Outcome::default() };
        let failed = matches!(outcome.pull_secret, Some(Err(_)));
        for action in service_accounts {
            if !(failed && action.attach) {
                let result = self.account(namespace, &action).await;
                outcome.service_accounts.push((action, result));
            }
        }
        outcome
    }

    async fn secret(&self, namespace: &str, action: &SecretAction) -> Option<Result<Written, ApiError>> {
        let result = match action {
            SecretAction::Leave => return None,
            SecretAction::Create(content) => self.create(namespace, content).await,
            SecretAction::Update { content, version, cause: _ } => {
                self.update(namespace, content, version).await
            }
            SecretAction::Delete(Version { uid, resource_version }) => {
                let name = &self.pull_secret;
                let deleted =
                    delete::<Secret>(&self.client, namespace, name, uid, Some(resource_version)).await;
                return Some(deleted.map(|_| Written::Deleted(uid.clone())));
            }
        };
        Some(result.map(Written::There))
    }

    async fn create(&self, namespace: &str, content: &DesiredSecret) -> Result<PullSecret, ApiError> {
        self.write(namespace, content, None, NO_VERSION, &PatchParams::apply(FIELD_MANAGER)).await
    }

    async fn update(
        &self,
        namespace: &str,
        content: &DesiredSecret,
        version: &Version,
    ) -> Result<PullSecret, ApiError> {
        let Version { uid, resource_version } = version;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.write(namespace, content, Some(uid), resource_version, &params).await
    }

    async fn write(
        &self,
        namespace: &str,
        content: &DesiredSecret,
        uid: Option<&str>,
        resource_version: &str,
        params: &PatchParams,
    ) -> Result<PullSecret, ApiError> {
        let body = Body::new(&self.pull_secret, content, uid, resource_version);
        let patch =
            at::<Secret>(Some(namespace)).patch_metadata(&self.pull_secret, params, &Patch::Apply(&body));
        let written = within(request(&self.client, patch)).await?;
        read(&written).map(|metadata| PullSecret::from_metadata(&metadata))
    }
}

/// Deletes the object with this uid, in this version if one is given. Returns the finalizers that it waits for.
pub async fn delete<K>(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &str,
    resource_version: Option<&str>,
) -> Result<Vec<String>, ApiError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    let exactly = Preconditions {
        uid: Some(uid.to_owned()),
        resource_version: resource_version.map(ToOwned::to_owned),
    };
    let params = DeleteParams::default().preconditions(exactly);
    match within(request(client, as_metadata(at::<K>(Some(namespace)).delete(name, &params)))).await {
        // If the object is gone, the answer is a Status; if it waits for a finalizer, the answer is the object.
        Ok(answer) => {
            let object = Metadata::parse(&answer).ok();
            let finalizers = object.map(|object| object.finalizers()).unwrap_or_default();
            Ok(finalizers.into_iter().map(Cow::into_owned).collect())
        }
        Err(ApiError::Gone) => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

/// Reads an answer leniently: a write that was done must not count as failed because of what tenants have written beside our
/// fields.
fn read(written: &str) -> Result<Metadata<'_>, ApiError> {
    Metadata::parse(written).map_err(|_| ApiError::malformed())
}

/// The pull secret as it is sent. `Debug` does not print its data.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    api_version: &'static str,
    kind: &'static str,
    metadata: Value,
    r#type: &'static str,
    data: Data,
}

#[derive(Serialize)]
struct Data {
    #[serde(rename = ".dockerconfigjson", serialize_with = "as_text")]
    docker_config: Zeroizing<String>,
}

impl Body {
    fn new(name: &str, content: &DesiredSecret, uid: Option<&str>, resource_version: &str) -> Self {
        let DesiredSecret { docker_config, inputs, registries, awaited: _, pending: _, minted: _ } = content;
        let mut annotations = json!({ HASH: docker_config.hash, INPUTS: inputs, REGISTRIES: registries });
        if let (Some(expires_at), Some(annotations)) = (docker_config.expires_at, annotations.as_object_mut())
        {
            annotations.insert(EXPIRES_AT.to_owned(), expires_at.to_string().into());
        }
        let mut metadata = json!({
            "name": name,
            "resourceVersion": resource_version,
            "labels": { MANAGED_BY: FIELD_MANAGER },
            "annotations": annotations,
        });
        if let (Some(uid), Some(metadata)) = (uid, metadata.as_object_mut()) {
            metadata.insert("uid".to_owned(), uid.into());
        }
        Self {
            api_version: "v1",
            kind: "Secret",
            metadata,
            r#type: "kubernetes.io/dockerconfigjson",
            data: Data { docker_config: Zeroizing::new(STANDARD.encode(&*docker_config.bytes)) },
        }
    }
}

fn as_text<S: serde::Serializer>(text: &Zeroizing<String>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
