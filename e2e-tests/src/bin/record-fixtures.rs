//! Records what a real API server sends to a webhook, for the fixtures of the policy's own tests.
//!
//! Names, times and identifiers that differ from run to run are replaced, so that a second run changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use acr_e2e_tests::cluster::{self, Cluster, PATIENCE, wait_for_service_account};
use acr_e2e_tests::environment::{HostConfig, PolicyConfig};
use acr_e2e_tests::installation::{IMAGE, pod, workload};
use acr_e2e_tests::paths;
use acr_e2e_tests::server::PolicyHost;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use clap::Parser;
use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Map, Value, json};

/// Records the fixtures of the policy's tests from a real API server.
///
/// Example: `make fixtures`
#[derive(Parser)]
struct Args {
    /// Where to write the requests, one JSON file each.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures"))]
    to: PathBuf,
}

const RECORDER: &str = "recorder";
const NAMESPACE: &str = "default";
const OURS: &str = "acr-credential-secret-aggregation";

#[tokio::main]
async fn main() -> Result<()> {
    let Args { to } = Args::parse();
    let cluster = Cluster::start().await?;
    let client = cluster.client().await?;
    wait_for_service_account(&client, NAMESPACE, "default").await?;
    let recorder = Recorder::start(client, to).await?;
    recorder.pods().await?;
    recorder.workloads().await?;
    recorder.service_accounts().await?;
    Ok(())
}

struct Recorder {
    client: Client,
    host: PolicyHost,
    to: PathBuf,
}

