//! Tenants who make noise: in Events and logs, on what is to be removed, and in what they fight over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use acr_e2e_tests::cluster::{PATIENCE, named_namespace};
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::tenant::Tenant;
use crate::sidecar::accounts::list;
use crate::sidecar::stage::{INSTANCE, LONG, Stage, annotation, logins, metric, until_page};

/// A tenant who patches one object again and again, until told to stop.
pub struct Noise {
    stop: Arc<AtomicBool>,
    patches: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Noise {
    /// `change` makes the patch out of its number. Each goes under another name of a manager.
    pub fn start(
        tenant: &Tenant,
        resource: &'static str,
        name: &str,
        change: impl Fn(usize) -> Value + Send + 'static,
    ) -> Self {
        let (stop, patches) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&patches));
        let (client, path, name) = (tenant.client.clone(), tenant.path(resource), name.to_owned());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let manager = Some(format!("noise-{number}"));
                let parameters = PatchParams { field_manager: manager, ..PatchParams::default() };
                if let Ok(patch) = path.patch(&name, &parameters, &Patch::Merge(change(number))) {
                    // It may be gone.
                    client.request_text(patch).await.ok();
                }
            }
        });
        Self { stop, patches, task }
    }

    pub fn patches(&self) -> usize {
        self.patches.load(Ordering::Relaxed)
    }

    /// Returns when the last patch is answered.
    pub async fn end(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?;
        Ok(self.patches.load(Ordering::Relaxed))
    }
}

const FORGED: &str = r#"{"auths":{"forged.example":{"username":"u","password":"p","auth":"dTpw"}}}"#;

fn tampered(number: usize) -> Value {
    json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": format!("noise-{number}") } }, "data": { ".dockerconfigjson": "e30=" } })
}

/// The warnings in a log that name a namespace.
fn warnings(log: &str, namespace: &str) -> usize {
    let is_told = |line: &&str| line.contains(namespace) && (line.contains("WARN") || line.contains("ERROR"));
    log.lines().filter(is_told).count()
}

#[tokio::test]
async fn tenants_who_make_noise_drown_nobody() -> Result<()> {
    let stage = Stage::new("noise-").await?;
    let (loud, quiet) = (stage.namespace("a").await?, stage.namespace("b").await?);
    let tenant = Tenant::of(&stage, &loud).await?;
    let foreign = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": stage.name } });
    tenant.create("secrets", &foreign).await?;
    stage.configure(INSTANCE, &[]).await?;
    let sidecar = stage.started(&[]).await?;
    stage.until_filled(&quiet).await?;
    // Who wrote last is named, so that the text is another one each time.
    let annotate = |number: usize| json!({ "metadata": { "annotations": { "noise": number.to_string() } } });
    let noise = Noise::start(&tenant, "secrets", &stage.name, annotate);
    wait_until("there is noise", LONG, async || Ok((noise.patches() > 1000).then_some(()))).await?;

    stage.configure("- instanceId: wrong\n", &[]).await?;
    stage.until_event(&stage.name, "ConfigurationInvalid", PATIENCE).await?;
    stage.tamper(&quiet, &json!({ "data": { ".dockerconfigjson": "e30=" } })).await?;
    stage.until_event(&quiet, "PullSecretRepaired", PATIENCE).await?;
    let (patches, log) = (noise.end().await?, sidecar.log()?);
    let (lines, events) = (warnings(&log, &loud), stage.events(&loud).await?.len());
    assert!((1..=10).contains(&lines), "{lines} lines about {patches} patches");
    assert!((1..=10).contains(&events), "{events} Events about {patches} patches");
    Ok(())
}

