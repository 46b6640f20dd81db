//! `check`: reports what is right and wrong about a configuration and, with `--online`, about everything that it needs.

use super::arguments::{CloudArgs, Output};
use clap::Args;
use std::path::PathBuf;

use acr_credential_core::Pattern;
use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use serde::Serialize;

use super::Exit;
use super::report::remark::{Remark, error, ok, skipped, warning};
use super::report::{self, Line, Mark, counted};
use super::setup::{self, CommandError, Resolved};
use crate::broker::ResolvedRegistry;
use crate::broker::conflicts::{self, HostClaim};
use crate::clock::{Clock as _, SystemClock};
use crate::cloud::{Challenge, Cloud, CloudError, Reason};
use crate::configuration::{self, Host, IdentitySource, Registry};
use crate::credential::{Credential, CredentialKey};

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
    /// The connection to the cloud.
    #[command(flatten)]
    pub cloud: CloudArgs,
}

const CHECK_HELP: &str = "\
Asks no cluster, so it needs no right in Kubernetes; --online asks the cloud.

Examples:
  Before it is applied, with no cloud and no cluster:
    acr-credential-sidecar check --config acr-configuration.yaml

  All the way to the registries' hosts, from a machine with the same identity:
    acr-credential-sidecar check --config acr-configuration.yaml --online

Exit codes: 0 all is well (warnings included), 1 something is wrong, 2 wrong usage.";

pub(super) fn run(args: CheckArgs) -> Result<Exit, CommandError> {
    let CheckArgs { config, online, output, cloud } = args;
    // Flags are judged before anything is shown.
    let cloud = if online { Some(setup::cloud(cloud)?) } else { None };
    let examined = configuration::examine(&setup::read_configuration(&config)?);
    let mut findings = Report { output, lines: Vec::new() };
    if let Err(mistakes) = &examined.outcome {
        for mistake in &mistakes.0 {
            findings.write(Line::finding(Mark::Error, mistake))?;
        }
    }
    for warning in &examined.warnings {
        findings.write(Line::finding(Mark::Warning, warning))?;
    }
    if let Ok(configuration) = examined.outcome {
        for registry in &configuration.registries {
            findings.write(Line::new(Mark::Ok, &registry.place, summary(registry)))?;
            if let Some(advice) = advice_on_identity(registry) {
                findings.write(Line::new(Mark::Warning, &registry.place, advice))?;
            }
        }
        if let Some(cloud) = cloud {
            probe_all(configuration.registries, &cloud, &mut findings)?;
        }
    }
    findings.finish()
}

/// The findings so far. They are shown immediately to people, and at the end to scripts.
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
        let document = Document { ok: errors == 0, findings: self.lines };
        Ok(report::finish(self.output, document.ok, &document, |_| {
            let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
            report::to_stdout(format_args!("\n{errors}, {warnings}"))
        })?)
    }
}

fn summary(registry: &Registry) -> String {
    let instance = &registry.instance;
    let region = registry.region.as_ref().map_or("the cluster's region", |region| region.as_str());
    let hosts = match registry.domains.len() {
        0 => "all of its hosts".to_owned(),
        count => counted(count, "host"),
    };
    let recipients = match registry.namespaces.as_deref() {
        Some(patterns) if !patterns.contains(&Pattern::All) => {
            let names: Vec<_> = patterns.iter().map(Pattern::as_str).collect();
            format!("for namespaces {}", names.join(", "))
        }
        _ => "for every managed namespace".to_owned(),
    };
    format!("{instance} in {region}, {hosts}, {recipients}")
}

/// Returns advice to narrow the rights of the credential. A credential has all rights of the identity that requested
/// it, unless a session policy narrows them. Only the sessions that the sidecar itself opens have such a policy.
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

/// Probes all registries at the same time, and reports them in their order.
fn probe_all(registries: Vec<Registry>, cloud: &Cloud, findings: &mut Report) -> Result<(), CommandError> {
    setup::runtime()?.block_on(async {
        let resolved = setup::resolve(cloud, registries).await;
        let mut probes: FuturesOrdered<_> = resolved.iter().map(|it| RegistryProbe::run(cloud, it)).collect();
        let mut found = Vec::new();
        while let Some((lines, registry)) = probes.next().await {
            for line in lines {
                findings.write(line)?;
            }
            found.extend(registry);
        }
        let claims: Vec<_> =
            found.iter().map(|(registry, key, hosts)| HostClaim { registry, key, hosts }).collect();
        for conflict in conflicts::among(&claims) {
            findings.write(Line::finding(Mark::Warning, &conflict.finding))?;
        }
        Ok(())
    })
}

