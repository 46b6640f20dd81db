//! Our manifests, put to work on a control plane: the host that serves the policies, and the webhook configurations that
//! lead to it.

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::cluster::{self, Cluster, PATIENCE, User};
use crate::environment::HostConfig;
use crate::manifests::{ClusterAdmissionPolicy, Manifests};
use crate::paths;
use crate::server::PolicyHost;
use crate::wait::wait_until;

/// The label that opts namespaces and objects out.
pub const OPT_OUT: (&str, &str) = ("acr-credential-helper.io/inject", "false");

/// The key of the namespace's own name in a selector.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Policies of ours that are in force. Dropping it stops their host, but leaves the webhook configurations.
pub struct Installation {
    /// What answers the API server.
    pub host: PolicyHost,
    policies: Vec<ClusterAdmissionPolicy>,
}

impl Installation {
    /// Serves these policies and applies what leads to them, with the rights of the policy server. Returns when the API
    /// server calls every one of them.
    ///
    /// # Errors
    /// When a policy refuses its settings, the API server refuses a webhook configuration, or does not call it in time.
    pub async fn start(cluster: &Cluster, policies: Vec<ClusterAdmissionPolicy>) -> Result<Self> {
        let client = cluster.client().await?;
        for object in Manifests::read_file(&paths::manifests().join("rbac.yaml"))?.objects {
            cluster::apply(&client, &object).await?;
        }
        let module = paths::policy_wasm()?;
        let served = policies.iter().map(|policy| (policy.unique_name(), policy.policy_config(&module)));
        let config = HostConfig {
            policies: served.collect(),
            kubeconfig: Some(cluster.kubeconfig_as(&User::policy_server())?),
            ..HostConfig::default()
        };
        let host = PolicyHost::start(config).await?;
        for policy in &policies {
            let url = host.url(&policy.unique_name());
            let configuration = policy.webhook_configuration(&url, host.ca_pem());
            cluster::apply(&client, &with_kind(configuration.to_object()?, policy)).await?;
        }
        let installation = Self { host, policies };
        for policy in &installation.policies {
            installation.wait_until_called(&client, policy).await?;
        }
        installation.host.log().clear();
        Ok(installation)
    }

    /// How often the API server has called a policy, named as in our manifests (`inject`, `guard`, `serviceaccounts`).
    #[must_use]
    pub fn calls(&self, name: &str) -> usize {
        self.policies
            .iter()
            .filter(|policy| is_named(policy, name))
            .map(|policy| self.host.log().count(&policy.unique_name()))
            .sum()
    }

    /// An API server notices new webhook configurations after a moment.
    async fn wait_until_called(&self, client: &Client, policy: &ClusterAdmissionPolicy) -> Result<()> {
        let namespace = first_namespace(policy)?;
        let probe = probe(policy, namespace)?;
        let api = cluster::api_for(client, &probe).await?;
        let probe: DynamicObject = serde_json::from_value(probe).context("failed to make a probe")?;
        let params = PostParams { dry_run: true, ..PostParams::default() };
        wait_until(&format!("{} is called", policy.name), PATIENCE, async || {
            // Refused or not, the policy was asked.
            api.create(&params, &probe).await.ok();
            Ok((self.host.log().count(&policy.unique_name()) > 0).then_some(()))
        })
        .await
    }
}

/// Our policies, made for one namespace: names, settings and selectors of their own, so that tests do not meet.
///
/// # Errors
/// When the manifests cannot be read, or lack a policy of these names.
pub fn policies_for(namespace: &str, names: &[&str]) -> Result<Vec<ClusterAdmissionPolicy>> {
    let manifests = Manifests::read_dir(&paths::manifests())?;
    names
        .iter()
        .map(|name| {
            let mut policy = manifests.policy(&format!("acr-credential-helper-{name}"))?.clone();
            policy.name = format!("{namespace}-{name}");
            policy.spec.settings.insert("namespaces".to_owned(), json!([namespace]));
            select_namespaces(&mut policy, &Namespaces::Named(&[namespace]))?;
            Ok(policy)
        })
        .collect()
}

/// Namespaces, as a policy's selector tells them.
#[derive(Clone, Copy, Debug)]
pub enum Namespaces<'a> {
    /// Those of these names.
    Named(&'a [&'a str]),
    /// All but those of these names: what goes with globs in the settings.
    AllBut(&'a [&'a str]),
}

/// Changes the selector of a policy. The settings have to say the same.
///
/// # Errors
/// When the policy does not select namespaces by name.
pub fn select_namespaces(policy: &mut ClusterAdmissionPolicy, namespaces: &Namespaces<'_>) -> Result<()> {
    let (operator, names) = match namespaces {
        Namespaces::Named(names) => ("In", names),
        Namespaces::AllBut(names) => ("NotIn", names),
    };
    let selector = policy.spec.namespace_selector.as_mut();
    let expressions = selector.and_then(|selector| selector.match_expressions.as_mut());
    let expression = expressions
        .into_iter()
        .flatten()
        .find(|expression| expression.key == NAMESPACE_NAME)
        .with_context(|| format!("{} does not select namespaces by name", policy.name))?;
    operator.clone_into(&mut expression.operator);
    expression.values = Some(names.iter().map(|name| (*name).to_owned()).collect());
    Ok(())
}

