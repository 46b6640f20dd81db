//! What people and real tools create, on a real API server, with the policies as shipped: a person is told, a tool is served.

use acr_e2e_tests::cluster::{self, User};
use acr_e2e_tests::installation::{IMAGE, pod, pull_secrets, workload};
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{OURS, Scene, names};

/// Creates an object as another user, without storing it.
async fn create_as(scene: &Scene, user: &User, object: &Value) -> Result<Result<Value, String>> {
    let client = scene.cluster.client_as(user).await?;
    let api = cluster::api_for(&client, object).await?;
    let object: DynamicObject = serde_json::from_value(object.clone()).context("no object")?;
    match api.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await {
        Ok(object) => Ok(Ok(serde_json::to_value(object)?)),
        Err(kube::Error::Api(status)) => Ok(Err(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

/// Gives a service account the rights of a tool that creates Pods.
async fn tool(scene: &Scene, name: &str) -> Result<User> {
    let user = User::service_account(&scene.namespace, name);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": name, "namespace": scene.namespace },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": scene.namespace }],
    });
    cluster::apply(&scene.client, &binding).await?;
    Ok(user)
}

/// The warnings of the last answer of a policy.
fn last_warnings(scene: &Scene) -> Result<Vec<String>> {
    let exchange = scene.installation.host.log().all().pop().context("no policy was asked")?;
    Ok(exchange.admission_response()?.warnings.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_tools_run_with_the_pull_secret_beside_their_own() -> Result<()> {
    let scene = Scene::new("tools-").await?;
    let tool = tool(&scene, "tool").await?;
    // A CI runner's job Pod, with a pull secret of a generated name; a task of a workflow engine; a build agent.
    let mut job =
        pod(&scene.namespace, "runner-x1y2z3-project-42-concurrent-0", &["runner-x1y2z3-project-42"]);
    job["spec"]["initContainers"] =
        json!([{ "name": "permissions", "image": "registry.example.com/helper:1" }]);
    let task = pod(&scene.namespace, "my-dag-0a1b2c3d", &["myregistrysecret"]);
    let agent = pod(&scene.namespace, "ansible-7xq2p", &["regcred"]);
    for object in [job, task, agent] {
        let stored = create_as(&scene, &tool, &object).await?.unwrap();
        assert_eq!(names(&stored).last(), Some(&OURS), "{stored}");
        assert_eq!(names(&stored).len(), 2, "{stored}");
        assert_eq!(last_warnings(&scene)?, [""; 0]);
        // The same Pod by a person's hand.
        scene.dry_run(&object).await?.unwrap_err();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_with_an_owner_runs_even_if_the_owner_does_not_control_it() -> Result<()> {
    let scene = Scene::new("operator-").await?;
    let mut broker = pod(&scene.namespace, "my-cluster-kafka-0", &["operators-pull"]);
    broker["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "core.example.com/v1", "kind": "PodSet", "name": "my-cluster-kafka", "uid": "1", "controller": false,
    }]);
    let stored = scene.dry_run(&broker).await?.unwrap();
    assert_eq!(names(&stored), ["operators-pull", OURS]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launchers_job_runs_and_its_pod_has_both() -> Result<()> {
    let scene = Scene::new("launcher-").await?;
    let launcher = tool(&scene, "launcher").await?;
    let run = workload("Job", &scene.namespace, "run-3f0c1a52", &["element-dev-key"])?;
    create_as(&scene, &launcher, &run).await?.unwrap();
    let warnings = last_warnings(&scene)?;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    scene.create(&run).await?.unwrap();
    let job: k8s_openapi::api::core::v1::Pod =
        wait_until("the Job has a Pod", cluster::PATIENCE, async || {
            let pods = kube::Api::namespaced(scene.client.clone(), &scene.namespace);
            let selector = kube::api::ListParams::default().labels("job-name=run-3f0c1a52");
            Ok(pods.list(&selector).await?.items.into_iter().next())
        })
        .await?;
    assert_eq!(pull_secrets(&job), ["element-dev-key", OURS]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_a_template_with_a_list_works_with_a_warning() -> Result<()> {
    let scene = Scene::new("rollback-").await?;
    let old = workload("Deployment", &scene.namespace, "shop", &["regcred"])?;
    scene.create(&old).await?.unwrap();
    let removed = json!({ "spec": { "template": { "spec": { "imagePullSecrets": null } } } });
    scene.patch(&old, &removed).await?.unwrap();
    scene.installation.host.log().clear();
    let deployment = format!("deployment/shop --namespace={}", scene.namespace);
    let arguments: Vec<&str> = ["rollout", "undo"].into_iter().chain(deployment.split(' ')).collect();
    let undone = wait_until("there is a revision to go back to", cluster::PATIENCE, async || {
        let undone = scene.cluster.kubectl(&arguments, "").await?;
        Ok((!undone.stderr.contains("no rollout history")).then_some(undone))
    })
    .await?;
    assert!(undone.success, "{}", undone.stderr);
    assert!(
        undone.stderr.contains("Warning: imagePullSecrets lists \"regcred\" without"),
        "{}",
        undone.stderr
    );
    assert!(undone.stderr.contains("Pods get it anyway"), "{}", undone.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_another_mutator_filled_in_is_not_the_authors_fault_and_can_be_allowed() -> Result<()> {
    let allowed = json!(["docker-hub-mirror"]);
    for (is_allowed, prefix) in [(false, "mutator-"), (true, "allowed-mutator-")] {
        let scene = Scene::with(prefix, &["inject"], |policy| {
            if is_allowed {
                acr_e2e_tests::installation::set(policy, "manualPullSecrets.allowed", allowed.clone())?;
            }
            Ok(())
        })
        .await?;
        mutate_every_pod(&scene).await?;
        let outcome = wait_until("the other mutator acts", cluster::PATIENCE, async || {
            let outcome = scene.dry_run(&pod(&scene.namespace, "web", &[])).await?;
            let is_mutated = match &outcome {
                Ok(stored) => names(stored).contains(&"docker-hub-mirror"),
                Err(_) => true,
            };
            Ok(is_mutated.then_some(outcome))
        })
        .await?;
        match outcome {
            Ok(stored) => {
                assert!(is_allowed);
                assert_eq!(names(&stored), ["docker-hub-mirror", OURS]);
            }
            Err(message) => {
                assert!(!is_allowed, "{message}");
                assert!(message.contains("lists \"docker-hub-mirror\" without"), "{message}");
                let advice = "or allow \"docker-hub-mirror\" in manualPullSecrets.allowed";
                assert!(message.contains(advice) && !message.contains("you"), "{message}");
            }
        }
    }
    Ok(())
}

/// An in-tree mutating policy, which runs before every webhook, for the namespace of this scene.
async fn mutate_every_pod(scene: &Scene) -> Result<()> {
    let name = format!("{}-add-pull-secret", scene.namespace);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "matchConstraints": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": scene.namespace } },
                "resourceRules": [
                    { "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"] },
                ],
            },
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{
                "patchType": "JSONPatch",
                "jsonPatch": { "expression":
                    "[JSONPatch{op: \"add\", path: \"/spec/imagePullSecrets\", value: [{\"name\": \"docker-hub-mirror\"}]}]" },
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": { "policyName": name },
    });
    for object in [policy, binding] {
        let api = cluster::api_for(&scene.client, &object).await?;
        api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_lists_a_secret_of_another_name_is_told_its_name() -> Result<()> {
    let scene = Scene::new("wrong-name-").await?;
    let people = [
        User::named("kubernetes-admin", &["system:masters"]),
        User::named("oidc:jane@example.com", &["system:masters"]),
        User::named("204021234567890123", &["system:masters"]),
        User::named("system:admin", &["system:masters"]),
    ];
    let object = pod(&scene.namespace, "goweb", &["regcred"]);
    for person in people {
        let message = create_as(&scene, &person, &object).await?.unwrap_err();
        assert!(message.contains("lists \"regcred\" without"), "{message}");
    }
    let node = User::named("system:kube-scheduler-like", &["system:masters"]);
    assert_eq!(names(&create_as(&scene, &node, &object).await?.unwrap()), ["regcred", OURS]);
    // The workload itself is taken, and its author warned.
    scene.dry_run(&workload("Deployment", &scene.namespace, "goweb", &["regcred"])?).await?.unwrap();
    assert_eq!(
        last_warnings(&scene)?,
        [
            format!("imagePullSecrets lists \"regcred\" without \"{OURS}\"; Pods get it anyway"),
            format!("add \"{OURS}\" to the list, or allow \"regcred\" in manualPullSecrets.allowed"),
        ]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conditions_of_the_manifests_decide_nothing_that_the_policy_does_not() -> Result<()> {
    let with = Scene::new("conditions-").await?;
    let without = Scene::with("no-conditions-", &["inject", "guard"], |policy| {
        policy.spec.match_conditions = None;
        Ok(())
    })
    .await?;
    let owner = |controller: Value| json!([{ "apiVersion": "example.com/v1", "kind": "Set", "name": "s", "uid": "1", "controller": controller }]);
    for list in [&[][..], &["regcred"], &[OURS], &["regcred", OURS]] {
        for owners in [json!([]), owner(json!(true)), owner(json!(false))] {
            let mut outcomes = Vec::new();
            for scene in [&with, &without] {
                let mut pod = pod(&scene.namespace, "web", list);
                pod["spec"]["containers"][0]["image"] = json!(IMAGE);
                pod["metadata"]["ownerReferences"] = owners.clone();
                let mut deployment = workload("Deployment", &scene.namespace, "web", list)?;
                deployment["metadata"]["ownerReferences"] = owners.clone();
                let mut outcome = Vec::new();
                for object in [pod, deployment] {
                    scene.installation.host.log().clear();
                    let stored = scene.dry_run(&object).await?;
                    let stored = stored.map(|stored| names(&stored).join(","));
                    let warnings = last_warnings(scene).unwrap_or_default();
                    outcome
                        .push((stored.map_err(|message| message.replace(&scene.namespace, "…")), warnings));
                }
                outcomes.push(outcome);
            }
            assert_eq!(outcomes[0], outcomes[1], "{list:?} {owners}");
        }
    }
    Ok(())
}