/// A registry whose probe was completed, with its hosts.
type Probed<'a> = (&'a ResolvedRegistry, CredentialKey, Vec<Host>);

/// The checks of one registry: region, identity, hosts, token, and the answer of each host.
struct RegistryProbe<'a> {
    cloud: &'a Cloud,
    place: &'a str,
    lines: Vec<Line>,
}

impl<'a> RegistryProbe<'a> {
    async fn run(cloud: &'a Cloud, resolved: &'a Resolved) -> (Vec<Line>, Option<Probed<'a>>) {
        let place = match resolved {
            Ok(resolved) => &resolved.registry.place,
            Err((registry, _)) => &registry.place,
        };
        let mut probe = Self { cloud, place, lines: Vec::new() };
        let probed = match resolved {
            Ok(resolved) => probe.follow(resolved).await,
            Err((_, failure)) => {
                probe.failed(failure, "identity, hosts, token");
                None
            }
        };
        (probe.lines, probed)
    }

    fn say(&mut self, remark: Remark) {
        self.lines.push(Line::at(self.place, remark));
    }

    fn failed(&mut self, failure: &CloudError, not_tried: &str) {
        self.say(error(failure.to_string()));
        self.say(skipped(format!("not tried: {not_tried}")));
    }

    async fn follow(&mut self, resolved: &'a ResolvedRegistry) -> Option<Probed<'a>> {
        let key = resolved.key();
        match self.cloud.session(&key.identity, &key.region).await {
            Ok(session) => {
                let narrowed = if session.origin.narrowed { ", narrowed to pulling" } else { "" };
                self.say(ok(format!("identity: {}{narrowed}", session.origin)));
            }
            Err(failure) => {
                self.failed(&failure, "hosts, token");
                return None;
            }
        }
        let hosts = self.hosts(resolved, &key).await;
        let token = self.cloud.credential(&key).await;
        self.say(token.map_or_else(|failure| error(failure.to_string()), |token| judge_token(&token)));
        self.challenges(&hosts, &key).await;
        Some((resolved, key, hosts))
    }

    async fn hosts(&mut self, resolved: &ResolvedRegistry, key: &CredentialKey) -> Vec<Host> {
        let domains = &resolved.registry.domains;
        if !domains.is_empty() {
            return domains.clone();
        }
        match self.cloud.hosts(key).await {
            Ok(hosts) => {
                self.say(if hosts.is_empty() {
                    error("hosts: the instance has no enabled domain: enable one, or list \"domains\"")
                } else {
                    ok(format!("hosts: {}", names(&hosts)))
                });
                hosts
            }
            Err(failure) => {
                self.failed(&failure, "what the hosts answer");
                Vec::new()
            }
        }
    }

    /// Checks the answer of each host. One host that answers is enough, because VPC hosts do not answer outside of their VPC.
    async fn challenges(&mut self, hosts: &[Host], key: &CredentialKey) {
        let (mut silent, mut first) = (Vec::new(), None);
        for host in hosts {
            match self.cloud.challenge(host).await {
                Ok(challenge) => self.say(judge_host(host, &challenge, key)),
                Err(failure) if failure.reason == Reason::Unreachable => {
                    silent.push(host);
                    first.get_or_insert(failure);
                }
                Err(failure) => self.say(error(failure.to_string())),
            }
        }
        let Some(first) = first else { return };
        let names = names(silent.iter().copied());
        self.say(if silent.len() == hosts.len() {
            error(format!("no host answers ({names}): {first}"))
        } else {
            warning(format!(
                "no answer here from {names}: that is fine for hosts of a network this machine is not in"
            ))
        });
    }
}

fn judge_token(credential: &Credential) -> Remark {
    let (now, when) = (SystemClock.wall(), credential.expires_at);
    if when > now {
        return ok(format!("token: valid for {}", report::time_left(now, when)));
    }
    error(format!("token: expired at {when}: compare this machine's clock with the true time"))
}

fn judge_host(host: &Host, challenge: &Challenge, key: &CredentialKey) -> Remark {
    match challenge {
        Some((region, instance)) if (region, instance) == (&key.region, &key.instance) => {
            ok(format!("host {host}: answers for this instance"))
        }
        Some((region, instance)) => error(format!(
            "host {host}: belongs to {instance} in {region}: correct instanceId, regionId or domains"
        )),
        None => warning(format!(
            "host {host}: does not identify itself as ACR: check that it belongs in \"domains\""
        )),
    }
}

fn names<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> String {
    hosts.into_iter().map(Host::as_str).collect::<Vec<_>>().join(", ")
}
