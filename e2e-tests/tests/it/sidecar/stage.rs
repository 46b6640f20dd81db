//! What the tests share: one control plane with a registry and a node, and for each test a sidecar with a namespace, a
//! pull secret's name and managed namespaces of its own, so that tests do not meet.

use std::collections::BTreeMap;
use std::time::Duration;

use acr_e2e_tests::api_proxy::ApiProxy;
use acr_e2e_tests::cluster::{
    self, Cluster, Node, Options, PATIENCE, Registry, fresh_namespace, named_namespace,
};
use acr_e2e_tests::grants::{self, ACCOUNT};
use acr_e2e_tests::kubeconfig;
pub use acr_e2e_tests::sidecar::metric;
use acr_e2e_tests::sidecar::{Ended, Running, Sidecar};
use acr_e2e_tests::wait::wait_until;
use acr_fake_cloud::{Action, FakeCloud, Fault, FaultKind, TokenRequest};
use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::mint;

/// A credential is renewed after a minute at the earliest, so some tests wait for more than that.
pub const LONG: Duration = Duration::from_mins(3);

/// An image in the registry, by a host of the instance in [`INSTANCE`].
pub const IMAGE: &str = "example-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1";

/// One instance of the first account.
pub const INSTANCE: &str = "- instanceId: cri-example\n  regionId: cn-hangzhou\n";

/// A control plane, and the cloud that judges the logins at its registry.
struct Bed {
    cloud: FakeCloud,
    cluster: Cluster,
}

async fn bed() -> Result<&'static Bed> {
    static BED: OnceCell<Bed> = OnceCell::const_new();
    BED.get_or_try_init(async || {
        // The cloud outlives the test that comes first, and so does the runtime that it listens on.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let cloud = Box::leak(Box::new(runtime)).spawn(mint::cloud()).await??;
        furnish(&cloud)?;
        let images = ["team/web:1", "team/web:2"].map(str::to_owned).to_vec();
        let registry = Registry { cloud: cloud.url(), images, public_images: Vec::new() };
        let node = Node {
            hosts: vec!["*.aliyuncs.com".to_owned()],
            pull_back_off: Duration::from_millis(200),
            pull_back_off_limit: Duration::from_secs(1),
            ..Node::default()
        };
        let options = Options { registry: Some(registry), node: Some(node) };
        Ok(Bed { cloud, cluster: Cluster::start_with(options).await? })
    })
    .await
}

/// What the shared cloud has besides: all that the scenarios of the vendor's documentation name, and an instance whose
/// credentials live shortly.
fn furnish(cloud: &FakeCloud) -> Result<()> {
    let customer = json!({
        "accessKeys": { "LTAI5tEXAMPLEcustomer": { "secret": "EXAMPLE-secret-of-customer" } },
        "policies": ["AliyunContainerRegistryReadOnlyAccess"],
    });
    cloud.patch(&json!({ "accounts": {
        "1000000000000001": {
            "personal": ["cn-beijing", "cn-hangzhou"],
            "instances": { "cri-shortlived": { "name": "shortlived" } },
        },
        "2000000000000002": { "personal": ["cn-beijing", "cn-hangzhou"], "users": { "customer": customer } },
    }}))?;
    cloud.add_fault(Fault {
        action: Some(Action::GetAuthorizationToken),
        instance: Some("cri-shortlived".to_owned()),
        times: None,
        kind: FaultKind::Life { seconds: 90 },
    });
    Ok(())
}

/// Whose rights a sidecar mints with.
#[derive(Clone, Copy)]
pub enum Identity {
    /// A RAM user's, by the key in the environment.
    User,
    /// The node's role, which ECS metadata hands out.
    Node,
    /// The OIDC token of its account.
    Rrsa,
}

impl Identity {
    fn sidecar(self, cloud: &FakeCloud) -> Result<Sidecar> {
        match self {
            Self::User => mint::puller(cloud),
            Self::Node => Sidecar::new(cloud),
            Self::Rrsa => mint::rrsa(cloud, &TokenRequest::of(mint::SUBJECT)),
        }
    }
}

/// Whose cloud a stage is on.
pub enum Sky {
    /// The one that judges the logins at the registry. It must not be changed.
    Shared,
    /// One of the test's own.
    Own(Box<FakeCloud>),
}

