//! `deploy/sidecar-fence.yaml`: what holds the sidecar's account back where its rights do not, and does not hold back
//! `run`.

use std::fmt::Debug;

use acr_e2e_tests::cluster::{PATIENCE, apply};
use acr_e2e_tests::grants::ACCOUNT;
use acr_e2e_tests::manifests::Manifests;
use acr_e2e_tests::paths;
use acr_e2e_tests::wait::wait_until;
use anyhow::Result;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::accounts::{list, with_a_list_of_its_own};
use super::stage::{INSTANCE, LONG, Stage, logins};

const OTHER_SECRET: &str = "the sidecar may create, change or delete only the pull secret and its own state";
const TYPE: &str = "the pull secret must have the type kubernetes.io/dockerconfigjson";
const STATE_TYPE: &str = "the state must have the type Opaque";
const LABEL: &str = "a Secret of the sidecar must have the label";
const FOREIGN: &str = "the sidecar may delete only its own Secrets";
const TAKE_OVER: &str = "the sidecar may not take over a Secret that others created";
const KEPT: &str = "the sidecar may not make a Secret immutable, or change its finalizers or its owners";
const NO_ACCOUNT: &str = "the sidecar may not create or delete a service account";
const ENTRIES: &str = "the sidecar may not change or reorder the other entries in a list of pull secrets";
const REST: &str = "the sidecar may change only the list of pull secrets of a service account";

const STATE: &str = "acr-credential-sidecar-state";
const DOCKER_CONFIG: &str = "kubernetes.io/dockerconfigjson";

/// Puts up the fence with the names of this stage, and waits until the API server obeys it.
async fn put_up(stage: &Stage, attaches: bool) -> Result<()> {
    let text = std::fs::read_to_string(paths::manifests().join("sidecar-fence.yaml"))?;
    let (account, own) = (format!(":kube-system:{ACCOUNT}"), "request.namespace == 'kube-system'");
    assert!(text.contains(&account) && text.contains(own), "the fence has other names");
    let text = text
        .replace(&account, &format!(":{}:{ACCOUNT}", stage.name))
        .replace(own, &format!("request.namespace == '{}'", stage.name))
        .replace("acr-credential-secret-aggregation", &stage.name)
        .replace("acr-credential-sidecar-secrets", &format!("{}-secrets", stage.name))
        .replace("acr-credential-sidecar-serviceaccounts", &format!("{}-serviceaccounts", stage.name));
    for object in Manifests::parse(&text)?.objects {
        apply(&stage.client, &object).await?;
    }
    // Writes that the rights allow, and that would change nothing.
    let client = stage.client_of_sidecar().await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &stage.name);
    let accounts: Api<ServiceAccount> = Api::namespaced(client, &stage.name);
    let unlabelled = Patch::Apply(secret(&stage.name, DOCKER_CONFIG, None));
    let annotated = Patch::Merge(json!({ "metadata": { "annotations": { "x": "y" } } }));
    wait_until("the fence is up", PATIENCE, async || {
        let by_secret =
            said(&secrets.patch(&stage.name, &PatchParams::apply("x").dry_run(), &unlabelled).await);
        let by_account = said(&accounts.patch("default", &dry(), &annotated).await);
        let is_up = by_secret.contains(LABEL) && (!attaches || by_account.contains(REST));
        Ok(is_up.then_some(()))
    })
    .await
}

fn dry() -> PatchParams {
    PatchParams { dry_run: true, ..PatchParams::default() }
}

fn said<T>(outcome: &kube::Result<T>) -> String {
    match outcome {
        Err(kube::Error::Api(status)) => status.message.clone(),
        _ => String::new(),
    }
}

/// A Secret with the label that says who looks after it.
fn secret(name: &str, kind: &str, managed_by: Option<&str>) -> Value {
    let data = if kind == DOCKER_CONFIG { json!({ ".dockerconfigjson": "e30=" }) } else { json!({}) };
    let labels = managed_by.map(|by| json!({ "app.kubernetes.io/managed-by": by }));
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "labels": labels.unwrap_or_default() },
        "type": kind,
        "data": data,
    })
}

#[track_caller]
fn refused<T: Debug>(what: &str, outcome: &kube::Result<T>, why: &str) {
    match outcome {
        Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains(why) => {}
        other => panic!("{what} is not refused because {why}: {other:?}"),
    }
}

/// Gives the sidecar's account every right there is.
async fn widen(stage: &Stage) -> Result<()> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": format!("{}-everything", stage.name) },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": stage.name }],
    });
    apply(&stage.client, &binding).await?;
    let secrets: Api<Secret> = Api::namespaced(stage.client_of_sidecar().await?, &stage.name);
    wait_until("the account may do everything", PATIENCE, async || {
        Ok(secrets.list(&ListParams::default()).await.ok().map(|_| ()))
    })
    .await
}

