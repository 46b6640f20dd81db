//! What is measured on: a control plane, a cloud, the sidecar, and a bare client that sends what the sidecar sends.

use std::time::{Duration, Instant};

use acr_e2e_tests::cloud_process::CloudProcess;
use acr_e2e_tests::cluster::{self, Cluster, fresh_namespace};
use acr_e2e_tests::grants::{self, ACCOUNT};
use acr_e2e_tests::sidecar::{Running, Sidecar};
use acr_e2e_tests::wait::wait_until;
use acr_e2e_tests::{kubeconfig, paths};
use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::each;
use crate::observer::Observer;
use crate::process::{self, CLOUD, Counter, SIDECAR};

/// How long anything may take before the benchmark gives up.
pub(crate) const PATIENCE: Duration = Duration::from_mins(15);

/// Setting the stage is nobody's achievement, so it is done with many requests at a time.
pub(crate) const SETTING_UP: usize = 32;

/// How long credentials live where nothing is to be renewed, in seconds.
pub(crate) const LONG_LIFE: i64 = 3600;

/// The control plane rests when it uses less than this share of a core: its parts look after each other all the time.
const REST: f64 = 0.12;

/// What is measured on.
pub(crate) struct Bed {
    pub(crate) cluster: Cluster,
    pub(crate) cloud: CloudProcess,
    pub(crate) admin: Client,
    /// The sidecar's side.
    pub(crate) ours: Party,
    /// The side of the bare client.
    pub(crate) bare: Party,
    /// The managed namespaces.
    pub(crate) namespaces: Vec<String>,
    sidecar: Sidecar,
    // It holds the state of the cloud.
    _directory: tempfile::TempDir,
}

/// One who writes pull secrets: with the rights of the manifest, and a Secret's name of its own.
pub(crate) struct Party {
    /// Its namespace, and the name of its Secrets.
    pub(crate) name: String,
    /// Acts with its rights.
    pub(crate) client: Client,
    /// Sees its Secrets.
    pub(crate) observer: Observer,
}

