//! `make demo`: credentials from a fake cloud, and the policy on a real Kubernetes API server, told step by step.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use acr_e2e_tests::cluster::{Cluster, named_namespace, wait_for_service_account};
use acr_e2e_tests::installation::Installation;
use acr_e2e_tests::manifests::Manifests;
use acr_e2e_tests::paths;
use acr_e2e_tests::sidecar::Sidecar;
use acr_fake_cloud::{FakeCloud, State};
use anyhow::{Result, bail};
use clap::Parser;

/// Mints credentials at a fake cloud, and shows the policy at work on a real Kubernetes API server, in about half a minute.
///
/// Nothing is installed, nothing outside this machine is contacted, and everything is gone at the end.
///
/// Example: `make demo`
#[derive(Parser)]
struct Args {}

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec:
  containers: [{name: web, image: demo-registry.cn-hangzhou.cr.aliyuncs.com/team/web:1}]
";

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: NAMESPACE}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      imagePullSecrets: [LIST]
      containers: [{name: shop, image: demo-registry.cn-hangzhou.cr.aliyuncs.com/team/shop:1}]
";

const CONFIGURATION: &str = "\
watch-namespace: default
acr-registry-info: |
  - instanceId: cri-example
    regionId: cn-hangzhou
  # An instance of another account, by a role there.
  - instanceId: cri-other
    regionId: cn-hangzhou
    assumeRoleARN: acs:ram::2000000000000002:role/guest
";

const LIST_COLUMNS: &str = "custom-columns=POD:.metadata.name,PULL SECRETS:.spec.imagePullSecrets[*].name";

#[tokio::main]
async fn main() -> Result<()> {
    let Args {} = Args::parse();
    let start = Instant::now();
    let out =
        Output { is_terminal: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() };

    mint(&out).await?;

    out.step("A real Kubernetes control plane: etcd, kube-apiserver, kube-controller-manager")?;
    let cluster = Cluster::start().await?;
    let client = cluster.client().await?;
    wait_for_service_account(&client, "default", "default").await?;
    named_namespace(&client, "unmanaged", &[]).await?;
    let stage = Stage { cluster, out };
    stage.kubectl(&["get", "namespaces"], "").await?;

    stage.out.step(
        "The compiled policy behind deploy/inject.yaml and deploy/guard.yaml, as Kubewarden installs them",
    )?;
    let manifests = Manifests::read_dir(&paths::manifests())?;
    let policies =
        ["inject", "guard"].map(|name| manifests.policy(&format!("acr-credential-helper-{name}")).cloned());
    let policies = policies.into_iter().collect::<Result<Vec<_>>>()?;
    let installation = Installation::start(&stage.cluster, policies).await?;
    let webhooks = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
    stage.kubectl(&["get", webhooks, "-o", "name"], "").await?;

    stage.out.step("A Pod without imagePullSecrets gets the reference to the pull secret")?;
    stage.applies(POD).await?;
    stage.kubectl(&["get", "pod", "web", "-o", "jsonpath={.spec.imagePullSecrets}{\"\\n\"}"], "").await?;

    stage.out.step("A Deployment with a manual list is refused: the list would keep the pull secret out")?;
    stage.refuses(&deployment("default", "{name: my-registry}")).await?;

    stage.out.step("With the pull secret beside it, it is accepted, and its Pods carry both")?;
    stage
        .applies(&deployment("default", "{name: my-registry}, {name: acr-credential-secret-aggregation}"))
        .await?;
    stage.pods_of_shop("default").await?;

    stage.out.step("Without a list of its own, Pods get the reference as they are created")?;
    stage.applies(&deployment("default", "")).await?;
    stage.pods_of_shop("default").await?;

    stage.out.step("Elsewhere nothing changes: the namespace \"unmanaged\" is not selected")?;
    stage.applies(&deployment("unmanaged", "{name: my-registry}")).await?;
    stage.pods_of_shop("unmanaged").await?;

    let (injected, judged) = (installation.calls("inject"), installation.calls("guard"));
    say(&format!(
        "\nDone in {:.0} s. The API server asked the policy {injected} times about Pods and {judged} times about workloads.",
        start.elapsed().as_secs_f64()
    ))
}

