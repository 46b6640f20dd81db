//! Workloads on a real API server.

use acr_e2e_tests::cluster;
use acr_e2e_tests::installation::{OPT_OUT, WORKLOADS, pull_secrets, set, workload};
use acr_e2e_tests::wait::wait_until;
use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::support::{OURS, Scene, create, empty, list_in_service_account, setting};

/// Whether a policy has warned since the log was cleared.
fn has_warnings(scene: &Scene) -> bool {
    scene.installation.host.log().all().iter().any(|exchange| {
        let response = exchange.admission_response().unwrap();
        response.warnings.is_some_and(|warnings| !warnings.is_empty())
    })
}

fn list_path(kind: &str) -> &'static str {
    if kind == "CronJob" {
        "spec.jobTemplate.spec.template.spec.imagePullSecrets"
    } else {
        "spec.template.spec.imagePullSecrets"
    }
}

/// The change that gives a workload's template this list.
fn with_list(kind: &str, pull_secrets: &[&str]) -> Value {
    let list: Value = pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    let template = json!({ "template": { "spec": { "imagePullSecrets": list } } });
    if kind == "CronJob" {
        json!({ "spec": { "jobTemplate": { "spec": template } } })
    } else {
        json!({ "spec": template })
    }
}

/// Both policies, with the strict setting.
async fn strict(prefix: &str) -> Result<Scene> {
    Scene::with(prefix, &["inject", "guard"], |policy| {
        set(policy, "manualPullSecrets.ownedPods", json!("reject"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_with_a_manual_list_is_refused_and_the_message_names_the_entry() -> Result<()> {
    let scene = strict("kinds-").await?;
    for (_, kind) in WORKLOADS {
        let message =
            scene.dry_run(&workload(kind, &scene.namespace, "web", &["my-registry"])?).await?.unwrap_err();
        let expected = format!(
            "{kind} {}/web: {} lists \"my-registry\" without \"{OURS}\": its Pods would be refused; add \"{OURS}\" to the \
             list, or allow \"my-registry\" in manualPullSecrets.allowed",
            scene.namespace,
            list_path(kind)
        );
        assert!(message.ends_with(&expected), "{message}");
        for fine in [&[][..], &[OURS], &["my-registry", OURS]] {
            scene.dry_run(&workload(kind, &scene.namespace, "web", fine)?).await?.unwrap();
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_does_what_it_says_on_create_and_on_update() -> Result<()> {
    for mode in ["reject", "warn", "ignore"] {
        let value = json!(mode);
        let scene =
            Scene::with("wmodes-", &["guard"], setting("guard", "manualPullSecrets.workloads", &value)).await;
        // With `ignore` the policy has nothing to say, but is asked all the same.
        let scene = scene?;
        for (_, kind) in WORKLOADS {
            let name = kind.to_lowercase();
            let manual = workload(kind, &scene.namespace, &format!("{name}-manual"), &["mine"])?;
            let created = scene.dry_run(&manual).await?;
            assert_eq!(created.is_err(), mode == "reject", "{kind} {created:?}");

            let fine = workload(kind, &scene.namespace, &name, &[])?;
            scene.create(&fine).await?.unwrap();
            // A Job's template cannot change at all.
            if kind != "Job" {
                let updated = scene.patch(&fine, &with_list(kind, &["mine"])).await?;
                assert_eq!(updated.is_err(), mode == "reject", "{kind} {updated:?}");
            }
        }
        assert_eq!(has_warnings(&scene), mode == "warn");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_deployment_can_be_scaled_relabelled_and_repaired_but_not_made_worse() -> Result<()> {
    let (cluster, client, namespace) = empty("legacy-").await?;
    let legacy = workload("Deployment", &namespace, "legacy", &["old", "older"])?;
    create(&client, &legacy, false).await?.unwrap();
    // Refused by the guard, while Pods are merged.
    let refusing = json!("reject");
    let change = setting("guard", "manualPullSecrets.workloads", &refusing);
    let scene = Scene::in_namespace(cluster, client, namespace, &["inject", "guard"], change).await?;

    scene.patch(&legacy, &json!({ "spec": { "replicas": 3 } })).await?.unwrap();
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let merged = wait_until("the new Pods are there", cluster::PATIENCE, async || {
        let pods = pods.list(&ListParams::default().labels("app=legacy")).await?.items;
        Ok((pods.len() == 3)
            .then(|| pods.iter().filter(|pod| pull_secrets(pod) == ["old", "older", OURS]).count()))
    })
    .await?;
    assert_eq!(merged, 2, "the two new Pods");

    scene.patch(&legacy, &json!({ "metadata": { "labels": { "team": "a" } } })).await?.unwrap();
    let worse = scene.patch(&legacy, &with_list("Deployment", &["old", "new"])).await?.unwrap_err();
    assert!(worse.contains("lists \"new\""), "{worse}");
    scene.patch(&legacy, &with_list("Deployment", &["older"])).await?.unwrap();
    scene.patch(&legacy, &with_list("Deployment", &["older", OURS])).await?.unwrap();
    let dropped = scene.patch(&legacy, &with_list("Deployment", &["older"])).await?.unwrap_err();
    assert!(dropped.contains("lists \"older\""), "{dropped}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_brings_the_template_into_selection_is_refused() -> Result<()> {
    let scene = strict("selected-").await?;
    list_in_service_account(&scene, "other", &[]).await?;
    let mut unselected = workload("Deployment", &scene.namespace, "web", &["mine"])?;
    unselected["spec"]["template"]["spec"]["serviceAccountName"] = json!("other");
    scene.create(&unselected).await?.unwrap();
    let change = json!({ "spec": { "template": { "spec": { "serviceAccountName": "default", "serviceAccount": "default" } } } });
    let message = scene.patch(&unselected, &change).await?.unwrap_err();
    assert!(message.contains("lists \"mine\""), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_controller_owns_is_its_owners_business() -> Result<()> {
    let scene = Scene::with("owned-workload-", &["guard"], |policy| {
        // Without the conditions, so that it is the policy that decides.
        policy.spec.match_conditions = None;
        Ok(())
    })
    .await?;
    let mut owned = workload("ReplicaSet", &scene.namespace, "web", &["mine"])?;
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "1",
    }]);
    assert!(!has_warnings(&scene));
    scene.dry_run(&owned).await?.unwrap();
    assert_eq!(scene.installation.calls("guard"), 1);
    assert!(!has_warnings(&scene));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_opt_workloads_and_templates_out() -> Result<()> {
    let scene = Scene::new("opt-out-").await?;
    let label = json!({ OPT_OUT.0: OPT_OUT.1 });
    for (_, kind) in WORKLOADS {
        let mut labelled = workload(kind, &scene.namespace, "web", &["mine"])?;
        labelled["metadata"]["labels"] = label.clone();
        scene.dry_run(&labelled).await?.unwrap();

        let mut template_labelled = workload(kind, &scene.namespace, "web", &["mine"])?;
        let template = if kind == "CronJob" {
            &mut template_labelled["spec"]["jobTemplate"]["spec"]["template"]
        } else {
            &mut template_labelled["spec"]["template"]
        };
        template["metadata"]["labels"][OPT_OUT.0] = json!(OPT_OUT.1);
        scene.dry_run(&template_labelled).await?.unwrap();
    }
    assert_eq!(scene.installation.calls("guard"), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_without_a_manual_list_cost_no_call() -> Result<()> {
    let scene = Scene::new("wspared-").await?;
    for (_, kind) in WORKLOADS {
        for list in [&[][..], &[OURS]] {
            scene.dry_run(&workload(kind, &scene.namespace, "web", list)?).await?.unwrap();
        }
    }
    assert_eq!(scene.installation.calls("guard"), 0);
    Ok(())
}
