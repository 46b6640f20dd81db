//! What Kubewarden does about policies: it serves them, has the API server call them, and says so in their status.

use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::cluster::{self, Cluster, PATIENCE};
use crate::installation::Installation;
use crate::manifests::{ClusterAdmissionPolicy, Manifests};
use crate::wait::wait_until;

/// The policies in force.
#[derive(Default)]
pub struct Kubewarden {
    /// Names and specs.
    known: Vec<(String, Value)>,
    installation: Option<Installation>,
}

impl Kubewarden {
    /// Has the API server know Kubewarden's kinds, and the `PolicyServer` `default` of its chart. No policy is there yet.
    ///
    /// # Errors
    /// When it does not serve them in time.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        let client = cluster.client().await?;
        cluster::apply(&client, &definition("PolicyServer", "policyserver", "policyservers")).await?;
        let policy =
            definition("ClusterAdmissionPolicy", "clusteradmissionpolicy", "clusteradmissionpolicies");
        cluster::apply(&client, &policy).await?;
        let api = policies(&client);
        wait_until("the kind of the policies is served", PATIENCE, async || {
            Ok(api.list(&ListParams::default()).await.ok().map(|_| ()))
        })
        .await?;
        for object in default_policy_server() {
            wait_until("the PolicyServer is there", PATIENCE, async || {
                Ok(cluster::apply(&client, &object).await.ok())
            })
            .await?;
        }
        Ok(Self::default())
    }

    /// How often the API server has called a policy that is in force: `inject`, `guard` or `serviceaccounts`.
    #[must_use]
    pub fn calls(&self, name: &str) -> usize {
        self.installation.as_ref().map_or(0, |installation| installation.calls(name))
    }

    /// Puts the policies of the cluster in force, if they are not, and those that are gone out of it.
    ///
    /// # Errors
    /// When one of them is none that Kubewarden would take, or cannot be put in force.
    pub async fn settle(&mut self, cluster: &Cluster) -> Result<()> {
        let client = cluster.client().await?;
        let api = policies(&client);
        let found = api.list(&ListParams::default()).await?.items.into_iter();
        let found: Vec<_> = found.map(|policy| (policy.name_any(), policy.data["spec"].clone())).collect();
        if found == self.known {
            return Ok(());
        }
        for (name, _) in self.known.iter().filter(|(name, _)| !found.iter().any(|(other, _)| other == name)) {
            forget(&client, &format!("clusterwide-{name}")).await;
        }
        let policies = found.iter().map(|(name, spec)| read(name, spec)).collect::<Result<Vec<_>>>()?;
        let new = |name: &str| self.known.iter().all(|(known, _)| known != name);
        for (name, spec) in found.iter().filter(|(name, _)| new(name)) {
            let inactive =
                condition("PolicyActive", false, "PolicyActive", "The policy webhook has not been created");
            let status = status("pending", spec, &[inactive]);
            api.patch(name, &PatchParams::default(), &Patch::Merge(status)).await?;
        }
        // The host from before answers until the API server knows the new one.
        self.installation =
            if policies.is_empty() { None } else { Some(Installation::start(cluster, policies).await?) };
        for (name, spec) in &found {
            let conditions = [
                condition("PolicyActive", true, "PolicyActive", "The policy webhook has been created"),
                condition(
                    "PolicyServerConfigurationUpToDate",
                    true,
                    "ConfigurationVersionMatch",
                    "Configuration for this policy is up to date",
                ),
                condition(
                    "PolicyUniquelyReachable",
                    true,
                    "LatestReplicaSetIsUniquelyReachable",
                    "The latest replica set is uniquely reachable",
                ),
            ];
            let status = status("active", spec, &conditions);
            api.patch(name, &PatchParams::default(), &Patch::Merge(status)).await?;
        }
        self.known = found;
        Ok(())
    }
}

fn policies(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("policies.kubewarden.io", "v1", "ClusterAdmissionPolicy");
    Api::all_with(client.clone(), &ApiResource::from_gvk(&kind))
}

fn read(name: &str, spec: &Value) -> Result<ClusterAdmissionPolicy> {
    let document = json!({
        "apiVersion": "policies.kubewarden.io/v1",
        "kind": "ClusterAdmissionPolicy",
        "metadata": { "name": name },
        "spec": spec,
    });
    // JSON is YAML.
    Ok(Manifests::parse(&document.to_string())?.policy(name)?.clone())
}

/// What the controller writes to a policy's status. It is `pending` until the policy server serves the policy, and then `active`.
fn status(progress: &str, spec: &Value, conditions: &[Value]) -> Value {
    let mode = spec.get("mode").and_then(Value::as_str).unwrap_or("protect");
    json!({ "status": { "policyStatus": progress, "mode": mode, "conditions": conditions } })
}

fn condition(kind: &str, holds: bool, reason: &str, message: &str) -> Value {
    json!({
        "type": kind,
        "status": if holds { "True" } else { "False" },
        "reason": reason,
        "message": message,
        "lastTransitionTime": jiff::Timestamp::now().to_string(),
    })
}

/// One of the two kinds is there.
async fn forget(client: &Client, name: &str) {
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    mutating.delete(name, &DeleteParams::default()).await.ok();
    validating.delete(name, &DeleteParams::default()).await.ok();
}

/// The `PolicyServer`, and what Kubewarden's controller makes of it where it is installed. No Pod of it runs here.
fn default_policy_server() -> [Value; 3] {
    let labels = json!({ "kubewarden/policy-server": "default" });
    [
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "kubewarden" } }),
        json!({
            "apiVersion": "policies.kubewarden.io/v1",
            "kind": "PolicyServer",
            "metadata": { "name": "default" },
            "spec": { "replicas": 1, "serviceAccountName": "policy-server" },
        }),
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": "policy-server-default", "namespace": "kubewarden", "labels": labels },
            "spec": {
                "replicas": 0,
                "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": "policy-server", "image": "policy-server" }] },
                },
            },
        }),
    ]
}

/// One of Kubewarden's kinds, as far as an API server has to know it to keep its objects.
fn definition(kind: &str, singular: &str, plural: &str) -> Value {
    let anything = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.policies.kubewarden.io") },
        "spec": {
            "group": "policies.kubewarden.io",
            "scope": "Cluster",
            "names": { "kind": kind, "plural": plural, "singular": singular },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": anything },
            }],
        },
    })
}
