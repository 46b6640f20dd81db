//! What the commands of a page find: a cluster, a cloud with the rights that the page grants, and a directory like a clone of
//! this repository.

use std::time::Duration;

use acr_documentation::Page;
use acr_e2e_tests::cluster::{Cluster, Node, Options, Registry, wait_for_service_account};
use acr_e2e_tests::desk::{Desk, quoted};
use acr_e2e_tests::kubewarden::Kubewarden;
use acr_e2e_tests::paths;
use acr_e2e_tests::sidecar::{Ended, Sidecar};
use acr_fake_cloud::{FakeCloud, State};
use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use serde_json::{Value, json};

use super::kubelet::Kubelet;

/// Where the chart will be published.
const PUBLISHED_CHART: &str = "oci://ghcr.io/acr-credential-helper/charts/acr-credential-helper";

/// What is in the cluster before the first command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// The vendor's component, as far as one can see it: its configuration, its Secrets, its Deployment.
    VendorsComponent,
    /// The chart, with the values of `docs/install.md`.
    Installed,
    /// Nothing, but what this project publishes is in its registry; the module only where kwctl is, which pushes it.
    Published,
    /// The same, and the image is in the mirror.
    PublishedAndImageMirrored,
}

/// A reader's surroundings. Fields are dropped in this order.
pub struct Stage {
    kubelet: Kubelet,
    kubewarden: Kubewarden,
    cluster: Cluster,
    pub desk: Desk,
    cloud: FakeCloud,
}

impl Stage {
    pub async fn new(page: &Page, before: Before) -> Result<Self> {
        let text = std::fs::read_to_string(paths::cloud_state("two-accounts"))?;
        let in_it = State::from_yaml(&text)?.patched(&accounts())?.patched(&granted(page)?)?;
        let cloud = FakeCloud::start(in_it).await.context("failed to start the fake cloud")?;
        // No key: its identity is the role of the node, as ECS metadata hands it out.
        let desk = Desk::new(Sidecar::new(&cloud)?, None)?;
        for directory in ["charts", "deploy", "docs", "examples"] {
            let link = desk.sidecar.directory().join(directory);
            std::os::unix::fs::symlink(paths::repository().join(directory), link)
                .with_context(|| format!("failed to link to {directory}"))?;
        }
        desk.sidecar.file("access-key-id", CUSTOMER.0)?;
        desk.sidecar.file("access-key-secret", CUSTOMER.1)?;
        let cluster = start_cluster(&cloud, &desk, before).await?;
        let registry = cluster.registry().context("the cluster has no registry")?;
        registry_clients(&desk, registry)?;
        let kubewarden = Kubewarden::start(&cluster).await?;
        let mut stage = Self { kubelet: Kubelet::default(), kubewarden, cluster, desk, cloud };
        stage.prepare(before).await?;
        stage.settle().await?;
        Ok(stage)
    }

    /// Does what a cluster does after a command: its Pods run, its policies are in force.
    pub async fn settle(&mut self) -> Result<()> {
        self.kubelet.settle(&self.cluster, &self.cloud).await?;
        self.kubewarden.settle(&self.cluster).await
    }

    /// Runs a command, in a cluster that goes on meanwhile.
    pub async fn sh(&mut self, command: &str) -> Result<Ended> {
        let Self { desk, kubelet, cluster, cloud, .. } = self;
        // What a page has readers set once.
        let (user, password) = PUBLISHER.split_once(':').unwrap_or_default();
        let registry = cluster.registry().unwrap_or_default();
        let command =
            format!("MIRROR={registry}/mirror MIRROR_USER={user} MIRROR_PASSWORD={password}\n{command}");
        tokio::select! {
            ended = desk.sh(&command) => ended,
            failed = kubelet.attend(cluster, cloud) => Err(failed),
        }
    }

    async fn prepare(&self, before: Before) -> Result<()> {
        let client = self.cluster.client().await?;
        wait_for_service_account(&client, "default", "default").await?;
        match before {
            Before::Nothing => Ok(()),
            Before::VendorsComponent => self.prepare_vendors_component(&client).await,
            Before::Installed => self.install().await,
            Before::Published | Before::PublishedAndImageMirrored => self.publish().await,
        }
    }