#[tokio::test]
async fn of_secrets_only_the_pull_secret_and_the_state_can_be_written() -> Result<()> {
    let stage = Stage::new("fenced-").await?;
    let (namespace, foreign) = (stage.namespace("a").await?, stage.namespace("b").await?);
    put_up(&stage, false).await?;
    widen(&stage).await?;
    let (ours, name) = (Some("acr-credential-sidecar"), stage.name.as_str());
    for (namespace, object) in [
        (&namespace, secret("mine", "Opaque", ours)),
        (&foreign, secret(name, DOCKER_CONFIG, Some("somebody"))),
    ] {
        let mut object = object;
        object["metadata"]["namespace"] = json!(namespace);
        apply(&stage.client, &object).await?;
    }

    let client = stage.client_of_sidecar().await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let foreign: Api<Secret> = Api::namespaced(client.clone(), &foreign);
    let own: Api<Secret> = Api::namespaced(client, name);
    let force = PatchParams::apply("acr-credential-sidecar").force();
    let write = async |api: &Api<Secret>, object: Value| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        api.patch(&name, &force, &Patch::Apply(object)).await
    };
    let delete = DeleteParams::default();

    refused("another Secret", &write(&secrets, secret("other", DOCKER_CONFIG, ours)).await, OTHER_SECRET);
    let mut generated = secret("", DOCKER_CONFIG, ours);
    generated["metadata"] = json!({ "generateName": name, "labels": generated["metadata"]["labels"] });
    let generated: Secret = serde_json::from_value(generated)?;
    let posted = secrets.create(&PostParams::default(), &generated).await;
    refused("a Secret whose name is generated", &posted, OTHER_SECRET);
    refused(
        "a change of another Secret",
        &write(&secrets, secret("mine", "Opaque", ours)).await,
        OTHER_SECRET,
    );
    refused("deleting another Secret", &secrets.delete("mine", &delete).await, OTHER_SECRET);
    let all = secrets.delete_collection(&delete, &ListParams::default()).await;
    refused("deleting all Secrets", &all, OTHER_SECRET);
    refused("a state elsewhere", &write(&secrets, secret(STATE, "Opaque", ours)).await, OTHER_SECRET);
    refused("a state of another type", &write(&own, secret(STATE, DOCKER_CONFIG, ours)).await, STATE_TYPE);
    refused("a pull secret of another type", &write(&secrets, secret(name, "Opaque", ours)).await, TYPE);
    refused("one without the label", &write(&secrets, secret(name, DOCKER_CONFIG, None)).await, LABEL);
    refused("deleting somebody's Secret", &foreign.delete(name, &delete).await, FOREIGN);

    write(&own, secret(STATE, "Opaque", ours)).await?;
    write(&secrets, secret(name, DOCKER_CONFIG, ours)).await?;
    let unlabel = Patch::Merge(json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": null } } }));
    refused("taking the label off", &secrets.patch(name, &PatchParams::default(), &unlabel).await, LABEL);
    let owner = json!([{ "apiVersion": "v1", "kind": "Secret", "name": "x", "uid": "x" }]);
    for (what, more) in [
        ("an immutable pull secret", json!({ "immutable": true })),
        ("a finalizer", json!({ "metadata": { "finalizers": ["example.test/x"] } })),
        ("an owner", json!({ "metadata": { "ownerReferences": owner } })),
    ] {
        refused(what, &secrets.patch(name, &PatchParams::default(), &Patch::Merge(more)).await, KEPT);
    }
    // Who takes the label off has not made the Secret himself.
    let administrator: Api<Secret> = Api::namespaced(stage.client.clone(), &namespace);
    administrator.patch(name, &PatchParams::default(), &unlabel).await?;
    write(&secrets, secret(name, DOCKER_CONFIG, ours)).await?;
    secrets.delete(name, &delete).await?;
    // What --adopt does; the chart leaves the rule out with `adopt`.
    let taken_over = write(&foreign, secret(name, DOCKER_CONFIG, ours)).await;
    refused("taking over somebody's Secret", &taken_over, TAKE_OVER);
    Ok(())
}

