//! Pods on a real API server, judged by the compiled policy behind our own manifests.

use acr_e2e_tests::cluster::{self, User, fresh_namespace};
use acr_e2e_tests::host_calls::HostCall;
use acr_e2e_tests::installation::{Installation, OPT_OUT, pod, policies_for, pull_secrets, set, workload};
use acr_e2e_tests::wait::wait_until;
use anyhow::Result;
use kube::api::{DeleteParams, DynamicObject};
use serde_json::{Value, json};

use crate::support::{OURS, Scene, create, empty, list_in_service_account, names, setting};

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_pod_gets_the_pull_secret() -> Result<()> {
    let scene = Scene::new("bare-").await?;
    let stored = scene.create(&pod(&scene.namespace, "web", &[])).await?.unwrap();
    assert_eq!(names(&stored), [OURS]);
    assert_eq!(scene.installation.calls("inject"), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_does_what_it_says_for_bare_and_owned_pods() -> Result<()> {
    for mode in ["reject", "merge", "warn", "ignore"] {
        let value = json!(mode);
        let scene = Scene::with("modes-", &["inject"], |policy| {
            set(policy, "manualPullSecrets.pods", value.clone())?;
            set(policy, "manualPullSecrets.ownedPods", value.clone())
        })
        .await?;
        let bare = pod(&scene.namespace, "web", &["mine"]);
        let mut owned = bare.clone();
        owned["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1", "controller": true,
        }]);
        for manual in [bare, owned] {
            let outcome = scene.dry_run(&manual).await?;
            match mode {
                "reject" => {
                    let message = outcome.unwrap_err();
                    assert!(message.contains("spec.imagePullSecrets lists \"mine\""), "{message}");
                }
                "ignore" => assert_eq!(names(&outcome.unwrap()), ["mine"]),
                _ => assert_eq!(names(&outcome.unwrap()), ["mine", OURS]),
            }
            let exchange = scene.installation.host.log().all().pop().unwrap();
            let warnings = exchange.admission_response()?.warnings.unwrap_or_default();
            assert_eq!(warnings.len(), if mode == "warn" { 2 } else { 0 }, "{warnings:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_pod_tells_kubectl_users_what_to_do() -> Result<()> {
    let scene = Scene::new("refused-").await?;
    let manual = pod(&scene.namespace, "web", &["my-registry"]);
    let output = scene.cluster.kubectl(&["apply", "-f", "-"], &manual.to_string()).await?;
    assert!(!output.success);
    let expected = format!(
        "denied the request: Pod {}/web: spec.imagePullSecrets lists \"my-registry\" without \"{OURS}\", so the Pod would \
         not get it; add \"{OURS}\" to the list, or allow \"my-registry\" in manualPullSecrets.allowed",
        scene.namespace
    );
    assert!(output.stderr.contains(&expected), "{}", output.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_kubernetes_copied_is_no_manual_one() -> Result<()> {
    let scene = Scene::new("copied-").await?;
    list_in_service_account(&scene, "default", &["corp", "team"]).await?;
    // The admission plugin learns of the list by a watch.
    let stored = wait_until("Kubernetes copies the list", cluster::PATIENCE, async || {
        let stored = scene.dry_run(&pod(&scene.namespace, "web", &[])).await?.unwrap();
        Ok((names(&stored).len() == 3).then_some(stored))
    })
    .await?;
    assert_eq!(names(&stored), ["corp", "team", OURS]);

    scene.installation.host.log().clear();
    let message = scene.dry_run(&pod(&scene.namespace, "web", &["corp", "own"])).await?.unwrap_err();
    assert!(message.contains("lists \"own\""), "{message}");
    if let Some(lookups) = scene.installation.host.log().all()[0].lookups() {
        assert_eq!(lookups.len(), 1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_account_is_not_read_for_other_pods() -> Result<()> {
    let scene = Scene::new("lookups-").await?;
    scene.dry_run(&pod(&scene.namespace, "web", &[])).await?.unwrap();
    let log = scene.installation.host.log().all();
    assert_eq!(log.len(), 1);
    assert!(log[0].lookups().is_none_or(|lookups| lookups.is_empty()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_server_without_the_right_merges_and_says_which_right_is_missing() -> Result<()> {
    let scene = Scene::with("no-grant-", &["inject"], |policy| {
        policy.spec.context_aware_resources.clear();
        Ok(())
    })
    .await?;
    let stored = scene.dry_run(&pod(&scene.namespace, "web", &["mine"])).await?.unwrap();
    assert_eq!(names(&stored), ["mine", OURS]);
    let exchange = scene.installation.host.log().all().pop().unwrap();
    assert_eq!(
        exchange.admission_response()?.warnings.unwrap(),
        ["kept a list that may be manual: contextAwareResources lacks v1 ServiceAccount (\"default\")"]
    );
    // The operator, who can fix it, reads it in the policy server's log.
    if let Some(calls) = exchange.answer.host_calls {
        let logged = calls.iter().filter_map(|call| match call {
            HostCall::Log(entry) => Some(&entry["message"]),
            _ => None,
        });
        assert_eq!(
            logged.collect::<Vec<_>>(),
            ["failed to read a ServiceAccount: contextAwareResources lacks v1 ServiceAccount"]
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_cluster_role_gives_the_one_right_that_the_look_up_needs() -> Result<()> {
    let scene = Scene::new("rights-").await?;
    let accounts = |client| {
        kube::Api::<k8s_openapi::api::core::v1::ServiceAccount>::namespaced(client, &scene.namespace)
    };
    let granted = accounts(scene.cluster.client_as(&User::policy_server()).await?);
    granted.get("default").await?;
    let refused = granted.list(&kube::api::ListParams::default()).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(ref status) if status.code == 403), "{refused}");
    let stranger = accounts(scene.cluster.client_as(&User::service_account("kubewarden", "other")).await?);
    assert!(matches!(stranger.get("default").await, Err(kube::Error::Api(ref status)) if status.code == 403));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_and_nameless_entries_are_kept_in_place() -> Result<()> {
    let allowed = json!(["corp-*"]);
    let scene =
        Scene::with("allowed-", &["inject"], setting("inject", "manualPullSecrets.allowed", &allowed))
            .await?;
    let stored = scene.dry_run(&pod(&scene.namespace, "web", &["corp-b", "corp-a"])).await?.unwrap();
    assert_eq!(names(&stored), ["corp-b", "corp-a", OURS]);

    let mut nameless = pod(&scene.namespace, "web", &["corp-b", "corp-b"]);
    nameless["spec"]["imagePullSecrets"].as_array_mut().unwrap().push(json!({}));
    let stored = scene.dry_run(&nameless).await?.unwrap();
    assert_eq!(names(&stored), ["corp-b", "corp-b", "", OURS]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_a_rollout_carry_the_pull_secret() -> Result<()> {
    let scene = Scene::new("rollout-").await?;
    for kind in ["Deployment", "StatefulSet", "ReplicationController", "Job"] {
        let name = kind.to_lowercase();
        scene.create(&workload(kind, &scene.namespace, &name, &[])?).await?.unwrap();
        assert_eq!(pull_secrets(&scene.pod_of(&name).await?), [OURS], "{kind}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_a_controller_makes_from_a_manual_list_are_merged() -> Result<()> {
    let scene = Scene::with("owned-", &["inject"], |_| Ok(())).await?;
    scene.create(&workload("Deployment", &scene.namespace, "legacy", &["mine"])?).await?.unwrap();
    assert_eq!(pull_secrets(&scene.pod_of("legacy").await?), ["mine", OURS]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn service_accounts_are_selected_by_names_globs_and_exclusions_do_not_apply_to_them() -> Result<()> {
    let accounts = json!(["ci-*", "exact"]);
    let scene = Scene::with("accounts-", &["inject"], setting("inject", "serviceAccounts", &accounts)).await;
    // The probe runs as `default`, which these settings do not select: it is asked about, and passes untouched.
    let scene = scene?;
    for (account, expected) in [("ci-build", true), ("exact", true), ("exactly", false), ("default", false)] {
        list_in_service_account(&scene, account, &[]).await?;
        let mut object = pod(&scene.namespace, "web", &[]);
        object["spec"]["serviceAccountName"] = json!(account);
        let stored = wait_until("the service account is known", cluster::PATIENCE, async || {
            Ok(scene.dry_run(&object).await?.ok())
        })
        .await?;
        assert_eq!(names(&stored).contains(&OURS), expected, "{account}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_selected_by_globs_and_exclusions() -> Result<()> {
    let (cluster, client, first) = empty("glob-a-").await?;
    let excluded = fresh_namespace(&client, "glob-b-", &[]).await?;
    let exact = fresh_namespace(&client, "glob-b-", &[]).await?;
    let mut policies = policies_for(&first, &["inject"])?;
    set(&mut policies[0], "namespaces", json!([first, "glob-*", exact]))?;
    set(&mut policies[0], "excludedNamespaces", json!(["glob-b-*"]))?;
    // The form that goes with globs: everything but the exclusions, less what is named exactly.
    let selector = json!({ "matchExpressions": [
        { "key": "kubernetes.io/metadata.name", "operator": "In", "values": [first, excluded, exact] },
    ] });
    policies[0].spec.namespace_selector = Some(serde_json::from_value(selector)?);
    let _installation = Installation::start(cluster, policies).await?;
    for (namespace, expected) in [(&first, true), (&excluded, false), (&exact, true)] {
        let stored = create(&client, &pod(namespace, "web", &[]), true).await?.unwrap();
        assert_eq!(names(&stored).contains(&OURS), expected, "{namespace}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mirror_pods_are_spared_by_the_manifest_and_by_the_policy() -> Result<()> {
    for with_conditions in [true, false] {
        let scene = Scene::with("mirror-", &["inject"], |policy| {
            if !with_conditions {
                // A Kubewarden with the feature gate off drops them.
                policy.spec.match_conditions = None;
            }
            Ok(())
        })
        .await?;
        let mut mirror = pod(&scene.namespace, "static-web", &[]);
        mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "0a1b" });
        mirror["spec"]["nodeName"] = json!("node-1");
        let stored = scene.dry_run(&mirror).await?.unwrap();
        assert!(names(&stored).is_empty());
        assert_eq!(scene.installation.calls("inject"), usize::from(!with_conditions));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_carry_the_reference_cost_no_call() -> Result<()> {
    let scene = Scene::new("spared-").await?;
    for list in [&[OURS][..], &["mine", OURS]] {
        let stored = scene.dry_run(&pod(&scene.namespace, "web", list)).await?.unwrap();
        assert_eq!(names(&stored), list);
    }
    assert_eq!(scene.installation.calls("inject"), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_webhook_of_ours_adds_nothing() -> Result<()> {
    let (cluster, client, namespace) = empty("twice-").await?;
    let mut policies = policies_for(&namespace, &["inject"])?;
    let mut second = policies[0].clone();
    second.name = format!("{namespace}-again-inject");
    // Without the conditions, so that it is the policy that is asked twice.
    second.spec.match_conditions = None;
    policies[0].spec.match_conditions = None;
    policies.push(second);
    let installation = Installation::start(cluster, policies).await?;
    let stored = create(&client, &pod(&namespace, "web", &[]), false).await?.unwrap();
    assert_eq!(names(&stored), [OURS]);
    assert_eq!(installation.calls("inject"), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_opt_namespaces_and_pods_out() -> Result<()> {
    let scene = Scene::new("opt-out-").await?;
    let mut opted_out = pod(&scene.namespace, "web", &["mine"]);
    opted_out["metadata"]["labels"] = json!({ OPT_OUT.0: OPT_OUT.1 });
    assert_eq!(names(&scene.dry_run(&opted_out).await?.unwrap()), ["mine"]);

    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": scene.namespace, "labels": { OPT_OUT.0: OPT_OUT.1 } },
    });
    cluster::apply(&scene.client, &namespace).await?;
    wait_until("the API server knows the label", cluster::PATIENCE, async || {
        let stored = scene.dry_run(&pod(&scene.namespace, "web", &[])).await?.unwrap();
        Ok(names(&stored).is_empty().then_some(()))
    })
    .await
}

/// An account whose Pods may only refer to Secrets that it lists, and such a Pod.
fn locked_account_and_pod(namespace: &str) -> (Value, Value) {
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": "locked",
            "namespace": namespace,
            "annotations": { "kubernetes.io/enforce-mountable-secrets": "true" },
        },
    });
    let mut locked = pod(namespace, "web", &[]);
    locked["spec"]["serviceAccountName"] = json!("locked");
    (account, locked)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_enforces_mountable_secrets_needs_the_reference_itself() -> Result<()> {
    let scene = Scene::with("mountable-", &["inject", "serviceaccounts"], |policy| {
        set(policy, "serviceAccounts", json!(["*"]))
    })
    .await?;
    let (account, locked) = locked_account_and_pod(&scene.namespace);
    let stored_account = scene.create(&account).await?.unwrap();
    assert_eq!(stored_account["imagePullSecrets"], json!([{ "name": OURS }]));
    let stored = wait_until("the service account is known", cluster::PATIENCE, async || {
        Ok(scene.dry_run(&locked).await?.ok())
    })
    .await?;
    assert_eq!(names(&stored), [OURS]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_enforces_mountable_secrets_refuses_a_reference_it_does_not_list() -> Result<()> {
    let scene =
        Scene::with("locked-", &["inject"], setting("inject", "serviceAccounts", &json!(["*"]))).await?;
    let (account, locked) = locked_account_and_pod(&scene.namespace);
    scene.create(&account).await?.unwrap();
    let message = wait_until("the service account is known", cluster::PATIENCE, async || {
        let message = scene.dry_run(&locked).await?.unwrap_err();
        Ok((!message.contains("not found")).then_some(message))
    })
    .await?;
    assert!(message.contains("does not reference that imagePullSecret"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_and_ephemeral_containers_are_none_of_our_business() -> Result<()> {
    let scene = Scene::new("debug-").await?;
    let mut object = pod(&scene.namespace, "web", &[]);
    object["spec"]["volumes"] = json!([{ "name": "data", "image": { "reference": "example.com/data:1" } }]);
    let stored = scene.create(&object).await?.unwrap();
    assert_eq!(names(&stored), [OURS]);
    let debug = json!({ "spec": { "ephemeralContainers": [{ "name": "debug", "image": "busybox" }] } });
    let pods = cluster::api_for(&scene.client, &object).await?;
    let patched = pods
        .patch_subresource(
            "ephemeralcontainers",
            "web",
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Strategic(&debug),
        )
        .await?;
    let patched: Value = serde_json::to_value::<DynamicObject>(patched)?;
    assert_eq!(patched["spec"]["ephemeralContainers"][0]["name"], "debug");
    assert_eq!(scene.installation.calls("inject"), 1);
    pods.delete("web", &DeleteParams::default()).await?;
    assert_eq!(scene.installation.calls("inject"), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pods_with_an_image_of_the_registries_are_touched() -> Result<()> {
    let registries = json!(["*.cn-hangzhou.cr.aliyuncs.com"]);
    let scene = Scene::with("registries-", &["inject"], setting("inject", "registries", &registries)).await?;
    assert_eq!(names(&scene.dry_run(&pod(&scene.namespace, "web", &[])).await?.unwrap()), [OURS]);
    let mut elsewhere = pod(&scene.namespace, "web", &["mine"]);
    elsewhere["spec"]["containers"][0]["image"] = json!("registry.example.com/web:1");
    assert_eq!(names(&scene.dry_run(&elsewhere).await?.unwrap()), ["mine"]);
    elsewhere["spec"]["volumes"] = json!([
        { "name": "data", "image": { "reference": "demo-registry.cn-hangzhou.cr.aliyuncs.com/data:1" } },
    ]);
    scene.dry_run(&elsewhere).await?.unwrap_err();
    Ok(())
}
