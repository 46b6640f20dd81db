//! `explain`: why a Pod can or cannot pull its images, step by step.
//!
//! `manifest` and `subject` read what a Pod or what makes Pods says, `policy` asks the policies' own judgement, and `chain`
//! judges the whole way (all pure but for reading the file). `look` asks the cluster.

mod chain;
mod look;
mod manifest;
mod policy;
mod subject;

use super::arguments::{ClusterArgs, Output};
use clap::Args;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kube::Client;
use serde::Serialize;

use self::chain::Surroundings;
use self::manifest::Manifest;
use self::policy::Policies;
use self::subject::{Subject, WORKLOADS};
use super::cluster;
use super::report::{self, Line, Mark};
use super::setup::{self, CommandError};
use super::{Exit, manifests};
use crate::configuration::{self, Configuration, Mistakes};
use crate::telemetry::policies::POLICIES;

/// What was found about one Pod or workload.
#[derive(Serialize)]
struct Explained {
    subject: String,
    ok: bool,
    findings: Vec<Line>,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_HELP)]
pub struct ExplainArgs {
    /// The Pod or workload: `pod NAME`, `deployment/NAME`, …
    #[arg(value_name = "KIND NAME", num_args = 1..=2, required_unless_present = "file")]
    pub object: Vec<String>,
    /// Explain the Pods and workloads of this manifest instead, before it is applied; "-" reads standard input.
    #[arg(long, short, value_name = "FILE", conflicts_with = "object")]
    pub file: Option<PathBuf>,
    /// Namespace [default: the manifest's, or that of the kubeconfig's context, or default].
    #[arg(long, short, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Read the configuration from this file instead of the cluster. With --file, no cluster is asked at all.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Judge the manifest with the policies in this file. Without it: those of the cluster, or, if no cluster is asked, those
    /// that `manifests` prints for the configuration.
    #[arg(long, value_name = "FILE", requires = "file")]
    pub policies: Option<PathBuf>,
    /// Judge the manifest as created by this user, such as system:serviceaccount:ci:runner [default: a person].
    #[arg(long = "as", value_name = "USER", requires = "file")]
    pub user: Option<String>,
    /// Read the hosts in the pull secret too. Needs the right to get that Secret; its passwords are never shown.
    #[arg(long)]
    pub read_secret: bool,
    /// What to write.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

const EXPLAIN_HELP: &str = "\
Examples:
  Why does this Pod not start?
    acr-credential-sidecar explain pod web-5d9c7-x2x8k -n team-a

  And all Pods of this Deployment?
    acr-credential-sidecar explain deployment web -n team-a

  Will it? With no cluster:
    acr-credential-sidecar explain -f deployment.yaml --config acr-configuration.yaml

