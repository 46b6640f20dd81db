//! The play: from a configuration to Pods that go on pulling when the credential of their start has expired.

use std::time::{Duration, Instant};

use acr_e2e_tests::cluster::{Cluster, PATIENCE};
use acr_e2e_tests::kubewarden::Kubewarden;
use acr_e2e_tests::sidecar::{Ended, Running, metric};
use acr_e2e_tests::wait::wait_until;
use acr_fake_cloud::Action;
use anyhow::{Context as _, Result, bail};
use jiff::{SignedDuration, Timestamp};

use crate::desk::{APPLY_POLICIES, CREDENTIAL_SECONDS, Desk, IMAGE, PULL_SECRET, REFUSED};
use crate::output::Output;

/// Two mints of one credential are at least so far apart.
const LEAST_GAP: Duration = Duration::from_mins(1);

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: IMAGE}]
";

/// Plays it all.
///
/// # Errors
/// At the first thing that is not as it should be, with what the sidecar logged last.
pub(crate) async fn run(out: &Output, start: Instant) -> Result<()> {
    let play = Play { desk: Desk::new().await?, out };
    play.mint().await?;
    let cluster = play.cluster().await?;
    let mut running = play.sidecar(&cluster).await?;
    match play.with_sidecar(&cluster, &mut running, start).await {
        Ok(()) => running.stop().await.map(|_| ()),
        Err(error) => {
            let log = running.log()?;
            let last: Vec<_> = log.lines().rev().take(10).collect();
            let last: Vec<_> = last.into_iter().rev().collect();
            Err(error.context(format!("The sidecar logged last:\n{}\n✗", last.join("\n"))))
        }
    }
}

struct Play<'a> {
    desk: Desk,
    out: &'a Output,
}

