//! One control plane for all tests of the chart. There can be one release in a cluster, so they take turns.

use std::collections::BTreeSet;
use std::time::Duration;

use acr_e2e_tests::cluster::{Cluster, Node, Options, Output, PATIENCE, Registry, apply};
use acr_e2e_tests::helm::Helm;
use acr_e2e_tests::paths;
use acr_e2e_tests::wait::wait_until;
use acr_fake_cloud::FakeCloud;
use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::mint;

/// Name of the release.
pub const RELEASE: &str = "acr-credential-helper";

/// The namespace of the release, as the documentation has it.
pub const NAMESPACE: &str = "kube-system";

/// The values that the tests begin with: an instance of the fake cloud, two namespaces of the test.
pub const VALUES: &str = "registries: [{instanceId: cri-example, regionId: cn-hangzhou}]\nspreadSeconds: 0\n";

/// What the chart pulls from ghcr.io, for which the registry stands in.
const SIDECAR_IMAGE: &str = "acr-credential-helper/acr-credential-sidecar:v0.1.0";

/// A control plane, and the cloud that the sidecar calls and that judges the logins at the registry.
struct Bed {
    cluster: Cluster,
    cloud: FakeCloud,
}

async fn bed() -> Result<&'static Bed> {
    static BED: OnceCell<Bed> = OnceCell::const_new();
    BED.get_or_try_init(async || {
        // The cloud outlives the test that comes first, and so does the runtime that it listens on.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let cloud = Box::leak(Box::new(runtime)).spawn(mint::cloud()).await??;
        let registry = Registry {
            cloud: cloud.url(),
            images: vec!["team/web:1".to_owned()],
            public_images: vec![SIDECAR_IMAGE.to_owned()],
        };
        let node = Node {
            hosts: vec!["*.aliyuncs.com".to_owned(), "ghcr.io".to_owned()],
            pull_back_off: Duration::from_millis(200),
            pull_back_off_limit: Duration::from_secs(1),
            ..Node::default()
        };
        let options = Options { registry: Some(registry), node: Some(node) };
        Ok(Bed { cluster: Cluster::start_with(options).await?, cloud })
    })
    .await
}

/// A test's turn on the control plane.
pub struct Turn {
    _lock: MutexGuard<'static, ()>,
    pub cluster: &'static Cluster,
    pub cloud: &'static FakeCloud,
    pub client: Client,
    helm: Helm,
}

impl Turn {
    /// In a cluster with Kubewarden's and the Prometheus operator's kinds.
    pub async fn with_kubewarden() -> Result<Self> {
        let turn = Self::take().await?;
        for (group, version, kind, scope) in KINDS {
            apply(&turn.client, &definition(group, version, kind, scope)).await?;
        }
        for (group, version, kind, _) in KINDS {
            let listed = format!("/apis/{group}/{version}/{}", plural(kind));
            wait_until(&format!("{kind} is served"), PATIENCE, async || {
                let answer = turn.kubectl(&["get", "--raw", &listed], "").await?;
                Ok(answer.success.then_some(()))
            })
            .await?;
        }
        Ok(turn)
    }

    /// In a cluster with neither.
    pub async fn without_kubewarden() -> Result<Self> {
        let turn = Self::take().await?;
        let definitions: Api<CustomResourceDefinition> = Api::all(turn.client.clone());
        for (group, version, kind, _) in KINDS {
            // It is not there unless another test came first.
            definitions.delete(&format!("{}.{group}", plural(kind)), &DeleteParams::default()).await.ok();
            let listed = format!("/apis/{group}/{version}/{}", plural(kind));
            wait_until(&format!("{kind} is not served"), PATIENCE, async || {
                let answer = turn.kubectl(&["get", "--raw", &listed], "").await?;
                Ok((!answer.success).then_some(()))
            })
            .await?;
        }
        Ok(turn)
    }