/// A sidecar's surroundings.
pub struct Stage {
    pub cluster: &'static Cluster,
    pub client: Client,
    /// The sidecar's namespace, and the name of the pull secret.
    pub name: String,
    pub sidecar: Sidecar,
    sky: Sky,
}

/// Where the sidecar keeps its credentials for the next process, in its own namespace.
pub const STATE: &str = "acr-credential-sidecar-state";

/// The kubeconfig that a sidecar is started with, in its directory.
const KUBECONFIG: &str = "kubeconfig";

/// The same, by way of a proxy.
const THROUGH_PROXY: &str = "kubeconfig-through-proxy";

impl Stage {
    /// With a cloud of its own.
    pub async fn new(prefix: &str) -> Result<Self> {
        Self::on(prefix, None, Sky::Own(Box::new(mint::cloud().await?)), Identity::User, false).await
    }

    /// With a cloud of its own, on another control plane than the shared one. It needs neither registry nor node.
    pub async fn on_cluster(prefix: &str, cluster: &'static Cluster) -> Result<Self> {
        Self::on(prefix, Some(cluster), Sky::Own(Box::new(mint::cloud().await?)), Identity::User, false).await
    }

    /// With the rights that the manifest has in comments, for the modes that attach.
    pub async fn that_attaches(prefix: &str) -> Result<Self> {
        Self::on(prefix, None, Sky::Own(Box::new(mint::cloud().await?)), Identity::User, true).await
    }

    /// With credentials that the registry takes.
    pub async fn with_registry(prefix: &str, identity: Identity) -> Result<Self> {
        Self::on(prefix, None, Sky::Shared, identity, false).await
    }

    async fn on(
        prefix: &str,
        cluster: Option<&'static Cluster>,
        sky: Sky,
        identity: Identity,
        attaches: bool,
    ) -> Result<Self> {
        let cluster = match cluster {
            Some(cluster) => cluster,
            None => &bed().await?.cluster,
        };
        let client = cluster.client().await?;
        let name = fresh_namespace(&client, prefix, &[]).await?;
        let sidecar = match &sky {
            Sky::Shared => identity.sidecar(&bed().await?.cloud)?,
            Sky::Own(cloud) => identity.sidecar(cloud)?,
        };
        for object in grants::of_sidecar(&name, attaches)? {
            cluster::apply(&client, &object).await?;
        }
        sidecar.file(KUBECONFIG, &kubeconfig::of_account(cluster, &name, ACCOUNT).await?)?;
        Ok(Self { cluster, client, name, sidecar, sky })
    }

    /// Puts a proxy between the API server and sidecars that are started with [`Stage::start_through_proxy`].
    pub async fn proxy(&self) -> Result<ApiProxy> {
        let authority = std::fs::read_to_string(self.cluster.ca_file())?;
        let proxy = ApiProxy::start(self.cluster.server(), &authority).await?;
        let direct = std::fs::read_to_string(self.sidecar.directory().join(KUBECONFIG))?;
        self.sidecar.file(THROUGH_PROXY, &kubeconfig::through(&direct, &proxy.url())?)?;
        Ok(proxy)
    }

    /// The cloud of its own.
    pub fn cloud(&self) -> &FakeCloud {
        match &self.sky {
            Sky::Own(cloud) => cloud,
            Sky::Shared => panic!("the shared cloud is nobody's to change"),
        }
    }

    /// How often a credential was asked for.
    pub fn mints(&self) -> u64 {
        self.cloud().calls(Action::GetAuthorizationToken)
    }

    /// A client with the sidecar's rights.
    pub async fn client_of_sidecar(&self) -> Result<Client> {
        kubeconfig::client(&self.sidecar.directory().join(KUBECONFIG)).await
    }

    /// Makes a namespace that [`Stage::configure`] selects.
    pub async fn namespace(&self, suffix: &str) -> Result<String> {
        named_namespace(&self.client, &format!("{}-{suffix}", self.name), &[]).await
    }