    async fn install(&self) -> Result<()> {
        let page = Page::read("docs/install.md")?;
        let values = page.blocks().into_iter().find(|block| block.attribute("write") == Some("values.yaml"));
        self.desk.sidecar.file("values.yaml", &values.context("the page has no values")?.text)?;
        let command = "helm install acr-credential-helper charts/acr-credential-helper --namespace kube-system --values values.yaml";
        let ended = self.desk.sh(command).await?;
        ensure!(ended.code == Some(0), "{command}: {}", ended.stderr);
        Ok(())
    }

    /// Does what a release does, but for the image, which the registry has from the start.
    async fn publish(&self) -> Result<()> {
        let mut commands = vec![
            "helm package charts/acr-credential-helper --destination published",
            "helm push published/acr-credential-helper-0.1.0.tgz oci://ghcr.io/acr-credential-helper/charts",
        ];
        let module = quoted(&paths::policy_wasm()?.to_string_lossy());
        let metadata = quoted(&paths::repository().join("metadata.yml").to_string_lossy());
        let annotate = format!("kwctl annotate -m {metadata} -o published/policy.wasm {module}");
        if paths::on_path("kwctl").is_some() {
            commands.push(&annotate);
            commands.push(
                "kwctl push published/policy.wasm \
                 registry://ghcr.io/acr-credential-helper/acr-credential-helper-policy:v0.1.0",
            );
        }
        for command in commands {
            let ended = self.desk.sh(command).await?;
            ensure!(ended.code == Some(0), "{command}: {}{}", ended.stdout, ended.stderr);
        }
        Ok(())
    }

    async fn prepare_vendors_component(&self, client: &Client) -> Result<()> {
        let mut commands = vec![
            "kubectl create namespace team-a".to_owned(),
            "kubectl apply -f examples/vendor.yaml".to_owned(),
            "kubectl create deployment aliyun-acr-credential-helper -n kube-system \
             --image=registry.cn-hangzhou.aliyuncs.com/acs/aliyun-acr-credential-helper:v1"
                .to_owned(),
        ];
        commands.extend(["default", "kube-system", "team-a"].map(|namespace| {
            format!(
                "kubectl create secret docker-registry acr-credential-secret-aggregation -n {namespace} \
                 --field-manager=aliyun-acr-credential-helper --docker-username=cr_temp_user \
                 --docker-server=example-registry.cn-hangzhou.cr.aliyuncs.com --docker-password=EXAMPLE-password"
            )
        }));
        for command in commands {
            let ended = self.desk.sh(&command).await?;
            ensure!(ended.code == Some(0), "{command}: {}", ended.stderr);
        }
        wait_for_service_account(client, "team-a", "default").await
    }
}

/// The user of the registry who may push, with the password.
pub const PUBLISHER: &str = "seeder:EXAMPLE-seeder-password";

/// The access key of a RAM user in the other account. It opens nothing.
const CUSTOMER: (&str, &str) = ("LTAI5tEXAMPLEcustomer", "EXAMPLE-secret-of-customer");

/// What the pages need of the cloud besides its state.
fn accounts() -> Value {
    let (id, secret) = CUSTOMER;
    let everywhere = ["cn-beijing", "cn-hangzhou"];
    json!({ "accounts": {
        "1000000000000001": {
            "personal": everywhere,
            "instances": { "cri-0123456789abcdef": { "name": "demo" } },
        },
        "2000000000000002": {
            "personal": everywhere,
            "users": { "customer": { "accessKeys": { id: { "secret": secret } } } },
        },
    } })
}

