//! Checks whether the policies in the cluster select the same as the configuration. If they do not, Pods lack the pull secret, or
//! get one that does not exist, and no error is reported.
//!
//! `compare` is pure. It does not compare label selectors other than on a namespace's name, because a policy may be narrower on
//! purpose.

use std::collections::BTreeSet;

use acr_credential_core::policy::{Mistakes, Settings};
use acr_credential_core::{Pattern, Selection};
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;

use crate::configuration::Configuration;
use crate::kubernetes::api_error;

/// The policies by their shipped names.
pub const POLICIES: [&str; 3] = [INJECT, GUARD, "acr-credential-helper-serviceaccounts"];

/// Without this policy, no Pod gets the pull secret.
pub const INJECT: &str = "acr-credential-helper-inject";

/// This policy checks workloads.
pub const GUARD: &str = "acr-credential-helper-guard";

/// The label of every namespace that contains its name.
pub(crate) const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// A policy in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its spec.
    pub spec: Value,
    /// Its `status.policyStatus`: the progress of Kubewarden with it. Only an `active` policy is evaluated.
    pub status: Option<String>,
}

/// Reads the policies by their names; `None` for a policy that does not exist.
pub async fn read(client: &Client) -> Result<Vec<(&'static str, Option<Policy>)>, kube::Error> {
    let mut read = Vec::with_capacity(POLICIES.len());
    for name in POLICIES {
        read.push((name, read_one(client, name).await?));
    }
    Ok(read)
}