#[tokio::test]
async fn what_was_fought_over_is_repaired_soon_after_the_fight() -> Result<()> {
    // The pauses grow as 1, 2, 4, … s: at this moment, the one that has begun after 31 s has half a minute left.
    const FIGHT: Duration = Duration::from_secs(36);
    let stage = Stage::new("fight-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let sidecar = stage.started(&[]).await?;
    let before = logins(&stage.until_filled(&namespace).await?);
    let tenant = Tenant::of(&stage, &namespace).await?;
    let noise = Noise::start(&tenant, "secrets", &stage.name, tampered);
    tokio::time::sleep(FIGHT).await;
    let (patches, stopped) = (noise.end().await?, Instant::now());
    stage.until(&namespace, "is repaired", LONG, |secret| logins(secret) == before).await?;
    let took = stopped.elapsed();
    assert!(took < Duration::from_secs(15), "the repair came {took:?} after the last of {patches} patches");
    // It is said once the write is answered, which is after its result can be seen.
    let told = || Ok(Some(warnings(&sidecar.log()?, &namespace)).filter(|lines| *lines > 0));
    let lines = wait_until("the repair is said", PATIENCE, async || told()).await?;
    assert!(lines <= 10, "{lines} lines about {patches} patches");
    Ok(())
}

#[tokio::test]
async fn tenants_who_hold_up_a_cleanup_fail_it_for_nobody_and_are_named() -> Result<()> {
    let stage = Stage::that_attaches("holdup-").await?;
    let (loud, held, quiet) =
        (stage.namespace("a").await?, stage.namespace("b").await?, stage.namespace("c").await?);
    stage.configure(INSTANCE, &[("attach", "both")]).await?;
    let mut sidecar = stage.started(&[]).await?;
    for namespace in [&loud, &held, &quiet] {
        stage.until_filled(namespace).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), namespace);
        wait_until("the entry is there", PATIENCE, async || {
            Ok((list(&accounts).await? == [stage.name.as_str()]).then_some(()))
        })
        .await?;
    }
    sidecar.stop().await?;
    let tenant = Tenant::of(&stage, &held).await?;
    tenant
        .patch("secrets", &stage.name, &json!({ "metadata": { "finalizers": ["example.com/hold"] } }))
        .await?;
    let tenant = Tenant::of(&stage, &loud).await?;
    let annotate = |number: usize| json!({ "metadata": { "annotations": { "noise": number.to_string() } } });
    let noise = [
        Noise::start(&tenant, "secrets", &stage.name, annotate),
        Noise::start(&tenant, "serviceaccounts", "default", annotate),
    ];
    let cleanup = stage.run_as_admin(&["cleanup", "--yes"]).await?;
    for noise in noise {
        assert!(noise.end().await? > 0);
    }
    assert_eq!(cleanup.code, Some(0), "{}{}", cleanup.stdout, cleanup.stderr);
    let held_by =
        format!("Secret {held}/{}: is being deleted, held by the finalizer example.com/hold", stage.name);
    assert!(cleanup.stderr.contains(&held_by), "{}", cleanup.stderr);
    assert!(stage.pull_secret(&loud).await?.is_none() && stage.pull_secret(&quiet).await?.is_none());
    for namespace in [&loud, &held, &quiet] {
        let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), namespace);
        assert_eq!(list(&accounts).await?, [""; 0]);
    }
    let tenant = Tenant::of(&stage, &held).await?;
    tenant.patch("secrets", &stage.name, &json!({ "metadata": { "finalizers": null } })).await?;
    Ok(())
}

