//! `run`: the controller, and everything around it.

mod observation;
mod renewal;

use super::arguments::{CloudArgs, ClusterArgs};
use clap::Args;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::renewal::Renewal;
use super::setup::{self, CommandError};
use super::{Exit, cluster, report};
use crate::broker::SnapshotPublisher;
use crate::clock::SystemClock;
use crate::cloud::Cloud;
use crate::cluster::configuration::{ConfigMapStatus, ConfigurationWatcher};
use crate::cluster::controller::{Controller, ControllerSettings, Ended, Inputs, Mode, Summary};
use crate::cluster::observer::Observer;
use crate::cluster::plan::{Plan, SecretAction};
use crate::kubernetes::FIELD_MANAGER;
use crate::kubernetes::lease::Election;
use crate::progress;
use crate::telemetry::health::Health;
use crate::telemetry::http::{self, Limits, Pages};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::minter::Counted;

/// The Lease is released, and answers that have begun are finished, within this time.
const FAREWELL: Duration = Duration::from_secs(4);

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
pub struct RunArgs {
    /// Do what is to be done now, and exit.
    #[arg(long)]
    pub once: bool,
    /// Mint, show what would be written, and exit. Nothing is written.
    #[arg(long)]
    pub dry_run: bool,
    /// Take over existing Secrets with the pull secret's name. Without this flag they are left alone and reported.
    #[arg(long)]
    pub adopt: bool,
    /// Writes at a time.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=256))]
    pub concurrency: u16,
    /// Seconds over which a renewed credential is spread to the namespaces. New namespaces never wait.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u16).range(..=600))]
    pub spread: u16,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    pub listen: SocketAddr,
    /// Name of this replica, in the Lease and in Events [default: a random one].
    #[arg(long, value_name = "NAME", env = "POD_NAME", hide_env_values = true)]
    pub replica: Option<String>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How the cloud is reached.
    #[command(flatten)]
    pub cloud: CloudArgs,
}

pub(super) const RUN_HELP: &str = "\
Needs the rights to get, list and watch namespaces; to get, list, watch, create, patch and delete secrets with the pull \
secret's name; to create events; to get clusteradmissionpolicies; if it attaches, to list, watch and patch serviceaccounts; \
and in the sidecar's namespace to get, list and watch configmaps, to get, create and patch secrets, and to get, create and \
patch leases. The roles in deploy/sidecar.yaml have them.

Examples:
  What would it do, with my rights?
    acr-credential-sidecar run --dry-run --region cn-hangzhou

  Fill all namespaces now, without a sidecar in the cluster:
    acr-credential-sidecar run --once --region cn-hangzhou

Exit codes: 0 asked to stop, or all was done; 1 something could not be done, or a part of it failed; 2 wrong usage.";

pub(super) fn run(args: RunArgs) -> Result<Exit, CommandError> {
    let RunArgs { once, dry_run, adopt, concurrency, spread, listen, replica, cluster, cloud } = args;
    let settings = ControllerSettings {
        pull_secret: cluster.pull_secret.as_str().into(),
        adopt,
        spread: Duration::from_secs(spread.into()),
        concurrency: concurrency.into(),
    };
    let cloud = setup::cloud(cloud)?;
    let replica = replica.unwrap_or_else(|| format!("{FIELD_MANAGER}-{:08x}", fastrand::u32(..)));
    setup::runtime()?.block_on(async {
        let client = cluster::connect_without_retries(&cluster)?;
        let parts = Wiring::new(client, cloud, &cluster)?;
        match (dry_run, once) {
            (true, _) => {
                let (tell, unwritten) = mpsc::channel(1);
                let show = move |namespace: &str, plan: &Plan| {
                    if let Err(error) = show(namespace, plan) {
                        // The first failure ends the command.
                        let _ = tell.try_send(error);
                    }
                };
                parts.finish(settings, Mode::DryRun(Box::new(show)), unwritten).await
            }
            (false, true) => parts.finish(settings, Mode::Once(show_progress), mpsc::channel(1).1).await,
            (false, false) => parts.serve(settings, listen, replica).await,
        }
    })
}

/// The parts that every mode needs.
struct Wiring {
    client: Client,
    cloud: Arc<Cloud>,
    namespace: Arc<str>,
    config_map: Arc<str>,
    follower: ConfigurationWatcher<Cloud>,
    snapshots: SnapshotPublisher,
    stop: watch::Receiver<bool>,
}