    async fn take() -> Result<Self> {
        static TURNS: Mutex<()> = Mutex::const_new(());
        let lock = TURNS.lock().await;
        let Bed { cluster, cloud } = bed().await?;
        let turn =
            Self { _lock: lock, cluster, cloud, client: cluster.client().await?, helm: Helm::new(cluster)? };
        // What a test that failed has left.
        let clean = ["uninstall", RELEASE, "--namespace", NAMESPACE, "--no-hooks", "--ignore-not-found"];
        succeeded(&turn.helm.run(&clean, "").await?)?;
        for (kind, name) in [
            ("job", "acr-credential-sidecar-cleanup"),
            ("pod", "acr-credential-sidecar-test"),
            ("configmap", "acr-configuration"),
        ] {
            let clean = ["delete", kind, name, "--namespace", NAMESPACE, "--ignore-not-found"];
            succeeded(&turn.kubectl(&clean, "").await?)?;
        }
        let pods: Api<Pod> = Api::namespaced(turn.client.clone(), NAMESPACE);
        let ours = ListParams::default().labels("app.kubernetes.io/part-of=acr-credential-helper");
        wait_until("the Pods of the last release are gone", PATIENCE, async || {
            Ok(pods.list(&ours).await?.items.is_empty().then_some(()))
        })
        .await?;
        Ok(turn)
    }

    /// Runs Helm on the release and the chart: `install`, `upgrade` or `template`.
    pub async fn helm(&self, command: &str, values: &str) -> Result<Output> {
        let chart = paths::chart();
        let chart = chart.to_str().context("the path of the chart is not UTF-8")?;
        self.helm.run(&[command, RELEASE, chart, "--namespace", NAMESPACE, "--values", "-"], values).await
    }

    /// Runs the test of the release.
    pub async fn test(&self) -> Result<Output> {
        self.helm.run(&["test", RELEASE, "--namespace", NAMESPACE, "--timeout", "2m"], "").await
    }

    /// Uninstalls the release.
    pub async fn uninstall(&self, more: &[&str]) -> Result<Output> {
        let arguments = ["uninstall", RELEASE, "--namespace", NAMESPACE, "--timeout", "2m"];
        self.helm.run(&[&arguments, more].concat(), "").await
    }

    pub async fn kubectl(&self, arguments: &[&str], input: &str) -> Result<Output> {
        self.cluster.kubectl(arguments, input).await
    }

    /// An object's JSON; an object that is not there is an error.
    pub async fn get(&self, kind: &str, name: &str) -> Result<Value> {
        let output =
            self.kubectl(&["get", kind, name, "--namespace", NAMESPACE, "--output", "json"], "").await?;
        serde_json::from_str(&succeeded(&output)?).context("kubectl printed no JSON")
    }

    /// Kind, namespace and name of everything in the cluster but Events, which nobody removes.
    pub async fn everything(&self) -> Result<BTreeSet<String>> {
        let kinds = ["api-resources", "--verbs=list,create", "--output=name"];
        let kinds = succeeded(&self.kubectl(&kinds, "").await?)?;
        let kinds: Vec<_> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
        let columns = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name";
        let all = ["get", &kinds.join(","), "--all-namespaces", "--no-headers", "--output", columns];
        let all = succeeded(&self.kubectl(&all, "").await?)?;
        Ok(all.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
    }
}

/// The standard output of a command that went well.
pub fn succeeded(output: &Output) -> Result<String> {
    anyhow::ensure!(output.success, "{}{}", output.stdout, output.stderr);
    Ok(output.stdout.clone())
}

/// Kinds of others that the chart uses, as far as an API server must know them to store them. What Kubewarden's definition says of
/// the fields, the module `manifests` checks.
const KINDS: [(&str, &str, &str, &str); 4] = [
    ("policies.kubewarden.io", "v1", "ClusterAdmissionPolicy", "Cluster"),
    ("monitoring.coreos.com", "v1", "PodMonitor", "Namespaced"),
    ("monitoring.coreos.com", "v1", "ServiceMonitor", "Namespaced"),
    ("monitoring.coreos.com", "v1", "PrometheusRule", "Namespaced"),
];

fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |stem| format!("{stem}ies"))
}

fn definition(group: &str, version: &str, kind: &str, scope: &str) -> Value {
    let anything = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{}.{group}", plural(kind)) },
        "spec": {
            "group": group,
            "scope": scope,
            "names": { "kind": kind, "plural": plural(kind), "singular": kind.to_lowercase() },
            "versions": [{
                "name": version, "served": true, "storage": true, "schema": { "openAPIV3Schema": anything },
            }],
        },
    })
}
