//! The fence around the sidecar's account: what its rights allow and its work does not need.

use acr_e2e_tests::cluster::{PATIENCE, apply, named_namespace};
use acr_e2e_tests::kubeconfig;
use acr_e2e_tests::wait::wait_until;
use anyhow::Result;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::bed::{NAMESPACE, Turn, VALUES, succeeded};
use super::kubelet::Started;
use super::life::{SIDECAR, clean_up, until_filled, values};
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
    let client = client_of_account(&turn).await?;
    secrets(&turn, &client, &namespace).await?;
    service_accounts(&turn, &client, &namespace).await?;
    succeeded(&turn.uninstall(&["--no-hooks"]).await?)?;
    Ok(())
}

async fn client_of_account(turn: &Turn) -> Result<Client> {
    let account = kubeconfig::of_account(turn.cluster, NAMESPACE, "acr-credential-sidecar").await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("kubeconfig");
    std::fs::write(&path, account)?;
    kubeconfig::client(&path).await
}

/// An API server takes a moment to know of a new policy. Meanwhile a Secret may have been made; then it is foreign. Returns the
/// refusal.
async fn until_fenced(client: &Client, namespace: &str) -> Result<String> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams::apply("acr-credential-sidecar").force();
    let foreign = Patch::Apply(pull_secret("kubernetes.io/dockerconfigjson", "somebody"));
    wait_until("the fence is up", PATIENCE, async || match secrets.patch(OURS, &params, &foreign).await {
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Ok(_) => Ok(None),
        Err(error) => Err(error.into()),
    })
    .await
}

async fn secrets(turn: &Turn, client: &Client, namespace: &str) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams::apply("acr-credential-sidecar").force();
    let write = async |secret: &Value| secrets.patch(OURS, &params, &Patch::Apply(secret)).await;
    let docker = "kubernetes.io/dockerconfigjson";
    let foreign = pull_secret(docker, "somebody");
    let message = until_fenced(client, namespace).await?;
    assert!(message.contains("must have the label app.kubernetes.io/managed-by"), "{message}");

    let administrator: Api<Secret> = Api::namespaced(turn.client.clone(), namespace);
    administrator.delete(OURS, &DeleteParams::default()).await.ok();
    let message = refusal(write(&pull_secret("Opaque", "acr-credential-sidecar")).await);
    assert!(message.contains("must have the type kubernetes.io/dockerconfigjson"), "{message}");
    let ours = pull_secret(docker, "acr-credential-sidecar");
    write(&ours).await?;
    secrets.delete(OURS, &DeleteParams::default()).await?;

    // Everybody else is as free as before.
    administrator.patch(OURS, &PatchParams::apply("somebody"), &Patch::Apply(&foreign)).await?;
    let message = refusal(secrets.delete(OURS, &DeleteParams::default()).await);
    assert!(message.contains("the sidecar may delete only its own Secrets"), "{message}");
    let message = refusal(write(&ours).await);
    assert!(message.contains("the sidecar may not take over a Secret that others created"), "{message}");

    administrator.delete(OURS, &DeleteParams::default()).await?;
    theft(turn, client, namespace).await?;

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
    assert!(message.contains("the state must have the type Opaque"), "{message}");
    Ok(())
}

/// What could be done with the sidecar's token to tools that act on Secrets of any name.
async fn theft(turn: &Turn, client: &Client, namespace: &str) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let administrator: Api<Secret> = Api::namespaced(turn.client.clone(), namespace);
    let params = PatchParams::apply("acr-credential-sidecar").force();
    let write = async |secret: &Value| secrets.patch(OURS, &params, &Patch::Apply(secret)).await;
    let ours = pull_secret("kubernetes.io/dockerconfigjson", "acr-credential-sidecar");
    let with = |pointer: &str, key: &str, value: &str| {
        let mut secret = ours.clone();
        let part = secret.pointer_mut(pointer).map(Value::take).unwrap_or_default();
        let mut part = part.as_object().cloned().unwrap_or_default();
        part.insert(key.to_owned(), value.into());
        let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
        if let Some(parent) = secret.pointer_mut(parent) {
            parent[name] = part.into();
        }
        secret
    };
    let argo = "argocd.argoproj.io/secret-type";
    let reflector = "reflector.v1.k8s.emberstack.com/reflection-allowed";
    let thefts = [
        (with("/metadata/labels", argo, "cluster"), format!("the label or annotation {argo}")),
        (with("/metadata/annotations", reflector, "true"), format!("the label or annotation {reflector}")),
        (with("/data", "server", "aHR0cHM6Ly9l"), "the data key server".to_owned()),
        (with("/stringData", "server", "https://evil.example"), "the data key server".to_owned()),
    ];
    let refused = async |when: &str| {
        for (theft, expected) in &thefts {
            let message = refusal(write(theft).await);
            assert!(message.contains(expected), "{when}: {expected}: {message}");
        }
    };
    refused("on create").await;
    write(&ours).await?;
    refused("on update").await;
    // What somebody else has put there stays, and is nobody's reason to refuse.
    let theirs =
        json!({ "metadata": { "labels": { argo: "cluster" } }, "data": { "server": "aHR0cHM6Ly9l" } });
    administrator.patch(OURS, &PatchParams::default(), &Patch::Merge(&theirs)).await?;
    write(&with("/metadata/annotations", "acr-credential-helper.io/hash", "1")).await?;
    let message = refusal(
        secrets
            .patch(OURS, &PatchParams::default(), &Patch::Merge(&json!({ "data": { "server": null } })))
            .await,
    );
    assert!(message.contains("the data key server"), "{message}");
    // Each mark alone is not enough to delete.
    let unlabelled = json!({ "metadata": { "labels": { MANAGED_BY: "somebody" } } });
    administrator.patch(OURS, &PatchParams::default(), &Patch::Merge(&unlabelled)).await?;
    let message = refusal(secrets.delete(OURS, &DeleteParams::default()).await);
    assert!(message.contains("the sidecar may delete only its own Secrets"), "{message}");
    write(&ours).await?;
    secrets.delete(OURS, &DeleteParams::default()).await?;
    Ok(())
}

