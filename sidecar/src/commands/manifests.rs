//! `manifests`: prints the shipped policies, changed to select the same as a configuration, so that the policies and
//! the sidecar cannot disagree.
//!
//! The text is changed line by line, so that its comments stay: users who keep the output need them to understand it.

use acr_credential_core::DEFAULT_PULL_SECRET;
use acr_credential_core::Pattern;
use clap::{Args, ValueEnum};
use kube::core::Expression;
use serde_json::{Value, json};
use std::path::PathBuf;

use super::Exit;
use super::report;
use super::setup::{self, CommandError};
use crate::configuration::{Attach, Configuration};

/// The right that the policy server needs for `readServiceAccounts` of the first policy.
const RBAC: &str = include_str!("../../../deploy/rbac.yaml");
const INJECT: &str = include_str!("../../../deploy/inject.yaml");
const GUARD: &str = include_str!("../../../deploy/guard.yaml");
const SERVICE_ACCOUNTS: &str = include_str!("../../../deploy/serviceaccounts.yaml");

/// Arguments of `manifests`.
#[derive(Debug, Args)]
#[command(after_help = MANIFESTS_HELP)]
pub struct ManifestsArgs {
    /// The configuration: a ConfigMap manifest, its data alone, or an add-on's JSON; "-" reads standard input.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// With the optional policy that adds the pull secret to service accounts.
    #[arg(long)]
    pub serviceaccounts: bool,
    /// What to write.
    #[arg(long, short, value_enum, default_value_t = ManifestsOutput::Yaml)]
    pub output: ManifestsOutput,
    /// Name of the pull secret.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PULL_SECRET, value_parser = super::arguments::object)]
    pub pull_secret: String,
    /// Namespace of the sidecar.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system", value_parser = super::arguments::namespace)]
    pub sidecar_namespace: String,
    /// Namespace in which Kubewarden is installed.
    #[arg(long, value_name = "NAMESPACE", default_value = "kubewarden", value_parser = super::arguments::namespace)]
    pub kubewarden_namespace: String,
}

/// The output format of `manifests`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ManifestsOutput {
    /// Documents with their comments.
    Yaml,
    /// One list.
    Json,
}

const MANIFESTS_HELP: &str = "\
Namespaces, service accounts and label selector are the configuration's; everything else is as shipped. A configuration \
with attach: service-account needs no policy that adds to Pods, so that one is left out; the guard then has ownedPods: ignore. \
Asks no cluster, so it needs no right in Kubernetes.

Examples:
  Install the policies for a configuration:
    acr-credential-sidecar manifests --config acr-configuration.yaml | kubectl apply -f -

  See whether those in the cluster are the same:
    acr-credential-sidecar manifests --config acr-configuration.yaml | kubectl diff -f -

Exit codes: 0 printed, 1 the configuration has mistakes, 2 wrong usage, or the file cannot be read.";

pub(super) fn run(args: ManifestsArgs) -> Result<Exit, CommandError> {
    let ManifestsArgs {
        config,
        serviceaccounts,
        output,
        pull_secret,
        sidecar_namespace,
        kubewarden_namespace,
    } = args;
    let Some(configuration) = setup::configuration(&config)? else { return Ok(Exit::Findings) };
    let documents = documents(&configuration, serviceaccounts, &pull_secret, &sidecar_namespace);
    let subject = format!("namespace: {kubewarden_namespace}\n");
    let documents: Vec<_> =
        documents.iter().map(|text| text.replace("namespace: kubewarden\n", &subject)).collect();
    match output {
        ManifestsOutput::Yaml => report::to_stdout(documents.join("---\n").trim_end())?,
        ManifestsOutput::Json => {
            let mut items: Vec<Value> = Vec::new();
            for text in &documents {
                let read = serde_saphyr::from_multiple::<Value>(text);
                items.extend(read.map_err(|error| CommandError::Refused(error.to_string()))?);
            }
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
            report::bytes_to_stdout(report::json(&list)?.as_bytes())?;
        }
    }
    Ok(Exit::Success)
}

