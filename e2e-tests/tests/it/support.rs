//! What the tests on the control plane share.

use acr_e2e_tests::cluster::{self, Cluster, PATIENCE, fresh_namespace};
use acr_e2e_tests::installation::{Installation, is_named, policies_for, set};
use acr_e2e_tests::manifests::ClusterAdmissionPolicy;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

pub const OURS: &str = "acr-credential-secret-aggregation";

/// A namespace of a test's own, with policies made for it.
pub struct Scene {
    pub cluster: &'static Cluster,
    pub client: Client,
    pub namespace: String,
    pub installation: Installation,
}

impl Scene {
    /// All three policies as they are in `deploy/`, but for the namespace.
    pub async fn new(prefix: &str) -> Result<Self> {
        Self::with(prefix, &["inject", "guard"], |_| Ok(())).await
    }

    /// Some of the policies, changed.
    pub async fn with(
        prefix: &str,
        names: &[&str],
        change: impl Fn(&mut ClusterAdmissionPolicy) -> Result<()>,
    ) -> Result<Self> {
        let (cluster, client, namespace) = empty(prefix).await?;
        Self::in_namespace(cluster, client, namespace, names, change).await
    }

    /// The same, in a namespace that was there before.
    pub async fn in_namespace(
        cluster: &'static Cluster,
        client: Client,
        namespace: String,
        names: &[&str],
        change: impl Fn(&mut ClusterAdmissionPolicy) -> Result<()>,
    ) -> Result<Self> {
        let mut policies = policies_for(&namespace, names)?;
        for policy in &mut policies {
            change(policy)?;
        }
        let installation = Installation::start(cluster, policies).await?;
        Ok(Self { cluster, client, namespace, installation })
    }

    /// Creates an object; the outer error is a failure of the test, the inner one the API server's refusal.
    pub async fn create(&self, object: &Value) -> Result<Result<Value, String>> {
        create(&self.client, object, false).await
    }

    /// The same without storing it.
    pub async fn dry_run(&self, object: &Value) -> Result<Result<Value, String>> {
        create(&self.client, object, true).await
    }

    /// Merges a change into an object.
    pub async fn patch(&self, object: &Value, change: &Value) -> Result<Result<Value, String>> {
        let api = cluster::api_for(&self.client, object).await?;
        let name = object["metadata"]["name"].as_str().context("the object has no name")?;
        settle(api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await)
    }

    /// Waits for a Pod that a controller makes for this app.
    pub async fn pod_of(&self, app: &str) -> Result<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let selector = ListParams::default().labels(&format!("app={app}"));
        wait_until(&format!("there is a Pod of {app}"), PATIENCE, async || {
            Ok(pods.list(&selector).await?.items.into_iter().next())
        })
        .await
    }
}

/// A namespace without policies.
pub async fn empty(prefix: &str) -> Result<(&'static Cluster, Client, String)> {
    let cluster = Cluster::shared().await?;
    let client = cluster.client().await?;
    let namespace = fresh_namespace(&client, prefix, &[]).await?;
    Ok((cluster, client, namespace))
}

/// Creates an object of any kind.
pub async fn create(client: &Client, object: &Value, dry_run: bool) -> Result<Result<Value, String>> {
    let api = cluster::api_for(client, object).await?;
    let object: DynamicObject = serde_json::from_value(object.clone()).context("no object")?;
    settle(api.create(&PostParams { dry_run, ..PostParams::default() }, &object).await)
}

fn settle(outcome: kube::Result<DynamicObject>) -> Result<Result<Value, String>> {
    match outcome {
        Ok(object) => Ok(Ok(serde_json::to_value(object)?)),
        Err(kube::Error::Api(status)) => Ok(Err(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

/// Changes a setting of one of the policies.
pub fn setting<'a>(
    name: &'a str,
    path: &'a str,
    value: &'a Value,
) -> impl Fn(&mut ClusterAdmissionPolicy) -> Result<()> + 'a {
    move |policy| if is_named(policy, name) { set(policy, path, value.clone()) } else { Ok(()) }
}

/// The names in `spec.imagePullSecrets` of a Pod.
pub fn names(pod: &Value) -> Vec<&str> {
    let list = pod["spec"]["imagePullSecrets"].as_array();
    list.into_iter().flatten().map(|entry| entry["name"].as_str().unwrap_or_default()).collect()
}

/// Gives a service account a list.
pub async fn list_in_service_account(scene: &Scene, account: &str, pull_secrets: &[&str]) -> Result<()> {
    let list: Value = pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": account, "namespace": scene.namespace },
        "imagePullSecrets": list,
    });
    cluster::apply(&scene.client, &account).await?;
    Ok(())
}
