//! `explain`: explains step by step why a Pod can or cannot pull its images.
//!
//! `gather` reads a manifest or asks the cluster, `diagnosis` judges every step, and `render` prints the result.

mod diagnosis;
mod gather;
mod render;

use super::arguments::{ClusterArgs, Output};
use clap::Args;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kube::Client;

use self::diagnosis::Case;
use self::diagnosis::policy::{Installed, Policies};
use self::gather::manifest::{self, Manifest};
use self::gather::{Cluster, KINDS, Kind};
use self::render::{Explained, Explanation};
use super::cluster::{self, Seen, call};
use super::report::{Line, Mark};
use super::setup::{self, CommandError};
use super::{Exit, manifests};
use crate::configuration::{self, Configuration, Finding, Mistakes};
use crate::telemetry::policies::{self, POLICIES, Policy};

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
    #[arg(long, short, value_name = "NAMESPACE", value_parser = super::arguments::namespace)]
    pub namespace: Option<String>,
    /// Read the configuration from this file instead of the cluster. With --file, no cluster is asked at all.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Judge the manifest with the policies in this file. Without it: those of the cluster, or, if no cluster is asked, those
    /// that `manifests` prints for the configuration.
    #[arg(long, value_name = "FILE", conflicts_with = "object")]
    pub policies: Option<PathBuf>,
    /// Judge the manifest as created by this user, such as system:serviceaccount:ci:runner [default: a person].
    #[arg(long = "as", value_name = "USER", conflicts_with = "object")]
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
    acr-credential-sidecar explain -f pod.yaml -c config.yaml --as system:serviceaccount:ci:runner

Needs only the right to get the Pod or workload, as the role view of its namespace gives it. What you may not read is \
marked with -, and the line names the right. The role edit adds the pull secret: its metadata, and with --read-secret its hosts.

Exit codes: 0 no error was found (warnings, marked with !, and what was not checked, marked with -, do not count), 1 an \
error or a refusal, marked with ✗, 2 wrong usage, or the cluster did not answer.";

pub(super) fn run(args: ExplainArgs) -> Result<Exit, CommandError> {
    let ExplainArgs { object, file, namespace, config, policies, user, read_secret, output, cluster } = args;
    // Everything that can be judged without a cluster is judged before one is looked for.
    let stdin = [&file, &config, &policies].into_iter().flatten().filter(|path| *path == Path::new("-"));
    if stdin.count() > 1 {
        let advice =
            "only one of --file, --config and --policies can be \"-\": standard input can be read only once";
        return Err(CommandError::Refused(advice.to_owned()));
    }
    let named = if file.is_none() { Some(named(&object)?) } else { None };
    let file = match file {
        None => None,
        Some(path) => {
            let objects = manifest::objects_of(&path)?;
            // The namespace of the context is known only later.
            manifest::read_objects(&path, &objects, "default")?;
            Some((path, objects))
        }
    };
    let policies = policies.map(policies_of).transpose()?;
    let written = match &config {
        Some(path) => Some(configuration::examine(&setup::read_configuration(path)?).outcome),
        None => None,
    };
    let explanation = setup::runtime()?.block_on(async {
        let needs_cluster = file.is_none() || written.is_none();
        let client = if needs_cluster { Some(cluster::connect(&cluster)?) } else { None };
        let outcome = match (written, &client) {
            (Some(written), _) => Seen::Found(written),
            (None, Some(client)) => Seen::of(cluster::configuration(client, &cluster).await)?,
            (None, None) => Seen::default(),
        };
        let namespace = match (namespace, &client) {
            (Some(namespace), _) => Some(namespace),
            (None, Some(client)) => Some(client.default_namespace().to_owned()),
            (None, None) => cluster::namespace_of_context(&cluster)?,
        };
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        let Manifest { subjects, passed_over } = match (&file, &client, named) {
            (Some((path, objects)), _, _) => manifest::read_objects(path, objects, &namespace)?,
            (None, Some(client), Some(named)) => {
                let subject = gather::cluster::subject(client, &namespace, named).await?;
                Manifest { subjects: vec![subject], passed_over: Vec::new() }
            }
            // Without a file, there is always a client and a name.
            (None, _, _) => Manifest::default(),
        };
        // Mistakes are findings, and the rest is judged all the same: the sidecar keeps its last good configuration.
        let (configuration, mistakes) = match outcome {
            Seen::Found(Ok(configuration)) => (Ok(configuration), Vec::new()),
            Seen::Unknown(why) => (Err(why), Vec::new()),
            Seen::Found(Err(Mistakes(mistakes))) => (Err("it has mistakes".to_owned()), mistakes),
            Seen::Absent => {
                let ClusterArgs { sidecar_namespace, config_map, .. } = &cluster;
                let problem = format!("there is no ConfigMap {config_map} in {sidecar_namespace}");
                let finding =
                    Finding { place: "configuration".to_owned(), problem, fix: "create it".to_owned() };
                (Err("it does not exist".to_owned()), vec![finding])
            }
        };
        let policies = judges(policies, configuration.as_ref().ok(), client.as_ref(), &cluster).await;
        let mut explained = Vec::new();
        for subject in subjects {
            let surroundings = match &client {
                Some(client) => {
                    gather::cluster::surroundings(client, &subject, &cluster, read_secret).await?
                }
                None => Cluster::default(),
            };
            let case = Case {
                subject: &subject,
                configuration: configuration.as_ref().map_err(String::as_str),
                pull_secret: &cluster.pull_secret,
                policies: &policies,
                user: user.as_deref().unwrap_or_default(),
                cluster: &surroundings,
                now: Timestamp::now(),
            };
            let mistakes = mistakes.iter().map(|mistake| Line::finding(Mark::Error, mistake));
            let findings = mistakes.chain(case.diagnose()).collect();
            explained.push(Explained::new(subject.title, findings));
        }
        Ok::<_, CommandError>(Explanation::new(explained, passed_over))
    })?;
    Ok(explanation.write(output)?)
}

