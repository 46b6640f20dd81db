//! What the tests share: one control plane with a registry and a node, and for each test a sidecar with a namespace, a
//! pull secret's name and managed namespaces of its own, so that tests do not meet.

use std::collections::BTreeMap;
use std::time::Duration;

use acr_e2e_tests::cluster::{
    self, Cluster, Node, Options, PATIENCE, Registry, fresh_namespace, named_namespace,
};
use acr_e2e_tests::kubeconfig;
use acr_e2e_tests::manifests::Manifests;
use acr_e2e_tests::paths;
use acr_e2e_tests::sidecar::{Ended, Running, Sidecar};
use acr_e2e_tests::wait::wait_until;
use acr_fake_cloud::{Action, FakeCloud};
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::mint;

/// The account that the manifest makes, which the sidecar runs as.
const ACCOUNT: &str = "acr-credential-sidecar";

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
        let registry =
            Registry { cloud: cloud.url(), images: vec!["team/web:1".to_owned()], public_images: Vec::new() };
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

impl Stage {
    /// With a cloud of its own.
    pub async fn new(prefix: &str) -> Result<Self> {
        Self::on(prefix, Sky::Own(Box::new(mint::cloud().await?)), false).await
    }

    /// With the rights that the manifest has in comments, for the modes that attach.
    pub async fn that_attaches(prefix: &str) -> Result<Self> {
        Self::on(prefix, Sky::Own(Box::new(mint::cloud().await?)), true).await
    }

    /// With credentials that the registry takes.
    pub async fn with_registry(prefix: &str) -> Result<Self> {
        Self::on(prefix, Sky::Shared, false).await
    }

    async fn on(prefix: &str, sky: Sky, attaches: bool) -> Result<Self> {
        let bed = bed().await?;
        let cluster = &bed.cluster;
        let client = cluster.client().await?;
        let name = fresh_namespace(&client, prefix, &[]).await?;
        let cloud = match &sky {
            Sky::Shared => &bed.cloud,
            Sky::Own(cloud) => cloud,
        };
        let sidecar = mint::puller(cloud)?;
        for object in manifest(&name, attaches)? {
            cluster::apply(&client, &object).await?;
        }
        let stage = Self { cluster, client, name, sidecar, sky };
        stage.sidecar.file("kubeconfig", &stage.kubeconfig().await?)?;
        Ok(stage)
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

    /// The sidecar's own token, and nothing else.
    async fn kubeconfig(&self) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.name);
        let request = TokenRequest { spec: Some(TokenRequestSpec::default()), ..TokenRequest::default() };
        let made = accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await?;
        let token = made.status.context("there is no token")?.token;
        let document = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "test",
                "cluster": { "server": self.cluster.server(), "certificate-authority": self.cluster.ca_file() },
            }],
            "users": [{ "name": "test", "user": { "token": token } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
            "current-context": "test",
        });
        Ok(document.to_string())
    }

    /// A client with the sidecar's rights.
    pub async fn client_of_sidecar(&self) -> Result<Client> {
        kubeconfig::client(&self.sidecar.directory().join("kubeconfig")).await
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
        [
            "--kubeconfig=kubeconfig".to_owned(),
            format!("--sidecar-namespace={}", self.name),
            format!("--pull-secret={}", self.name),
        ]
    }

    /// Starts the sidecar, which renews without spreading.
    pub fn start(&self, more: &[&str]) -> Result<Running> {
        let flags = self.flags();
        let arguments = flags.iter().map(String::as_str).chain(["--log-level=trace", "--spread=0"]);
        self.sidecar.start(&arguments.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    /// Starts the sidecar, and waits until it is ready.
    pub async fn started(&self, more: &[&str]) -> Result<Running> {
        let mut running = self.start(more)?;
        until_page(&mut running, "/readyz", "it is ready and leads", |status, body| {
            status == 200 && body.contains("leader: this replica writes")
        })
        .await?;
        Ok(running)
    }

    /// Runs a command with the flags of the cluster.
    pub async fn run(&self, arguments: &[&str]) -> Result<Ended> {
        let flags = self.flags();
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

    pub async fn events(&self, namespace: &str) -> Result<Vec<Event>> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        Ok(events.list(&ListParams::default()).await?.items)
    }
}

/// The objects of `deploy/sidecar.yaml` that grant rights, with names of the test's own.
fn manifest(name: &str, attaches: bool) -> Result<Vec<Value>> {
    let mut text = std::fs::read_to_string(paths::manifests().join("sidecar.yaml"))?;
    text = text
        .replace("namespace: kube-system", &format!("namespace: {name}"))
        .replace("acr-credential-secret-aggregation", name);
    if attaches {
        let rule = "  # - apiGroups: [\"\"]\n  #   resources: [\"serviceaccounts\"]\n  #   verbs: [\"list\", \"watch\", \"patch\"]\n";
        assert!(text.contains(rule), "the manifest has another rule for service accounts");
        text = text.replace(rule, &rule.replace("# ", ""));
    }
    let mut objects = Manifests::parse(&text)?.objects;
    objects.retain(|object| object["kind"] != "Deployment");
    for object in &mut objects {
        match object["kind"].as_str() {
            Some("ClusterRole") => object["metadata"]["name"] = json!(name),
            Some("ClusterRoleBinding") => {
                object["metadata"]["name"] = json!(name);
                object["roleRef"]["name"] = json!(name);
            }
            _ => {}
        }
    }
    Ok(objects)
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

/// The sum of the samples of a metric that carry these labels.
pub fn metric(page: &str, name: &str, labels: &[&str]) -> u64 {
    let name = format!("acr_credential_sidecar_{name}");
    page.lines()
        .filter(|line| line.starts_with(&name) && labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
