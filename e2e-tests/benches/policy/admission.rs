//! What users feel: how long the creation of a Pod takes at a real API server, with our policy and with others.
//!
//! The policies take turns, and each is in force alone: a webhook that does not select a Pod costs a little too. Every Pod is a dry
//! run: all of admission, and no write to etcd.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use acr_e2e_tests::cluster::{self, Cluster, PATIENCE, User, named_namespace};
use acr_e2e_tests::environment::HostConfig;
use acr_e2e_tests::manifests::{ClusterAdmissionPolicy, Manifests};
use acr_e2e_tests::paths;
use acr_e2e_tests::policy_server::PolicyServer;
use acr_e2e_tests::server::PolicyHost;
use acr_e2e_tests::table::{self, Samples};
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use http_body_util::BodyExt as _;
use hyper::Request;
use k8s_openapi::api::admissionregistration::v1::MatchCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::Client;
use kube::api::DeleteParams;
use kube::client::Body;
use serde_json::{Value, json};

use crate::requests::{Shape, pod_review};
use crate::{KIB, ORDINARY};

const ROUNDS: usize = 8;
/// Pods in a round that do not count.
const WARM_UP: usize = 50;
/// Pods of one client in a round.
const ALONE: usize = 100;
/// Pods of each of the clients in a round.
const TOGETHER: usize = 30;
const CLIENTS: usize = 8;
/// The API server has noticed a webhook after this long.
const NOTICED: Duration = Duration::from_secs(1);
const PULL_SECRET: &str = "acr-credential-secret-aggregation";
const ADDED: &[&str] = &[PULL_SECRET];
/// The namespace whose policy is never called: what a condition costs in any case.
const NEVER: &str = "never";
const ELSEWHERE: &str = "elsewhere";

/// A way to create a Pod.
struct Way {
    label: &'static str,
    /// The namespace of the policy in force; [`ELSEWHERE`] if there is none.
    policy: &'static str,
    namespace: &'static str,
    pod: Vec<u8>,
    /// The pull secrets that the Pod comes with.
    listed: &'static [&'static str],
    /// Those that it has in the end.
    expected: &'static [&'static str],
    alone: Samples,
    together: Samples,
}

