//! `check`: what is right and wrong about a configuration, and with `--online`, about all that it needs.

use super::arguments::{CloudArgs, Output};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

use acr_credential_core::Pattern;
use serde::Serialize;
use tokio::task::JoinSet;

use super::Exit;
use super::report::{self, Line, Mark, counted};
use super::setup::{self, CommandError, Resolved};
use crate::broker::ResolvedRegistry;
use crate::broker::conflicts::{self, HostClaim};
use crate::clock::{Clock as _, SystemClock};
use crate::cloud::{Challenge, Cloud, CloudError, Reason};
use crate::configuration::{self, Configuration, Host, IdentitySource, Registry};
use crate::credential::CredentialKey;

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
pub struct CheckArgs {
    /// The configuration: a ConfigMap manifest, its data alone, or an add-on's JSON; "-" reads standard input.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Call the cloud too: identity, role, endpoints, token, and each host.
    #[arg(long)]
    pub online: bool,
    /// What to write.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// How the cloud is reached.
    #[command(flatten)]
    pub cloud: CloudArgs,
}

const CHECK_HELP: &str = "\
Examples:
  Before it is applied, with no cloud and no cluster:
    acr-credential-sidecar check --config acr-configuration.yaml

  All the way to the registries' hosts, from a machine with the same identity:
    acr-credential-sidecar check --config acr-configuration.yaml --online

Exit codes: 0 all is well (warnings included), 1 something is wrong, 2 wrong usage.";

pub(super) fn run(args: CheckArgs) -> Result<Exit, CommandError> {
    let CheckArgs { config, online, output, cloud } = args;
    let examined = configuration::examine(&setup::read_configuration(&config)?);
    let mut journal = Report { output, lines: Vec::new() };
    if let Err(mistakes) = &examined.outcome {
        for mistake in &mistakes.0 {
            journal.write(Line::finding(Mark::Error, mistake))?;
        }
    }
    for warning in &examined.warnings {
        journal.write(Line::finding(Mark::Warning, warning))?;
    }
    if let Ok(configuration) = examined.outcome {
        for line in describe(&configuration) {
            journal.write(line)?;
        }
        if online {
            walk_all(configuration.registries, cloud, &mut journal)?;
        }
    }
    journal.finish()
}

/// What was found so far: shown at once to people, and at the end to scripts.
struct Report {
    output: Output,
    lines: Vec<Line>,
}

impl Report {
    fn write(&mut self, line: Line) -> Result<(), CommandError> {
        if self.output == Output::Text {
            report::line_to_stdout("", &line)?;
        }
        self.lines.push(line);
        Ok(())
    }

    fn finish(self) -> Result<Exit, CommandError> {
        #[derive(Serialize)]
        struct Document {
            ok: bool,
            findings: Vec<Line>,
        }
        let count = |mark| self.lines.iter().filter(|line| line.mark == mark).count();
        let (errors, warnings) = (count(Mark::Error), count(Mark::Warning));
        match self.output {
            Output::Text => {
                report::to_stdout(format_args!(
                    "\n{}, {}",
                    counted(errors, "error"),
                    counted(warnings, "warning")
                ))?;
            }
            Output::Json => {
                let document = Document { ok: errors == 0, findings: self.lines };
                report::json_to_stdout(&document)?;
            }
        }
        Ok(if errors == 0 { Exit::Success } else { Exit::Findings })
    }
}

/// What a configuration that can be used says.
fn describe(configuration: &Configuration) -> Vec<Line> {
    let mut lines = Vec::new();
    for registry in &configuration.registries {
        lines.push(Line::new(Mark::Ok, &registry.place, summary(registry)));
        if let Some(advice) = advice_on_identity(registry) {
            lines.push(Line::new(Mark::Warning, &registry.place, advice));
        }
    }
    lines
}

