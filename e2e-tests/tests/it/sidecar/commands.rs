//! The commands for people, on a cluster.

use std::net::SocketAddr;

use acr_e2e_tests::cluster::PATIENCE;
use acr_e2e_tests::helm::Helm;
use acr_e2e_tests::installation::pod;
use acr_e2e_tests::sidecar::{Ended, Sidecar};
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::stage::{INSTANCE, Identity, Stage, logins};
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
async fn a_proxy_in_the_environment_leads_to_the_cluster_and_loopback_is_direct() -> Result<()> {
    let cloud = mint::cloud().await?;
    // Nobody listens at any of these.
    let status = async |server: &str| {
        let kubeconfig = serde_json::json!({
            "clusters": [{ "name": "test", "cluster": { "server": server } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test" } }],
            "current-context": "test",
        });
        let sidecar = Sidecar::new(&cloud)?.with("HTTPS_PROXY", "http://me:MARKER@127.0.0.1:2");
        sidecar.file("kubeconfig", &kubeconfig.to_string())?;
        sidecar.run(&["status", "--kubeconfig=kubeconfig"]).await
    };
    for (server, is_proxied) in [("https://api.example.test:6443", true), ("https://127.0.0.1:1", false)] {
        let ended = status(server).await?;
        ended_with(2, &ended);
        assert!(ended.stderr.contains("Connection refused"), "{}", ended.stderr);
        let names_proxy = ended.stderr.contains("through the proxy http://127.0.0.1:2: ");
        assert_eq!(names_proxy, is_proxied, "{}", ended.stderr);
        assert!(!ended.stderr.contains("MARKER"), "{}", ended.stderr);
    }
    Ok(())
}

/// Starts a proxy that leads every CONNECT to this address, and returns its own.
async fn connect_proxy(to: String) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await?);
                }
                assert!(head.starts_with(b"CONNECT api.example.test:6443 "));
                let mut server = TcpStream::connect(to).await?;
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    Ok(address)
}

#[tokio::test]
async fn the_cluster_is_found_by_several_kubeconfigs_and_through_a_proxy() -> Result<()> {
    let stage = Stage::new("kubeconfigs-").await?;
    let api_server = stage.cluster.server().strip_prefix("https://").context("no HTTPS")?.to_owned();
    let proxy = connect_proxy(api_server).await?;
    let text = std::fs::read_to_string(stage.sidecar.directory().join("kubeconfig"))?;
    let mut rest: Value = serde_json::from_str(&text)?;
    let users = serde_json::json!({ "users": rest["users"].take() });
    // Only the proxy knows this name.
    rest["clusters"][0]["cluster"]["server"] = "https://api.example.test:6443".into();
    rest["clusters"][0]["cluster"]["tls-server-name"] = "127.0.0.1".into();
    rest["contexts"][0]["context"]["namespace"] = stage.name.as_str().into();

    let sidecar = Sidecar::new(stage.cloud())?
        .with("KUBECONFIG", "absent::users:rest")
        .with("HTTPS_PROXY", format!("http://{proxy}"));
    sidecar.file("users", &users.to_string())?;
    sidecar.file("rest", &rest.to_string())?;
    let sidecar_namespace = format!("--sidecar-namespace={}", stage.name);
    let ended = sidecar.run(&["explain", "pod", "absent", &sidecar_namespace]).await?;
    ended_with(2, &ended);
    assert!(ended.stderr.contains(&format!("{}/absent", stage.name)), "{}", ended.stderr);

    sidecar.file("users", r#"{"users": [{"name": "test", "user": {"token": "MARKER"}}]}"#)?;
    let ended = sidecar.run(&["status", &sidecar_namespace]).await?;
    ended_with(2, &ended);
    assert!(ended.stderr.contains("does not accept the token of the user test"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("MARKER"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn helm_pulls_with_the_login_that_mint_adds_to_its_file() -> Result<()> {
    let stage = Stage::with_registry("helm-login-", Identity::User).await?;
    let registry = stage.cluster.registry().context("there is no registry")?;
    // The same registry by another name.
    let ours = registry.replace("127.0.0.1", "localhost");
    let at = |name: &str| stage.sidecar.directory().join(name).display().to_string();
    let helm = Helm::new(stage.cluster)?;
    let run = async |arguments: &[&str]| {
        let file = format!("--registry-config={}", at("auth.json"));
        let ended = helm.run(&[arguments, &[&file]].concat(), "").await?;
        Ok::<_, anyhow::Error>((ended.success, ended.stderr))
    };
    let (pushed, pulled) = (format!("oci://{registry}/charts"), format!("oci://{ours}/charts/web"));
    let (package, destination) = (at("web-1.0.0.tgz"), format!("--destination={}", at("")));
    let push = ["push", &package, &pushed, "--plain-http"];
    let pull = ["pull", &pulled, "--version=1.0.0", "--plain-http", &destination];

    stage.sidecar.file("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n")?;
    let login = ["registry", "login", registry, "--plain-http"];
    let seeder = ["--username=seeder", "--password=EXAMPLE-seeder-password"];
    for arguments in [&["package", &at("web"), &destination], &[&login[..], &seeder].concat()[..], &push] {
        let (success, stderr) = run(arguments).await?;
        assert!(success, "{arguments:?}: {stderr}");
    }
    let (success, _) = run(&pull).await?;
    assert!(!success, "a login for {registry} is none for {ours}");

    let entries = format!("{INSTANCE}  domains: {ours}");
    let ended = mint::mint(&stage.sidecar, &entries, &["--to", "auth.json"]).await?;
    ended_with(0, &ended);
    for arguments in [&pull[..], &push] {
        let (success, stderr) = run(arguments).await?;
        assert!(success, "{arguments:?}: {stderr}");
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