#[tokio::test]
async fn of_service_accounts_only_our_entry_can_be_changed() -> Result<()> {
    let stage = Stage::that_attaches("fenced-").await?;
    let namespace = stage.namespace("a").await?;
    put_up(&stage, true).await?;
    widen(&stage).await?;
    let entries = |names: &[&str]| -> Value { names.iter().map(|name| json!({ "name": name })).collect() };
    let account = |name: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": name, "namespace": namespace, "annotations": { "role": "mine" } },
            "imagePullSecrets": entries(&["mine", "theirs"]),
        })
    };
    apply(&stage.client, &account("default")).await?;

    let client = stage.client_of_sidecar().await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client, &namespace);
    let posted = accounts.create(&PostParams::default(), &serde_json::from_value(account("other"))?).await;
    refused("a new service account", &posted, NO_ACCOUNT);
    let applied = accounts.patch("other", &PatchParams::apply("x"), &Patch::Apply(account("other"))).await;
    refused("one that is applied", &applied, NO_ACCOUNT);
    refused("deleting one", &accounts.delete("default", &DeleteParams::default()).await, NO_ACCOUNT);
    let change =
        async |change: Value| accounts.patch("default", &PatchParams::default(), &Patch::Merge(change)).await;
    let owner = json!([{ "apiVersion": "v1", "kind": "Secret", "name": "x", "uid": "x" }]);
    for (what, rest) in [
        (
            "a new annotation",
            json!({ "metadata": { "annotations": { "pod-identity.alibabacloud.com/role-name": "x" } } }),
        ),
        ("another annotation", json!({ "metadata": { "annotations": { "role": "x" } } })),
        ("a label", json!({ "metadata": { "labels": { "x": "y" } } })),
        ("a finalizer", json!({ "metadata": { "finalizers": ["example.test/x"] } })),
        ("an owner", json!({ "metadata": { "ownerReferences": owner } })),
        ("a mountable Secret", json!({ "secrets": [{ "name": "x" }] })),
        ("mounting tokens", json!({ "automountServiceAccountToken": true })),
    ] {
        refused(what, &change(rest).await, REST);
    }
    let ours = stage.name.as_str();
    for (what, names) in [
        ("taking an entry out", &["mine"][..]),
        ("another order", &["theirs", "mine"]),
        ("replacing all", &[ours]),
        ("an entry more", &["mine", "theirs", "other", ours]),
    ] {
        refused(what, &change(json!({ "imagePullSecrets": entries(names) })).await, ENTRIES);
    }
    change(json!({ "imagePullSecrets": entries(&["mine", "theirs", ours]) })).await?;
    change(json!({ "imagePullSecrets": entries(&["mine", "theirs"]) })).await?;
    Ok(())
}

#[tokio::test]
async fn everything_that_run_does_to_secrets_passes_the_fence() -> Result<()> {
    whole_life(&Stage::new("inside-").await?, "pod").await
}

#[tokio::test]
async fn everything_that_run_does_where_it_attaches_passes_the_fence() -> Result<()> {
    whole_life(&Stage::that_attaches("inside-").await?, "both").await
}

/// Fills, repairs, attaches, and takes back.
async fn whole_life(stage: &Stage, attach: &str) -> Result<()> {
    let attaches = attach != "pod";
    stage.cloud().patch(&json!({ "credentialSeconds": 45 }))?;
    let (namespace, kept) = (stage.namespace("a").await?, stage.namespace("b").await?);
    put_up(stage, attaches).await?;
    apply(&stage.client, &with_a_list_of_its_own(&namespace)).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), &namespace);
    let until_listed = async |expected: &[&str]| {
        wait_until(&format!("the list is {expected:?}"), PATIENCE, async || {
            let names = list(&accounts).await?;
            Ok((names == expected).then_some(()))
        })
        .await
    };

    stage.configure(INSTANCE, &[("attach", attach)]).await?;
    let _sidecar = stage.started(&[]).await?;
    let filled = stage.until_filled(&namespace).await?;
    if attaches {
        until_listed(&["mine", &stage.name]).await?;
    }
    let own = stage.secrets(&stage.name);
    wait_until("the state is written down", PATIENCE, async || Ok(own.get_opt(STATE).await?.map(|_| ())))
        .await?;
    stage.tamper(&namespace, &json!({ "data": { ".dockerconfigjson": "e30=" } })).await?;
    stage.until(&namespace, "is repaired", PATIENCE, |secret| logins(secret) == logins(&filled)).await?;

    stage.configure(INSTANCE, &[("attach", attach), ("watch-namespace", &kept)]).await?;
    until_listed(&["mine"]).await?;
    wait_until("the pull secret is gone", LONG, async || {
        Ok(stage.pull_secret(&namespace).await?.is_none().then_some(()))
    })
    .await?;
    for namespace in [&namespace, &kept, &stage.name] {
        let events = stage.events(namespace).await?;
        let failed = events.iter().filter_map(|event| event.reason.as_deref());
        assert!(!failed.into_iter().any(|reason| reason.starts_with("Write")), "{events:?}");
    }
    Ok(())
}
