//! The fence around the sidecar's account: what its rights allow and its work does not need.

use acr_e2e_tests::cluster::{PATIENCE, apply, named_namespace};
use acr_e2e_tests::kubeconfig;
use acr_e2e_tests::wait::wait_until;
use anyhow::Result;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::bed::{NAMESPACE, Turn, VALUES, succeeded};
use crate::support::OURS;

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// The refusal; what is taken is a failure of the test.
#[track_caller]
fn refusal<T: std::fmt::Debug>(outcome: kube::Result<T>) -> String {
    match outcome {
        Err(kube::Error::Api(status)) if status.code == 403 => status.message.clone(),
        other => panic!("it is not refused: {other:?}"),
    }
}

fn pull_secret(kind: &str, by: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": { "name": OURS, "labels": { MANAGED_BY: by } },
        "stringData": { ".dockerconfigjson": "{\"auths\":{}}" },
    })
}

#[tokio::test]
async fn the_sidecars_account_can_do_its_own_work_and_nothing_else() -> Result<()> {
    let turn = Turn::with_kubewarden().await?;
    let namespace = named_namespace(&turn.client, "chart-fence", &[]).await?;
    // With the right to patch service accounts, the sharpest of all.
    succeeded(&turn.helm("install", &format!("{VALUES}attach: both\n")).await?)?;
    let account = kubeconfig::of_account(turn.cluster, NAMESPACE, "acr-credential-sidecar").await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("kubeconfig");
    std::fs::write(&path, account)?;
    let client = kubeconfig::client(&path).await?;
    secrets(&turn, &client, &namespace).await?;
    service_accounts(&turn, &client, &namespace).await?;
    succeeded(&turn.uninstall(&["--no-hooks"]).await?)?;
    Ok(())
}

async fn secrets(turn: &Turn, client: &Client, namespace: &str) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams::apply("acr-credential-sidecar").force();
    let write = async |secret: &Value| secrets.patch(OURS, &params, &Patch::Apply(secret)).await;
    let docker = "kubernetes.io/dockerconfigjson";
    let foreign = pull_secret(docker, "somebody");
    // An API server takes a moment to know of a new policy. Meanwhile the Secret may have been made; then it is foreign.
    let message = wait_until("the fence is up", PATIENCE, async || match write(&foreign).await {
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Ok(_) => Ok(None),
        Err(error) => Err(error.into()),
    })
    .await?;
    assert!(message.contains("has to have its label app.kubernetes.io/managed-by"), "{message}");

    let administrator: Api<Secret> = Api::namespaced(turn.client.clone(), namespace);
    administrator.delete(OURS, &DeleteParams::default()).await.ok();
    let message = refusal(write(&pull_secret("Opaque", "acr-credential-sidecar")).await);
    assert!(message.contains("has to be of the type kubernetes.io/dockerconfigjson"), "{message}");
    let ours = pull_secret(docker, "acr-credential-sidecar");
    write(&ours).await?;
    secrets.delete(OURS, &DeleteParams::default()).await?;

    // Everybody else is as free as before.
    administrator.patch(OURS, &PatchParams::apply("somebody"), &Patch::Apply(&foreign)).await?;
    let message = refusal(secrets.delete(OURS, &DeleteParams::default()).await);
    assert!(message.contains("the sidecar may delete no Secret of others"), "{message}");
    let message = refusal(write(&ours).await);
    assert!(message.contains("the sidecar may take over no Secret of others"), "{message}");

    let own: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let state = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {
            "name": "acr-credential-sidecar-state",
            "labels": { MANAGED_BY: "acr-credential-sidecar" },
        },
        "stringData": { ".dockerconfigjson": "{\"auths\":{}}" },
    });
    let message = refusal(own.patch("acr-credential-sidecar-state", &params, &Patch::Apply(&state)).await);
    assert!(message.contains("the state has to be of the type Opaque"), "{message}");
    Ok(())
}

async fn service_accounts(turn: &Turn, client: &Client, namespace: &str) -> Result<()> {
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": "default", "namespace": namespace },
        "imagePullSecrets": [{ "name": "theirs" }, {}, { "name": "more" }],
    });
    apply(&turn.client, &account).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let write = async |change: Value| {
        accounts.patch("default", &PatchParams::default(), &Patch::Merge(&change)).await
    };
    let list = |names: &[&str]| -> Value {
        let entries =
            names.iter().map(|name| if name.is_empty() { json!({}) } else { json!({ "name": name }) });
        json!({ "imagePullSecrets": entries.collect::<Vec<_>>() })
    };
    let annotation =
        json!({ "metadata": { "annotations": { "pod-identity.alibabacloud.com/role-name": "x" } } });
    for (what, change) in [
        ("a cloud identity", annotation),
        ("a label", json!({ "metadata": { "labels": { "x": "y" } } })),
        ("a finalizer", json!({ "metadata": { "finalizers": ["example.com/x"] } })),
        ("a token", json!({ "automountServiceAccountToken": false })),
        ("mountable Secrets", json!({ "secrets": [{ "name": "x" }] })),
    ] {
        let message = refusal(write(change).await);
        let expected = "the sidecar may change nothing of a service account but its list of pull secrets";
        assert!(message.contains(expected), "{what}: {message}");
    }
    for names in
        [&["theirs", "", "more", "another"][..], &["theirs", ""], &["more", "", "theirs", OURS], &[OURS]]
    {
        let message = refusal(write(list(names)).await);
        assert!(message.contains("may change no entry of others"), "{names:?}: {message}");
    }
    write(list(&["theirs", "", "more", OURS])).await?;
    write(list(&["theirs", "", "more"])).await?;
    let params = PatchParams::apply("acr-credential-sidecar");
    let new = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "new" } });
    refusal(accounts.patch("new", &params, &Patch::Apply(&new)).await);
    Ok(())
}