impl Way {
    fn new(
        label: &'static str,
        [policy, namespace]: [&'static str; 2],
        listed: &'static [&'static str],
        expected: &'static [&'static str],
    ) -> Self {
        let mut review = pod_review(Shape { pull_secrets: listed, ..Shape::SELECTED }, ORDINARY);
        let mut pod = review["request"]["object"].take();
        pod["metadata"]["namespace"] = json!(namespace);
        // A real API server takes no probes of an init container, and only it writes managedFields.
        for container in pod["spec"]["initContainers"].as_array_mut().into_iter().flatten() {
            if let Some(fields) = container.as_object_mut() {
                fields.retain(|name, _| !name.ends_with("Probe"));
            }
        }
        pod["metadata"].as_object_mut().map(|metadata| metadata.remove("managedFields"));
        let pod = pod.to_string().into_bytes();
        Self {
            label,
            policy,
            namespace,
            pod,
            listed,
            expected,
            alone: Samples::default(),
            together: Samples::default(),
        }
    }

    fn request(&self) -> Result<Request<Body>> {
        let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", self.namespace);
        let request = Request::post(path).header("Content-Type", "application/json");
        request.body(Body::from(self.pod.clone())).context("failed to make a request")
    }

    /// Creates the Pod, and returns the names in its list.
    async fn outcome(&self, client: &Client) -> Result<Vec<String>> {
        let pod: Value = serde_json::from_slice(&send(client, self.request()?).await?)?;
        let list = pod["spec"]["imagePullSecrets"].as_array().cloned().unwrap_or_default();
        Ok(list.iter().map(|entry| entry["name"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Waits until the Pod ends with these pull secrets.
    async fn settle(&self, client: &Client, expected: &[&str]) -> Result<()> {
        let mut last = None;
        let settled = wait_until(self.label, PATIENCE, async || {
            // While a webhook comes or goes, a call of it may fail.
            let outcome = self.outcome(client).await;
            let is_settled = outcome.as_ref().is_ok_and(|names| names == expected);
            last = Some(outcome);
            Ok(is_settled.then_some(()))
        })
        .await;
        settled.with_context(|| format!("expected {expected:?}, got {last:?}"))
    }

    async fn measure_alone(&mut self, client: &Client) -> Result<()> {
        let request = self.request()?;
        let start = Instant::now();
        send(client, request).await?;
        self.alone.add(start.elapsed());
        Ok(())
    }

    async fn measure_together(&mut self, clients: &[Client]) -> Result<()> {
        let tasks: Vec<_> = clients
            .iter()
            .map(|client| {
                let client = client.clone();
                let requests = (0..TOGETHER).map(|_| self.request()).collect::<Result<Vec<_>>>();
                tokio::spawn(async move {
                    let mut times = Vec::with_capacity(TOGETHER);
                    for request in requests? {
                        let start = Instant::now();
                        send(&client, request).await?;
                        times.push(start.elapsed());
                    }
                    anyhow::Ok::<Vec<Duration>>(times)
                })
            })
            .collect();
        for task in tasks {
            task.await??.into_iter().for_each(|time| self.together.add(time));
        }
        Ok(())
    }
}

async fn send(client: &Client, request: Request<Body>) -> Result<Vec<u8>> {
    let response = client.send(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(body.into())
}

/// The policy of `deploy/inject.yaml` for this namespace, with the namespace as its name.
fn policy(namespace: &str) -> Result<ClusterAdmissionPolicy> {
    let manifests = Manifests::read_file(&paths::repository().join("deploy/inject.yaml"))?;
    let mut policy = manifests.policy("acr-credential-helper-inject")?.clone();
    namespace.clone_into(&mut policy.name);
    let only = LabelSelectorRequirement {
        key: "kubernetes.io/metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![namespace.to_owned()]),
    };
    policy.spec.namespace_selector =
        Some(LabelSelector { match_expressions: Some(vec![only]), ..LabelSelector::default() });
    if namespace == NEVER {
        let condition = MatchCondition { name: NEVER.to_owned(), expression: "false".to_owned() };
        policy.spec.match_conditions = Some(vec![condition]);
    }
    policy.spec.settings.insert("namespaces".to_owned(), json!([namespace]));
    Ok(policy)
}

/// What the API server itself can do: a `MutatingAdmissionPolicy` that appends the same entry.
fn native(namespace: &str) -> [Value; 2] {
    // Two operations, because the value of one may not be a list with entries (kube-apiserver 1.36.3 fails then).
    let entry = format!(
        r#"JSONPatch{{op: "add", path: "/spec/imagePullSecrets/-", value: Object.spec.imagePullSecrets{{name: "{PULL_SECRET}"}}}}"#
    );
    let expression = format!(
        r#"has(object.spec.imagePullSecrets) ? [{entry}] : [JSONPatch{{op: "add", path: "/spec/imagePullSecrets", value: []}}, {entry}]"#
    );
    let api_version = "admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": api_version, "kind": "MutatingAdmissionPolicy", "metadata": {"name": "native"},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
                }],
            },
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
        },
    });
    let binding = json!({
        "apiVersion": api_version, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": "native"},
        "spec": {"policyName": "native"},
    });
    [policy, binding]
}