/// Reads a policy; returns `None` if it does not exist.
pub async fn read_one(client: &Client, name: &str) -> Result<Option<Policy>, kube::Error> {
    let kind = GroupVersionKind::gvk("policies.kubewarden.io", "v1", "ClusterAdmissionPolicy");
    let policies: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    match policies.get(name).await {
        Ok(mut policy) => Ok(Some(Policy {
            spec: policy.data.get_mut("spec").map(Value::take).unwrap_or_default(),
            status: policy.data.pointer("/status/policyStatus").and_then(Value::as_str).map(str::to_owned),
        })),
        // A cluster without Kubewarden answers this, too.
        Err(error) if api_error::is_status(&error, 404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the policies, and compares them with the configuration. A policy that does not exist is not an error in itself: Pods may
/// list the pull secret by hand, or get it from their service account.
pub async fn differences(
    client: &Client,
    configuration: &Configuration,
    pull_secret: &str,
) -> Result<Vec<String>, kube::Error> {
    let there = read(client).await?.into_iter().filter_map(|(name, policy)| Some((name, policy?.spec)));
    Ok(there.flat_map(|(name, spec)| compare(name, &spec, configuration, pull_secret)).collect())
}

/// Returns the settings of a policy, from its spec.
pub fn settings(spec: &Value) -> Result<Settings<'static>, Mistakes> {
    let text = spec.get("settings").unwrap_or(&Value::Null).to_string();
    Settings::parse(&text).map(Settings::into_owned)
}

/// Returns the differences between a policy and the configuration.
pub fn compare(policy: &str, spec: &Value, configuration: &Configuration, pull_secret: &str) -> Vec<String> {
    let settings = match settings(spec) {
        Ok(settings) => settings,
        Err(mistakes) => return vec![format!("the policy {policy} has settings with mistakes: {mistakes}")],
    };
    let Configuration { namespaces: Selection { include, exclude }, service_accounts, .. } = configuration;
    let lists = [
        ("namespaces", "watch-namespace", &settings.namespaces.include, include),
        ("excludedNamespaces", "exclude-namespace", &settings.namespaces.exclude, exclude),
        ("serviceAccounts", "service-account", &settings.service_accounts.include, &service_accounts.include),
    ];
    let mut differences = Vec::new();
    for (setting, key, theirs, ours) in lists {
        let (theirs, ours) = (words(theirs), words(ours));
        if theirs != ours {
            differences.push(format!(
                "the policy {policy} has {setting} [{}], the configuration has {key} [{}]: make them equal",
                theirs.join(", "),
                ours.join(", ")
            ));
        }
    }
    let theirs = &settings.pull_secret;
    if theirs != pull_secret {
        differences.push(format!(
            "the policy {policy} has pullSecret {theirs}, the sidecar writes {pull_secret}: make them equal"
        ));
    }
    differences.extend(never_asked(policy, spec, include));
    differences
}

/// Returns a message about the first namespaces for which the policy is never evaluated, because its selector leaves them out.
fn never_asked(policy: &str, spec: &Value, managed: &[Pattern<'_>]) -> Option<String> {
    let expressions = spec.pointer("/namespaceSelector/matchExpressions").and_then(Value::as_array)?;
    let on_names =
        expressions.iter().filter(|it| it.get("key").and_then(Value::as_str) == Some(NAMESPACE_NAME));
    for expression in on_names {
        let values = expression.get("values").and_then(Value::as_array)?;
        let lists = |name: &str| values.iter().any(|value| value.as_str() == Some(name));
        let is_in = match expression.get("operator").and_then(Value::as_str) {
            Some("In") => true,
            Some("NotIn") => false,
            _ => continue,
        };
        let left_out = managed.iter().find(|pattern| match pattern {
            Pattern::Name(name) => lists(name) != is_in,
            // A list of names cannot replace a glob.
            Pattern::All | Pattern::Glob(_) => is_in,
        });
        if let Some(pattern) = left_out {
            return Some(format!(
                "the namespaceSelector of the policy {policy} leaves out {pattern}, which watch-namespace has: add it \
                 there, or use NotIn with the excluded namespaces"
            ));
        }
    }
    None
}

/// Returns the patterns as text, sorted and without duplicates.
fn words(patterns: &[Pattern<'_>]) -> Vec<String> {
    patterns.iter().map(Pattern::to_string).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use acr_credential_core::DEFAULT_PULL_SECRET;
    use serde_json::json;

    use super::*;
    use crate::configuration;

    #[track_caller]
    fn check(text: &str, spec: &Value, expected: &[&str]) {
        let configuration = configuration::parse(text.as_bytes()).unwrap().configuration;
        let found = compare(INJECT, spec, &configuration, DEFAULT_PULL_SECRET);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    const CONFIGURATION: &str = "watch-namespace: team-a, team-b\nacr-registry-info: ''\n";

    #[test]
    fn the_shipped_policies_agree_with_the_shipped_configuration() {
        let configuration = include_str!("../../../deploy/sidecar-configuration.example.yaml");
        for policy in [
            include_str!("../../../deploy/inject.yaml"),
            include_str!("../../../deploy/guard.yaml"),
            include_str!("../../../deploy/serviceaccounts.yaml"),
        ] {
            let policy: Value = serde_saphyr::from_str(policy).unwrap();
            assert!(POLICIES.contains(&policy["metadata"]["name"].as_str().unwrap()));
            check(configuration, &policy["spec"], &[]);
        }
    }

    /// Both parts come from one set of values, whatever the values are.
    #[test]
    fn what_the_chart_renders_agrees() {
        for (rendered, pull_secret) in [
            (include_str!("../../../e2e-tests/helm/testdata/minimal.yaml"), DEFAULT_PULL_SECRET),
            (include_str!("../../../e2e-tests/helm/testdata/everything.yaml"), "acr-pull"),
        ] {
            let objects: Vec<Value> = serde_saphyr::from_multiple(rendered).unwrap();
            let of = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
            // Another one is the dashboard.
            let has_names = |object: &&Value| object["data"]["watch-namespace"].is_string();
            let config_map = of("ConfigMap").find(has_names).unwrap().to_string();
            let configuration = configuration::parse(config_map.as_bytes()).unwrap();
            assert_eq!(configuration.warnings.len(), 0, "{:#?}", configuration.warnings);
            let policies: Vec<_> = of("ClusterAdmissionPolicy").collect();
            assert_eq!(policies.len(), 2);
            for policy in policies {
                let name = policy["metadata"]["name"].as_str().unwrap();
                let found = compare(name, &policy["spec"], &configuration.configuration, pull_secret);
                assert_eq!(found, Vec::<String>::new());
            }
        }
    }

    #[test]
    fn order_spelling_and_defaults_make_no_difference() {
        check("acr-registry-info: ''\n", &json!({}), &[]);
        let spec = json!({ "settings": { "namespaces": ["team-b", "team-a"] } });
        check(CONFIGURATION, &spec, &[]);
        check(CONFIGURATION, &json!({ "settings": { "namespaces": " team-b,team-a" } }), &[]);
        check("watch-namespace: ALL\n", &json!({ "settings": { "namespaces": ["*"] } }), &[]);
    }

    #[test]
    fn each_difference_names_both_sides() {
        let spec = json!({ "settings": {
            "namespaces": ["team-a"], "serviceAccounts": ["*"], "pullSecret": "other",
        } });
        check(
            CONFIGURATION,
            &spec,
            &[
                "has namespaces [team-a], the configuration has watch-namespace [team-a, team-b]: make them equal",
                "has serviceAccounts [*], the configuration has service-account [default]",
                "has pullSecret other, the sidecar writes acr-credential-secret-aggregation",
            ],
        );
    }

    #[test]
    fn settings_with_mistakes_are_told_as_the_policy_tells_them() {
        let spec = json!({ "settings": { "namespace": ["team-a"] } });
        check(
            CONFIGURATION,
            &spec,
            &["has settings with mistakes: namespace: unknown setting; did you mean"],
        );
    }

    #[test]
    fn a_selector_that_leaves_a_managed_namespace_out_is_named() {
        let spec = |operator: &str, values: &[&str], namespaces: &[&str]| {
            json!({
                "settings": { "namespaces": namespaces },
                "namespaceSelector": { "matchExpressions": [
                    { "key": "acr-credential-helper.io/inject", "operator": "NotIn", "values": ["false"] },
                    { "key": NAMESPACE_NAME, "operator": operator, "values": values },
                ] },
            })
        };
        let both: &[&str] = &["team-a", "team-b"];
        check(CONFIGURATION, &spec("In", both, both), &[]);
        check(
            CONFIGURATION,
            &spec("In", &["team-a"], both),
            &["leaves out team-b, which watch-namespace has"],
        );
        check(CONFIGURATION, &spec("NotIn", &["kube-system"], both), &[]);
        check(CONFIGURATION, &spec("NotIn", &["team-a"], both), &["leaves out team-a"]);
        check("watch-namespace: team-*\n", &spec("In", both, &["team-*"]), &["leaves out team-*"]);
    }
}
