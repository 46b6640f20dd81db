//! A real control plane for the tests: etcd, kube-apiserver and kube-controller-manager, from the binary in `cluster/`; with
//! a registry and a node where they are wanted.

mod options;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::Scope;
use kube::{Api, Client, ResourceExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell;

pub use options::{Node, Options, Registry};

use crate::wait::wait_until;
use crate::{kubeconfig, paths};

/// The name under which the tests own the fields that they apply.
const FIELD_MANAGER: &str = "e2e-tests";

/// How long anything in the cluster may take before a test gives up. Far more than it takes on an idle machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running control plane. It ends when this is dropped, and, since it listens to a pipe of ours, whenever this process
/// ends.
pub struct Cluster {
    summary: Summary,
    binary: PathBuf,
    process: Child,
    line: Arc<Mutex<Option<Line>>>,
}

/// The way to a control plane: orders go out, an answer to each comes back.
struct Line {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// The line that `cluster up` prints when it is ready.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    kubeconfig: PathBuf,
    server: String,
    ca_file: PathBuf,
    dir: PathBuf,
    registry: Option<String>,
    pids: BTreeMap<String, u32>,
}

/// What `cluster up` answers to an order.
#[derive(Debug, Deserialize)]
struct Answer {
    restarted: Option<String>,
    error: Option<String>,
}

impl Cluster {
    /// The one that all tests of this process share. It is started by whoever asks first.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Starts one; it takes some seconds.
    ///
    /// # Errors
    /// When the binary is missing, or the control plane does not become ready; its own messages are included.
    pub async fn start() -> Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// Starts one with more in it.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_with(options: Options) -> Result<Self> {
        tokio::task::spawn_blocking(move || Self::start_blocking(&options))
            .await
            .context("the thread that starts the control plane ended early")?
    }

    fn start_blocking(options: &Options) -> Result<Self> {
        let binary = paths::cluster_binary()?;
        // `cluster up` removes the directory in the end; it outlives this process for a moment.
        let dir = tempfile::Builder::new()
            .prefix("acr-e2e-cluster-")
            .tempdir()
            .context("failed to make a directory for the control plane")?
            .keep();
        let mut messages = tempfile::tempfile().context("failed to make a file for messages")?;
        let mut process = Command::new(&binary)
            .args(["up", "--dir"])
            .arg(&dir)
            .args(options.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(messages.try_clone().context("failed to share the file for messages")?)
            .spawn()
            .with_context(|| format!("failed to start {}", binary.display()))?;
        let orders = process.stdin.take().context("the control plane has no standard input")?;
        let stdout = process.stdout.take().context("the control plane has no standard output")?;
        let mut answers = BufReader::new(stdout);
        let mut line = String::new();
        answers.read_line(&mut line).context("failed to read from the control plane")?;
        let Ok(summary) = serde_json::from_str::<Summary>(&line) else {
            drop(orders);
            let status = process.wait().context("failed to wait for the control plane")?;
            bail!("the control plane did not become ready ({status}):\n{}", everything_in(&mut messages)?);
        };
        let line = Arc::new(Mutex::new(Some(Line { orders, answers })));
        Ok(Self { summary, binary, process, line })
    }

    /// Kills the API server, as a crash would, starts it again, and waits until it is ready. The other parts stay. For
    /// control planes of a test's own: whoever else uses this one meets it too.
    ///
    /// # Errors
    /// When it does not become ready again: the control plane is gone then.
    pub async fn restart_api_server(&self) -> Result<()> {
        let line = Arc::clone(&self.line);
        let answer = tokio::task::spawn_blocking(move || {
            let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
            line.as_mut().context("the control plane has ended")?.ask("restart kube-apiserver")
        });
        let answer = answer.await.context("the thread that asks the control plane ended early")??;
        match answer {
            Answer { restarted: Some(_), error: None } => Ok(()),
            other => bail!("the API server was not restarted: {other:?}"),
        }
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.summary.kubeconfig
    }

    /// The binary whose subcommand `kubectl` is kubectl.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The URL of the API server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.summary.server
    }

    /// The certificate authority of the API server, a PEM file.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.summary.ca_file
    }

    /// What begins the names of the images in the registry, if there is one: an address such as `127.0.0.1:5000`.
    #[must_use]
    pub fn registry(&self) -> Option<&str> {
        self.summary.registry.as_deref()
    }

    /// The processes of its parts, by name.
    #[must_use]
    pub fn processes(&self) -> &BTreeMap<String, u32> {
        &self.summary.pids
    }

    /// The administrator's client. It lives as long as the tokio runtime of the test that made it, so each test makes
    /// its own.
    ///
    /// # Errors
    /// When no client can be set up.
    pub async fn client(&self) -> Result<Client> {
        kubeconfig::client(self.kubeconfig()).await
    }

    /// A client that acts as somebody else, with nothing but that user's rights.
    ///
    /// # Errors
    /// When no client can be set up.
    pub async fn client_as(&self, user: &User) -> Result<Client> {
        let mut config = kubeconfig::config(self.kubeconfig()).await?;
        config.auth_info.impersonate = Some(user.name.clone());
        config.auth_info.impersonate_groups = Some(user.groups.clone());
        Client::try_from(config).context("failed to set up a Kubernetes client")
    }

    /// Writes a kubeconfig for acting as somebody else: what a policy host is given, so that its lookups need the rights
    /// that our manifests grant.
    ///
    /// # Errors
    /// When the administrator's kubeconfig cannot be read or the new one not be written.
    pub fn kubeconfig_as(&self, user: &User) -> Result<PathBuf> {
        let text = std::fs::read_to_string(self.kubeconfig())
            .context("failed to read the administrator's kubeconfig")?;
        let mut document: Value =
            serde_saphyr::from_str(&text).context("failed to parse the administrator's kubeconfig")?;
        let users = document.get_mut("users").and_then(Value::as_array_mut);
        for entry in users.into_iter().flatten() {
            entry["user"]["as"] = json!(user.name);
            entry["user"]["as-groups"] = json!(user.groups);
        }
        let path = self.summary.dir.join(format!("kubeconfig-{}", user.name.replace([':', '/'], "-")));
        // Whole or not at all: another test may read it at this moment.
        let mut file =
            tempfile::NamedTempFile::new_in(&self.summary.dir).context("failed to make a kubeconfig")?;
        // JSON is YAML.
        file.write_all(document.to_string().as_bytes()).context("failed to write a kubeconfig")?;
        file.persist(&path).context("failed to put a kubeconfig in its place")?;
        Ok(path)
    }

    /// Runs kubectl as the administrator, with this standard input. A failure is no error: its output is what a test
    /// wants to see.
    ///
    /// # Errors
    /// When kubectl cannot be run.
    pub async fn kubectl(&self, args: &[&str], input: &str) -> Result<Output> {
        let mut kubectl = tokio::process::Command::new(&self.binary);
        kubectl
            .args(["kubectl", "--kubeconfig"])
            .arg(self.kubeconfig())
            .args(args)
            // It remembers what each API server can do; this one's address is nobody's tomorrow.
            .env("KUBECACHEDIR", self.summary.dir.join("kubectl-cache"));
        output_of(kubectl, "kubectl", input).await
    }
}