/// Each mark can be forged: the label by anybody, and the manager by whoever gives himself our name.
#[tokio::test]
async fn what_bears_one_mark_of_ours_alone_is_deleted_in_no_namespace_that_is_not_managed() -> Result<()> {
    let stage = Stage::new("marks-").await?;
    let elsewhere = format!("x-{}", stage.name);
    named_namespace(&stage.client, &elsewhere, &[]).await?;
    let deselected = stage.namespace("b").await?;
    let vendors = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": { "name": stage.name, "labels": { "app.kubernetes.io/managed-by": "acr-credential-sidecar" } },
        "stringData": { ".dockerconfigjson": "{\"auths\":{}}" },
    });
    let secrets: Api<Secret> = stage.secrets(&elsewhere);
    secrets.patch(&stage.name, &PatchParams::apply("the-vendor"), &Patch::Apply(&vendors)).await?;
    stage.configure(INSTANCE, &[]).await?;
    let mut sidecar = stage.started(&[]).await?;
    stage.until_event(&elsewhere, "ForeignPullSecret", PATIENCE).await?;

    stage.until_filled(&deselected).await?;
    let managed = |count| move |_, body: &str| metric(body, "managed_namespaces", &[]) == count;
    until_page(&mut sidecar, "/metrics", "one namespace is managed", managed(1)).await?;
    stage.configure(INSTANCE, &[("watch-namespace", "nowhere")]).await?;
    // Otherwise a label that is taken off is put back, as in any managed namespace.
    until_page(&mut sidecar, "/metrics", "none is managed", managed(0)).await?;
    stage.tamper(&deselected, &json!({ "metadata": { "labels": null } })).await?;
    let note = stage.until_event(&deselected, "ForeignPullSecret", PATIENCE).await?;
    assert!(note.contains("only one mark of acr-credential-sidecar"), "{note}");
    sidecar.stop().await?;
    let cleanup = stage.run_as_admin(&["cleanup", "--yes"]).await?;
    assert_eq!(cleanup.code, Some(0), "{}{}", cleanup.stdout, cleanup.stderr);
    for namespace in [&elsewhere, &deselected] {
        assert!(stage.pull_secret(namespace).await?.is_some(), "it was deleted in {namespace}");
        let named = format!("! Secret {namespace}/{}: left alone", stage.name);
        assert!(cleanup.stderr.contains(&named), "{}", cleanup.stderr);
    }
    secrets.delete(&stage.name, &DeleteParams::default()).await?;
    Ok(())
}

#[tokio::test]
async fn what_was_forged_while_no_sidecar_was_there_goes_with_the_next_mint() -> Result<()> {
    let stage = Stage::new("forged-").await?;
    // Renewed after a third of its life.
    stage.cloud().patch(&json!({ "credentialSeconds": 240 }))?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[("expiring-threshold", "3m")]).await?;
    let mut sidecar = stage.started(&[]).await?;
    let good = stage.until_filled(&namespace).await?;
    stage.until_state_is_written().await?;
    sidecar.stop().await?;

    let in_23_hours = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(23);
    let forged = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {
            "name": stage.name,
            "labels": { "app.kubernetes.io/managed-by": "acr-credential-sidecar" },
            "annotations": {
                "acr-credential-helper.io/hash": "0".repeat(64),
                "acr-credential-helper.io/expires-at": in_23_hours.to_string(),
                "acr-credential-helper.io/inputs": annotation(&good, "inputs"),
                "acr-credential-helper.io/registries": annotation(&good, "registries"),
            },
        },
        "data": { ".dockerconfigjson": STANDARD.encode(FORGED) },
    });
    let tenant = Tenant::of(&stage, &namespace).await?;
    let secrets: Api<Secret> = Api::namespaced(tenant.client.clone(), &namespace);
    let params = PatchParams::apply("acr-credential-sidecar").force();
    secrets.patch(&stage.name, &params, &Patch::Apply(&forged)).await?;
    let mints = stage.mints();
    let mut sidecar = stage.started(&[]).await?;
    let forged = stage.pull_secret(&namespace).await?.context("it is gone")?;
    assert!(logins(&forged).contains_key("forged.example"), "it is not given up for what is older");
    stage
        .until(&namespace, "is ours again", Duration::from_mins(4), |secret| {
            logins(secret).keys().all(|host| host != "forged.example")
        })
        .await
        .with_context(|| sidecar.log().unwrap_or_default())?;
    assert_eq!(stage.mints(), mints + 1, "a tenant causes no mint");
    sidecar.stop().await?;
    Ok(())
}