/// What puts a policy in force, by its namespace.
type Policies = Vec<(&'static str, Vec<Value>)>;

/// Has a host serve these policies, each with its module, and returns what makes the API server call them.
async fn serve(
    cluster: &Cluster,
    start: impl AsyncFnOnce(HostConfig) -> Result<PolicyHost>,
    served: &[(&'static str, PathBuf)],
) -> Result<(PolicyHost, Policies)> {
    let policies = served.iter().map(|(namespace, _)| policy(namespace)).collect::<Result<Vec<_>>>()?;
    let configs = policies
        .iter()
        .zip(served)
        .map(|(policy, (_, module))| (policy.unique_name(), policy.policy_config(module)));
    let host = start(HostConfig {
        policies: configs.collect(),
        kubeconfig: Some(cluster.kubeconfig_as(&User::policy_server())?),
        ..HostConfig::default()
    });
    let host = host.await?;
    let webhook = |(policy, (namespace, _)): (&ClusterAdmissionPolicy, &(&'static str, PathBuf))| {
        let webhook = policy.webhook_configuration(&host.url(&policy.unique_name()), host.ca_pem());
        anyhow::Ok((*namespace, vec![webhook.to_object()?]))
    };
    let webhooks = policies.iter().zip(served).map(webhook).collect::<Result<_>>()?;
    Ok((host, webhooks))
}

/// Prints the table `admission`.
pub(crate) async fn measure() -> Result<()> {
    let cluster = Cluster::start().await?;
    let client = cluster.client().await?;
    let mut ways = vec![
        Way::new("no admission", [ELSEWHERE; 2], &[], &[]),
        Way::new("ours, namespace not selected", ["ours", ELSEWHERE], &[], &[]),
        Way::new("webhook with the condition `false`", [NEVER; 2], &[], &[]),
        Way::new("ours, already there (conditions alone)", ["ours"; 2], ADDED, ADDED),
        Way::new("native MutatingAdmissionPolicy", ["native"; 2], &[], ADDED),
        Way::new("webhook, accept everything", ["accept"; 2], &[], &[]),
        Way::new("webhook, ours", ["ours"; 2], &[], ADDED),
        Way::new("webhook, typed", ["typed"; 2], &[], ADDED),
    ];
    let in_process = [
        (NEVER, paths::accept_everything_wasm()?),
        ("accept", paths::accept_everything_wasm()?),
        ("ours", paths::policy_wasm()?),
        ("typed", paths::typed_mutator_wasm()?),
    ];
    let (host, mut policies) = serve(&cluster, PolicyHost::start_in_process, &in_process).await?;
    policies.extend([(ELSEWHERE, Vec::new()), ("native", native("native").into())]);
    let mut hosts = vec![host];
    if PolicyServer::find()?.is_some() {
        ways.push(Way::new("policy-server, accept everything", ["accept-real"; 2], &[], &[]));
        ways.push(Way::new("policy-server, ours", ["ours-real"; 2], &[], ADDED));
        let served =
            [("accept-real", paths::accept_everything_wasm()?), ("ours-real", paths::policy_wasm()?)];
        let (host, webhooks) = serve(&cluster, PolicyHost::start, &served).await?;
        policies.extend(webhooks);
        hosts.push(host);
    }
    for (namespace, _) in &policies {
        named_namespace(&client, namespace, &[]).await?;
    }
    // Each has a connection of its own.
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(cluster.client().await?);
    }

    for _ in 0..ROUNDS {
        for (policy, objects) in &policies {
            let mut ways: Vec<_> = ways.iter_mut().filter(|way| way.policy == *policy).collect();
            for object in objects {
                cluster::apply(&client, object).await?;
            }
            for way in &ways {
                way.settle(&client, way.expected).await?;
            }
            // What changes nothing does not show whether it is in force already.
            tokio::time::sleep(NOTICED).await;
            // One after the other: none pays for the garbage of another.
            for way in &mut ways {
                // The first ones after a pause take longer.
                for _ in 0..WARM_UP {
                    way.outcome(&client).await?;
                }
                for _ in 0..ALONE {
                    way.measure_alone(&client).await?;
                }
                way.measure_together(&clients).await?;
            }
            for object in objects {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                cluster::api_for(&client, object).await?.delete(name, &DeleteParams::default()).await?;
            }
            for way in &ways {
                way.settle(&client, way.listed).await?;
            }
        }
        for host in &hosts {
            host.log().clear();
        }
    }
    print(ways)
}

/// The first of them is without admission.
fn print(mut ways: Vec<Way>) -> Result<()> {
    let bare = ways.first_mut().context("nothing was measured")?;
    let floor = [bare.alone.percentile(50), bare.together.percentile(50)];
    let mut rows = Vec::new();
    let mut medians = BTreeMap::new();
    for way in &mut ways {
        let ms = |microseconds: f64| format!("{:.2}", microseconds / 1e3);
        let (alone, together) = (way.alone.percentile(50), way.together.percentile(50));
        medians.insert(way.label, alone);
        rows.push(vec![
            way.label.to_owned(),
            ms(alone),
            ms(way.alone.percentile(99)),
            ms(alone - floor[0]),
            ms(together),
            ms(way.together.percentile(99)),
            ms(together - floor[1]),
        ]);
    }
    let title = format!(
        "A Pod of {} KiB is created at a real API server (dry runs): ms, one client and {CLIENTS}",
        ORDINARY / KIB
    );
    table::print(&title, &["way", "p50", "p99", "over bare", "p50 of 8", "p99", "over bare"], &rows)?;
    let over = |label: &str, other: &str| {
        let of = |label: &str| medians.get(label).copied().unwrap_or(f64::NAN);
        (of(label) - of(other)) / 1e3
    };
    // An object that is changed costs the API server more, whoever changes it: it decodes it again and repeats its own admission.
    let floor = over("webhook, accept everything", "no admission")
        + over("native MutatingAdmissionPolicy", "no admission");
    println!(
        "  Aims, at p50 of one client: ours at most 0.6 ms over the sum of a webhook and of a native change, here {:.2};",
        over("webhook, ours", "no admission") - floor
    );
    println!(
        "  conditions alone at most 0.4 ms over the condition `false`, which any condition costs, here {:.2}.",
        over("ours, already there (conditions alone)", "webhook with the condition `false`")
    );
    Ok(())
}
