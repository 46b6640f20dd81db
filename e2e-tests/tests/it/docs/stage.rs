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
        desk.program("helm", &helm(&desk)?)?;
        let cluster = start_cluster(&cloud, &desk).await?;
        let kubewarden = Kubewarden::start(&cluster).await?;
        let stage = Self { kubelet: Kubelet::default(), kubewarden, cluster, desk, cloud };
        stage.prepare(before).await?;
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
        tokio::select! {
            ended = desk.sh(command) => ended,
            failed = kubelet.attend(cluster, cloud) => Err(failed),
        }
    }

    async fn prepare(&self, before: Before) -> Result<()> {
        let client = self.cluster.client().await?;
        wait_for_service_account(&client, "default", "default").await?;
        if before == Before::Nothing {
            return Ok(());
        }
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
        wait_for_service_account(&client, "team-a", "default").await
    }
}

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

async fn start_cluster(cloud: &FakeCloud, desk: &Desk) -> Result<Cluster> {
    let registry = Registry {
        cloud: cloud.url(),
        images: vec!["team/web:1".to_owned()],
        public_images: vec![
            "acr-credential-helper/acr-credential-sidecar:v0.1.0".to_owned(),
            "acs/aliyun-acr-credential-helper:v1".to_owned(),
        ],
    };
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

/// Helm, with the chart of this repository in place of the published one, and with a home of its own.
fn helm(desk: &Desk) -> Result<String> {
    let word = |path: &std::path::Path| quoted(&path.to_string_lossy());
    Ok(format!(
        "#!/bin/sh\n\
         export HOME={}\n\
         for word do shift; [ \"$word\" != {PUBLISHED_CHART} ] || word={}; set -- \"$@\" \"$word\"; done\n\
         exec {} \"$@\"\n",
        word(desk.sidecar.directory()),
        word(&paths::chart()),
        word(&paths::helm_binary()?),
    ))
}
