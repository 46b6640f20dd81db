//! Kubewarden's own policy-server as the evaluation behind the webhook server.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::body::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::client::HttpClient;
use crate::environment::{Answer, HostConfig, PolicyConfig};
use crate::paths;
use crate::wait::wait_until;

/// A policy-server process. Dropping it ends the process.
pub struct PolicyServer {
    base: String,
    client: HttpClient,
    _process: Child,
    _dir: TempDir,
}

impl PolicyServer {
    /// The binary that the environment variable `POLICY_SERVER` names, else the one on the `PATH`, if there is one.
    ///
    /// # Errors
    /// When `POLICY_SERVER` names no file.
    pub fn find() -> Result<Option<PathBuf>> {
        match std::env::var_os("POLICY_SERVER").filter(|value| !value.is_empty()) {
            Some(path) => paths::existing(path.into(), "POLICY_SERVER names it").map(Some),
            None => Ok(paths::on_path("policy-server")),
        }
    }

    /// Starts policy-server on free ports of the loopback interface and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready: a module cannot be loaded, settings are invalid. Its own last words are included.
    pub async fn start(binary: &Path, config: &HostConfig) -> Result<Self> {
        let dir = TempDir::with_prefix("policy-server-").context("failed to make a directory")?;
        let policies = dir.path().join("policies.yml");
        let document = policies_document(&config.policies, dir.path())?;
        // JSON is YAML.
        std::fs::write(&policies, document.to_string()).context("failed to write the list of policies")?;

        let (port, readiness_port) = (free_port()?, free_port()?);
        let log_path = dir.path().join("log");
        let log = File::create(&log_path).context("failed to make the log file")?;
        let mut command = Command::new(binary);
        command
            .args(["--addr", "127.0.0.1", "--log-no-color", "--policies"])
            .arg(&policies)
            .arg("--port")
            .arg(port.to_string())
            .arg("--readiness-probe-port")
            .arg(readiness_port.to_string())
            .arg("--policies-download-dir")
            .arg(dir.path())
            // A file that is not there: without the option it would fetch the public signing keys from the network,
            // which nothing here needs. It warns and goes on.
            .arg("--sigstore-trust-config")
            .arg(dir.path().join("no-signatures-here.json"))
            // What goes wrong is told from the end of the log; a backtrace would push it out.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("failed to share the log file")?)
            .stderr(log)
            .kill_on_drop(true);
        match &config.kubeconfig {
            Some(path) => command.env("KUBECONFIG", path),
            None => command.env("KUBECONFIG", "/dev/null").arg("--ignore-kubernetes-connection-failure"),
        };
        let mut process = command.spawn().with_context(|| format!("failed to start {}", binary.display()))?;

        let client = HttpClient::plain();
        let readiness = format!("http://127.0.0.1:{readiness_port}/readiness");
        wait_until("policy-server is ready", Duration::from_mins(1), async || {
            if let Some(status) = process.try_wait().context("failed to look after policy-server")? {
                let log = std::fs::read_to_string(&log_path).unwrap_or_default();
                bail!("policy-server ended with {status}:\n{}", last_lines(&log, 10));
            }
            Ok(client.get(&readiness).await.ok().filter(|(status, _)| *status == 200).map(|_| ()))
        })
        .await?;
        Ok(Self { base: format!("http://127.0.0.1:{port}"), client, _process: process, _dir: dir })
    }

    /// Passes a review on.
    ///
    /// # Errors
    /// When the process gives no answer.
    pub async fn validate(&self, policy: &str, body: Bytes) -> Result<Answer> {
        let (status, body) = self.client.post(&format!("{}/validate/{policy}", self.base), body).await?;
        Ok(Answer { status, body, host_calls: None })
    }
}