/// Returns the documents for a configuration.
pub(super) fn documents(
    configuration: &Configuration,
    serviceaccounts: bool,
    pull_secret: &str,
    sidecar_namespace: &str,
) -> Vec<String> {
    let selection = Selection { configuration, pull_secret, sidecar_namespace };
    let shipped = shipped(configuration.attach, serviceaccounts).into_iter();
    shipped.map(|text| selection.write_into(text)).collect()
}

/// Returns the shipped policies that are needed. If service accounts carry the reference, no policy has to add it to
/// Pods, but a list with other entries still keeps the reference out.
fn shipped(attach: Attach, serviceaccounts: bool) -> Vec<&'static str> {
    let by_policy: &[&str] = if attach == Attach::ServiceAccount { &[] } else { &[RBAC, INJECT] };
    let optional: &[&str] = if serviceaccounts { &[SERVICE_ACCOUNTS] } else { &[] };
    [by_policy, &[GUARD], optional].concat()
}

/// The selection that is written into the policies.
struct Selection<'a> {
    configuration: &'a Configuration,
    pull_secret: &'a str,
    sidecar_namespace: &'a str,
}

impl Selection<'_> {
    fn write_into(&self, manifest: &str) -> String {
        let Configuration { namespaces, service_accounts, attach, .. } = self.configuration;
        let mut text = String::new();
        let mut lines = manifest.lines().peekable();
        let mut is_selector = false;
        while let Some(line) = lines.next() {
            let indent = indent_of(line);
            let field = |key: &str, value: &Value| format!("{indent}{key}: {value}");
            let changed = match line
                .trim_start()
                .split_once(':')
                .map_or(("", ""), |(key, rest)| (key, rest.trim()))
            {
                ("namespaceSelector", _) => {
                    is_selector = true;
                    None
                }
                ("- key", "kubernetes.io/metadata.name") => {
                    // Its operator and its values are indented deeper.
                    while lines.next_if(|next| indent_of(next).len() > indent.len()).is_some() {}
                    let Some((operator, names)) = self.names() else { continue };
                    Some(expression(indent, "kubernetes.io/metadata.name", operator, &names))
                }
                ("objectSelector" | "matchConditions", _) if is_selector => {
                    is_selector = false;
                    // Comments before this line belong to it.
                    let comments = text.lines().rev().take_while(|line| line.trim_start().starts_with('#'));
                    let length: usize = comments.map(|line| line.len() + 1).sum();
                    text.insert_str(text.len() - length, &self.labels());
                    None
                }
                ("namespaces", _) => Some(field("namespaces", &list(&namespaces.include))),
                ("excludedNamespaces", _) => Some(field("excludedNamespaces", &list(&namespaces.exclude))),
                ("serviceAccounts", _) => Some(field("serviceAccounts", &list(&service_accounts.include))),
                // No policy adds the reference to the Pods of a workload, so a workload with other entries is refused.
                ("ownedPods", _) if *attach == Attach::ServiceAccount => {
                    Some(format!("{indent}ownedPods: ignore"))
                }
                ("pullSecret", _) => Some(field("pullSecret", &json!(self.pull_secret))),
                _ => None,
            };
            push(&mut text, changed.as_deref().unwrap_or(line));
        }
        text.replace("acr-credential-secret-aggregation", self.pull_secret).replace(
            "system:serviceaccount:kube-system:",
            &format!("system:serviceaccount:{}:", self.sidecar_namespace),
        )
    }

    /// Returns the operator and the values of the selector on names. They are the names themselves. If a glob is among
    /// them, which no selector can express, they are all names except the excluded ones. The selector saves calls of
    /// the policy; the policy's settings decide.
    fn names(&self) -> Option<(&'static str, Vec<String>)> {
        let exact = |patterns: &[Pattern<'static>]| -> Vec<String> {
            let names = patterns.iter().filter(|pattern| matches!(pattern, Pattern::Name(_)));
            names.map(Pattern::to_string).collect()
        };
        let namespaces = &self.configuration.namespaces;
        let named = exact(&namespaces.include);
        if named.len() == namespaces.include.len() {
            return Some(("In", named));
        }
        let mut excluded = exact(&namespaces.exclude);
        // An exact name takes precedence over an exclusion.
        excluded.retain(|name| !named.contains(name));
        (!excluded.is_empty()).then_some(("NotIn", excluded))
    }

    fn labels(&self) -> String {
        let mut text = String::new();
        let Some(labels) = &self.configuration.namespace_selector else { return text };
        push(&mut text, "      # The same as watch-namespace-selector.");
        for part in labels.clone() {
            let (key, operator, values) = match part {
                Expression::Equal(key, value) => (key, "In", vec![value]),
                Expression::NotEqual(key, value) => (key, "NotIn", vec![value]),
                Expression::In(key, values) => (key, "In", values.into_iter().collect()),
                Expression::NotIn(key, values) => (key, "NotIn", values.into_iter().collect()),
                Expression::Exists(key) => (key, "Exists", Vec::new()),
                Expression::DoesNotExist(key) => (key, "DoesNotExist", Vec::new()),
            };
            // The key is quoted: a key such as 1.5 or true would otherwise not be a string.
            push(&mut text, &expression("      ", &json!(key).to_string(), operator, &values));
        }
        text
    }
}