impl Recorder {
    async fn start(client: Client, to: PathBuf) -> Result<Self> {
        let policy = PolicyConfig::mutating(paths::accept_everything_wasm()?, Map::new());
        let policies = BTreeMap::from([(RECORDER.to_owned(), policy)]);
        let host = PolicyHost::start_in_process(HostConfig { policies, ..HostConfig::default() }).await?;
        let rule = |group: &str, resources: &[&str]| {
            json!({
                "apiGroups": [group], "apiVersions": ["v1"], "resources": resources,
                "operations": ["CREATE", "UPDATE", "DELETE"],
            })
        };
        let ca_bundle = {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(host.ca_pem())
        };
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": RECORDER },
            "webhooks": [{
                "name": "recorder.example.com",
                "clientConfig": { "url": host.url(RECORDER), "caBundle": ca_bundle },
                "rules": [
                    rule("", &["pods", "pods/ephemeralcontainers", "replicationcontrollers", "serviceaccounts"]),
                    rule("apps", &["deployments", "deployments/scale", "statefulsets", "daemonsets", "replicasets"]),
                    rule("batch", &["jobs", "cronjobs"]),
                ],
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": NAMESPACE } },
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }],
        });
        cluster::apply(&client, &configuration).await?;
        let recorder = Self { client, host, to };
        wait_until("the recorder is called", PATIENCE, async || {
            recorder.create(&pod(NAMESPACE, "probe", &[]), true).await?;
            Ok((recorder.host.log().count(RECORDER) > 0).then_some(()))
        })
        .await?;
        Ok(recorder)
    }

    async fn pods(&self) -> Result<()> {
        self.created("pod-bare", &pod(NAMESPACE, "web", &[])).await?;
        self.created("pod-manual", &pod(NAMESPACE, "manual", &["my-registry"])).await?;
        self.created("pod-listed", &pod(NAMESPACE, "listed", &[OURS])).await?;

        self.host.log().clear();
        self.create(&pod(NAMESPACE, "dry", &[]), true).await?;
        self.save("pod-dry-run", |request| request["dryRun"] == true)?;

        let mut mirror = pod(NAMESPACE, "static-web-node-1", &[]);
        mirror["metadata"]["annotations"] = json!({
            "kubernetes.io/config.hash": "0123456789abcdef0123456789abcdef",
            "kubernetes.io/config.mirror": "0123456789abcdef0123456789abcdef",
            "kubernetes.io/config.source": "file",
        });
        mirror["spec"]["nodeName"] = json!("node-1");
        self.created("pod-mirror", &mirror).await?;

        let mut image_volume = pod(NAMESPACE, "image-volume", &[]);
        image_volume["spec"]["volumes"] = json!([{ "name": "model", "image": { "reference": IMAGE } }]);
        image_volume["spec"]["containers"][0]["volumeMounts"] =
            json!([{ "name": "model", "mountPath": "/model" }]);
        self.created("pod-image-volume", &image_volume).await?;

        let debug = json!({ "spec": { "ephemeralContainers": [{ "name": "debug", "image": IMAGE, "command": ["sh"] }] } });
        self.host.log().clear();
        cluster::api_for(&self.client, &mirror)
            .await?
            .patch_subresource(
                "ephemeralcontainers",
                "web",
                &PatchParams::default(),
                &Patch::Strategic(&debug),
            )
            .await?;
        self.save("pod-ephemeral-containers", |request| request["subResource"] == "ephemeralcontainers")?;

        let list = json!({ "imagePullSecrets": [{ "name": "corp" }] });
        self.patch(&account("default"), &list).await?;
        let copied = pod(NAMESPACE, "copied", &[]);
        wait_until("Kubernetes copies the list", PATIENCE, async || {
            self.host.log().clear();
            self.create(&copied, true).await?;
            let request = self.find(|request| request["object"]["metadata"]["name"] == "copied")?;
            Ok(request["object"]["spec"].get("imagePullSecrets").map(|_| ()))
        })
        .await?;
        self.created("pod-copied", &copied).await?;
        self.patch(&account("default"), &json!({ "imagePullSecrets": null })).await?;
        wait_until("Kubernetes stops copying the list", PATIENCE, async || {
            self.host.log().clear();
            self.create(&copied, true).await.ok();
            let request = self.find(|request| request["object"]["metadata"]["name"] == "copied")?;
            Ok(request["object"]["spec"].get("imagePullSecrets").is_none().then_some(()))
        })
        .await
    }

    async fn workloads(&self) -> Result<()> {
        for kind in ["StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "CronJob"] {
            let lower = kind.to_lowercase();
            self.created(&format!("{lower}-create"), &workload(kind, NAMESPACE, &lower, &[])?).await?;
        }
        for (kind, file) in [("Deployment", "pod-of-replicaset"), ("Job", "pod-of-job")] {
            let lower = kind.to_lowercase();
            self.created(&format!("{lower}-create"), &workload(kind, NAMESPACE, &lower, &[])?).await?;
            let is_its_pod = |request: &Value| {
                request["kind"]["kind"] == "Pod"
                    && request["operation"] == "CREATE"
                    && request["object"]["metadata"]["labels"]["app"] == lower.as_str()
            };
            wait_until(&format!("there is a Pod of the {kind}"), PATIENCE, async || {
                Ok(self.find(is_its_pod).ok())
            })
            .await?;
            self.save(file, is_its_pod)?;
        }
        let legacy = workload("Deployment", NAMESPACE, "legacy", &["my-registry"])?;
        self.created("deployment-manual", &legacy).await?;
        let entry = |names: &[&str]| {
            let list: Value = names.iter().map(|name| json!({ "name": name })).collect();
            json!({ "spec": { "template": { "spec": { "imagePullSecrets": list } } } })
        };
        self.updated("deployment-scale-legacy", &legacy, &json!({ "spec": { "replicas": 3 } })).await?;
        let label = json!({ "metadata": { "labels": { "team": "a" } } });
        self.updated("deployment-update-unchanged", &legacy, &label).await?;
        self.updated("deployment-update-adds-manual", &legacy, &entry(&["my-registry", "another"])).await
    }

    async fn service_accounts(&self) -> Result<()> {
        self.created("serviceaccount-create", &account("build")).await?;
        let label = json!({ "metadata": { "labels": { "team": "a" } } });
        self.updated("serviceaccount-update", &account("default"), &label).await
    }

    async fn create(&self, object: &Value, dry_run: bool) -> Result<()> {
        let api = cluster::api_for(&self.client, object).await?;
        let object: DynamicObject =
            serde_json::from_value(object.clone()).context("failed to make an object")?;
        api.create(&PostParams { dry_run, ..PostParams::default() }, &object).await?;
        Ok(())
    }

    async fn patch(&self, object: &Value, change: &Value) -> Result<()> {
        let api = cluster::api_for(&self.client, object).await?;
        let name = object["metadata"]["name"].as_str().context("the object has no name")?;
        api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await?;
        Ok(())
    }

    async fn created(&self, file: &str, object: &Value) -> Result<()> {
        self.host.log().clear();
        self.create(object, false).await?;
        self.save(file, |request| {
            request["operation"] == "CREATE"
                && request["kind"]["kind"] == object["kind"]
                && request["object"]["metadata"]["name"] == object["metadata"]["name"]
        })
    }

    async fn updated(&self, file: &str, object: &Value, change: &Value) -> Result<()> {
        self.wait_for_controller(object).await?;
        self.host.log().clear();
        self.patch(object, change).await?;
        // Controllers update the same objects; the author of this change is the administrator.
        self.save(file, |request| {
            request["operation"] == "UPDATE"
                && request["kind"]["kind"] == object["kind"]
                && request["userInfo"]["groups"]
                    .as_array()
                    .is_some_and(|groups| groups.contains(&json!("system:masters")))
        })
    }

    /// Waits until a Deployment's controller has said all it has to say in the status, so that each run records the same.
    async fn wait_for_controller(&self, object: &Value) -> Result<()> {
        if object["kind"] != "Deployment" {
            return Ok(());
        }
        let api = cluster::api_for(&self.client, object).await?;
        let name = object["metadata"]["name"].as_str().context("the object has no name")?;
        wait_until(&format!("the controller of {name} has settled"), PATIENCE, async || {
            let deployment = api.get(name).await?;
            let (spec, status) = (&deployment.data["spec"], &deployment.data["status"]);
            let has_settled = status["observedGeneration"].as_i64() == deployment.metadata.generation
                && status["replicas"] == spec["replicas"]
                && status["updatedReplicas"] == spec["replicas"]
                && status["unavailableReplicas"] == spec["replicas"];
            Ok(has_settled.then_some(()))
        })
        .await
    }

    fn find(&self, is_wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let requests: Result<Vec<Value>> =
            self.host.log().all().iter().map(acr_e2e_tests::server::Exchange::admission_request).collect();
        requests?.into_iter().find(is_wanted).context("the request was not recorded")
    }

    fn save(&self, file: &str, is_wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let mut request = self.find(is_wanted).with_context(|| format!("failed to record {file}"))?;
        normalise(&mut request);
        let path = self.to.join(format!("{file}.json"));
        write(&path, &request)?;
        eprintln!("{}", path.display());
        Ok(())
    }
}

