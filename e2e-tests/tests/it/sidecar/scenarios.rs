//! The scenarios of the documentation of the component that this project replaces, with its configurations: the files in
//! `examples/`, whose placeholders are filled in.

use acr_e2e_tests::cluster::{self, PATIENCE};
use acr_e2e_tests::installation::pod;
use acr_e2e_tests::manifests::Manifests;
use acr_e2e_tests::paths;
use anyhow::{Context as _, Result};
use serde_json::json;

use super::pods::{inject, runs, until_pod};
use super::stage::{Identity, Stage, logins};
use crate::support::create;

const EXAMPLE: [&str; 3] = [
    "example-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
    "example-registry.cn-hangzhou.cr.aliyuncs.com",
    "images.example.test",
];
const OTHER: [&str; 2] =
    ["other-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "other-registry.cn-hangzhou.cr.aliyuncs.com"];
const BEIJING: [&str; 2] =
    ["beijing-registry-vpc.cn-beijing.cr.aliyuncs.com", "beijing-registry.cn-beijing.cr.aliyuncs.com"];

/// The hosts of Personal Edition.
fn personal(region: &str) -> Vec<String> {
    let names = ["", "-internal", "-vpc", "-intl", "-intl-internal", "-intl-vpc"];
    names.iter().map(|name| format!("registry{name}.{region}.aliyuncs.com")).collect()
}

fn owned(hosts: &[&str]) -> Vec<String> {
    hosts.iter().map(|host| (*host).to_owned()).collect()
}

/// The configuration goes in, a Secret with these hosts comes out, and a Pod of each host that the node reaches runs.
async fn works(file: &str, identity: Identity, mut hosts: Vec<String>) -> Result<()> {
    let stage = Stage::with_registry("scenario-", identity).await?;
    let namespace = stage.namespace("a").await?;
    let _policy = inject(&stage, &[&namespace]).await?;
    let path = paths::repository().join("examples").join(file);
    let mut configuration = Manifests::read_file(&path)?.objects;
    let configuration = configuration.first_mut().context("the file is empty")?;
    configuration["metadata"]["namespace"] = json!(stage.name);
    cluster::apply(&stage.client, configuration).await?;

    let _sidecar = stage.started(&[]).await?;
    let secret = stage
        .until(&namespace, "has as many hosts as it should", PATIENCE, |secret| {
            logins(secret).len() == hosts.len()
        })
        .await?;
    hosts.sort();
    assert_eq!(logins(&secret).into_keys().collect::<Vec<_>>(), hosts);

    // The registry asks the cloud whether the password is good for the host.
    let reached = hosts.iter().filter(|host| host.ends_with(".aliyuncs.com"));
    let pods: Vec<_> = reached.enumerate().map(|(at, host)| (format!("pod-{at}"), host)).collect();
    assert!(!pods.is_empty());
    for (name, host) in &pods {
        let mut pod = pod(&namespace, name, &[]);
        pod["spec"]["containers"][0]["image"] = json!(format!("{host}/team/web:1"));
        create(&stage.client, &pod, false).await?.map_err(anyhow::Error::msg)?;
    }
    for (name, _) in &pods {
        until_pod(&stage, &namespace, name, "runs", runs).await?;
    }
    Ok(())
}

#[tokio::test]
async fn personal_and_enterprise_edition_side_by_side() -> Result<()> {
    let hosts = [personal("cn-hangzhou"), owned(&EXAMPLE)].concat();
    works("1-personal-and-enterprise.yaml", Identity::Node, hosts).await
}

#[tokio::test]
async fn an_instance_of_the_clusters_own_account_by_the_role_of_the_nodes() -> Result<()> {
    works("2-own-account.yaml", Identity::Node, owned(&EXAMPLE[1..])).await
}

#[tokio::test]
async fn instances_in_two_regions() -> Result<()> {
    let hosts = [owned(&BEIJING), owned(&EXAMPLE)].concat();
    works("3-two-regions.yaml", Identity::Node, hosts).await
}

#[tokio::test]
async fn personal_edition_in_two_regions() -> Result<()> {
    let hosts = [personal("cn-beijing"), personal("cn-hangzhou")].concat();
    works("3-two-regions-personal.yaml", Identity::Node, hosts).await
}

#[tokio::test]
async fn registries_of_another_account_by_a_role_there() -> Result<()> {
    let hosts = [owned(&["registry.cn-beijing.aliyuncs.com"]), owned(&OTHER)].concat();
    works("4-other-account-by-role.yaml", Identity::Node, hosts).await
}

#[tokio::test]
async fn registries_of_another_account_by_the_key_of_a_user_there() -> Result<()> {
    let hosts = [personal("cn-hangzhou"), owned(&OTHER)].concat();
    works("4-other-account-by-key.yaml", Identity::Node, hosts).await
}

#[tokio::test]
async fn a_registry_of_another_account_by_rrsa() -> Result<()> {
    works("4-other-account-by-rrsa.yaml", Identity::Rrsa, owned(&OTHER[1..])).await
}
