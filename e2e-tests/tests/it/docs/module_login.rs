//! A mirror that needs a login: what the policy server does with the Secret that `spec.imagePullSecret` names, and with
//! `spec.insecureSources`. Kubewarden's controller gives it both as files.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use acr_e2e_tests::client::HttpClient;
use acr_e2e_tests::cluster::PATIENCE;
use acr_e2e_tests::paths;
use acr_e2e_tests::policy_server::PolicyServer;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::stage::PUBLISHER;

#[tokio::test]
async fn the_real_policy_server_pulls_the_module_only_with_the_login_where_it_and_kwctl_are_installed()
-> Result<()> {
    let (Some(server), Some(kwctl)) = (PolicyServer::find()?, paths::on_path("kwctl")) else {
        // Not by a macro, whose output is not shown.
        writeln!(
            std::io::stderr(),
            "NOT RUN: the login for the module: policy-server or kwctl is not on the PATH"
        )?;
        return Ok(());
    };
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    let (_registry, address) = registry().await?;
    let login = json!({ "auths": { &address: { "auth": STANDARD.encode(PUBLISHER) } } });
    std::fs::write(here.join("config.json"), login.to_string())?;
    std::fs::write(here.join("sources.yml"), json!({ "insecure_sources": [address] }).to_string())?;
    let module = format!("registry://{address}/mirror/acr-credential-helper-policy:v0.1.0");
    let wasm = here.join("policy.wasm");
    let metadata = paths::repository().join("metadata.yml");
    let annotated = Command::new(&kwctl)
        .args(["annotate".as_ref(), "-m".as_ref(), metadata.as_os_str(), "-o".as_ref(), wasm.as_os_str()])
        .arg(paths::policy_wasm()?)
        .output()
        .await?;
    ensure!(annotated.status.success(), "{}", String::from_utf8_lossy(&annotated.stderr));
    let mut push = Command::new(&kwctl);
    push.arg("push").arg(&wasm).arg(&module).arg("--sources-path").arg(here.join("sources.yml"));
    let pushed = push.arg("--docker-config-json-path").arg(here).env("HOME", here).output().await?;
    ensure!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));

    assert!(!serves(&server, here, &module, false).await?, "it serves a module that it may not pull");
    assert!(serves(&server, here, &module, true).await?, "it may pull the module");
    Ok(())
}

/// A registry of the bed, which takes a login for everything.
async fn registry() -> Result<(Child, String)> {
    let mut process = Command::new(paths::cluster_binary()?)
        .args(["registry", "--cloud", "http://127.0.0.1:1"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
    let line = lines.next_line().await?.context("the registry ended")?;
    let address = line.rsplit(' ').next().context("no address")?.to_owned();
    Ok((process, address))
}

/// Whether policy-server becomes ready with the module, instead of ending.
async fn serves(server: &Path, here: &Path, module: &str, has_login: bool) -> Result<bool> {
    let [port, readiness] = [free_port()?, free_port()?];
    let policies = json!({ "inject": {
        "module": module,
        "allowedToMutate": true,
        "settings": { "namespaces": ["default"], "serviceAccounts": ["default"] },
    } });
    std::fs::write(here.join("policies.yml"), policies.to_string())?;
    let downloads = tempfile::tempdir_in(here)?;
    let log = std::fs::File::create(here.join("log"))?;
    let mut command = Command::new(server);
    command
        .args(["--addr", "127.0.0.1", "--ignore-kubernetes-connection-failure"])
        .args(["--port", &port.to_string(), "--readiness-probe-port", &readiness.to_string()])
        .arg("--policies")
        .arg(here.join("policies.yml"))
        .arg("--sources-path")
        .arg(here.join("sources.yml"))
        .arg("--policies-download-dir")
        .arg(downloads.path())
        // A file that is not there: otherwise it would fetch keys from the network.
        .arg("--sigstore-trust-config")
        .arg(here.join("no-signatures-here.json"))
        .env("KUBECONFIG", "/dev/null")
        .env("HOME", downloads.path())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    if has_login {
        command.arg("--docker-config-json-path").arg(here);
    }
    let mut process = command.spawn()?;
    let client = HttpClient::plain();
    let url = format!("http://127.0.0.1:{readiness}/readiness");
    let is_ready = wait_until("policy-server is ready or has ended", PATIENCE, async || {
        if process.try_wait()?.is_some() {
            return Ok(Some(false));
        }
        Ok(client.get(&url).await.ok().filter(|(status, _)| *status == 200).map(|_| true))
    })
    .await?;
    let log = std::fs::read_to_string(here.join("log"))?;
    ensure!(is_ready || log.to_lowercase().contains("unauthorized"), "it ended for another reason: {log}");
    Ok(is_ready)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
