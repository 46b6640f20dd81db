//! The commands for people, on a cluster.

use acr_e2e_tests::cluster::PATIENCE;
use acr_e2e_tests::installation::pod;
use acr_e2e_tests::sidecar::{Ended, Sidecar};
use acr_e2e_tests::wait::wait_until;
use anyhow::Result;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::Value;

use super::stage::{INSTANCE, Stage, logins};
use crate::mint;
use crate::support::create;

#[track_caller]
fn ended_with(code: i32, ended: &Ended) {
    assert_eq!(ended.code, Some(code), "{}\n{}", ended.stdout, ended.stderr);
}

/// Runs the work of one turn.
async fn run(stage: &Stage, more: &[&str]) -> Result<Ended> {
    let flags = stage.flags();
    let arguments = ["run"].into_iter().chain(more.iter().copied());
    stage.sidecar.online(&arguments.chain(flags.iter().map(String::as_str)).collect::<Vec<_>>()).await
}

#[tokio::test]
async fn a_dry_run_shows_everything_and_writes_nothing() -> Result<()> {
    let stage = Stage::new("dry-run-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let ended = run(&stage, &["--dry-run"]).await?;
    ended_with(0, &ended);
    assert_eq!(ended.stdout, format!("{namespace}: create the pull secret, with cn-hangzhou/cri-example\n"));
    assert!(stage.pull_secret(&namespace).await?.is_none());
    assert!(stage.secrets(&stage.name).get_opt("acr-credential-sidecar-state").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn one_turn_fills_every_namespace_and_ends() -> Result<()> {
    let stage = Stage::new("once-").await?;
    let namespaces = [stage.namespace("a").await?, stage.namespace("b").await?];
    stage.configure(INSTANCE, &[]).await?;
    ended_with(0, &run(&stage, &["--once"]).await?);
    for namespace in &namespaces {
        assert!(stage.pull_secret(namespace).await?.is_some_and(|secret| !logins(&secret).is_empty()));
    }
    assert_eq!(stage.mints(), 1);
    Ok(())
}

#[tokio::test]
async fn one_turn_with_a_mistake_says_it_and_fails() -> Result<()> {
    let stage = Stage::new("once-mistake-").await?;
    stage.configure("- instanceID: cri-example\n", &[]).await?;
    let ended = run(&stage, &["--once"]).await?;
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("acr-registry-info[0]"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn a_proxy_in_the_environment_leads_to_the_cluster_unless_no_proxy_names_it() -> Result<()> {
    // Nobody listens at either.
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": "https://127.0.0.1:1" } }],
        "users": [{ "name": "test", "user": { "token": "x" } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "current-context": "test",
    });
    let cloud = mint::cloud().await?;
    let status = async |without: &str| {
        let sidecar = Sidecar::new(&cloud)?;
        let sidecar = sidecar.with("HTTPS_PROXY", "http://127.0.0.1:2").with("NO_PROXY", without);
        sidecar.file("kubeconfig", &kubeconfig.to_string())?;
        sidecar.run(&["status", "--kubeconfig=kubeconfig"]).await
    };
    for (without, is_proxied) in [("example.com", true), ("127.0.0.1", false)] {
        let ended = status(without).await?;
        ended_with(2, &ended);
        assert!(ended.stderr.contains("Connection refused"), "{}", ended.stderr);
        assert_eq!(ended.stderr.contains("tunnel"), is_proxied, "{}", ended.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn status_explain_and_cleanup_tell_the_whole_life_of_a_pull_secret() -> Result<()> {
    let stage = Stage::new("commands-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;

    let ended = stage.run_as_admin(&["status", "--output=json"]).await?;
    ended_with(1, &ended);
    let status: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!(status["namespaces"]["missing"], serde_json::json!([namespace]));

    let mut sidecar = stage.started(&[]).await?;
    stage.until_filled(&namespace).await?;
    // With the sidecar's own rights, as from a shell in its Pod.
    let ended = stage.run(&["status", "--output=json"]).await?;
    ended_with(0, &ended);
    let status: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!(status["namespaces"]["fresh"], 1);
    assert_eq!(status["registries"][0]["name"], "cn-hangzhou/cri-example");
    let ended = stage.run(&["status"]).await?;
    ended_with(0, &ended);
    assert!(ended.stdout.contains("cn-hangzhou/cri-example"), "{}", ended.stdout);

    let explain = async |name: &str, list: &[&str]| -> Result<Ended> {
        let mut pod = pod(&namespace, name, list);
        pod["spec"]["containers"][0]["image"] = super::stage::IMAGE.into();
        create(&stage.client, &pod, false).await?.map_err(anyhow::Error::msg)?;
        stage.run_as_admin(&["explain", "pod", name, "--namespace", &namespace]).await
    };
    ended_with(0, &explain("good", &[&stage.name]).await?);
    let ended = explain("bad", &[]).await?;
    ended_with(1, &ended);
    assert!(ended.stdout.contains(&stage.name), "{}", ended.stdout);
    // No policy is installed here, so the Pods of a workload lack the pull secret.
    let deployment = deployment(&namespace, "shop");
    create(&stage.client, &deployment, false).await?.map_err(anyhow::Error::msg)?;
    let ended = wait_until("explain tells of the Pod that was made", PATIENCE, async || {
        let arguments = ["explain", "deployment/shop", "--namespace", &namespace];
        Ok(Some(stage.run_as_admin(&arguments).await?).filter(|ended| ended.stdout.contains("Pods: ")))
    })
    .await?;
    ended_with(1, &ended);
    assert!(
        ended.stdout.contains("✗ policy acr-credential-helper-inject: is not installed"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains(&format!("✗ Pods: 1 of 1 lack {}", stage.name)), "{}", ended.stdout);

    let ended = stage.run_as_admin(&["cleanup", "--yes"]).await?;
    assert_ne!(ended.code, Some(0), "a sidecar is running");
    assert!(ended.stderr.contains("is running"), "{}", ended.stderr);
    assert_eq!(sidecar.stop().await?, Some(0));

    // Nothing that the annotations promise counts once another manager has changed the data.
    stage.tamper(&namespace, &serde_json::json!({ "data": { ".dockerconfigjson": "e30=" } })).await?;
    let ended = stage.run_as_admin(&["status", "--output=json"]).await?;
    ended_with(1, &ended);
    let status: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!(status["namespaces"]["contested"], serde_json::json!([namespace]));
    assert_eq!(status["namespaces"]["contestedBy"][&namespace], "tenant");
    assert_eq!(status["namespaces"]["fresh"], 0);
    let ended = stage.run_as_admin(&["explain", "pod/good", "--namespace", &namespace]).await?;
    ended_with(1, &ended);
    assert!(ended.stdout.contains("was changed by tenant, so its contents are unknown"), "{}", ended.stdout);

    let ended = stage.run_as_admin(&["cleanup", "--dry-run"]).await?;
    ended_with(0, &ended);
    assert!(ended.stdout.contains(&format!("would delete the Secret {namespace}/{}", stage.name)));
    assert!(stage.pull_secret(&namespace).await?.is_some());
    ended_with(0, &stage.run_as_admin(&["cleanup", "--yes"]).await?);
    wait_until("the pull secret is gone", PATIENCE, async || {
        Ok(stage.pull_secret(&namespace).await?.is_none().then_some(()))
    })
    .await?;
    assert!(stage.secrets(&stage.name).get_opt("acr-credential-sidecar-state").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn explain_tells_that_a_quota_leaves_no_room_for_the_pull_secret() -> Result<()> {
    let stage = Stage::new("quota-").await?;
    let namespace = stage.namespace("a").await?;
    // No controller counts here: the status is what the API server goes by.
    let hard = serde_json::json!({ "hard": { "count/secrets": "0" }, "used": { "count/secrets": "0" } });
    let quota = serde_json::json!({ "metadata": { "name": "few" }, "spec": { "hard": hard["hard"] } });
    let quotas: Api<ResourceQuota> = Api::namespaced(stage.client.clone(), &namespace);
    quotas.create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
    let status = Patch::Merge(serde_json::json!({ "status": hard }));
    quotas.patch_status("few", &PatchParams::default(), &status).await?;
    stage.configure(INSTANCE, &[]).await?;
    let _sidecar = stage.started(&[]).await?;
    stage.until_event(&namespace, "WriteFailed", PATIENCE).await?;
    let mut pod = pod(&namespace, "web", &[&stage.name]);
    pod["spec"]["containers"][0]["image"] = super::stage::IMAGE.into();
    create(&stage.client, &pod, false).await?.map_err(anyhow::Error::msg)?;
    let ended = stage.run_as_admin(&["explain", "pod", "web", "--namespace", &namespace]).await?;
    ended_with(1, &ended);
    let expected = "is missing; the sidecar reported: a ResourceQuota of the namespace leaves no room for it";
    assert!(ended.stdout.contains(expected), "{}", ended.stdout);
    Ok(())
}

#[tokio::test]
async fn manifests_are_read_as_kubectl_reads_them() -> Result<()> {
    let stage = Stage::new("kubectl-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let json = |name: &str| pod(&namespace, name, &[]).to_string();
    let yaml = |name: &str, spec: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: x, name: {name}, namespace: {namespace} }}\nspec: {spec}\n"
        )
    };
    let good = "{ containers: [{ name: a, image: x, image: nginx }] }";
    let wrong = "{ containers: [{ name: a, image: nginx, env: [{ name: a, value: 1 }] }] }";
    for (text, is_taken) in [
        (json("one") + &json("two"), true),
        (format!("{}\n---\n{}\n", json("one"), yaml("two", good)), true),
        (format!("---\n{}---\n---\n{}", yaml("one", good), yaml("two", good)), true),
        (format!("apiVersion: v1\nkind: PodList\nitems: [{}, {}]\n", json("one"), json("two")), true),
        (json("one").replacen('{', "{\"kind\":\"Secret\",", 1), true),
        (yaml("one", wrong), false),
        (yaml("one", "[]"), false),
        (format!("{}---\nkind: [\n", yaml("one", good)), false),
    ] {
        let created =
            stage.cluster.kubectl(&["create", "--dry-run=server", "-o", "name", "-f", "-"], &text).await?;
        assert_eq!(created.success, is_taken, "{text}\n{}", created.stderr);
        let path = stage.sidecar.file("manifest.yaml", &text)?;
        let path = path.display().to_string();
        let ended = stage.run_as_admin(&["explain", "--output=json", "--file", &path]).await?;
        assert_eq!(ended.code == Some(2), !is_taken, "{text}\n{}\n{}", ended.stdout, ended.stderr);
        if is_taken {
            let explained: Value = serde_json::from_str(&ended.stdout)?;
            let subjects = explained["subjects"].as_array().into_iter().flatten();
            let names = subjects.filter_map(|subject| subject["subject"].as_str()?.rsplit_once('/'));
            let names: Vec<_> = names.map(|(_, name)| format!("pod/{name}")).collect();
            assert_eq!(names, created.stdout.lines().collect::<Vec<_>>(), "{text}");
        }
    }
    Ok(())
}

fn deployment(namespace: &str, name: &str) -> Value {
    serde_json::json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "main", "image": super::stage::IMAGE }] },
            },
        },
    })
}