/// The sidecar's commands, on a cloud that checks every signature as Alibaba Cloud does.
async fn mint(out: &Output) -> Result<()> {
    let state = std::fs::read_to_string(paths::cloud_state("two-accounts"))?;
    let cloud = FakeCloud::start(State::from_yaml(&state)?).await?;
    let sidecar = Sidecar::new(&cloud)?.with_keys("LTAI5tEXAMPLEpuller", "EXAMPLE-secret-of-puller");
    sidecar.file("acr-configuration.yaml", CONFIGURATION)?;

    out.step("The configuration, checked before anything uses it")?;
    out.command("cat acr-configuration.yaml", "")?;
    say(CONFIGURATION.trim_end())?;
    let arguments = ["check", "--config", "acr-configuration.yaml"];
    out.command(&format!("acr-credential-sidecar {}", arguments.join(" ")), "")?;
    say(sidecar.run(&arguments).await?.stdout.trim_end())?;

    out.step("Short-lived credentials from a fake Alibaba Cloud on this machine: one for each instance, no password in sight")?;
    let arguments = ["mint", "--config", "acr-configuration.yaml", "--output", "table"];
    out.command(&format!("acr-credential-sidecar {}", arguments.join(" ")), "")?;
    let minted = sidecar.online(&arguments).await?;
    say(minted.stdout.trim_end())?;
    say(minted.stderr.trim_end())?;
    if minted.code != Some(0) {
        bail!("the demo expected credentials");
    }
    Ok(())
}

fn deployment(namespace: &str, list: &str) -> String {
    DEPLOYMENT.replace("NAMESPACE", namespace).replace("LIST", list)
}

struct Stage {
    cluster: Cluster,
    out: Output,
}

impl Stage {
    /// Runs kubectl and shows what it says.
    async fn kubectl(&self, args: &[&str], input: &str) -> Result<bool> {
        let quoted: Vec<String> = args
            .iter()
            .map(|arg| if arg.contains([' ', '{', '*']) { format!("'{arg}'") } else { (*arg).to_owned() })
            .collect();
        self.out.command(&format!("kubectl {}", quoted.join(" ")), input)?;
        let output = self.cluster.kubectl(args, input).await?;
        say(output.stdout.trim_end())?;
        say(output.stderr.trim_end())?;
        Ok(output.success)
    }

    async fn applies(&self, manifest: &str) -> Result<()> {
        if !self.kubectl(&["apply", "-f", "-"], manifest).await? {
            bail!("the demo expected this to be accepted");
        }
        Ok(())
    }

    async fn refuses(&self, manifest: &str) -> Result<()> {
        if self.kubectl(&["apply", "-f", "-"], manifest).await? {
            bail!("the demo expected this to be refused");
        }
        Ok(())
    }

    /// Waits for the rollout's Pods, then shows their lists.
    async fn pods_of_shop(&self, namespace: &str) -> Result<()> {
        // Nothing runs Pods here, so it is their creation that is waited for, not that they are ready.
        let wait = [
            "wait",
            "-n",
            namespace,
            "deployment/shop",
            "--for=jsonpath={.status.updatedReplicas}",
            "--timeout=30s",
        ];
        let waited = self.cluster.kubectl(&wait, "").await?;
        if !waited.success {
            bail!("the Pods did not come: {}", waited.stderr);
        }
        let newest = self
            .cluster
            .kubectl(
                &[
                    "get",
                    "replicasets",
                    "-n",
                    namespace,
                    "-l",
                    "app=shop",
                    "--sort-by=.metadata.creationTimestamp",
                    "-o",
                    "jsonpath={.items[-1:].metadata.labels.pod-template-hash}",
                ],
                "",
            )
            .await?;
        let selector = format!("app=shop,pod-template-hash={}", newest.stdout);
        self.kubectl(&["get", "pods", "-n", namespace, "-l", &selector, "-o", LIST_COLUMNS], "").await?;
        Ok(())
    }
}

struct Output {
    is_terminal: bool,
}

impl Output {
    fn step(&self, title: &str) -> Result<()> {
        writeln!(std::io::stdout())?;
        say(&self.style("1", &format!("▸ {title}")))
    }

    fn command(&self, command: &str, input: &str) -> Result<()> {
        let heredoc = if input.is_empty() { String::new() } else { format!(" <<'EOF'\n{input}EOF") };
        say(&self.style("36", &format!("$ {command}{heredoc}")))
    }

    fn style(&self, code: &str, text: &str) -> String {
        if self.is_terminal { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn say(text: &str) -> Result<()> {
    if !text.is_empty() {
        writeln!(std::io::stdout(), "{text}")?;
    }
    Ok(())
}