impl Play<'_> {
    async fn mint(&self) -> Result<()> {
        self.out.step("The configuration, checked before anything uses it")?;
        self.shows("cat acr-configuration.yaml").await?;
        self.shows("acr-credential-sidecar check --config acr-configuration.yaml").await?;

        self.out.step(
            "Short-lived credentials from a fake Alibaba Cloud on this machine, which checks every signature",
        )?;
        self.out.say(&format!(
            "A real one hands out passwords for an hour. Here they last {} minutes, so that you can see one renewed.",
            CREDENTIAL_SECONDS / 60
        ))?;
        self.shows("acr-credential-sidecar mint --config acr-configuration.yaml --output table").await?;
        Ok(())
    }

    async fn cluster(&self) -> Result<Cluster> {
        self.out
            .step("A real Kubernetes control plane, a registry, and a node that pulls as a kubelet does")?;
        let cluster = self.out.waiting("starting them", self.desk.start_cluster()).await?;
        self.shows("kubectl create namespace team-a").await?;
        self.shows("kubectl get nodes").await?;
        Ok(cluster)
    }

    async fn sidecar(&self, cluster: &Cluster) -> Result<Running> {
        self.out.step("The sidecar, with the rights of its manifests and no others")?;
        self.shows("kubectl apply -f deploy/sidecar.yaml -f deploy/sidecar-fence.yaml").await?;
        self.out.say("The node here pulls images and runs nothing. So the sidecar runs as a process, with the token of its account.")?;
        self.shows("kubectl scale -n kube-system deployment/acr-credential-sidecar --replicas=0").await?;
        self.out.command("acr-credential-sidecar run --kubeconfig=sidecar.kubeconfig --spread=0 &")?;
        let running = self.out.waiting("the sidecar starts", self.desk.start_sidecar(cluster)).await?;
        self.refuses("kubectl --kubeconfig=sidecar.kubeconfig get secrets -A", "forbidden").await?;
        Ok(running)
    }

    async fn with_sidecar(&self, cluster: &Cluster, running: &mut Running, start: Instant) -> Result<()> {
        let filled = self.configure().await?;
        let kubewarden = self.policies(cluster).await?;
        self.deploy().await?;
        self.explain().await?;
        self.rotate(filled).await?;

        let page = running.page("/metrics").await?.context("the sidecar has no metrics")?.1;
        self.out.say(&format!(
            "\nDone in {:.0} s. The cloud handed out {} credentials, the sidecar made {} writes, and the API server asked the \
             policies {} times.",
            start.elapsed().as_secs_f64(),
            self.desk.cloud.calls(Action::GetAuthorizationToken),
            metric(&page, "writes_total", &["success"]),
            kubewarden.calls("inject") + kubewarden.calls("guard"),
        ))
    }

    /// Returns when the pull secrets were there.
    async fn configure(&self) -> Result<Instant> {
        self.out.step("The configuration goes in, and Secrets come out: one in each managed namespace")?;
        self.shows("kubectl apply -f acr-configuration.yaml").await?;
        let list = format!("kubectl get secrets -A --field-selector=metadata.name={PULL_SECRET}");
        let all = wait_until("both namespaces have a pull secret", PATIENCE, async || {
            let listed = self.desk.sh(&list).await?.stdout;
            Ok(["default ", "team-a "].iter().all(|name| listed.contains(name)).then_some(()))
        });
        self.out.waiting("the Secrets come", all).await?;
        let filled = Instant::now();
        self.shows(&list).await?;

        self.out.step("That alone starts no Pod: nothing refers to the Secret")?;
        self.shows(&format!("kubectl run early --image={IMAGE}")).await?;
        let reason =
            "kubectl get pod early -o 'jsonpath={.status.containerStatuses[*].state.waiting.reason}'";
        let failed = wait_until("the Pod cannot pull", PATIENCE, async || {
            Ok(self.desk.sh(reason).await?.stdout.contains("Image").then_some(()))
        });
        self.out.waiting("the Pod tries to pull", failed).await?;
        self.shows("kubectl get pod early").await?;
        Ok(filled)
    }

    async fn policies(&self, cluster: &Cluster) -> Result<Kubewarden> {
        self.out.step("The policies for this configuration, which Kubewarden puts in force")?;
        let mut kubewarden = Kubewarden::start(cluster).await?;
        self.shows(APPLY_POLICIES).await?;
        self.out.waiting("they are compiled", kubewarden.settle(cluster)).await?;
        self.shows("kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations -o name")
            .await?;
        Ok(kubewarden)
    }

    async fn deploy(&self) -> Result<()> {
        self.out.step("A Deployment with a private image, and not a word about pull secrets: it runs")?;
        self.applies(&WEB.replace("IMAGE", IMAGE)).await?;
        self.rolled_out().await?;
        self.shows("kubectl get pods -l app=web -o 'custom-columns=POD:.metadata.name,STATUS:.status.phase,PULL SECRETS:.spec.imagePullSecrets[*].name'").await?;

        self.out.step("A Pod with a list of its own is refused: it would start without the pull secret")?;
        let expected = "spec.imagePullSecrets lists \"my-registry\"";
        self.refuses(&format!("kubectl apply -f - <<'EOF'\n{REFUSED}EOF"), expected).await
    }

    async fn explain(&self) -> Result<()> {
        self.out.step("Why does this Pod run, and that one not?")?;
        let pod = self.quietly("kubectl get pods -l app=web -o 'jsonpath={.items[0].metadata.name}'").await?;
        self.shows(&format!("acr-credential-sidecar explain pod {pod} --read-secret")).await?;
        self.refuses("acr-credential-sidecar explain pod early --read-secret", "delete the Pod").await?;
        self.out.say("So it is done:")?;
        self.shows("kubectl delete pod early").await?;
        self.shows(&format!("kubectl run early --image={IMAGE}")).await?;
        self.shows("kubectl wait pod early --for=condition=Ready --timeout=30s").await?;

        self.out.step("How does everything stand?")?;
        self.shows("acr-credential-sidecar status").await?;
        Ok(())
    }

    async fn rotate(&self, filled: Instant) -> Result<()> {
        const SHOW: &str = "kubectl get secret acr-credential-secret-aggregation -o 'custom-columns=UID:.metadata.uid,VERSION:.metadata.resourceVersion,EXPIRES:.metadata.annotations.acr-credential-helper\\.io/expires-at'";
        self.out.step("The credential is renewed in place, long before it expires")?;
        let before = self.shows(SHOW).await?;
        // On a slow machine it was renewed before, and is again after another minute.
        let left = LEAST_GAP.as_secs() - filled.elapsed().as_secs() % LEAST_GAP.as_secs();
        self.out
            .say(&format!("The sidecar never mints one credential twice within a minute: {left} s to go."))?;
        let renewed = wait_until("the credential is renewed", Duration::from_secs(100), async || {
            // The look is a process of its own, so it is not taken more often than a person could see.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.desk.sh(SHOW).await?;
            Ok((now.code == Some(0) && now.stdout != before.stdout).then_some(()))
        });
        self.out.waiting("the credential gets old", renewed).await?;
        let after = self.shows(SHOW).await?;
        let ([uid, _, expiry], [uid_after, _, expiry_after]) = (row(&before)?, row(&after)?);
        let (expiry, expiry_after): (Timestamp, Timestamp) = (expiry.parse()?, expiry_after.parse()?);
        if uid != uid_after || expiry_after <= expiry {
            bail!("the demo expected the same Secret with a later expiry");
        }

        self.out.step("The first password is worth nothing now: the cloud's clock is moved beyond its expiry. Pods go on pulling")?;
        let by = expiry.duration_since(self.desk.cloud.now()) + SignedDuration::from_secs(1);
        self.desk.cloud.advance_clock(by);
        self.shows(
            "kubectl set image deployment/web web=example-registry.cn-hangzhou.cr.aliyuncs.com/team/web:2",
        )
        .await?;
        self.rolled_out().await?;
        self.shows("kubectl scale deployment/web --replicas=3").await?;
        self.rolled_out().await?;
        let pods = self.shows("kubectl get pods -l app=web -o 'custom-columns=POD:.metadata.name,STATUS:.status.phase,IMAGE:.spec.containers[*].image'").await?;
        if pods.stdout.matches("Running").count() < 3 {
            bail!("the demo expected three Pods that run");
        }
        self.shows("acr-credential-sidecar status").await?;
        Ok(())
    }

    async fn rolled_out(&self) -> Result<()> {
        let command = "kubectl rollout status deployment/web --timeout=60s";
        self.out.command(command)?;
        let ended = self.out.waiting("the Pods start", self.desk.sh(command)).await?;
        // Its other lines count the Pods that are still to come.
        self.out.say(ended.stdout.lines().last().unwrap_or_default())?;
        expect(command, ended, 0).map(|_| ())
    }

    async fn applies(&self, manifest: &str) -> Result<()> {
        self.shows(&format!("kubectl apply -f - <<'EOF'\n{manifest}EOF")).await.map(|_| ())
    }

    /// Shows a command and what it says. It has to succeed.
    async fn shows(&self, command: &str) -> Result<Ended> {
        expect(command, self.show(command).await?, 0)
    }

    /// The same for one that has to fail with 1, and to say this.
    async fn refuses(&self, command: &str, expected: &str) -> Result<()> {
        let ended = expect(command, self.show(command).await?, 1)?;
        if !ended.stdout.contains(expected) && !ended.stderr.contains(expected) {
            bail!("the demo expected `{command}` to say: {expected}");
        }
        Ok(())
    }

    async fn show(&self, command: &str) -> Result<Ended> {
        self.out.command(command)?;
        let ended = self.desk.sh(command).await?;
        self.out.say(ended.stdout.trim_end())?;
        self.out.say(ended.stderr.trim_end())?;
        Ok(ended)
    }

    async fn quietly(&self, command: &str) -> Result<String> {
        Ok(expect(command, self.desk.sh(command).await?, 0)?.stdout)
    }
}

fn expect(command: &str, ended: Ended, code: i32) -> Result<Ended> {
    if ended.code != Some(code) {
        let Ended { code: actual, stderr, .. } = ended;
        let actual = actual.map_or_else(|| "by a signal".to_owned(), |actual| format!("with {actual}"));
        bail!("the demo expected `{command}` to end with {code}; it ended {actual}: {stderr}");
    }
    Ok(ended)
}

/// The one row below the header of a table.
fn row<const N: usize>(ended: &Ended) -> Result<[&str; N]> {
    let cells: Vec<_> = ended.stdout.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    cells.try_into().ok().with_context(|| format!("no table of {N} columns: {}", ended.stdout))
}
