//! What both demos work at: a fake cloud, and a directory in which a user's commands work as they are written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use acr_e2e_tests::cluster::{Cluster, Node, Options, PATIENCE, Registry, wait_for_service_account};
use acr_e2e_tests::desk;
use acr_e2e_tests::sidecar::{Ended, Running, Sidecar};
use acr_e2e_tests::wait::wait_until;
use acr_e2e_tests::{kubeconfig, paths};
use acr_fake_cloud::{FakeCloud, State};
use anyhow::{Context as _, Result};
use serde_json::json;

/// The access key of a RAM user. It opens nothing.
const KEY: (&str, &str) = ("LTAI5tEXAMPLEpuller", "EXAMPLE-secret-of-puller");

/// Life of the credentials, in seconds. A real cloud's live an hour; nobody would wait for one to be renewed.
pub(crate) const CREDENTIAL_SECONDS: i64 = 180;

/// A private image of the instance in [`CONFIGURATION`].
pub(crate) const IMAGE: &str = "example-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1";

/// The pull secret.
pub(crate) const PULL_SECRET: &str = "acr-credential-secret-aggregation";

/// What the sidecar is told.
pub(crate) const CONFIGURATION: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: acr-configuration
  namespace: kube-system
data:
  watch-namespace: default,team-*
  acr-registry-info: |
    - instanceId: cri-example
      regionId: cn-hangzhou
    # An instance of another account, by a role there.
    - instanceId: cri-other
      regionId: cn-hangzhou
      assumeRoleARN: acs:ram::2000000000000002:role/guest
";

/// A Deployment with a list of its own, which lacks the pull secret.
pub(crate) const REFUSED: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: shop, namespace: default}
spec:
  imagePullSecrets: [{name: my-registry}]
  containers: [{name: shop, image: example-registry.cn-hangzhou.cr.aliyuncs.com/team/shop:1}]
";

/// The fake cloud and the directory.
pub(crate) struct Desk {
    /// Judges every signature, and every login at the registry.
    pub(crate) cloud: FakeCloud,
    desk: desk::Desk,
}

impl Desk {
    /// Starts the cloud, and puts the files and programs of a user into the directory.
    pub(crate) async fn new() -> Result<Self> {
        let state = std::fs::read_to_string(paths::cloud_state("two-accounts"))?;
        let state = State::from_yaml(&state)?.patched(&json!({ "credentialSeconds": CREDENTIAL_SECONDS }))?;
        let cloud = FakeCloud::start(state).await.context("failed to start the fake cloud")?;
        let sidecar = Sidecar::new(&cloud)?.with_keys(KEY.0, KEY.1);
        sidecar.file("acr-configuration.yaml", CONFIGURATION)?;
        sidecar.file("refused.yaml", REFUSED)?;
        std::os::unix::fs::symlink(paths::manifests(), sidecar.directory().join("deploy"))
            .context("failed to link to the manifests")?;
        Ok(Self { cloud, desk: desk::Desk::new(sidecar, Some(KEY))? })
    }

    /// Where the commands are run.
    pub(crate) fn directory(&self) -> &Path {
        self.desk.sidecar.directory()
    }

    /// The administrator's kubeconfig, once there is a cluster.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.desk.kubeconfig()
    }

    /// The directory of the programs.
    pub(crate) fn programs(&self) -> PathBuf {
        self.desk.programs()
    }

    /// Runs a command as a shell does that was told where the programs and the cluster are.
    pub(crate) async fn sh(&self, command: &str) -> Result<Ended> {
        self.desk.sh(command).await
    }

    /// Starts a control plane with a registry and a node.
    pub(crate) async fn start_cluster(&self) -> Result<Cluster> {
        let images = ["team/web:1", "team/web:2"].map(str::to_owned).to_vec();
        let registry = Registry { cloud: self.cloud.url(), images, public_images: Vec::new() };
        let node = Node {
            hosts: vec!["*.aliyuncs.com".to_owned()],
            // A kubelet waits ten seconds before it tries again, and up to five minutes.
            pull_back_off: Duration::from_millis(500),
            pull_back_off_limit: Duration::from_secs(2),
            ..Node::default()
        };
        let cluster = Cluster::start_with(Options { registry: Some(registry), node: Some(node) }).await?;
        std::fs::copy(cluster.kubeconfig(), self.kubeconfig()).context("failed to copy the kubeconfig")?;
        wait_for_service_account(&cluster.client().await?, "default", "default").await?;
        Ok(cluster)
    }

    /// Starts the sidecar under its own account's token, and waits until it leads. The account has to be there.
    pub(crate) async fn start_sidecar(&self, cluster: &Cluster) -> Result<Running> {
        let account = "acr-credential-sidecar";
        let token = kubeconfig::of_account(cluster, "kube-system", account).await?;
        self.desk.sidecar.file("sidecar.kubeconfig", &token)?;
        let mut running = self.desk.sidecar.start(&["--kubeconfig=sidecar.kubeconfig", "--spread=0"])?;
        wait_until("the sidecar leads", PATIENCE, async || {
            let page = running.page("/readyz").await?;
            Ok(page.filter(|(_, text)| text.contains("leader: this replica writes")).map(|_| ()))
        })
        .await?;
        Ok(running)
    }
}

/// Puts the policies for [`CONFIGURATION`] into the cluster.
pub(crate) const APPLY_POLICIES: &str =
    "acr-credential-sidecar manifests --config acr-configuration.yaml | kubectl apply -f -";