/// The rights that a page grants, and nothing else to whom it grants some.
fn granted(page: &Page) -> Result<Value> {
    let mut patch = json!({});
    for block in page.blocks() {
        let Some(whose) = block.attribute("ram") else { continue };
        let document: Value = serde_json::from_str(&block.text).with_context(|| page.place(block.line))?;
        let [account, kind, name, what] = whose.split('/').collect::<Vec<_>>()[..] else {
            bail!("{}: ram={whose} is not ACCOUNT/KIND/NAME/WHAT", page.place(block.line));
        };
        let entry = &mut patch["accounts"][account][kind][name];
        match what {
            "trust" => entry["trust"] = document,
            "policy" => match entry["policies"].as_array_mut() {
                Some(policies) => policies.push(document),
                None => entry["policies"] = json!([document]),
            },
            _ => bail!("{}: ram={whose} is neither a policy nor a trust", page.place(block.line)),
        }
    }
    Ok(patch)
}

async fn start_cluster(cloud: &FakeCloud, desk: &Desk, before: Before) -> Result<Cluster> {
    let mut registry = Registry {
        cloud: cloud.url(),
        images: vec!["team/web:1".to_owned()],
        public_images: vec![
            "acr-credential-helper/acr-credential-sidecar:v0.1.0".to_owned(),
            "acs/aliyun-acr-credential-helper:v1".to_owned(),
        ],
    };
    if before == Before::PublishedAndImageMirrored {
        registry.images.push("mirror/acr-credential-sidecar:v0.1.0".to_owned());
    }
    let node = Node {
        hosts: vec!["*.aliyuncs.com".to_owned(), "ghcr.io".to_owned()],
        pull_back_off: Duration::from_millis(500),
        pull_back_off_limit: Duration::from_secs(2),
        ..Node::default()
    };
    let cluster = Cluster::start_with(Options { registry: Some(registry), node: Some(node) }).await?;
    std::fs::copy(cluster.kubeconfig(), desk.kubeconfig()).context("failed to copy the kubeconfig")?;
    Ok(cluster)
}

/// The clients of registries, with a home of their own and a login that may push. What is published is in this registry, which has no
/// TLS. Helm installs the chart of this repository in place of the published one.
fn registry_clients(desk: &Desk, registry: &str) -> Result<()> {
    let word = |path: &std::path::Path| quoted(&path.to_string_lossy());
    let login = STANDARD.encode(PUBLISHER);
    let logins = json!({ "auths": { registry: { "auth": login } } });
    let logins = desk.sidecar.file(".docker/config.json", &logins.to_string())?;
    let sources = desk.sidecar.file("sources.yml", &json!({ "insecure_sources": [registry] }).to_string())?;
    let home = format!("#!/bin/sh\nexport HOME={}\n", word(desk.sidecar.directory()));
    let published = |scheme: &str| {
        format!(
            "for word do shift; case $word in {scheme}://ghcr.io/*) word={scheme}://{registry}/${{word#*://ghcr.io/}} ;; esac; \
             set -- \"$@\" \"$word\"; done\n"
        )
    };
    let helm = format!(
        "{home}case $1 in pull | push) {} ;; *)\n\
         for word do shift; [ \"$word\" != {PUBLISHED_CHART} ] || word={}; set -- \"$@\" \"$word\"; done ;; esac\n\
         case $1 in pull | push | install | upgrade | template) set -- \"$@\" --plain-http ;; esac\n\
         exec {} \"$@\"\n",
        published("oci"),
        word(&paths::chart()),
        word(&paths::helm_binary()?),
    );
    desk.program("helm", &helm)?;
    if let Some(skopeo) = paths::on_path("skopeo") {
        let script = format!(
            "{home}export REGISTRY_AUTH_FILE={}\n{}\
             case $1 in copy) set -- \"$@\" --src-tls-verify=false --dest-tls-verify=false ;; esac\n\
             exec {} --insecure-policy \"$@\"\n",
            word(&logins),
            published("docker"),
            word(&skopeo),
        );
        desk.program("skopeo", &script)?;
    }
    if let Some(kwctl) = paths::on_path("kwctl") {
        let script = format!(
            "{home}{}case $1 in pull | push) set -- \"$@\" --sources-path {} ;; esac\nexec {} \"$@\"\n",
            published("registry"),
            word(&sources),
            word(&kwctl),
        );
        desk.program("kwctl", &script)?;
    }
    Ok(())
}
