//! The optional third policy: the reference in the service accounts themselves.

use acr_e2e_tests::cluster::{User, api_for};
use acr_e2e_tests::installation::OPT_OUT;
use anyhow::Result;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{OURS, Scene, setting};

fn account(namespace: &str, name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": namespace } })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_is_appended_on_create_and_put_back_on_update() -> Result<()> {
    let everyone = json!(["*"]);
    let scene =
        Scene::with("sa-", &["serviceaccounts"], setting("serviceaccounts", "serviceAccounts", &everyone))
            .await?;
    let mut object = account(&scene.namespace, "build");
    object["imagePullSecrets"] = json!([{ "name": "b" }, { "name": "a" }]);
    let stored = scene.create(&object).await?.unwrap();
    assert_eq!(stored["imagePullSecrets"], json!([{ "name": "b" }, { "name": "a" }, { "name": OURS }]));

    let stripped = scene.patch(&object, &json!({ "imagePullSecrets": [{ "name": "a" }] })).await?.unwrap();
    assert_eq!(stripped["imagePullSecrets"], json!([{ "name": "a" }, { "name": OURS }]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unselected_accounts_and_opted_out_ones_are_left_alone() -> Result<()> {
    let scene = Scene::with("sa-out-", &["serviceaccounts"], |_| Ok(())).await?;
    let stored = scene.create(&account(&scene.namespace, "other")).await?.unwrap();
    assert_eq!(stored["imagePullSecrets"], Value::Null);
    let default = account(&scene.namespace, "default");
    let label = json!({ "metadata": { "labels": { OPT_OUT.0: OPT_OUT.1 } } });
    let labelled = scene.patch(&default, &label).await?.unwrap();
    assert_eq!(labelled["imagePullSecrets"], Value::Null);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sidecar_may_take_its_own_entry_out() -> Result<()> {
    let scene = Scene::with("sa-sidecar-", &["serviceaccounts"], |_| Ok(())).await?;
    let default = account(&scene.namespace, "default");
    let touched = scene.patch(&default, &json!({ "metadata": { "labels": { "a": "b" } } })).await?.unwrap();
    assert_eq!(touched["imagePullSecrets"], json!([{ "name": OURS }]));

    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": "sidecar", "namespace": scene.namespace },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": "acr-credential-sidecar", "namespace": "kube-system" }],
    });
    scene.create(&role).await?.unwrap();
    let sidecar = User::service_account("kube-system", "acr-credential-sidecar");
    let api = api_for(&scene.cluster.client_as(&sidecar).await?, &default).await?;
    let detached: DynamicObject = api
        .patch("default", &PatchParams::default(), &Patch::Merge(json!({ "imagePullSecrets": null })))
        .await?;
    assert_eq!(detached.data.get("imagePullSecrets"), None);
    Ok(())
}
