//! What a kubelet does for the Pods of the sidecar: their processes. The node of the test bed pulls images and calls Pods Running, but
//! it runs nothing.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use acr_e2e_tests::cluster::{Cluster, PATIENCE};
use acr_e2e_tests::kubeconfig;
use acr_e2e_tests::sidecar::{Running, Sidecar};
use acr_e2e_tests::wait::wait_until;
use acr_fake_cloud::{FakeCloud, TokenRequest};
use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, PodSpec, Secret, Volume};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "acr-credential-sidecar";

/// Below this, Pods have their mounts; their processes have them below a directory of their own.
const MOUNTS: &str = "/var/run/secrets";

/// How often Pods are looked at while a command runs.
const INTERVAL: Duration = Duration::from_millis(100);

/// The processes, by the names of their Pods.
#[derive(Default)]
pub struct Kubelet(BTreeMap<String, Process>);

struct Process {
    running: Running,
    /// Its directory goes with it.
    _place: Sidecar,
}

impl Kubelet {
    /// Waits until the Deployment has the Pods that it should have; starts and ends processes; and waits until one leads.
    pub async fn settle(&mut self, cluster: &Cluster, cloud: &FakeCloud) -> Result<()> {
        let client = cluster.client().await?;
        let pods = rolled_out(&client).await?;
        self.end_others(&pods).await?;
        for pod in &pods {
            if let Entry::Vacant(place) = self.0.entry(pod.name_any()) {
                place.insert(start(pod, cluster, cloud, &client).await?);
            }
        }
        if self.0.is_empty() {
            return Ok(());
        }
        wait_until("a replica of the sidecar leads", PATIENCE, async || {
            for Process { running, .. } in self.0.values_mut() {
                let page = running.page("/readyz").await?;
                if page.is_some_and(|(_, text)| text.contains("leader: this replica writes")) {
                    return Ok(Some(()));
                }
            }
            Ok(None)
        })
        .await
    }