fn summary(registry: &Registry) -> String {
    let instance = &registry.instance;
    let region = registry.region.as_ref().map_or("the cluster's region", |region| region.as_str());
    let hosts = match registry.domains.len() {
        0 => "all of its hosts".to_owned(),
        count => counted(count, "host"),
    };
    format!("{instance} in {region}, {hosts}, {}", recipients(registry))
}

/// For whom it is.
fn recipients(registry: &Registry) -> String {
    match registry.namespaces.as_deref() {
        Some(patterns) if !patterns.contains(&Pattern::All) => {
            let names: Vec<_> = patterns.iter().map(Pattern::as_str).collect();
            format!("for namespaces {}", names.join(", "))
        }
        _ => "for every managed namespace".to_owned(),
    }
}

/// A credential has all rights of the identity that asked for it, unless a session policy narrows them; only sessions of
/// ours have one.
fn advice_on_identity(registry: &Registry) -> Option<String> {
    if registry.identity.assume_role.is_some() {
        return None;
    }
    let fix = "set assumeRoleARN to a role that may only pull";
    match &registry.identity.source {
        IdentitySource::Rrsa { .. } => None,
        IdentitySource::KeyPair(_) | IdentitySource::KeySecret(_) => {
            Some(format!("no role narrows this access key, so the credential has all of its rights: {fix}"))
        }
        IdentitySource::DefaultChain => Some(format!(
            "no role narrows the default identity, so the credential has all of its rights (unless it is RRSA): {fix}"
        )),
    }
}

/// Walks all registries at the same time, and reports them in their order.
fn walk_all(registries: Vec<Registry>, cloud: CloudArgs, journal: &mut Report) -> Result<(), CommandError> {
    let cloud = setup::cloud(cloud)?;
    setup::runtime()?.block_on(async {
        let mut walks: Vec<JoinSet<Probed>> = Vec::with_capacity(registries.len());
        for resolved in setup::resolve(&cloud, registries).await {
            let cloud = Arc::clone(&cloud);
            let mut walk = JoinSet::new();
            walk.spawn(async move {
                let place = match &resolved {
                    Ok(resolved) => resolved.registry.place.clone(),
                    Err((registry, _)) => registry.place.clone(),
                };
                RegistryProbe::new(&cloud, &place).take(resolved).await
            });
            walks.push(walk);
        }
        let mut found = Vec::new();
        for walk in walks {
            for Probed { lines, registry } in walk.join_all().await {
                for line in lines {
                    journal.write(line)?;
                }
                found.extend(registry);
            }
        }
        let claims: Vec<_> =
            found.iter().map(|(registry, key, hosts)| HostClaim { registry, key, hosts }).collect();
        for conflict in conflicts::among(&claims) {
            journal.write(Line::finding(Mark::Warning, &conflict.finding))?;
        }
        Ok(())
    })
}

/// What came of the way of one registry.
struct Probed {
    lines: Vec<Line>,
    /// The registry and its hosts, where the way led that far.
    registry: Option<(ResolvedRegistry, CredentialKey, Vec<Host>)>,
}

/// The way of one registry: region, identity, hosts, token, and what each host answers.
struct RegistryProbe<'a> {
    cloud: &'a Cloud,
    place: &'a str,
    lines: Vec<Line>,
}

impl<'a> RegistryProbe<'a> {
    fn new(cloud: &'a Cloud, place: &'a str) -> Self {
        Self { cloud, place, lines: Vec::new() }
    }

    fn say(&mut self, mark: Mark, message: impl std::fmt::Display) {
        self.lines.push(Line::new(mark, self.place, message));
    }

    fn failed(&mut self, error: &CloudError, not_tried: &str) {
        self.say(Mark::Error, error);
        if !not_tried.is_empty() {
            self.say(Mark::Skipped, format_args!("not tried: {not_tried}"));
        }
    }