  And when a CI runner creates it?
    acr-credential-sidecar explain -f pod.yaml --config acr-configuration.yaml --as system:serviceaccount:ci:runner

Exit codes: 0 no error was found (warnings, marked with !, do not count), 1 an error or a refusal, marked with ✗, 2 wrong
usage, or the cluster did not answer.";

pub(super) fn run(args: ExplainArgs) -> Result<Exit, CommandError> {
    let ExplainArgs { object, file, namespace, config, policies, user, read_secret, output, cluster } = args;
    let written = match &config {
        Some(path) => Some(configuration::examine(&setup::read_configuration(path)?).outcome),
        None => None,
    };
    let (explained, passed_over) = setup::runtime()?.block_on(async {
        let needs_cluster = file.is_none() || written.is_none();
        let client = if needs_cluster { Some(cluster::connect(&cluster).await?) } else { None };
        let configuration = configured(written, client.as_ref(), &cluster).await?;
        let of_context = || match &client {
            Some(client) => Some(client.default_namespace().to_owned()),
            None => cluster::namespace_of_context(&cluster),
        };
        let namespace = namespace.or_else(of_context).unwrap_or_else(|| "default".to_owned());
        let (subjects, passed_over) = match (&file, &client) {
            (Some(path), _) => {
                let Manifest { subjects, passed_over } = manifest::read_file(path, &namespace)?;
                (subjects.into_iter().map(|subject| (subject, Vec::new())).collect(), passed_over)
            }
            (None, Some(client)) => {
                (vec![look::from_cluster(client, &namespace, named(&object)?).await?], Vec::new())
            }
            // Without a file there is a client.
            (None, None) => (Vec::new(), Vec::new()),
        };
        let policies =
            judges(policies.as_deref(), configuration.as_ref().ok(), client.as_ref(), &cluster).await?;
        let mut explained = Vec::new();
        for (subject, lists_of_pods) in subjects {
            let found = match &client {
                Some(client) => {
                    Some(look::look(client, &subject, &cluster, read_secret, lists_of_pods).await?)
                }
                None => None,
            };
            let around = configuration.as_ref().map(|configuration| Surroundings {
                configuration,
                pull_secret: &cluster.pull_secret,
                policies: &policies,
                user: user.as_deref().unwrap_or_default(),
                cluster: found.as_ref(),
                now: Timestamp::now(),
            });
            explained.push(explain(&subject, around));
        }
        Ok::<_, CommandError>((explained, passed_over))
    })?;
    show(&explained, &passed_over, output)?;
    Ok(if explained.iter().all(|explained| explained.ok) { Exit::Success } else { Exit::Findings })
}

/// The policies that judge: those of the file, of the cluster, or those that `manifests` prints.
async fn judges(
    file: Option<&Path>,
    configuration: Option<&Configuration>,
    client: Option<&Client>,
    args: &ClusterArgs,
) -> Result<Policies, CommandError> {
    let ClusterArgs { pull_secret, sidecar_namespace, .. } = args;
    let Some(configuration) = configuration else {
        return Ok(Policies::Unknown("there is no configuration to compare them with".to_owned()));
    };
    let (read, assumed) = match (file, client) {
        (Some(path), _) => {
            let read = policy::among(&manifest::objects_of(path)?);
            if read.iter().all(|(_, policy)| policy.is_none()) {
                let (path, names) = (path.display(), POLICIES.join(", "));
                return Err(CommandError::Refused(format!("{path}: holds none of the policies {names}")));
            }
            (read, format!("those of {} are taken to be in force", path.display()))
        }
        (None, Some(client)) => return Ok(look::policies(client, configuration, pull_secret).await),
        (None, None) => {
            let documents = manifests::documents(configuration, false, pull_secret, sidecar_namespace);
            let objects =
                manifest::objects(documents.join("---\n").as_bytes()).map_err(CommandError::Refused)?;
            let assumed = "those that `manifests` prints for this configuration are taken to be in force (for others, \
                           give --policies)";
            (policy::among(&objects), assumed.to_owned())
        }
    };
    Ok(Policies::known(&read, configuration, pull_secret, Some(assumed)))
}

/// The configuration of the file, or else the cluster's; its mistakes are findings, not a wrong usage.
async fn configured(
    written: Option<Result<Configuration, Mistakes>>,
    client: Option<&Client>,
    args: &ClusterArgs,
) -> Result<Result<Configuration, Vec<Line>>, CommandError> {
    let outcome = match (written, client) {
        (Some(outcome), _) => Some(outcome),
        (None, Some(client)) => cluster::configuration(client, args).await?,
        (None, None) => None,
    };
    Ok(match outcome {
        Some(Ok(configuration)) => Ok(configuration),
        Some(Err(mistakes)) => {
            Err(mistakes.0.iter().map(|mistake| Line::finding(Mark::Error, mistake)).collect())
        }
        None => {
            let ClusterArgs { sidecar_namespace, config_map, .. } = args;
            let problem = format!("there is no ConfigMap {config_map} in {sidecar_namespace}: create it");
            Err(vec![Line::new(Mark::Error, "configuration", problem)])
        }
    })
}

/// What was asked for, as `kubectl` writes it: `pod NAME` or `pod/NAME`, in any of the kind's names.
fn named(object: &[String]) -> Result<(Named, &str), CommandError> {
    let found = match object {
        [kind, name] => kind_of(kind).map(|kind| (kind, name.as_str())),
        [one] => one.split_once('/').and_then(|(kind, name)| Some((kind_of(kind)?, name))),
        _ => None,
    };
    found.filter(|(_, name)| !name.is_empty()).ok_or_else(|| {
        let kinds = WORKLOADS.map(|(kind, ..)| kind.to_lowercase()).join(", ");
        CommandError::Refused(format!(
            "name one of pod, {kinds}, such as `explain deployment NAME`, or give a manifest with -f"
        ))
    })
}

/// A kind that can be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Pod,
    /// Kind, API version and plural.
    Workload(&'static str, &'static str, &'static str),
}

fn kind_of(word: &str) -> Option<Named> {
    let word = word.to_lowercase();
    // `deployments.apps` is what kubectl prints.
    let word = word.split('.').next().unwrap_or_default();
    let short = match word {
        "po" | "pod" | "pods" => return Some(Named::Pod),
        "deploy" => "deployments",
        "sts" => "statefulsets",
        "ds" => "daemonsets",
        "rs" => "replicasets",
        "rc" => "replicationcontrollers",
        "cj" => "cronjobs",
        other => other,
    };
    let is_meant = |kind: &str, plural: &str| plural == short || kind.eq_ignore_ascii_case(short);
    let found = WORKLOADS.iter().find(|(kind, _, plural)| is_meant(kind, plural));
    found.map(|&(kind, version, plural)| Named::Workload(kind, version, plural))
}

fn explain(subject: &Subject, around: Result<Surroundings<'_>, &Vec<Line>>) -> Explained {
    let findings = match around {
        Ok(around) => chain::judge(subject, &around),
        Err(mistakes) => {
            let mut lines = mistakes.clone();
            lines.push(Line::new(Mark::Skipped, "the rest", "not looked at without a configuration"));
            lines
        }
    };
    Explained { subject: subject.title.clone(), ok: chain::passes(&findings), findings }
}

fn show(explained: &[Explained], passed_over: &[String], output: Output) -> Result<(), CommandError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Document<'a> {
        ok: bool,
        subjects: &'a [Explained],
        passed_over: &'a [String],
    }
    if output == Output::Json {
        let ok = explained.iter().all(|explained| explained.ok);
        let document = Document { ok, subjects: explained, passed_over };
        report::json_to_stdout(&document)?;
        return Ok(());
    }
    for (at, Explained { subject, findings, .. }) in explained.iter().enumerate() {
        let gap = if at == 0 { "" } else { "\n" };
        report::to_stdout(format_args!("{gap}{}", report::one_line(subject)))?;
        for line in findings {
            report::line_to_stdout("  ", line)?;
        }
        report::to_stdout(verdict(findings))?;
    }
    if !passed_over.is_empty() {
        let those = passed_over.join(", ");
        let those = report::one_line(&those);
        report::to_stdout(format_args!("\nPassed over, because there is no pod template in it: {those}"))?;
    }
    Ok(())
}