impl Wiring {
    fn new(client: Client, cloud: Arc<Cloud>, args: &ClusterArgs) -> Result<Self, CommandError> {
        let config_map: Arc<str> = args.config_map.as_str().into();
        Ok(Self {
            client,
            namespace: args.sidecar_namespace.as_str().into(),
            follower: ConfigurationWatcher::new(Arc::clone(&config_map), Arc::clone(&cloud)),
            config_map,
            cloud,
            snapshots: SnapshotPublisher::default(),
            stop: stop()?,
        })
    }

    fn inputs(&self, leading: &watch::Receiver<bool>) -> Inputs {
        Inputs { snapshots: self.snapshots.subscribe(), leading: leading.clone(), stop: self.stop.clone() }
    }

    /// Starts the tasks that feed the controller. None of them ends before the process does.
    fn start(
        self,
        minter: Arc<Counted<Arc<Cloud>>>,
        leading: watch::Receiver<bool>,
        writes_state: bool,
    ) -> JoinSet<Ended> {
        let Self { client, cloud: _, namespace, config_map: _, follower, snapshots, stop: _ } = self;
        let renewal = Renewal {
            minter,
            clock: Arc::new(SystemClock),
            client: client.clone(),
            namespace: Arc::clone(&namespace),
            snapshots,
            writes_state,
        };
        let active = follower.active();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            follower.run(client, &namespace).await;
            Ended("the watch of the configuration")
        });
        tasks.spawn(async move {
            renewal.run(leading, active).await;
            Ended("the renewal of credentials")
        });
        tasks
    }

    /// Works until nothing is left to do, or a plan cannot be shown. This needs no Lease: a write that another replica has
    /// overtaken is a conflict.
    async fn finish(
        self,
        settings: ControllerSettings,
        mode: Mode,
        mut unwritten: mpsc::Receiver<io::Error>,
    ) -> Result<Exit, CommandError> {
        let (_lead, leading) = watch::channel(true);
        let writes_state = !matches!(mode, Mode::DryRun(_));
        let mut standing = self.follower.standing();
        let (client, inputs) = (self.client.clone(), self.inputs(&leading));
        let minter = Arc::new(Counted::new(Arc::clone(&self.cloud), Arc::default()));
        let mut tasks = self.start(minter, leading, writes_state);
        let pull_secret = Arc::clone(&settings.pull_secret);
        let observer = Observer::new(pull_secret, Arc::default(), Health::new(), None);
        let controller = Controller::new(client, settings, inputs, mode, Arc::new(SystemClock), observer);
        let outcome = tokio::select! {
            summary = controller.run() => match summary {
                Ok(Summary { written: _, failed: 0, without_credential: 0 }) => Ok(Exit::Success),
                Ok(Summary { failed, without_credential, .. }) => {
                    report::to_stderr(format_args!(
                        "error: {failed} writes failed, and {without_credential} registries have no credential"
                    ));
                    Ok(Exit::Findings)
                }
                Err(ended) => Ok(failed(&ended)),
            },
            Some(ended) = tasks.join_next() => Ok(failed(&ended.unwrap_or(Ended("a task")))),
            () = is_wrong(&mut standing) => {
                standing.borrow().lines().iter().for_each(|line| report::to_stderr(format_args!("error: {line}")));
                Ok(Exit::Findings)
            }
            Some(error) = unwritten.recv() => return Err(error.into()),
        };
        // The last line may have failed, too.
        unwritten.try_recv().map_or(outcome, |error| Err(error.into()))
    }

    /// Works until the process has to end.
    async fn serve(
        self,
        settings: ControllerSettings,
        listen: SocketAddr,
        replica: String,
    ) -> Result<Exit, CommandError> {
        let (metrics, health, clock) = (Arc::new(Metrics::new()), Health::new(), Arc::new(SystemClock));
        let listener =
            http::listen(listen).map_err(|source| CommandError::Listen { address: listen, source })?;
        // It is kept here to the end: otherwise the tasks that follow it would see it disappear before its own task
        // reports the reason.
        let candidate = Arc::new(Election::new(
            self.client.clone(),
            &self.namespace,
            FIELD_MANAGER,
            replica.clone(),
            Box::new({
                let metrics = Arc::clone(&metrics);
                move |verb, error| metrics.api_error(verb, error)
            }),
        ));
        let leading = candidate.subscribe();
        let (client, inputs) = (self.client.clone(), self.inputs(&leading));
        let (observer, mut observers) =
            observation::start(&self, &settings, replica, &metrics, &health, &leading);
        let minter = Arc::new(Counted::new(Arc::clone(&self.cloud), Arc::clone(&metrics)));
        let mut tasks = self.start(minter, leading, true);

        // The pages are served, and the Lease is kept, until the last write is done.
        let (finish, finished) = watch::channel(false);
        let pages = Pages { health, metrics, clock: clock.clone() };
        let finish_pages = becomes_true(finished.clone());
        let mut pages = tokio::spawn(http::serve(listener, pages, Limits::default(), finish_pages));
        let mut election = tokio::spawn({
            let candidate = Arc::clone(&candidate);
            async move { candidate.run(becomes_true(finished)).await }
        });

        let controller = Controller::new(client, settings, inputs, Mode::Forever, clock, observer);
        let exit = tokio::select! {
            // The order matters: a task that ends first makes others end, and people should read the cause.
            biased;
            lost = &mut election => match lost {
                Ok(Err(lost)) => failed(&lost),
                Ok(Ok(())) | Err(_) => failed(&Ended("the election of a leader")),
            },
            _ = &mut pages => failed(&Ended("the server of metrics")),
            Some(ended) = tasks.join_next() => failed(&ended.unwrap_or(Ended("a task"))),
            Some(ended) = observers.join_next() => failed(&ended.unwrap_or(Ended("an observer"))),
            summary = controller.run() => match summary {
                Ok(_) => Exit::Success,
                Err(ended) => failed(&ended),
            },
        };
        finish.send_replace(true);
        if exit == Exit::Success && timeout(FAREWELL, election).await.is_err() {
            tracing::warn!(
                "the lease could not be released in time: another replica takes over when it expires"
            );
        }
        Ok(exit)
    }
}

