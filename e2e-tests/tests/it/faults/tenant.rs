//! Attacks by tenants: accounts that hold the role `edit` in one namespace and nothing else.

use std::time::{Duration, Instant};

use acr_e2e_tests::cluster::{PATIENCE, apply, named_namespace};
use acr_e2e_tests::kubeconfig;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{LocalObjectReference, Namespace, ServiceAccount};
use kube::api::{DeleteParams, GetParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::sidecar::accounts::list;
use crate::sidecar::stage::{INSTANCE, LONG, Stage, logins, metric, until_leads, until_page, version};

/// What else happens in the cluster must not become slower than this by what a tenant does.
const SOON: Duration = Duration::from_secs(10);

/// What the attack on its memory may cost a sidecar, in MiB.
const MEMORY: u64 = 48;

/// Somebody who holds the role `edit` in one namespace.
pub struct Tenant {
    namespace: String,
    pub client: Client,
}

impl Tenant {
    pub async fn of(stage: &Stage, namespace: &str) -> Result<Self> {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "tenant", "namespace": namespace },
        });
        apply(&stage.client, &account).await?;
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": { "name": "tenant", "namespace": namespace },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit" },
            "subjects": [{ "kind": "ServiceAccount", "name": "tenant", "namespace": namespace }],
        });
        apply(&stage.client, &role).await?;
        let kubeconfig = kubeconfig::of_account(stage.cluster, namespace, "tenant").await?;
        let client =
            kubeconfig::client(&stage.sidecar.file(&format!("tenant-{namespace}"), &kubeconfig)?).await?;
        Ok(Self { namespace: namespace.to_owned(), client })
    }

    pub fn path(&self, resource: &str) -> Request {
        Request::new(format!("/api/v1/namespaces/{}/{resource}", self.namespace))
    }

    /// Sends an object as it is: no client of ours could read the answer.
    pub async fn create(&self, resource: &str, object: &Value) -> Result<()> {
        let request = self.path(resource).create(&PostParams::default(), serde_json::to_vec(object)?)?;
        self.client.request_text(request).await.with_context(|| format!("failed to create {resource}"))?;
        Ok(())
    }

    pub async fn patch(&self, resource: &str, name: &str, patch: &Value) -> Result<()> {
        let request = self.path(resource).patch(name, &PatchParams::default(), &Patch::Merge(patch))?;
        self.client
            .request_text(request)
            .await
            .with_context(|| format!("failed to change {resource}/{name}"))?;
        Ok(())
    }

    async fn get(&self, resource: &str, name: &str) -> Result<String> {
        let request = self.path(resource).get(name, &GetParams::default())?;
        self.client.request_text(request).await.with_context(|| format!("failed to get {resource}/{name}"))
    }

    /// Has an object say this of its managers, and makes sure that the API server keeps it.
    async fn poison(&self, resource: &str, name: &str, poison: &Value) -> Result<()> {
        self.patch(resource, name, &json!({ "metadata": { "managedFields": [poison] } })).await?;
        let (stored, what) = (self.get(resource, name).await?, mark(poison));
        ensure!(stored.contains(what), "the API server has not kept {what}: {stored}");
        Ok(())
    }

    /// The names in a service account's list.
    async fn list(&self, account: &str) -> Result<Vec<String>> {
        let account: Lists = serde_json::from_str(&self.get("serviceaccounts", account).await?)?;
        Ok(account.image_pull_secrets.into_iter().map(|entry| entry.name).collect())
    }
}

/// A service account without its metadata, which no common decoder could hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lists {
    #[serde(default)]
    image_pull_secrets: Vec<LocalObjectReference>,
}

/// What the API server shows of a poison.
fn mark(poison: &Value) -> &str {
    match poison["time"].as_str() {
        Some("9999-12-31T23:59:59-14:00") => "10000-01-01T13:59:59Z",
        Some(time) if time != HARMLESS => time,
        _ => DEEP,
    }
}

const HARMLESS: &str = "2026-01-01T00:00:00Z";
const DEEP: &str = r#"{"f:a":{"f:a":{"f:a":"#;