/// The policies that are in force, or assumed to be.
type Judges = Vec<(&'static str, Option<Policy>)>;

/// Reads the policies of a file.
fn policies_of(path: PathBuf) -> Result<(PathBuf, Judges), CommandError> {
    let read = manifest::policies_in(&manifest::objects_of(&path)?);
    if read.iter().all(|(_, policy)| policy.is_none()) {
        let (path, names) = (path.display(), POLICIES.join(", "));
        return Err(CommandError::Refused(format!("{path}: contains none of the policies {names}")));
    }
    Ok((path, read))
}

/// Returns the policies that judge: those of the file, of the cluster, or those that `manifests` prints. If they cannot be read, the
/// other steps are still worth knowing.
async fn judges(
    file: Option<(PathBuf, Judges)>,
    configuration: Option<&Configuration>,
    client: Option<&Client>,
    args: &ClusterArgs,
) -> Policies {
    let ClusterArgs { pull_secret, sidecar_namespace, .. } = args;
    let (read, assumed) = match (file, client, configuration) {
        (Some((path, read)), _, _) => (read, Some(format!("assumed to be those in {}", path.display()))),
        (None, Some(client), _) => {
            let mut read = Vec::new();
            for name in POLICIES {
                let action = format!("get clusteradmissionpolicies named {name}");
                match Seen::of(call(action, policies::read_one(client, name)).await) {
                    Ok(Seen::Found(policy)) => read.push((name, Some(policy))),
                    Ok(Seen::Absent) => read.push((name, None)),
                    Ok(Seen::Unknown(why)) => return Err(format!("{why}; {VIEW} gives this right")),
                    Err(error) => return Err(error.to_string()),
                }
            }
            (read, None)
        }
        (None, None, None) => return Err("no cluster was queried".to_owned()),
        (None, None, Some(configuration)) => {
            let documents = manifests::documents(configuration, false, pull_secret, sidecar_namespace);
            let objects = manifest::objects(documents.join("---\n").as_bytes())?;
            let assumed = "assumed to be those that `manifests` prints for this configuration (for others, use --policies)";
            (manifest::policies_in(&objects), Some(assumed.to_owned()))
        }
    };
    Ok(Installed::new(&read, configuration, pull_secret, assumed))
}

/// The role that lets people read the policies. They are not in a namespace, so a binding in a namespace is not enough.
const VIEW: &str = "a ClusterRoleBinding to the ClusterRole acr-credential-helper-view";

/// Parses the object to explain, as `kubectl` writes it: `pod NAME` or `pod/NAME`, with any name of the kind.
fn named(object: &[String]) -> Result<(&'static Kind, &str), CommandError> {
    let found = match object {
        [kind, name] => kind_of(kind).map(|kind| (kind, name.as_str())),
        [one] => one.split_once('/').and_then(|(kind, name)| Some((kind_of(kind)?, name))),
        _ => None,
    };
    found.filter(|(_, name)| !name.is_empty()).ok_or_else(|| {
        let kinds = KINDS.iter().map(|kind| kind.name.to_lowercase()).collect::<Vec<_>>().join(", ");
        CommandError::Refused(format!(
            "name one of {kinds}, such as `explain deployment NAME`, or give a manifest with -f"
        ))
    })
}

fn kind_of(word: &str) -> Option<&'static Kind> {
    let word = word.to_lowercase();
    // `deployments.apps` is what kubectl prints.
    let word = word.split('.').next().unwrap_or_default();
    let one = word.strip_suffix('s').unwrap_or(word);
    KINDS.iter().find(|kind| kind.short == word || kind.name.eq_ignore_ascii_case(one))
}

/// Reads a manifest as `explain` does before it looks for anything else.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(text: &[u8]) {
    let mut manifest = Manifest::default();
    for object in manifest::objects(text).unwrap_or_default() {
        let _ = manifest.read(&object, "default", false);
    }
    for subject in &manifest.subjects {
        assert!(!super::report::one_line(&subject.title).contains('\n'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing::{api_server, refusal};

    #[tokio::test]
    async fn policies_that_cannot_be_read_are_not_checked_whatever_the_reason() {
        let args = ClusterArgs {
            kubeconfig: None,
            context: None,
            sidecar_namespace: "kube-system".to_owned(),
            config_map: "acr-configuration".to_owned(),
            pull_secret: "ours".to_owned(),
        };
        let action = "get clusteradmissionpolicies named acr-credential-helper-inject";
        for (code, expected) in
            [(403, format!("you may not {action}; {VIEW}")), (410, format!("failed to {action}: "))]
        {
            let client = api_server(move |_, _, _| refusal(code));
            let why = judges(None, None, Some(&client), &args).await.unwrap_err();
            assert!(why.starts_with(&expected), "{why}");
        }
    }

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        let check = |words: &[&str], expected: Option<(&str, &str)>| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let found = named(&words).ok().map(|(kind, name)| (kind.name, name));
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