fn failed(error: &dyn std::error::Error) -> Exit {
    tracing::error!("{error}");
    report::error(error);
    Exit::Findings
}

/// Returns a receiver that becomes true when the process has to end.
fn stop() -> Result<watch::Receiver<bool>, CommandError> {
    let (mut terminate, mut interrupt) = signals().map_err(CommandError::StartRuntime)?;
    let (tell, stop) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        tell.send_replace(true);
        tell.closed().await;
    });
    Ok(stop)
}

/// Returns what a supervisor and what a terminal send to end the process.
#[cfg(unix)]
fn signals() -> std::io::Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}

/// Returns what a supervisor and what a terminal send to end the process.
#[cfg(windows)]
fn signals() -> std::io::Result<(tokio::signal::windows::CtrlShutdown, tokio::signal::windows::CtrlC)> {
    Ok((tokio::signal::windows::ctrl_shutdown()?, tokio::signal::windows::ctrl_c()?))
}

async fn becomes_true(mut flag: watch::Receiver<bool>) {
    // If the sender is gone, the process also ends.
    let _ = flag.wait_for(|flag| *flag).await;
}

/// Waits until there is a reason why there is no configuration.
async fn is_wrong(standing: &mut watch::Receiver<ConfigMapStatus>) {
    let is_wrong = |standing: &ConfigMapStatus| !standing.is_good() && *standing != ConfigMapStatus::Awaited;
    if standing.wait_for(is_wrong).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn show_progress(Summary { written, failed, .. }: Summary, left: usize) {
    progress::show(|| format!("{written} writes done, {failed} failed, {left} namespaces left"));
}

/// Shows the plan for one namespace.
fn show(namespace: &str, plan: &Plan) -> io::Result<()> {
    let action = match &plan.pull_secret {
        SecretAction::Leave => None,
        SecretAction::Create(content) => Some(format!("create the pull secret, with {}", content.registries)),
        SecretAction::Update { content, cause, version: _ } => {
            Some(format!("write the pull secret ({}), with {}", cause.name(), content.registries))
        }
        SecretAction::Delete(_) => Some("delete the pull secret, which has expired".to_owned()),
    };
    let accounts = plan.service_accounts.iter().map(|action| {
        let verb = if action.attach { "add the pull secret to" } else { "remove the pull secret from" };
        format!("{verb} the service account {}", action.name)
    });
    action
        .into_iter()
        .chain(accounts)
        .try_for_each(|line| report::to_stdout(format_args!("{namespace}: {line}")))
}