/// Something in the cluster that puts a label on every Secret.
async fn label_every_secret(turn: &Turn, namespace: &str) -> Result<()> {
    let mutate = json!({
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {
            "expression": "Object{metadata: Object.metadata{labels: {'example.com/owner': 'platform'}}}",
        },
    });
    let rule = json!({ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"], "operations": ["CREATE", "UPDATE"] });
    let of_namespace = json!({ "matchLabels": { "labelled": "yes" } });
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": { "name": "label-every-secret" },
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": { "namespaceSelector": of_namespace, "resourceRules": [rule] },
            "mutations": [mutate],
        },
    });
    apply(&turn.client, &policy).await?;
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": { "name": "label-every-secret" },
        "spec": { "policyName": "label-every-secret" },
    });
    apply(&turn.client, &binding).await?;
    let secrets: Api<Secret> = Api::namespaced(turn.client.clone(), namespace);
    wait_until("every Secret is labelled", PATIENCE, async || {
        let probe = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "probe" } });
        let written = secrets.patch("probe", &PatchParams::apply("probe"), &Patch::Apply(&probe)).await?;
        secrets.delete("probe", &DeleteParams::default()).await?;
        let labels = written.metadata.labels.unwrap_or_default();
        Ok(labels.contains_key("example.com/owner").then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_label_that_something_puts_on_every_secret_is_named_and_can_be_allowed() -> Result<()> {
    let turn = Turn::with_kubewarden().await?;
    let namespace = named_namespace(&turn.client, "chart-labelled-a", &[("labelled", "yes")]).await?;
    let other = named_namespace(&turn.client, "chart-labelled-b", &[("labelled", "yes")]).await?;
    succeeded(&turn.helm("install", &values(&[&namespace], "")).await?)?;
    let elsewhere = named_namespace(&turn.client, "chart-fenced", &[]).await?;
    until_fenced(&client_of_account(&turn).await?, &elsewhere).await?;
    label_every_secret(&turn, &namespace).await?;
    let pod = Started::wait(&turn, SIDECAR).await?;
    let sidecar = pod.controller()?;
    let events: Api<Event> = Api::namespaced(turn.client.clone(), &namespace);
    let note = wait_until("the key is named", PATIENCE, async || {
        let mut events = events.list(&ListParams::default()).await?.items.into_iter();
        let event = events.find(|event| event.reason.as_deref() == Some("WriteForbidden"));
        Ok(event.and_then(|event| event.note))
    })
    .await?;
    assert!(note.contains("example.com/owner") && note.contains("fence.allowedKeys"), "{note}");
    assert!(sidecar.log()?.contains("example.com/owner"), "the log names it as well");

    let allowed = values(&[&namespace, &other], "fence: {allowedKeys: [example.com/owner]}\n");
    succeeded(&turn.helm("upgrade", &allowed).await?)?;
    for namespace in [&namespace, &other] {
        until_filled(&turn, namespace).await?;
    }
    let (uninstalled, cleaned, _) = tokio::try_join!(turn.uninstall(&[]), clean_up(&turn), pod.end(sidecar))?;
    assert_eq!(cleaned.code, Some(0), "{}{}", cleaned.stdout, cleaned.stderr);
    succeeded(&uninstalled)?;
    for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
        succeeded(&turn.kubectl(&["delete", kind, "label-every-secret"], "").await?)?;
    }
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
        let expected = "the sidecar may change only the list of pull secrets of a service account";
        assert!(message.contains(expected), "{what}: {message}");
    }
    for names in
        [&["theirs", "", "more", "another"][..], &["theirs", ""], &["more", "", "theirs", OURS], &[OURS]]
    {
        let message = refusal(write(list(names)).await);
        assert!(message.contains("may not change or reorder the other entries"), "{names:?}: {message}");
    }
    let message = refusal(write(list(&["theirs", "", "more", OURS, OURS])).await);
    assert!(message.contains("the sidecar may list its pull secret only once"), "{message}");
    let many: Vec<_> = (0..30_000).map(|_| OURS).collect();
    let message = refusal(write(list(&[&["theirs", "", "more"][..], &many].concat())).await);
    assert!(message.contains("a list of pull secrets that has more than 100 entries"), "{message}");
    write(list(&["theirs", "", "more", OURS])).await?;
    write(list(&["theirs", "", "more"])).await?;
    let params = PatchParams::apply("acr-credential-sidecar");
    let new = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "new" } });
    refusal(accounts.patch("new", &params, &Patch::Apply(&new)).await);
    Ok(())
}