/// What becomes of a manifest before anything is looked for.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(text: &[u8]) {
    let mut manifest = manifest::Manifest::default();
    for object in manifest::objects(text).unwrap_or_default() {
        let _ = manifest.read(&object, "default", false);
    }
    for subject in &manifest.subjects {
        assert!(!report::one_line(&subject.title).contains('\n'));
    }
}

fn verdict(findings: &[Line]) -> &'static str {
    if !chain::passes(findings) {
        "It cannot pull its images."
    } else if findings.iter().all(|line| line.mark == Mark::Ok) {
        "Nothing stands in the way."
    } else {
        "No error was found. Lines with ! are warnings; what lines with - are about was not looked at."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        let check = |words: &[&str], expected: Option<(&str, &str)>| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let found = named(&words).ok().map(|(named, name)| match named {
                Named::Pod => ("Pod", name),
                Named::Workload(kind, ..) => (kind, name),
            });
            assert_eq!(found, expected, "{words:?}");
        };
        check(&["pod", "web-1"], Some(("Pod", "web-1")));
        check(&["pod/web-1"], Some(("Pod", "web-1")));
        check(&["deployment", "web"], Some(("Deployment", "web")));
        check(&["deploy/web"], Some(("Deployment", "web")));
        check(&["deployments.apps/web"], Some(("Deployment", "web")));
        check(&["cronjob", "nightly"], Some(("CronJob", "nightly")));
        check(&["web-1"], None);
        check(&["node", "web"], None);
        check(&["pod/"], None);
    }
}