impl Line {
    fn ask(&mut self, order: &str) -> Result<Answer> {
        writeln!(self.orders, "{order}").context("failed to give the control plane an order")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).context("failed to read from the control plane")?;
        serde_json::from_str(&answer).with_context(|| format!("the control plane has ended: {answer:?}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The end of its standard input is what ends it.
        self.line.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It stops its parts and removes its directory first.
        self.process.wait().ok();
    }
}

/// What kubectl said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Output {
    /// Whether it ended with 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error, where warnings are.
    pub stderr: String,
}

/// Runs a command with this standard input, to its end.
pub(crate) async fn output_of(
    mut command: tokio::process::Command,
    name: &str,
    input: &str,
) -> Result<Output> {
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("failed to start {name}"))?;
    let mut stdin = process.stdin.take().with_context(|| format!("{name} has no standard input"))?;
    let write = async {
        // It closes the pipe early when it does not read from it.
        stdin.write_all(input.as_bytes()).await.ok();
        drop(stdin);
    };
    let ((), output) = tokio::join!(write, process.wait_with_output());
    let output = output.with_context(|| format!("failed to wait for {name}"))?;
    Ok(Output {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Somebody to act as.
#[derive(Clone, Debug)]
pub struct User {
    name: String,
    groups: Vec<String>,
}

impl User {
    /// A user in these groups, besides the one of all authenticated users.
    #[must_use]
    pub fn named(name: &str, groups: &[&str]) -> Self {
        let everyone = "system:authenticated".to_owned();
        let groups = groups.iter().map(|group| (*group).to_owned()).chain([everyone]).collect();
        Self { name: name.to_owned(), groups }
    }

    /// A service account.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        let of_namespace = format!("system:serviceaccounts:{namespace}");
        Self::named(
            &format!("system:serviceaccount:{namespace}:{name}"),
            &["system:serviceaccounts", &of_namespace],
        )
    }

    /// The service account that policy-server runs as in a cluster with Kubewarden.
    #[must_use]
    pub fn policy_server() -> Self {
        Self::service_account("kubewarden", "policy-server")
    }
}

/// Makes a namespace with a name of its own that begins with `prefix`, and waits until Pods can be created in it.
///
/// # Errors
/// When the API server refuses, or the namespace gets no service account in time.
pub async fn fresh_namespace(client: &Client, prefix: &str, labels: &[(&str, &str)]) -> Result<String> {
    let metadata = ObjectMeta { generate_name: Some(prefix.to_owned()), ..ObjectMeta::default() };
    create_namespace(client, metadata, labels).await
}

/// Makes a namespace of this name, and waits until Pods can be created in it.
///
/// # Errors
/// As [`fresh_namespace`]; also when there is one of the name.
pub async fn named_namespace(client: &Client, name: &str, labels: &[(&str, &str)]) -> Result<String> {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    create_namespace(client, metadata, labels).await
}

async fn create_namespace(client: &Client, metadata: ObjectMeta, labels: &[(&str, &str)]) -> Result<String> {
    let labels: BTreeMap<_, _> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let namespace =
        Namespace { metadata: ObjectMeta { labels: Some(labels), ..metadata }, ..Namespace::default() };
    let created = Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .context("failed to create a namespace")?
        .name_any();
    wait_for_service_account(client, &created, "default").await?;
    Ok(created)
}

/// Waits until a service account is there. Without it the API server refuses Pods.
///
/// # Errors
/// When it does not come in time.
pub async fn wait_for_service_account(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    wait_until(&format!("there is a ServiceAccount {namespace}/{name}"), PATIENCE, async || {
        Ok(accounts.get_opt(name).await?.map(|_| ()))
    })
    .await
}

/// Applies an object of any kind, server-side and with force. Objects of kinds that have a namespace must name theirs.
///
/// # Errors
/// When the API server does not know the kind, or refuses.
pub async fn apply(client: &Client, object: &Value) -> Result<DynamicObject> {
    let name = text(object, "/metadata/name");
    api_for(client, object)
        .await?
        .patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object))
        .await
        .with_context(|| format!("failed to apply {} {name}", text(object, "/kind")))
}

/// Where objects of this object's kind and namespace are kept.
///
/// # Errors
/// When the API server does not know the kind.
pub async fn api_for(client: &Client, object: &Value) -> Result<Api<DynamicObject>> {
    let (api_version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let (resource, capabilities) =
        kube::discovery::pinned_kind(client, &GroupVersionKind::gvk(group, version, kind))
            .await
            .with_context(|| format!("failed to find the kind {api_version} {kind}"))?;
    Ok(match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            Api::namespaced_with(client.clone(), text(object, "/metadata/namespace"), &resource)
        }
    })
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn everything_in(file: &mut File) -> Result<String> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).context("failed to read the messages")?;
    Ok(text)
}