/// Changes one setting of a policy; `path` is such as `manualPullSecrets.pods`.
///
/// # Errors
/// When the settings lack the parent of the path.
pub fn set(policy: &mut ClusterAdmissionPolicy, path: &str, value: Value) -> Result<()> {
    let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut settings = &mut policy.spec.settings;
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        settings = settings
            .get_mut(parent)
            .and_then(Value::as_object_mut)
            .with_context(|| format!("the settings have no map {parent}"))?;
    }
    settings.insert(key.to_owned(), value);
    Ok(())
}

/// Whether a policy is the one of this name in our manifests, whatever namespace it was made for.
#[must_use]
pub fn is_named(policy: &ClusterAdmissionPolicy, name: &str) -> bool {
    policy.name.ends_with(&format!("-{name}"))
}

/// The images of Pods in tests; nobody pulls them.
pub const IMAGE: &str = "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1";

/// A Pod that lists these pull secrets.
#[must_use]
pub fn pod(namespace: &str, name: &str, pull_secrets: &[&str]) -> Value {
    let mut spec = json!({ "containers": [{ "name": "web", "image": IMAGE }] });
    add_list(&mut spec, pull_secrets);
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace }, "spec": spec })
}

/// The kinds with a pod template, with the API version of each.
pub const WORKLOADS: [(&str, &str); 7] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "ReplicaSet"),
    ("v1", "ReplicationController"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
];

/// A workload whose template lists these pull secrets.
///
/// # Errors
/// When the kind is none of [`WORKLOADS`].
pub fn workload(kind: &str, namespace: &str, name: &str, pull_secrets: &[&str]) -> Result<Value> {
    let Some((api_version, _)) = WORKLOADS.iter().find(|(_, known)| *known == kind) else {
        bail!("{kind} is no kind with a pod template");
    };
    let labels = json!({ "app": name });
    let mut pod_spec = json!({ "containers": [{ "name": "web", "image": IMAGE }] });
    add_list(&mut pod_spec, pull_secrets);
    if kind == "Job" || kind == "CronJob" {
        pod_spec["restartPolicy"] = json!("Never");
    }
    let template = json!({ "metadata": { "labels": labels }, "spec": pod_spec });
    let selector = json!({ "matchLabels": labels });
    let spec = match kind {
        "Job" => json!({ "template": template }),
        "CronJob" => json!({ "schedule": "0 0 1 1 *", "jobTemplate": { "spec": { "template": template } } }),
        "ReplicationController" => json!({ "replicas": 1, "selector": labels, "template": template }),
        "DaemonSet" => json!({ "selector": selector, "template": template }),
        "StatefulSet" => {
            json!({ "replicas": 1, "serviceName": name, "selector": selector, "template": template })
        }
        _ => json!({ "replicas": 1, "selector": selector, "template": template }),
    };
    let metadata = json!({ "name": name, "namespace": namespace });
    Ok(json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec }))
}

/// The names in a Pod's list, `""` for entries without one.
#[must_use]
pub fn pull_secrets(pod: &Pod) -> Vec<String> {
    let list = pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
    list.into_iter().flatten().map(|entry| entry.name.clone()).collect()
}

fn add_list(spec: &mut Value, pull_secrets: &[&str]) {
    if !pull_secrets.is_empty() {
        spec["imagePullSecrets"] = pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    }
}

fn with_kind(mut configuration: Value, policy: &ClusterAdmissionPolicy) -> Value {
    let kind =
        if policy.spec.mutating { "MutatingWebhookConfiguration" } else { "ValidatingWebhookConfiguration" };
    configuration["apiVersion"] = json!("admissionregistration.k8s.io/v1");
    configuration["kind"] = json!(kind);
    configuration
}

/// A namespace that the policy is asked about: the first that it names; with globs alone, the one that every cluster has.
fn first_namespace(policy: &ClusterAdmissionPolicy) -> Result<&str> {
    let names = policy.spec.settings.get("namespaces").and_then(Value::as_array);
    let names = names.with_context(|| format!("{} names no namespace", policy.name))?;
    let mut exact = names.iter().filter_map(Value::as_str).filter(|name| !name.contains(['*', '?']));
    Ok(exact.next().unwrap_or("default"))
}

/// A request that the policy must be asked about.
fn probe(policy: &ClusterAdmissionPolicy, namespace: &str) -> Result<Value> {
    // The guard, and others like it.
    if !policy.spec.mutating {
        return workload("Deployment", namespace, "probe", &["probe"]);
    }
    if is_named(policy, "serviceaccounts") {
        let metadata = json!({ "name": "probe", "namespace": namespace });
        return Ok(json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }));
    }
    Ok(pod(namespace, "probe", &[]))
}