/// The file that Kubewarden's controller mounts into policy-server: `policies.yml`, as the controller of 1.36.0-beta.1 wrote it.
fn policies_document(policies: &BTreeMap<String, PolicyConfig>, dir: &Path) -> Result<Value> {
    let mut modules = BTreeMap::<&Path, PathBuf>::new();
    let mut document = serde_json::Map::new();
    for (name, policy) in policies {
        let PolicyConfig {
            module,
            settings,
            mutating,
            mode,
            message,
            context_aware_resources,
            timeout_eval_seconds,
        } = policy;
        let module = if let Some(copy) = modules.get(module.as_path()) {
            copy.clone()
        } else {
            let copy = dir.join(format!("{}.wasm", modules.len()));
            copy_with_metadata(module, &copy)?;
            modules.insert(module, copy.clone());
            copy
        };
        let mut entry = json!({
            "namespacedName": { "Namespace": "", "Name": name.strip_prefix("clusterwide-").unwrap_or(name) },
            "module": format!("file://{}", module.display()),
            "policyMode": mode,
            "allowedToMutate": mutating,
            "settings": settings,
            // From the PolicyServer, unless it says otherwise.
            "hostCapabilities": ["*"],
        });
        if !context_aware_resources.is_empty() {
            entry["contextAwareResources"] = json!(context_aware_resources);
        }
        if let Some(message) = message {
            entry["message"] = json!(message);
        }
        if let Some(seconds) = timeout_eval_seconds {
            entry["timeoutEvalSeconds"] = json!(seconds);
        }
        document.insert(name.clone(), entry);
    }
    Ok(Value::Object(document))
}

/// policy-server loads only modules that `kwctl annotate` has been over. For one fresh from the compiler, the least that
/// it asks for is added: a custom section that names the protocol.
fn copy_with_metadata(module: &Path, copy: &Path) -> Result<()> {
    const SECTION: &[u8] = b"io.kubewarden.metadata";
    let mut wasm = std::fs::read(module).with_context(|| format!("failed to read {}", module.display()))?;
    if !wasm.windows(SECTION.len()).any(|window| window == SECTION) {
        let metadata = json!({"protocolVersion": "v1", "rules": [], "mutating": true, "executionMode": "kubewarden-wapc"});
        wasm.extend(custom_section(SECTION, metadata.to_string().as_bytes()));
    }
    std::fs::write(copy, wasm).with_context(|| format!("failed to write {}", copy.display()))
}

/// <https://webassembly.github.io/spec/core/binary/modules.html#custom-section>
fn custom_section(name: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut content = leb128(name.len());
    content.extend_from_slice(name);
    content.extend_from_slice(payload);
    let mut section = vec![0];
    section.extend(leb128(content.len()));
    section.extend(content);
    section
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A port that was free a moment ago; policy-server cannot be told to choose one itself and say which.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")?;
    Ok(listener.local_addr().context("failed to find a free port")?.port())
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_groups_of_seven_bits() {
        assert_eq!(leb128(0), [0]);
        assert_eq!(leb128(127), [0x7f]);
        assert_eq!(leb128(624_485), [0xe5, 0x8e, 0x26]);
    }

    #[test]
    fn a_section_carries_its_name_and_payload() {
        assert_eq!(custom_section(b"ab", b"xyz"), *b"\x00\x06\x02abxyz");
    }

    #[test]
    fn the_list_of_policies_is_the_one_that_the_controller_writes() {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("module");
        std::fs::write(&module, b"\0asm\x01\0\0\0").unwrap();
        let settings = serde_json::from_value(json!({ "namespaces": ["default"] })).unwrap();
        let inject = PolicyConfig::mutating(module, settings);
        let mut guard = PolicyConfig { mutating: false, ..inject.clone() };
        guard.context_aware_resources.insert(crate::host_calls::ContextAwareResource {
            api_version: "v1".to_owned(),
            kind: "ServiceAccount".to_owned(),
        });
        let policies = BTreeMap::from([
            ("clusterwide-inject".to_owned(), inject),
            ("clusterwide-guard".to_owned(), guard),
        ]);
        let file = format!("file://{}", dir.path().join("0.wasm").display());
        assert_eq!(
            policies_document(&policies, dir.path()).unwrap(),
            json!({
                "clusterwide-guard": {
                    "namespacedName": { "Namespace": "", "Name": "guard" },
                    "module": file,
                    "policyMode": "protect",
                    "allowedToMutate": false,
                    "contextAwareResources": [{ "apiVersion": "v1", "kind": "ServiceAccount" }],
                    "settings": { "namespaces": ["default"] },
                    "hostCapabilities": ["*"],
                },
                "clusterwide-inject": {
                    "namespacedName": { "Namespace": "", "Name": "inject" },
                    "module": file,
                    "policyMode": "protect",
                    "allowedToMutate": true,
                    "settings": { "namespaces": ["default"] },
                    "hostCapabilities": ["*"],
                },
            })
        );
    }
}
