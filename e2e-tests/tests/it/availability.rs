//! What happens while no policy server answers, and to settings that it refuses.

use acr_e2e_tests::installation::{Installation, pod, policies_for, set, workload};
use anyhow::Result;
use serde_json::json;

use crate::support::{OURS, Scene, empty, names, setting};

#[tokio::test(flavor = "multi_thread")]
async fn pods_wait_for_the_policy_server_and_workloads_do_not() -> Result<()> {
    let refusing = json!("reject");
    let change = setting("guard", "manualPullSecrets.workloads", &refusing);
    let mut scene = Scene::with("down-", &["inject", "guard"], change).await?;
    scene.installation.host.stop().await?;

    let message = scene.dry_run(&pod(&scene.namespace, "web", &[])).await?.unwrap_err();
    assert!(message.contains("failed calling webhook"), "{message}");
    // Spared by the matchConditions, so that it does not matter who is down.
    scene.dry_run(&pod(&scene.namespace, "web", &[OURS])).await?.unwrap();
    scene.dry_run(&workload("Deployment", &scene.namespace, "web", &["mine"])?).await?.unwrap();

    scene.installation.host.resume().await?;
    let stored = scene.dry_run(&pod(&scene.namespace, "web", &[])).await?.unwrap();
    assert_eq!(names(&stored), [OURS]);
    scene.dry_run(&workload("Deployment", &scene.namespace, "web", &["mine"])?).await?.unwrap_err();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_failure_policy_ignore_pods_start_without_the_reference() -> Result<()> {
    let mut scene = Scene::with("ignore-", &["inject"], |policy| {
        policy.spec.failure_policy = Some("Ignore".to_owned());
        Ok(())
    })
    .await?;
    scene.installation.host.stop().await?;
    let stored = scene.dry_run(&pod(&scene.namespace, "web", &[])).await?.unwrap();
    assert!(names(&stored).is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_keep_the_policy_server_from_starting_and_are_all_named() -> Result<()> {
    let (cluster, _, namespace) = empty("wrong-").await?;
    let mut policies = policies_for(&namespace, &["inject"])?;
    set(&mut policies[0], "pulSecret", json!("x"))?;
    set(&mut policies[0], "serviceAccounts", json!([]))?;
    let error = format!("{:#}", Installation::start(cluster, policies).await.err().unwrap());
    assert!(error.contains("pulSecret: unknown setting; did you mean \"pullSecret\"?"), "{error}");
    assert!(error.contains("serviceAccounts: selects nothing"), "{error}");
    Ok(())
}
