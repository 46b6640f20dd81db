//! `explain` and `status` for people who have a role in one namespace, and no other right.

use acr_e2e_tests::cluster::{self, PATIENCE, fresh_namespace};
use acr_e2e_tests::installation::pod;
use acr_e2e_tests::sidecar::Ended;
use acr_e2e_tests::wait::wait_until;
use acr_e2e_tests::{kubeconfig, paths};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use super::stage::{IMAGE, INSTANCE, Stage, logins};
use crate::support::create;

/// Makes an account with a built-in role in one namespace, and a kubeconfig of the same name.
async fn tenant(stage: &Stage, namespace: &str, role: &str) -> Result<String> {
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": role, "namespace": namespace } });
    cluster::apply(&stage.client, &account).await?;
    cluster::apply(&stage.client, &binding("RoleBinding", role, namespace, role)).await?;
    let name = format!("{role}-{namespace}");
    stage.sidecar.file(&name, &kubeconfig::of_account(stage.cluster, namespace, role).await?)?;
    Ok(name)
}

/// Binds a `ClusterRole` to an account, in the namespace of the account or everywhere.
fn binding(kind: &str, role: &str, namespace: &str, account: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": { "name": format!("{namespace}-{account}-{role}"), "namespace": (kind == "RoleBinding").then_some(namespace) },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": namespace }],
    })
}

async fn start_pod(stage: &Stage, namespace: &str, name: &str, list: &[&str], image: &str) -> Result<()> {
    let mut pod = pod(namespace, name, list);
    pod["spec"]["containers"][0]["image"] = image.into();
    create(&stage.client, &pod, false).await?.map_err(anyhow::Error::msg)?;
    Ok(())
}

#[track_caller]
fn check(ended: &Ended, code: i32, lines: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}\n{}", ended.stdout, ended.stderr);
    for line in lines {
        let is_there = ended.stdout.lines().any(|found| found.trim_start().starts_with(line));
        assert!(is_there, "no {line:?} in:\n{}", ended.stdout);
    }
}