    /// Writes the configuration: these registries, and these keys besides. All namespaces of the stage are managed
    /// unless a key says otherwise.
    pub async fn configure(&self, registries: &str, keys: &[(&str, &str)]) -> Result<()> {
        let mut data = BTreeMap::from([
            ("watch-namespace".to_owned(), format!("{}-*", self.name)),
            ("acr-registry-info".to_owned(), registries.to_owned()),
        ]);
        data.extend(keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "acr-configuration", "namespace": self.name },
            "data": data,
        });
        cluster::apply(&self.client, &object).await?;
        Ok(())
    }

    /// The flags that say which cluster is meant, and what things are called in it.
    pub fn flags(&self) -> [String; 3] {
        self.flags_with(KUBECONFIG)
    }

    fn flags_with(&self, kubeconfig: &str) -> [String; 3] {
        [
            format!("--kubeconfig={kubeconfig}"),
            format!("--sidecar-namespace={}", self.name),
            format!("--pull-secret={}", self.name),
        ]
    }

    /// Starts the sidecar, which renews without spreading.
    pub fn start(&self, more: &[&str]) -> Result<Running> {
        self.start_with(KUBECONFIG, more)
    }

    /// The same, by way of the proxy.
    pub fn start_through_proxy(&self, more: &[&str]) -> Result<Running> {
        self.start_with(THROUGH_PROXY, more)
    }

    fn start_with(&self, kubeconfig: &str, more: &[&str]) -> Result<Running> {
        let flags = self.flags_with(kubeconfig);
        let arguments = flags.iter().map(String::as_str).chain(["--log-level=trace", "--spread=0"]);
        self.sidecar.start(&arguments.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    /// Starts the sidecar, and waits until it is ready.
    pub async fn started(&self, more: &[&str]) -> Result<Running> {
        let mut running = self.start(more)?;
        until_leads(&mut running).await?;
        Ok(running)
    }

    /// The same, by way of the proxy.
    pub async fn started_through_proxy(&self, more: &[&str]) -> Result<Running> {
        let mut running = self.start_through_proxy(more)?;
        until_leads(&mut running).await?;
        Ok(running)
    }

    /// Runs a command with the flags of the cluster.
    pub async fn run(&self, arguments: &[&str]) -> Result<Ended> {
        self.run_with(KUBECONFIG, arguments).await
    }

    /// The same with another kubeconfig in the sidecar's directory.
    pub async fn run_with(&self, kubeconfig: &str, arguments: &[&str]) -> Result<Ended> {
        let flags = self.flags_with(kubeconfig);
        let flags = flags.iter().map(String::as_str);
        self.sidecar.run(&arguments.iter().copied().chain(flags).collect::<Vec<_>>()).await
    }

    /// The same as the cluster's administrator.
    pub async fn run_as_admin(&self, arguments: &[&str]) -> Result<Ended> {
        let [_, namespace, secret] = self.flags();
        let kubeconfig = format!("--kubeconfig={}", self.cluster.kubeconfig().display());
        let flags = [kubeconfig.as_str(), namespace.as_str(), secret.as_str()];
        self.sidecar.run(&arguments.iter().copied().chain(flags).collect::<Vec<_>>()).await
    }

    pub fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The pull secret of a namespace, if there is one.
    pub async fn pull_secret(&self, namespace: &str) -> Result<Option<Secret>> {
        Ok(self.secrets(namespace).get_opt(&self.name).await?)
    }

    /// Waits for a pull secret that is as it should be.
    pub async fn until(
        &self,
        namespace: &str,
        what: &str,
        patience: Duration,
        is_so: impl Fn(&Secret) -> bool,
    ) -> Result<Secret> {
        wait_until(&format!("the pull secret of {namespace} {what}"), patience, async || {
            Ok(self.pull_secret(namespace).await?.filter(&is_so))
        })
        .await
    }

    /// Waits for a pull secret that holds a credential.
    pub async fn until_filled(&self, namespace: &str) -> Result<Secret> {
        self.until(namespace, "holds a credential", PATIENCE, |secret| !logins(secret).is_empty()).await
    }

    /// Waits until a restart would cost no mint.
    pub async fn until_state_is_written(&self) -> Result<()> {
        wait_until("the state is written down", PATIENCE, async || {
            Ok(self.secrets(&self.name).get_metadata_opt(STATE).await?.map(|_| ()))
        })
        .await
    }

    /// Makes the next process that leads mint anew, if it does not know the credentials yet.
    pub async fn forget_credentials(&self) -> Result<()> {
        match self.secrets(&self.name).delete(STATE, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// Changes the pull secret as a tenant does.
    pub async fn tamper(&self, namespace: &str, change: &Value) -> Result<()> {
        let parameters = PatchParams { field_manager: Some("tenant".to_owned()), ..PatchParams::default() };
        self.secrets(namespace).patch(&self.name, &parameters, &Patch::Merge(change)).await?;
        Ok(())
    }

    /// Waits for an Event of this reason in a namespace, and returns its note.
    pub async fn until_event(&self, namespace: &str, reason: &str, patience: Duration) -> Result<String> {
        wait_until(&format!("there is an Event {reason} in {namespace}"), patience, async || {
            let mut events = self.events(namespace).await?.into_iter();
            let event = events.find(|event| event.reason.as_deref() == Some(reason));
            Ok(event.map(|event| event.note.unwrap_or_default()))
        })
        .await
    }

    /// Waits until the log and `status` each have a line with all of this: what the pages keep back.
    pub async fn until_told(&self, running: &Running, parts: &[&str]) -> Result<()> {
        let tells = |text: &str| text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        wait_until(&format!("the log and `status` tell {parts:?}"), PATIENCE, async || {
            let status = self.run_as_admin(&["status"]).await?;
            Ok((tells(&status.stdout) && tells(&running.log()?)).then_some(()))
        })
        .await
    }

    /// When the leader last renewed its Lease.
    pub async fn lease_renewed(&self) -> Result<Option<MicroTime>> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.name);
        Ok(leases.get_opt("acr-credential-sidecar").await?.and_then(|lease| lease.spec?.renew_time))
    }

    pub async fn events(&self, namespace: &str) -> Result<Vec<Event>> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        Ok(events.list(&ListParams::default()).await?.items)
    }
}

