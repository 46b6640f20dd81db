//! `explain`: why a Pod can or cannot pull its images, step by step.
//!
//! `subject` reads what a Pod or a manifest says, `chain` judges it (pure), and this file asks the cluster.

mod chain;
mod subject;

use std::path::Path;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, ServiceAccount};
use kube::{Api, Client, ResourceExt as _};
use serde::Serialize;

use self::chain::{Account, Cluster, Surroundings};
use self::subject::Subject;
use super::Exit;
use super::cluster::{self, PullSecret, call};
use super::report::{self, Line, Mark};
use super::setup::{self, CommandError};
use crate::args::{ClusterArgs, ExplainArgs, Output};
use crate::cluster::types::ENFORCE_MOUNTABLE;
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
            (Some(path), _) => from_file(path, namespace.as_deref())?,
            (None, Some(client)) => {
                let namespace = namespace.as_deref().unwrap_or("default");
                vec![from_cluster(client, namespace, pod_name(&object)?).await?]
            }
            // Without a file there is a client.
            (None, None) => Vec::new(),
        };
        let mut explained = Vec::new();
        for subject in subjects {
            let found = match &client {
                Some(client) => Some(look(client, &subject, &cluster, read_secret).await?),
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

fn pod_name(object: &[String]) -> Result<&str, CommandError> {
    let name = match object {
        [kind, name] if is_pod(kind) => Some(name.as_str()),
        [one] => one.split_once('/').filter(|(kind, _)| is_pod(kind)).map(|(_, name)| name),
        _ => None,
    };
    name.ok_or_else(|| {
        CommandError::Refused(
            "only Pods can be named: write `explain pod NAME`, or give a manifest with -f".to_owned(),
        )
    })
}

fn is_pod(kind: &str) -> bool {
    ["pod", "pods", "po"].iter().any(|known| kind.eq_ignore_ascii_case(known))
}

fn from_file(path: &Path, namespace: Option<&str>) -> Result<Vec<Subject>, CommandError> {
    let text = setup::read_configuration(path)?;
    let refused = |problem| CommandError::Refused(format!("{}: {problem}", path.display()));
    let subjects = subject::read_manifests(&text, namespace).map_err(refused)?;
    if subjects.is_empty() {
        return Err(refused("holds no Pod, and nothing that makes Pods".to_owned()));
    }
    Ok(subjects)
}

async fn from_cluster(client: &Client, namespace: &str, name: &str) -> Result<Subject, CommandError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = call(format!("read the Pod {namespace}/{name}"), api.get(name)).await?;
    Ok(Subject::of_pod(namespace, name, &pod.spec.unwrap_or_default()))
}

async fn look(
    client: &Client,
    subject: &Subject,
    args: &ClusterArgs,
    read_secret: bool,
) -> Result<Cluster, CommandError> {
    let name = &args.pull_secret;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = call("read the namespace", namespaces.get_metadata_opt(&subject.namespace)).await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &subject.namespace);
    let secret = call("read the metadata of the pull secret", secrets.get_metadata_opt(name)).await?;
    let hosts = if read_secret && secret.is_some() {
        let secret = call("read the pull secret", secrets.get_opt(name)).await?;
        secret.as_ref().map(subject::hosts_in)
    } else {
        None
    };
    Ok(Cluster {
        namespace: namespace.map(|namespace| namespace.metadata),
        account: account(client, subject).await,
        secret: secret.map(|secret| PullSecret::of(secret.metadata)),
        hosts,
    })
}

/// The service account; that it may not be read spoils nothing else.
async fn account(client: &Client, subject: &Subject) -> Account {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &subject.namespace);
    match call("read the service account", accounts.get_opt(&subject.service_account)).await {
        Err(_) => Account::Unknown,
        Ok(None) => Account::Absent,
        Ok(Some(account)) => {
            let enforces = account.annotations().get(ENFORCE_MOUNTABLE).is_some_and(|value| value == "true");
            let entries = account.image_pull_secrets.into_iter().flatten();
            Account::Found {
                pull_secrets: entries.map(|entry| entry.name).collect(),
                enforces_mountable: enforces,
            }
        }
    }
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
    let ok = findings.iter().all(|line| line.mark != Mark::Error);
    Explained { subject: subject.title.clone(), ok, findings }
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
    fn a_pod_is_named_as_kubectl_names_it() {
        let check = |words: &[&str], expected: Option<&str>| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(pod_name(&words).ok(), expected, "{words:?}");
        };
        check(&["pod", "web-1"], Some("web-1"));
        check(&["pod/web-1"], Some("web-1"));
        check(&["deployment", "web"], None);
        check(&["web-1"], None);
    }
}
