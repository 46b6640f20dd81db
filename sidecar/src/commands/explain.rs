//! `explain`: why a Pod can or cannot pull its images, step by step.
//!
//! `manifest` and `subject` read what a Pod or what makes Pods says, `policy` what the policies say. `verdict` knows what the
//! policies do with it, and `chain` judges the whole way (both pure). `look` asks the cluster.

mod chain;
mod look;
mod manifest;
mod policy;
mod subject;
mod verdict;

use jiff::Timestamp;
use kube::Client;
use serde::Serialize;

use self::chain::{Cluster, Surroundings};
use self::policy::Policies;
use self::subject::{Subject, WORKLOADS};
use super::Exit;
use super::cluster;
use super::report::{self, Line, Mark};
use super::setup::{self, CommandError};
use crate::args::{ClusterArgs, ExplainArgs, Output};
use crate::configuration::{self, Configuration, Mistakes};

/// What was found about one Pod or workload.
#[derive(Serialize)]
struct Explained {
    subject: String,
    ok: bool,
    findings: Vec<Line>,
}

pub(super) fn run(args: ExplainArgs) -> Result<Exit, CommandError> {
    let ExplainArgs { object, file, namespace, config, read_secret, output, cluster } = args;
    let written = match &config {
        Some(path) => Some(configuration::examine(&setup::read_configuration(path)?).outcome),
        None => None,
    };
    let explained = setup::runtime()?.block_on(async {
        let needs_cluster = file.is_none() || written.is_none();
        let client = if needs_cluster { Some(cluster::connect(&cluster).await?) } else { None };
        let configuration = configured(written, client.as_ref(), &cluster).await?;
        let subjects = match (&file, &client) {
            (Some(path), _) => {
                let subjects = manifest::read_file(path, namespace.as_deref())?;
                subjects.into_iter().map(|subject| (subject, Vec::new())).collect()
            }
            (None, Some(client)) => {
                let namespace = namespace.as_deref().unwrap_or("default");
                vec![look::from_cluster(client, namespace, named(&object)?).await?]
            }
            // Without a file there is a client.
            (None, None) => Vec::new(),
        };
        let policies = match (&client, &configuration) {
            (Some(client), Ok(configuration)) => {
                look::policies(client, configuration, &cluster.pull_secret).await
            }
            _ => Policies::Unknown("there is no configuration to compare them with".to_owned()),
        };
        let mut explained = Vec::new();
        for (subject, lists_of_pods) in subjects {
            let found = match &client {
                Some(client) => {
                    let policies = policies.clone();
                    Some(look::look(client, &subject, &cluster, read_secret, policies, lists_of_pods).await?)
                }
                None => None,
            };
            explained.push(explain(&subject, configuration.as_ref(), found.as_ref(), &cluster.pull_secret));
        }
        Ok::<_, CommandError>(explained)
    })?;
    show(&explained, output)?;
    Ok(if explained.iter().all(|explained| explained.ok) { Exit::Success } else { Exit::Findings })
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

fn explain(
    subject: &Subject,
    configuration: Result<&Configuration, &Vec<Line>>,
    cluster: Option<&Cluster>,
    pull_secret: &str,
) -> Explained {
    let findings = match configuration {
        Ok(configuration) => {
            let now = Timestamp::now();
            chain::judge(subject, &Surroundings { configuration, pull_secret, cluster, now })
        }
        Err(mistakes) => {
            let mut lines = mistakes.clone();
            lines.push(Line::new(Mark::Skipped, "the rest", "not looked at without a configuration"));
            lines
        }
    };
    Explained { subject: subject.title.clone(), ok: chain::passes(&findings), findings }
}

fn show(explained: &[Explained], output: Output) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct Document<'a> {
        ok: bool,
        subjects: &'a [Explained],
    }
    if output == Output::Json {
        let ok = explained.iter().all(|explained| explained.ok);
        report::to_stdout(serde_json::to_string_pretty(&Document { ok, subjects: explained })?)?;
        return Ok(());
    }
    for (at, Explained { subject, ok, findings }) in explained.iter().enumerate() {
        let gap = if at == 0 { "" } else { "\n" };
        report::to_stdout(format_args!("{gap}{subject}"))?;
        for line in findings {
            report::to_stdout(format_args!("  {line}"))?;
        }
        let verdict = if *ok { "Nothing stands in the way." } else { "It cannot pull its images." };
        report::to_stdout(verdict)?;
    }
    Ok(())
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