/// Waits until a sidecar is ready, and is the one that writes.
pub async fn until_leads(running: &mut Running) -> Result<()> {
    until_page(running, "/readyz", "it is ready and leads", |status, body| {
        status == 200 && body.contains("leader: this replica writes")
    })
    .await?;
    Ok(())
}

/// Waits until a sidecar is ready, and leaves the writing to another.
pub async fn until_stands_by(running: &mut Running) -> Result<()> {
    until_page(running, "/readyz", "it is ready and stands by", |status, body| {
        status == 200 && body.contains("standby: another replica writes")
    })
    .await?;
    Ok(())
}

/// Waits for a page that is as it should be.
pub async fn until_page(
    running: &mut Running,
    path: &str,
    what: &str,
    is_so: impl Fn(u16, &str) -> bool,
) -> Result<String> {
    let mut last = String::new();
    let found = wait_until(what, LONG, async || {
        let Some((status, body)) = running.page(path).await? else { return Ok(None) };
        last.clone_from(&body);
        Ok(is_so(status, &body).then_some(body))
    });
    let found = found.await;
    match found {
        Ok(body) => Ok(body),
        Err(error) => Err(error.context(format!("{path} says: {last}\nand the log: {}", running.log()?))),
    }
}

/// The hosts of a pull secret, each with its password.
pub fn logins(secret: &Secret) -> BTreeMap<String, String> {
    let data = secret.data.as_ref().and_then(|data| data.get(".dockerconfigjson"));
    let document: Value = data.and_then(|data| serde_json::from_slice(&data.0).ok()).unwrap_or_default();
    let auths = document["auths"].as_object().cloned().unwrap_or_default();
    auths
        .into_iter()
        .map(|(host, login)| {
            let text = |key: &str| login[key].as_str().unwrap_or_default().to_owned();
            let auth = STANDARD.encode(format!("{}:{}", text("username"), text("password")));
            assert_eq!(text("auth"), auth, "auth is not user and password");
            (host, text("password"))
        })
        .collect()
}

/// An annotation or label of ours.
pub fn annotation<'a>(secret: &'a Secret, name: &str) -> &'a str {
    let annotations = secret.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(&format!("acr-credential-helper.io/{name}")))
        .map_or("", String::as_str)
}

pub fn version(secret: &Secret) -> (Option<String>, Option<String>) {
    (secret.metadata.uid.clone(), secret.metadata.resource_version.clone())
}
