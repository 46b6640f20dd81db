//! Everything set up, and left to the user.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use acr_e2e_tests::cluster::{Cluster, PATIENCE};
use acr_e2e_tests::desk::{quoted, start_up_file};
use acr_e2e_tests::kubewarden::Kubewarden;
use acr_e2e_tests::sidecar::Running;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result, bail};
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::desk::{APPLY_POLICIES, Desk, IMAGE, PULL_SECRET};
use crate::output::Output;
use crate::signals::Signals;

/// Sets everything up, says what to try, and waits.
///
/// # Errors
/// When something cannot be set up.
pub(crate) async fn run(out: &Output, signals: &mut Signals) -> Result<()> {
    let desk = Desk::new().await?;
    out.say("Starting a Kubernetes control plane, a registry, a node, the sidecar and the policies.")?;
    let mut stage = tokio::select! {
        stage = out.waiting("some seconds", set_up(&desk)) => stage?,
        signal = signals.any() => bail!("{signal}: nothing is left"),
    };
    out.say(&introduction(&desk, &stage, out))?;
    if std::io::stdin().is_terminal() {
        out.say(
            "\nThis is a shell in which the three lines above hold. Everything ends when you leave it.\n",
        )?;
        let mut shell = subshell(&desk)?.spawn().context("failed to start a shell")?;
        tokio::select! {
            // How the last command in it ended is nobody's business.
            ended = shell.wait() => { ended.context("failed to wait for the shell")?; }
            _ = signals.any_but_interrupt() => {}
        }
    } else {
        out.say("\nEverything ends with Ctrl-C, or with the end of standard input.")?;
        tokio::select! {
            () = end_of_input() => {}
            _ = signals.any() => {}
        }
    }
    out.say("Stopping everything.")?;
    stage.sidecar.stop().await?;
    Ok(())
}

/// What runs, besides the cloud. Fields are dropped in this order.
struct Stage {
    sidecar: Running,
    _policies: Kubewarden,
    _cluster: Cluster,
}

async fn set_up(desk: &Desk) -> Result<Stage> {
    let cluster = desk.start_cluster().await?;
    let mut policies = Kubewarden::start(&cluster).await?;
    for command in [
        "kubectl apply -f deploy/sidecar.yaml -f deploy/sidecar-fence.yaml",
        // The sidecar runs as a process: the node runs nothing.
        "kubectl scale -n kube-system deployment/acr-credential-sidecar --replicas=0",
        "kubectl create namespace team-a",
        "kubectl apply -f acr-configuration.yaml",
        APPLY_POLICIES,
    ] {
        let ended = desk.sh(command).await?;
        if ended.code != Some(0) {
            bail!("{command}: {}", ended.stderr);
        }
    }
    let mut sidecar = desk.start_sidecar(&cluster).await?;
    policies.settle(&cluster).await?;
    wait_until("the sidecar is ready", PATIENCE, async || {
        Ok(sidecar.page("/readyz").await?.filter(|(status, _)| *status == 200).map(|_| ()))
    })
    .await?;
    Ok(Stage { sidecar, _policies: policies, _cluster: cluster })
}

/// Where everything is, and what to try. A system test runs every line that is a command.
fn introduction(desk: &Desk, stage: &Stage, out: &Output) -> String {
    let (kubeconfig, programs) = (desk.kubeconfig(), desk.programs());
    let heading = |text: &str| out.style("1", text);
    let comment = |text: &str| out.style("2", &format!("  # {text}"));
    let word = |path: &Path| quoted(&path.to_string_lossy());
    let (cloud, sidecar) = (desk.cloud.url(), stage.sidecar.url());
    let lines = [
        heading("\nIn any terminal:"),
        format!("  export KUBECONFIG={}", word(&kubeconfig)),
        format!("  export PATH={}:\"$PATH\"", word(&programs)),
        format!("  cd {}", word(desk.directory())),
        heading("\nWhat to try:"),
        comment("A private image in a namespace that is made this moment"),
        "  kubectl create namespace team-b".to_owned(),
        format!("  kubectl create deployment web -n team-b --image={IMAGE}"),
        "  kubectl rollout status deployment/web -n team-b --timeout=60s".to_owned(),
        "  kubectl get pods -n team-b -o 'custom-columns=POD:.metadata.name,STATUS:.status.phase,PULL SECRETS:.spec.imagePullSecrets[*].name'".to_owned(),
        comment("Why its Pod runs"),
        "  acr-credential-sidecar explain -n team-b --read-secret \"$(kubectl get pods -n team-b -o name | head -n 1)\"".to_owned(),
        comment("Refused: the Pod lists another pull secret, and would start without ours"),
        "  kubectl apply -f refused.yaml".to_owned(),
        comment("A Pod that opts out cannot pull, and why"),
        format!("  kubectl run lonely --labels=acr-credential-helper.io/inject=false --image={IMAGE}"),
        "  acr-credential-sidecar explain pod lonely".to_owned(),
        comment("How everything stands"),
        "  acr-credential-sidecar status".to_owned(),
        format!("  kubectl get secrets -A --field-selector=metadata.name={PULL_SECRET} -o 'custom-columns=NAMESPACE:.metadata.namespace,VERSION:.metadata.resourceVersion,EXPIRES:.metadata.annotations.acr-credential-helper\\.io/expires-at'"),
        comment("Credentials last three minutes here. Move the cloud's clock by four: those in use are worth nothing at once,"),
        comment("new Pods cannot pull, and within a minute the sidecar has the next ones. The Pod's Events tell the story."),
        format!("  curl -sS -d '{{\"advanceSeconds\": 240}}' {cloud}/_admin/clock"),
        "  kubectl scale deployment/web -n team-b --replicas=2".to_owned(),
        "  kubectl rollout status deployment/web -n team-b --timeout=120s".to_owned(),
        "  kubectl get events -n team-b".to_owned(),
        comment("What the sidecar counts, and what else the cloud can do"),
        format!("  curl -sS {sidecar}/metrics"),
        format!("  curl -sS {cloud}/_admin/"),
    ];
    lines.join("\n")
}

/// A shell at the desk.
fn subshell(desk: &Desk) -> Result<Command> {
    let file = desk.directory().join("bashrc");
    std::fs::write(&file, start_up_file(&desk.programs(), &desk.kubeconfig()))
        .context("failed to write the start-up file of the shell")?;
    let mut command = Command::new("bash");
    command.arg("--rcfile").arg(file).current_dir(desk.directory()).kill_on_drop(true);
    Ok(command)
}

/// Returns when standard input has ended.
async fn end_of_input() {
    let (ended, at_end) = oneshot::channel();
    // A thread of its own: nothing can end a read, and the runtime would wait for it.
    std::thread::spawn(move || {
        let mut input = std::io::stdin();
        let mut buffer = [0; 256];
        while input.read(&mut buffer).is_ok_and(|read| read > 0) {}
        ended.send(()).ok();
    });
    at_end.await.ok();
}