    /// While a command runs, which may wait for Pods: runs those of Jobs, each to its end, and ends the processes of those that are
    /// gone. Only an error ends it.
    pub async fn attend(&mut self, cluster: &Cluster, cloud: &FakeCloud) -> anyhow::Error {
        let client = match cluster.client().await {
            Ok(client) => client,
            Err(error) => return error,
        };
        let mut seen = BTreeSet::new();
        loop {
            if let Err(error) = self.look(&client, cluster, cloud, &mut seen).await {
                return error;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn look(
        &mut self,
        client: &Client,
        cluster: &Cluster,
        cloud: &FakeCloud,
        seen: &mut BTreeSet<String>,
    ) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        self.end_others(&pods.list(&ours()).await?.items).await?;
        for pod in pods.list(&ListParams::default().labels("batch.kubernetes.io/job-name")).await?.items {
            let name = pod.name_any();
            if !seen.insert(name.clone()) {
                continue;
            }
            let (place, arguments) = prepared(&pod, cluster, cloud, client).await?;
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            // It waits for the Pods of the sidecar to end.
            let mut running = std::pin::pin!(place.run(&arguments));
            let ended = loop {
                tokio::select! {
                    ended = &mut running => break ended?,
                    () = tokio::time::sleep(INTERVAL) => self.end_others(&pods.list(&ours()).await?.items).await?,
                }
            };
            ensure!(ended.code == Some(0), "{name}: {}{}", ended.stdout, ended.stderr);
            // The node would call it Running for ever.
            let status = json!({ "status": { "phase": "Succeeded" } });
            pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        }
        Ok(())
    }

    /// Ends the processes of all other Pods.
    async fn end_others(&mut self, pods: &[Pod]) -> Result<()> {
        let stay = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let stay: BTreeSet<_> = stay.map(Pod::name_any).collect();
        let gone: Vec<_> = self.0.keys().filter(|name| !stay.contains(*name)).cloned().collect();
        for name in gone {
            if let Some(Process { mut running, .. }) = self.0.remove(&name) {
                ensure!(running.stop().await? == Some(0), "{name}: {}", running.log()?);
            }
        }
        Ok(())
    }
}

fn ours() -> ListParams {
    ListParams::default().labels(&format!("app.kubernetes.io/name={NAME}"))
}

/// The Pods of the Deployment, once they are those that it asks for.
async fn rolled_out(client: &Client) -> Result<Vec<Pod>> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    wait_until("the Deployment of the sidecar has its Pods", PATIENCE, async || {
        let deployment = deployments.get_opt(NAME).await?;
        let found = pods.list(&ours()).await?.items;
        let wanted =
            deployment.as_ref().and_then(|it| it.spec.as_ref()).map_or(0, |it| it.replicas.unwrap_or(1));
        let status = deployment.as_ref().and_then(|it| it.status.clone()).unwrap_or_default();
        let generation = deployment.as_ref().and_then(|it| it.metadata.generation);
        let is_done = generation == status.observed_generation
            && status.updated_replicas.unwrap_or(0) == wanted
            && status.ready_replicas.unwrap_or(0) == wanted
            && i32::try_from(found.len()).ok() == Some(wanted)
            && found.iter().all(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(is_done.then_some(found))
    })
    .await
}

async fn start(pod: &Pod, cluster: &Cluster, cloud: &FakeCloud, client: &Client) -> Result<Process> {
    let (place, arguments) = prepared(pod, cluster, cloud, client).await?;
    let (command, flags) = arguments.split_first().context("the container has no arguments")?;
    ensure!(command == "run", "the container runs {command}");
    let running = place.start(&flags.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(Process { running, _place: place })
}

/// A place like the inside of a Pod's container, and the arguments of its process.
async fn prepared(
    pod: &Pod,
    cluster: &Cluster,
    cloud: &FakeCloud,
    client: &Client,
) -> Result<(Sidecar, Vec<String>)> {
    let spec = pod.spec.as_ref().context("the Pod has no spec")?;
    let container = spec.containers.first().context("the Pod has no container")?;
    let mut place = Sidecar::new(cloud)?;
    let root = place.directory().join("root").to_string_lossy().into_owned();
    let here = |text: &str| text.replace(MOUNTS, &format!("{root}{MOUNTS}"));
    mount(&place, spec, container, cloud, client).await?;
    for variable in container.env.iter().flatten() {
        place = place.with(&variable.name, here(&value(variable, pod)?));
    }
    let account = spec.service_account_name.as_deref().context("the Pod has no account")?;
    place.file("kubeconfig", &kubeconfig::of_account(cluster, NAMESPACE, account).await?)?;
    let mut arguments: Vec<_> = container.args.iter().flatten().map(|argument| here(argument)).collect();
    arguments.push("--kubeconfig=kubeconfig".to_owned());
    Ok((place, arguments))
}

fn value(variable: &EnvVar, pod: &Pod) -> Result<String> {
    if let Some(value) = &variable.value {
        return Ok(value.clone());
    }
    let source = variable.value_from.as_ref().and_then(|source| source.field_ref.as_ref());
    match source.map(|field| field.field_path.as_str()) {
        Some("metadata.name") => Ok(pod.name_any()),
        Some("metadata.namespace") => Ok(NAMESPACE.to_owned()),
        other => anyhow::bail!("{} is from {other:?}", variable.name),
    }
}

/// Writes what the Pod has mounted: Secrets, and the token for STS. Other tokens are for the API server; the process has a kubeconfig.
async fn mount(
    place: &Sidecar,
    spec: &PodSpec,
    container: &Container,
    cloud: &FakeCloud,
    client: &Client,
) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    for mounted in container.volume_mounts.iter().flatten() {
        let directory = format!("root{}", mounted.mount_path);
        let mut volumes = spec.volumes.iter().flatten();
        let volume = volumes.find(|volume| volume.name == mounted.name).context("a mount has no volume")?;
        if let Some(path) = path_of_token(volume) {
            let account = spec.service_account_name.as_deref().unwrap_or("default");
            let wanted = TokenRequest::of(&format!("system:serviceaccount:{NAMESPACE}:{account}"));
            let token = cloud.mint_oidc_token(&wanted).map_err(anyhow::Error::msg)?;
            place.file(&format!("{directory}/{path}"), &token)?;
        }
        if let Some(name) = volume.secret.as_ref().and_then(|secret| secret.secret_name.as_ref()) {
            let data = secrets.get_opt(name).await?.and_then(|secret| secret.data).unwrap_or_default();
            for (key, bytes) in data {
                place.file(&format!("{directory}/{key}"), &String::from_utf8(bytes.0)?)?;
            }
        }
    }
    Ok(())
}

fn path_of_token(volume: &Volume) -> Option<&str> {
    let sources = volume.projected.as_ref()?.sources.as_ref()?;
    let tokens = sources.iter().filter_map(|source| source.service_account_token.as_ref());
    let mut for_sts = tokens.filter(|token| token.audience.as_deref() == Some("sts.aliyuncs.com"));
    for_sts.next().map(|token| token.path.as_str())
}