impl Bed {
    /// Starts everything but the sidecar. Credentials live for [`LONG_LIFE`].
    pub(crate) async fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let state = directory.path().join("state.yaml");
        let minimal = std::fs::read_to_string(paths::cloud_state("minimal"))?;
        std::fs::write(&state, format!("{minimal}credentialSeconds: {LONG_LIFE}\n"))?;
        let cloud = CloudProcess::start(&state)?;
        let cluster = Cluster::start().await?;
        let admin = cluster.client().await?;
        let sidecar = Sidecar::at(cloud.url())?
            .with_keys("LTAI5tEXAMPLEpuller", "EXAMPLE-secret-of-puller")
            .with_binary(paths::sidecar_static_binary()?);
        let ours = Party::new(&cluster, &admin, "bench-", &sidecar).await?;
        let bare = Party::new(&cluster, &admin, "limit-", &sidecar).await?;
        Ok(Self { cluster, cloud, admin, ours, bare, namespaces: Vec::new(), sidecar, _directory: directory })
    }

    /// Makes this many namespaces more, and waits until the control plane rests.
    pub(crate) async fn add_namespaces(&mut self, count: usize) -> Result<()> {
        let first = self.namespaces.len();
        let names: Vec<_> = (first..first + count).map(|number| self.namespace(number)).collect();
        each(SETTING_UP, &names, |name| create_namespace(self.admin.clone(), name.clone())).await?;
        self.namespaces.extend(names);
        let all = self.namespaces.len();
        self.until_there::<ServiceAccount>("default", all).await?;
        self.until_there::<ConfigMap>("kube-root-ca.crt", all).await?;
        self.rest().await
    }

    /// The name of a managed namespace that is not there yet.
    pub(crate) fn next_namespace(&self) -> String {
        self.namespace(self.namespaces.len())
    }

    fn namespace(&self, number: usize) -> String {
        format!("{}-{number:05}", self.ours.name)
    }

    /// Waits until each namespace has what Kubernetes puts into it. Other namespaces have it too.
    async fn until_there<K>(&self, name: &str, at_least: usize) -> Result<()>
    where
        K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api: Api<PartialObjectMeta<K>> = Api::all(self.admin.clone());
        let by_name = ListParams::default().fields(&format!("metadata.name={name}"));
        let until = Instant::now() + PATIENCE;
        while api.list(&by_name).await?.items.len() < at_least {
            if Instant::now() > until {
                bail!("waited in vain until each namespace has its {name}");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    /// Waits until the control plane has nothing to do.
    pub(crate) async fn rest(&self) -> Result<()> {
        let used = || self.cluster.processes().values().map(|&id| process::cpu(id)).sum::<Result<f64>>();
        let until = Instant::now() + PATIENCE;
        let mut quiet = 0;
        while quiet < 2 {
            let (before, began) = (used()?, Instant::now());
            tokio::time::sleep(Duration::from_millis(500)).await;
            let share = (used()? - before) / began.elapsed().as_secs_f64();
            quiet = if share < REST { quiet + 1 } else { 0 };
            if Instant::now() > until {
                bail!("the control plane does not come to rest");
            }
        }
        Ok(())
    }

    /// Counts CPU time from now on: of the control plane, the cloud, the sidecar where it is measured, and this process.
    pub(crate) fn counter(&self, sidecar: Option<u32>) -> Result<Counter> {
        let ours = self.cluster.processes().iter().map(|(name, &id)| (name.clone(), id));
        let others = [(CLOUD, Some(self.cloud.id())), (SIDECAR, sidecar)];
        let others = others.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id?)));
        Counter::begin(ours.chain(others))
    }

    /// Writes the configuration, which asks for one credential, with these keys besides.
    pub(crate) async fn configure(&self, keys: &Value) -> Result<()> {
        let mut data = json!({
            "watch-namespace": format!("{}-*", self.ours.name),
            "acr-registry-info": "- instanceId: cri-example\n  regionId: cn-hangzhou\n",
        });
        if let (Some(data), Some(keys)) = (data.as_object_mut(), keys.as_object()) {
            data.extend(keys.clone());
        }
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "acr-configuration", "namespace": self.ours.name },
            "data": data,
        });
        cluster::apply(&self.admin, &object).await?;
        Ok(())
    }

    /// Starts the sidecar, and waits until it leads and has seen what is there. Whether it is configured is left open.
    pub(crate) async fn start_sidecar(&self) -> Result<Running> {
        let flags = [
            "--spread=0",
            &format!("--kubeconfig={}", kubeconfig_of(&self.ours.name)),
            &format!("--sidecar-namespace={}", self.ours.name),
            &format!("--pull-secret={}", self.ours.name),
        ];
        let mut running = self.sidecar.start(&flags)?;
        let is_there = |body: &str| {
            body.contains("leader: this replica writes")
                && ["namespaces", "pull secrets"].iter().all(|what| body.contains(&format!("✓ {what}")))
        };
        wait_until("the sidecar leads", PATIENCE, async || {
            let page = running.page("/readyz").await?;
            Ok(page.filter(|(_, body)| is_there(body)).map(|_| ()))
        })
        .await?;
        Ok(running)
    }

    /// Puts all back as it was before a sidecar: no configuration, no state, and no Secrets of these.
    pub(crate) async fn clear(&self, parties: &[&Party]) -> Result<()> {
        let config_maps: Api<ConfigMap> = Api::namespaced(self.admin.clone(), &self.ours.name);
        ignore_missing(config_maps.delete("acr-configuration", &DeleteParams::default()).await)?;
        self.forget_credentials().await?;
        for party in parties {
            each(SETTING_UP, party.observer.all().into_keys(), |namespace| {
                let secrets: Api<Secret> = Api::namespaced(self.admin.clone(), &namespace);
                let name = party.name.clone();
                async move { ignore_missing(secrets.delete(&name, &DeleteParams::default()).await) }
            })
            .await?;
            party.observer.until("the Secrets are gone", 0, |_| true).await?;
        }
        self.rest().await
    }

    /// Deletes the state, so that the next sidecar mints.
    pub(crate) async fn forget_credentials(&self) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.admin.clone(), &self.ours.name);
        ignore_missing(secrets.delete("acr-credential-sidecar-state", &DeleteParams::default()).await)
    }

    /// Has the next credentials live for so many seconds.
    pub(crate) async fn live_for(&self, seconds: i64) -> Result<()> {
        self.cloud.patch(&json!({ "credentialSeconds": seconds })).await
    }

    /// How often a credential was asked for.
    pub(crate) async fn mints(&self) -> Result<u64> {
        Ok(self.cloud.read("calls").await?["GetAuthorizationToken"]["calls"].as_u64().unwrap_or_default())
    }

    /// When a credential was last asked for.
    pub(crate) async fn last_mint(&self) -> Result<jiff::Timestamp> {
        let requests = self.cloud.read("requests").await?;
        let last = requests
            .as_array()
            .and_then(|all| all.iter().rfind(|request| request["action"] == "GetAuthorizationToken"));
        let at = last.and_then(|request| request["at"].as_str()).context("no credential was asked for")?;
        Ok(at.parse()?)
    }
}

impl Party {
    async fn new(cluster: &Cluster, admin: &Client, prefix: &str, sidecar: &Sidecar) -> Result<Self> {
        let name = fresh_namespace(admin, prefix, &[]).await?;
        for object in grants::of_sidecar(&name, false)? {
            cluster::apply(admin, &object).await?;
        }
        let text = kubeconfig::of_account(cluster, &name, ACCOUNT).await?;
        let path = sidecar.file(&kubeconfig_of(&name), &text)?;
        let client = kubeconfig::client(&path).await?;
        let observer = Observer::start(admin, &name).await?;
        Ok(Self { name, client, observer })
    }
}

/// The file in the sidecar's directory that lets it act as this party.
fn kubeconfig_of(party: &str) -> String {
    format!("{party}.kubeconfig")
}

/// Makes a namespace, and waits for nothing.
pub(crate) async fn create_namespace(client: Client, name: String) -> Result<()> {
    let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::<Namespace>::all(client).create(&PostParams::default(), &namespace).await?;
    Ok(())
}

fn ignore_missing<T>(result: kube::Result<T>) -> Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        result => Ok(result.map(|_| ())?),
    }
}