    async fn take(mut self, resolved: Resolved) -> Probed {
        let resolved = match resolved {
            Ok(resolved) => resolved,
            Err((_, error)) => {
                self.failed(&error, "identity, hosts, token");
                return Probed { lines: self.lines, registry: None };
            }
        };
        let key = resolved.key();
        match self.cloud.session(&key.identity, &key.region).await {
            Ok(session) => {
                let narrowed = if session.origin.narrowed { ", narrowed to pulling" } else { "" };
                self.say(Mark::Ok, format_args!("identity: {}{narrowed}", session.origin));
            }
            Err(error) => {
                self.failed(&error, "hosts, token");
                return Probed { lines: self.lines, registry: None };
            }
        }
        let hosts = self.hosts(&resolved, &key).await;
        self.token(&key).await;
        self.challenges(&hosts, &key).await;
        Probed { lines: self.lines, registry: Some((resolved, key, hosts)) }
    }

    async fn hosts(&mut self, resolved: &ResolvedRegistry, key: &CredentialKey) -> Vec<Host> {
        let domains = &resolved.registry.domains;
        if !domains.is_empty() {
            return domains.clone();
        }
        match self.cloud.hosts(key).await {
            Ok(hosts) if hosts.is_empty() => {
                self.say(
                    Mark::Error,
                    "hosts: the instance has no enabled domain: enable one, or list \"domains\"",
                );
                hosts
            }
            Ok(hosts) => {
                let names: Vec<_> = hosts.iter().map(Host::as_str).collect();
                self.say(Mark::Ok, format_args!("hosts: {}", names.join(", ")));
                hosts
            }
            Err(error) => {
                self.failed(&error, "what the hosts answer");
                Vec::new()
            }
        }
    }

    async fn token(&mut self, key: &CredentialKey) {
        match self.cloud.credential(key).await {
            Ok(credential) if credential.expires_at <= SystemClock.wall() => {
                let when = credential.expires_at;
                self.say(
                    Mark::Error,
                    format_args!("token: expired at {when}: compare this machine's clock with the true time"),
                );
            }
            Ok(credential) => {
                let left = report::time_left(SystemClock.wall(), credential.expires_at);
                self.say(Mark::Ok, format_args!("token: valid for {left}"));
            }
            Err(error) => self.failed(&error, ""),
        }
    }

    /// One host that answers is enough: VPC hosts do not answer outside of their VPC.
    async fn challenges(&mut self, hosts: &[Host], key: &CredentialKey) {
        let mut silent = Vec::new();
        for host in hosts {
            match self.cloud.challenge(host).await {
                Ok(challenge) => self.judge(host, &challenge, key),
                Err(error) if error.reason == Reason::Unreachable => silent.push((host, error)),
                Err(error) => self.say(Mark::Error, error),
            }
        }
        let Some((_, first)) = silent.first() else { return };
        let names: Vec<_> = silent.iter().map(|(host, _)| host.as_str()).collect();
        let names = names.join(", ");
        if silent.len() == hosts.len() {
            self.say(Mark::Error, format_args!("no host answers ({names}): {first}"));
        } else {
            self.say(
                Mark::Warning,
                format_args!(
                    "no answer here from {names}: that is fine for hosts of a network this machine is not in"
                ),
            );
        }
    }

    fn judge(&mut self, host: &Host, challenge: &Challenge, key: &CredentialKey) {
        match challenge {
            Some((region, instance)) if (region, instance) == (&key.region, &key.instance) => {
                self.say(Mark::Ok, format_args!("host {host}: answers for this instance"));
            }
            Some((region, instance)) => {
                self.say(
                    Mark::Error,
                    format_args!(
                        "host {host}: belongs to {instance} in {region}: correct instanceId, regionId or domains"
                    ),
                );
            }
            None => self.say(
                Mark::Warning,
                format_args!(
                    "host {host}: does not say that it is ACR: check that it belongs in \"domains\""
                ),
            ),
        }
    }
}