fn indent_of(line: &str) -> &str {
    line.get(..line.len() - line.trim_start().len()).unwrap_or_default()
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn expression(indent: &str, key: &str, operator: &str, values: &[String]) -> String {
    let operator = format!("{indent}- key: {key}\n{indent}  operator: {operator}");
    if values.is_empty() { operator } else { format!("{operator}\n{indent}  values: {}", json!(values)) }
}

fn list(patterns: &[Pattern<'static>]) -> Value {
    patterns.iter().map(Pattern::to_string).collect()
}

#[cfg(test)]
mod tests {
    use acr_credential_core::policy::{PodMode, Settings, WorkloadMode};

    use super::*;
    use crate::configuration;
    use crate::telemetry::policies;

    fn written(configuration: &str, pull_secret: &str) -> Vec<Value> {
        let configuration = configuration::parse(configuration.as_bytes()).unwrap().configuration;
        let selection = Selection { configuration: &configuration, pull_secret, sidecar_namespace: "acr" };
        let texts = shipped(configuration.attach, true).into_iter().map(|text| selection.write_into(text));
        texts.flat_map(|text| serde_saphyr::from_multiple::<Value>(&text).unwrap()).collect()
    }

    #[track_caller]
    fn check_agreement(text: &str) {
        let configuration = configuration::parse(text.as_bytes()).unwrap().configuration;
        let policies = written(text, "other-secret");
        let policies = policies.iter().filter(|object| object["kind"] == "ClusterAdmissionPolicy");
        let mut count = 0;
        for policy in policies {
            let name = policy["metadata"]["name"].as_str().unwrap();
            let found = policies::compare(name, &policy["spec"], &configuration, "other-secret");
            assert_eq!(found, Vec::<String>::new(), "{policy:#}");
            count += 1;
        }
        assert!(count >= 2);
    }

    #[test]
    fn the_policies_agree_with_the_configuration_that_they_were_made_for() {
        check_agreement("acr-registry-info: ''\n");
        check_agreement("watch-namespace: team-a, team-b\nservice-account: '*'\n");
        check_agreement("watch-namespace: all\nexclude-namespace: kube-*, lab\n");
        check_agreement("watch-namespace: team-*, kube-system\nexclude-namespace: kube-system, team-x\n");
        check_agreement("watch-namespace: team-*\nattach: service-account\n");
        check_agreement("watch-namespace: a\nwatch-namespace-selector: env in (prod,test),!legacy,team\n");
    }

    #[test]
    fn selectors_say_what_they_can_of_names_and_labels() {
        let check = |configuration: &str, expected: Value| {
            let policy = written(configuration, "s").pop().unwrap();
            let expressions = &policy["spec"]["namespaceSelector"]["matchExpressions"];
            let opt_out = |it: &&Value| it["key"] != "acr-credential-helper.io/inject";
            let found: Vec<_> = expressions.as_array().unwrap().iter().filter(opt_out).cloned().collect();
            assert_eq!(Value::from(found), expected, "{configuration}");
        };
        let name = |operator: &str, values: &[&str]| json!({ "key": "kubernetes.io/metadata.name", "operator": operator, "values": values });
        check("watch-namespace: a, b\n", json!([name("In", &["a", "b"])]));
        check(
            "watch-namespace: a-*\n",
            json!([name("NotIn", &["kube-system", "kube-public", "kube-node-lease"])]),
        );
        check("watch-namespace: '*, lab'\nexclude-namespace: lab, x, y-*\n", json!([name("NotIn", &["x"])]));
        check("watch-namespace: '*, lab'\nexclude-namespace: lab\n", json!([]));
        check(
            "watch-namespace: a\nwatch-namespace-selector: env in (prod,test),!legacy,team,tier!=db\n",
            json!([
                name("In", &["a"]),
                { "key": "env", "operator": "In", "values": ["prod", "test"] },
                { "key": "legacy", "operator": "DoesNotExist" },
                { "key": "team", "operator": "Exists" },
                { "key": "tier", "operator": "NotIn", "values": ["db"] },
            ]),
        );
    }

    #[test]
    fn names_and_comments_are_as_they_should_be() {
        let configuration = configuration::parse(b"watch-namespace: a\n").unwrap().configuration;
        let selection =
            Selection { configuration: &configuration, pull_secret: "other", sidecar_namespace: "acr" };
        let text = selection.write_into(SERVICE_ACCOUNTS);
        assert!(
            !text.contains("acr-credential-secret-aggregation") && text.contains("pullSecret: \"other\""),
            "{text}"
        );
        assert!(text.contains("system:serviceaccount:acr:acr-credential-sidecar"), "{text}");
        assert!(text.starts_with("# Optional: adds the pull secret"), "{text}");
        let same = configuration::parse(b"acr-registry-info: ''\n").unwrap().configuration;
        let same = Selection {
            configuration: &same,
            pull_secret: "acr-credential-secret-aggregation",
            sidecar_namespace: "kube-system",
        };
        for (shipped, name) in [(INJECT, "inject"), (GUARD, "guard"), (SERVICE_ACCOUNTS, "serviceaccounts")] {
            let parse = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
            assert_eq!(parse(&same.write_into(shipped)), parse(shipped), "{name}");
            assert_eq!(same.write_into(shipped).lines().count(), shipped.lines().count(), "{name}");
        }
    }

    #[test]
    fn service_accounts_that_carry_the_reference_need_no_policy_for_pods() {
        let kinds = |attach| shipped(attach, false).len();
        assert_eq!((kinds(Attach::Pod), kinds(Attach::Both), kinds(Attach::ServiceAccount)), (3, 3, 1));
    }

    #[test]
    fn workloads_are_refused_only_where_nothing_adds_the_reference_to_their_pods() {
        for (attach, expected) in [
            ("pod", (PodMode::Merge, WorkloadMode::Warn)),
            ("both", (PodMode::Merge, WorkloadMode::Warn)),
            ("service-account", (PodMode::Ignore, WorkloadMode::Reject)),
        ] {
            let policies = written(&format!("watch-namespace: a\nattach: {attach}\n"), "s");
            let guard = policies.iter().find(|object| object["metadata"]["name"] == policies::GUARD).unwrap();
            let settings = guard["spec"]["settings"].to_string();
            let manual = Settings::parse(&settings).unwrap().manual;
            assert_eq!((manual.owned_pods, manual.workloads()), expected, "{attach}");
            assert_eq!(manual.workloads, None, "{attach}");
        }
    }
}