/// Dates and depths that the API server keeps, and that common decoders cannot hold.
fn poisons() -> [Value; 4] {
    let mut deep = json!({});
    for _ in 0..130 {
        deep = json!({ "f:a": deep });
    }
    let poison = |time: &str, fields: &Value| {
        json!({
            // A change of the time alone would be none to the API server.
            "manager": format!("tenant since {time}"), "operation": "Update", "apiVersion": "v1", "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    };
    [
        poison("9999-12-31T23:59:59Z", &json!({ "f:data": {} })),
        poison("9999-12-31T23:59:59-14:00", &json!({ "f:data": {} })),
        poison("0000-01-01T00:00:00Z", &json!({ "f:data": {} })),
        poison(HARMLESS, &deep),
    ]
}

/// Makes Secrets of the pull secret's name that common clients cannot decode, in namespaces that are not managed.
pub async fn poison_elsewhere(stage: &Stage) -> Result<()> {
    for (at, poison) in poisons().iter().enumerate() {
        let name = format!("x{at}-{}", stage.name);
        named_namespace(&stage.client, &name, &[]).await?;
        let tenant = Tenant::of(stage, &name).await?;
        let metadata = json!({ "name": stage.name });
        let secret =
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": { "a": "b" } });
        tenant.create("secrets", &secret).await?;
        tenant.poison("secrets", &stage.name, poison).await?;
    }
    Ok(())
}

/// Waits until a change of another tenant's is repaired. Returns how long it took.
async fn repaired(stage: &Stage, namespace: &str) -> Result<Duration> {
    let before = stage.pull_secret(namespace).await?.context("it has no pull secret")?;
    let start = Instant::now();
    stage.tamper(namespace, &json!({ "data": { ".dockerconfigjson": "e30=" } })).await?;
    stage.until(namespace, "is repaired", LONG, |secret| logins(secret) == logins(&before)).await?;
    Ok(start.elapsed())
}

#[tokio::test]
async fn secrets_that_no_client_can_decode_stop_nobody_else() -> Result<()> {
    let stage = Stage::new("poison-").await?;
    let (managed, victim) = (stage.namespace("a").await?, stage.namespace("b").await?);
    stage.configure(INSTANCE, &[]).await?;
    let mut sidecar = stage.started(&[]).await?;
    for namespace in [&managed, &victim] {
        stage.until_filled(namespace).await?;
    }
    // Namespaces that the sidecar has nothing to do with, and one that it has.
    poison_elsewhere(&stage).await?;
    let tenant = Tenant::of(&stage, &managed).await?;
    for poison in &poisons() {
        tenant.patch("secrets", &stage.name, &json!({ "metadata": { "managedFields": [poison] } })).await?;
    }
    let new = stage.namespace("c").await?;
    let start = Instant::now();
    stage.until_filled(&new).await?;
    let took = [start.elapsed(), repaired(&stage, &victim).await?];
    assert!(took.iter().all(|took| *took < SOON), "others wait: {took:?}");
    // It has taken the Secret from us as well, and that is repaired, whatever its managers are said to be.
    wait_until("it is ours again", LONG, async || {
        let secret = tenant.get("secrets", &stage.name).await?;
        Ok(secret.contains(r#"{"manager":"acr-credential-sidecar","operation":"Apply""#).then_some(()))
    })
    .await?;
    let page = until_page(&mut sidecar, "/metrics", "there are metrics", |status, _| status == 200).await?;
    assert_eq!(metric(&page, "watch_failures_total", &[]), 0, "{page}");
    assert_eq!(metric(&page, "unreadable_objects_total", &[]), 0, "{page}");

    sidecar.kill().await?;
    let mut sidecar = stage.start(&[])?;
    until_leads(&mut sidecar).await?;
    let newest = stage.namespace("d").await?;
    stage.until_filled(&newest).await?;

    let status = stage.run_as_admin(&["status", "--output=json"]).await?;
    let document: Value = serde_json::from_str(&status.stdout).context(status.stderr)?;
    assert_eq!(document["namespaces"]["fresh"], 4, "{document}");
    sidecar.stop().await?;
    let cleanup = stage.run_as_admin(&["cleanup", "--yes"]).await?;
    assert_eq!(cleanup.code, Some(0), "{}{}", cleanup.stdout, cleanup.stderr);
    assert!(stage.pull_secret(&managed).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn service_accounts_that_no_client_can_decode_stop_nobody_else() -> Result<()> {
    let stage = Stage::that_attaches("poisoned-").await?;
    let namespace = stage.namespace("a").await?;
    let elsewhere = format!("x-{}", stage.name);
    named_namespace(&stage.client, &elsewhere, &[]).await?;
    let (inside, outside) = (Tenant::of(&stage, &namespace).await?, Tenant::of(&stage, &elsewhere).await?);
    for tenant in [&inside, &outside] {
        for (at, poison) in poisons().iter().enumerate() {
            let name = format!("poison-{at}");
            let metadata = json!({ "name": name });
            let entries = json!([{ "name": stage.name }, { "name": "mine" }]);
            let account = json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "imagePullSecrets": entries,
            });
            tenant.create("serviceaccounts", &account).await?;
            tenant.poison("serviceaccounts", &name, poison).await?;
        }
    }
    stage.configure(INSTANCE, &[("attach", "both"), ("service-account", "*")]).await?;
    let mut sidecar = stage.started(&[]).await?;
    let ours = [stage.name.as_str()];
    let is_attached = async || Ok((inside.list("default").await? == ours).then_some(()));
    wait_until("the entry is there", PATIENCE, is_attached).await?;
    for poison in &poisons() {
        inside.poison("serviceaccounts", "default", poison).await?;
    }
    inside.patch("serviceaccounts", "default", &json!({ "imagePullSecrets": null })).await?;
    wait_until("it is there again", LONG, is_attached).await?;
    sidecar.stop().await?;
    let cleanup = stage.run_as_admin(&["cleanup", "--yes"]).await?;
    assert_eq!(cleanup.code, Some(0), "{}{}", cleanup.stdout, cleanup.stderr);
    for tenant in [&inside, &outside] {
        for at in 0..poisons().len() {
            assert_eq!(tenant.list(&format!("poison-{at}")).await?, ["mine"]);
        }
    }
    Ok(())
}

/// The most memory that a process has had, in MiB.
fn peak(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel tells no peak")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024)
}

#[tokio::test]
async fn what_tenants_write_costs_little_memory() -> Result<()> {
    let stage = Stage::that_attaches("large-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[("attach", "both")]).await?;
    let mut sidecar = stage.started(&[]).await?;
    let first = stage.until_filled(&namespace).await?;
    let before = peak(sidecar.id()?)?;

    let mut strangers = Vec::new();
    for at in 0..30 {
        let name = format!("x{at}-{}", stage.name);
        named_namespace(&stage.client, &name, &[]).await?;
        let tenant = Tenant::of(&stage, &name).await?;
        let labels: serde_json::Map<_, _> = (0..3000)
            .map(|label| (format!("{}.example/{label:0>60}", "x".repeat(200)), "x".repeat(63).into()))
            .collect();
        let metadata = json!({ "name": stage.name, "labels": labels });
        tenant
            .create("secrets", &json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata }))
            .await?;
        for account in 0..2 {
            let entries: Vec<_> =
                (0..4500).map(|entry| json!({ "name": format!("{entry:0>250}") })).collect();
            let metadata = json!({ "name": format!("large-{account}") });
            let account = json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "imagePullSecrets": entries,
            });
            tenant.create("serviceaccounts", &account).await?;
        }
        strangers.push(name);
    }
    let took = repaired(&stage, &namespace).await?;
    assert!(took < SOON, "others wait: {took:?}");
    let by_events = peak(sidecar.id()?)?;
    sidecar.kill().await?;
    let mut sidecar = stage.start(&[])?;
    until_leads(&mut sidecar).await?;
    let new = stage.namespace("b").await?;
    stage.until_filled(&new).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), &new);
    wait_until("accounts are listed", PATIENCE, async || {
        Ok((list(&accounts).await? == [stage.name.as_str()]).then_some(()))
    })
    .await?;
    let by_lists = peak(sidecar.id()?)?;
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    for name in &strangers {
        namespaces.delete(name, &DeleteParams::default()).await?;
    }
    assert!(
        by_events.max(by_lists) <= before + MEMORY,
        "{before} MiB before, {by_events} by events, {by_lists} by lists"
    );
    assert_ne!(version(&first), version(&stage.until_filled(&namespace).await?), "it was repaired");
    Ok(())
}

#[tokio::test]
async fn a_list_that_is_too_long_is_left_alone_and_named() -> Result<()> {
    let stage = Stage::that_attaches("long-").await?;
    let namespace = stage.namespace("a").await?;
    let tenant = Tenant::of(&stage, &namespace).await?;
    let entries: Vec<_> = (0..101).map(|entry| json!({ "name": format!("mine-{entry}") })).collect();
    tenant.patch("serviceaccounts", "default", &json!({ "imagePullSecrets": entries })).await?;
    stage.configure(INSTANCE, &[("attach", "both")]).await?;
    let _sidecar = stage.started(&[]).await?;
    let note = stage.until_event(&namespace, "PullSecretListTooLong", LONG).await?;
    assert!(note.contains("shorten the list, or add"), "{note}");
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), &namespace);
    assert_eq!(list(&accounts).await?.len(), 101);
    Ok(())
}