#[tokio::test]
async fn a_team_with_a_role_in_its_namespace_learns_why_its_pod_does_not_pull() -> Result<()> {
    let stage = Stage::new("tenants-").await?;
    let ours = &stage.name;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let _sidecar = stage.started(&[]).await?;
    let secret = stage.until_filled(&namespace).await?;
    let editor = tenant(&stage, &namespace, "edit").await?;
    let viewer = tenant(&stage, &namespace, "view").await?;
    start_pod(&stage, &namespace, "good", &[ours], IMAGE).await?;
    start_pod(&stage, &namespace, "manual", &["regcred"], IMAGE).await?;
    let other = "other-registry.cn-beijing.cr.aliyuncs.com/team/web:1";
    start_pod(&stage, &namespace, "elsewhere", &[ours], other).await?;
    let explain = async |who: &str, pod: &str, more: &[&str]| {
        let arguments = ["explain", "pod", pod, "-n", &namespace];
        stage.run_with(who, &arguments.iter().chain(more).copied().collect::<Vec<_>>()).await
    };

    let configuration =
        format!("- configuration: not checked: you may not get configmaps named acr-configuration in {ours}");
    let policy = "- policy acr-credential-helper-inject: not checked: you may not get clusteradmissionpolicies named \
                  acr-credential-helper-inject; a ClusterRoleBinding to the ClusterRole acr-credential-helper-view gives \
                  this right";
    let exists = format!("- namespace {namespace}: exists; the configuration, which is not known,");
    let account = "- service account default: exists; the configuration, which is not known,";
    let list = format!("✓ imagePullSecrets: has {ours}");
    let valid = format!("✓ Secret {ours}: is valid for ");
    let may_belong =
        format!("! image {IMAGE}: its host may belong to cn-hangzhou/cri-example, which the pull secret");
    let good = [configuration.as_str(), policy, &exists, account, &list, &valid, &may_belong];
    check(&explain(&editor, "good", &[]).await?, 0, &good);
    let manual = format!(
        "✗ imagePullSecrets: contains only regcred, and the list of a Pod never changes: add `- name: {ours}`"
    );
    check(&explain(&editor, "manual", &[]).await?, 1, &[&manual]);
    let absent = format!("! image {other}: the pull secret has no registry of this kind and region; fine if");
    check(&explain(&editor, "elsewhere", &[]).await?, 0, &[&absent]);

    // The hosts are read only if it is asked for, and the logins never reach the output.
    let read = ["--read-secret"];
    let ended = explain(&editor, "good", &read).await?;
    check(&ended, 0, &[&format!("✓ image {IMAGE}: the pull secret has a login for its host")]);
    let passwords = logins(&secret);
    assert!(!passwords.is_empty());
    for password in passwords.values() {
        assert!(!password.is_empty() && !ended.stdout.contains(password) && !ended.stderr.contains(password));
    }
    let absent =
        format!("! image {other}: the pull secret has no login for its host; fine if the image is public");
    check(&explain(&editor, "elsewhere", &read).await?, 0, &[&absent]);

    // The role `view` does not include Secrets.
    let hidden = format!("- Secret {ours}: not checked: you may not get secrets named {ours} in {namespace}");
    let unknown =
        format!("- image {IMAGE}: whether the pull secret has a login for its host was not checked");
    for more in [&[][..], &read] {
        check(&explain(&viewer, "good", more).await?, 0, &[&list, &hidden, &unknown]);
    }
    check(&explain(&viewer, "manual", &[]).await?, 1, &[&manual]);

    // The policies are not in a namespace, so a binding in a namespace is not enough, also once `view` has the right.
    let role: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(paths::manifests().join("view.yaml"))?)?;
    cluster::apply(&stage.client, &role).await?;
    let everywhere = binding("ClusterRoleBinding", "acr-credential-helper-view", &namespace, "edit");
    check(&explain(&viewer, "good", &[]).await?, 0, &[policy]);
    cluster::apply(&stage.client, &everywhere).await?;
    // There is no Kubewarden here, so what is seen of its policies is that there are none.
    let seen = "! policy acr-credential-helper-inject: is not installed";
    wait_until("the policies are seen", PATIENCE, async || {
        let ended = explain(&editor, "good", &[]).await?;
        Ok((ended.code == Some(0) && ended.stdout.contains(seen)).then_some(()))
    })
    .await?;
    // Who has `view` everywhere gets the right by aggregation.
    cluster::apply(&stage.client, &binding("ClusterRoleBinding", "view", &namespace, "view")).await?;
    wait_until("the policies are seen with the role view", PATIENCE, async || {
        Ok(explain(&viewer, "good", &[]).await?.stdout.contains(seen).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_team_learns_that_its_namespace_has_no_pull_secret() -> Result<()> {
    let stage = Stage::new("tenants-missing-").await?;
    let namespace = fresh_namespace(&stage.client, "not-managed-", &[]).await?;
    let editor = tenant(&stage, &namespace, "edit").await?;
    start_pod(&stage, &namespace, "web", &[&stage.name], IMAGE).await?;
    // What follows depends on whether the role may list Events, which it may not in Kubernetes 1.34.
    let missing = format!("✗ Secret {}: is missing", stage.name);
    check(&stage.run_with(&editor, &["explain", "pod/web", "-n", &namespace]).await?, 1, &[&missing]);
    // Whether there should be one is not known.
    let absent = format!("{namespace}  absent");
    check(&stage.run_with(&editor, &["status", "-n", &namespace]).await?, 0, &[&absent]);
    // A Secret that is not the sidecar's is an error, also if the team reads that its hosts lack this one.
    let metadata = json!({ "name": stage.name, "namespace": namespace });
    let data = json!({ ".dockerconfigjson": "{\"auths\":{}}" });
    let foreign = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/dockerconfigjson", "stringData": data,
    });
    cluster::apply(&stage.client, &foreign).await?;
    let foreign = format!("✗ Secret {}: another manager created it", stage.name);
    for more in [&[][..], &["--read-secret"]] {
        let arguments = [&["explain", "pod/web", "-n", &namespace][..], more].concat();
        check(&stage.run_with(&editor, &arguments).await?, 1, &[&foreign]);
    }
    // Of another namespace, nothing is told.
    let ended = stage.run_with(&editor, &["explain", "pod/web", "-n", &stage.name]).await?;
    check(&ended, 2, &[]);
    assert!(ended.stderr.contains("the API server answered 403"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn status_shows_a_team_its_own_namespace_and_names_the_rights_that_it_lacks() -> Result<()> {
    let stage = Stage::new("tenants-status-").await?;
    let ours = &stage.name;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;

    // What is watched from the beginning changes once the sidecar has written.
    let mut arguments = vec!["status", "--watch", "-n", &namespace];
    let flags = stage.flags();
    let admin = format!("--kubeconfig={}", stage.cluster.kubeconfig().display());
    arguments.extend([admin.as_str(), flags[1].as_str(), flags[2].as_str()]);
    let mut watching = stage.sidecar.endless(&arguments)?;
    let mut lines = BufReader::new(watching.stdout.take().context("there is no output")?).lines();
    let mut until = async |state: &str| {
        let row = format!(" {namespace}  {state}");
        while let Some(line) = lines.next_line().await? {
            if line.starts_with(&row) {
                return Ok(());
            }
        }
        anyhow::bail!("no line begins with {row:?}")
    };
    timeout(PATIENCE, until("missing")).await??;
    let _sidecar = stage.started(&[]).await?;
    stage.until_filled(&namespace).await?;
    timeout(PATIENCE, until("fresh")).await??;
    watching.kill().await?;

    let editor = tenant(&stage, &namespace, "edit").await?;
    let viewer = tenant(&stage, &namespace, "view").await?;
    let rest = [
        format!("- configuration: not checked: you may not get configmaps named acr-configuration in {ours}"),
        format!("- leader: not checked: you may not get leases named acr-credential-sidecar in {ours}"),
        format!("- warnings: not checked: you may not list events in {ours}"),
    ];
    let rest = rest.each_ref().map(String::as_str);
    let status = async |who: &str, more: &[&str]| {
        let arguments = ["status", "-n", &namespace];
        stage.run_with(who, &arguments.iter().chain(more).copied().collect::<Vec<_>>()).await
    };
    let ended = status(&editor, &[]).await?;
    check(&ended, 0, &rest);
    check(&ended, 0, &[&format!("{namespace}  fresh")]);
    assert!(ended.stdout.contains("cn-hangzhou/cri-example"), "{}", ended.stdout);
    let wide = status(&editor, &["-o", "wide"]).await?;
    assert!(wide.stdout.contains("HASH"), "{}", wide.stdout);
    let ended = status(&editor, &["--output=json"]).await?;
    let document: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!(document["pullSecrets"][0]["state"], "fresh", "{document}");
    assert_eq!(document["notChecked"].as_array().map(Vec::len), Some(3), "{document}");
    let ended = status(&viewer, &[]).await?;
    check(&ended, 0, &rest);
    let hidden = format!("- pull secret: not checked: you may not get secrets named {ours} in {namespace}");
    check(&ended, 0, &[&hidden, &format!("{namespace}  unknown")]);

    // The whole cluster is not theirs to see.
    let ended = stage.run_with(&editor, &["status"]).await?;
    check(&ended, 2, &[]);
    assert!(ended.stderr.contains("status -n NAMESPACE needs no right outside"), "{}", ended.stderr);
    // An administrator sees each pull secret.
    check(&stage.run_as_admin(&["status", "-o", "wide"]).await?, 0, &[&format!("{namespace}  fresh")]);
    Ok(())
}