fn write(path: &Path, request: &Value) -> Result<()> {
    let mut text = serde_json::to_string_pretty(request).context("failed to write JSON")?;
    text.push('\n');
    std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

fn account(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": NAMESPACE } })
}

const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

/// Replaces what differs from run to run.
fn normalise(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // Field managers name owners by their identifiers, in keys.
            let by_owner = fields.keys().find(|key| key.starts_with("k:{\"uid\":")).cloned();
            if let Some(owned) = by_owner.and_then(|key| fields.remove(&key)) {
                fields.insert(format!("k:{{\"uid\":\"{NO_UID}\"}}"), owned);
            }
            for (key, value) in fields {
                match (key.as_str(), &*value) {
                    (_, Value::String(_)) => normalise_text(key, value),
                    ("authentication.kubernetes.io/credential-id", _) => *value = json!(["JTI=0"]),
                    _ => normalise(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(normalise),
        _ => {}
    }
}

fn normalise_text(key: &str, value: &mut Value) {
    let text = value.as_str().unwrap_or_default();
    let replacement = match key {
        "uid" | "controller-uid" | "batch.kubernetes.io/controller-uid" => NO_UID,
        "resourceVersion" => "1",
        "creationTimestamp" | "time" | "lastTransitionTime" | "lastUpdateTime" | "lastScheduleTime" => {
            "2026-01-01T00:00:00Z"
        }
        "name" if text.starts_with("kube-api-access-") => "kube-api-access-00000",
        _ => return,
    };
    *value = json!(replacement);
}
