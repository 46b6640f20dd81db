//! What the policies in the cluster say, read from their specs.
//!
//! The settings are judged by the policy itself when it is installed; what it would refuse counts here as left out.

use acr_credential_core::{
    DEFAULT_EXCLUDED_NAMESPACES, DEFAULT_PULL_SECRET, Pattern, Selection, Standing, Vocabulary,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Expression, Selector};
use serde::Deserialize as _;
use serde_json::Value;

use crate::operations::policies::{GUARD, INJECT, Policy};

/// The policies in the cluster.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Policies {
    /// They cannot be read, and this is why.
    Unknown(String),
    /// What was read.
    Known {
        inject: Option<Box<Rules>>,
        guard: Option<Box<Rules>>,
        /// Where they say something else than the configuration.
        differences: Vec<String>,
    },
}

/// What one policy does, and to whom.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rules {
    /// Whether it only writes down what it would do.
    pub(super) monitors: bool,
    /// How far Kubewarden is with it; only an `active` one is asked.
    pub(super) status: Option<String>,
    pub(super) namespaces: Selection<'static>,
    pub(super) service_accounts: Selection<'static>,
    pub(super) pull_secret: String,
    /// When not empty: only Pods with an image from one of these are touched.
    pub(super) registries: Vec<Pattern<'static>>,
    pub(super) pods: Mode,
    pub(super) owned_pods: Mode,
    pub(super) workloads: Mode,
    pub(super) allowed: Vec<Pattern<'static>>,
    /// Whether entries that the service account lists, too, are taken for copies.
    pub(super) reads_accounts: bool,
    /// What it wants of a namespace's labels.
    pub(super) namespace_selector: Vec<Expression>,
    /// What it wants of an object's own labels.
    pub(super) object_selector: Vec<Expression>,
    /// The names of its `matchConditions`.
    pub(super) conditions: Vec<String>,
}

/// What a list that was written by hand gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Reject,
    Merge,
    Warn,
    Ignore,
}

impl Policies {
    /// The policies as they were read.
    pub(super) fn known(read: &[(&str, Option<Policy>)], differences: Vec<String>) -> Self {
        let rules = |wanted: &str| {
            let policy =
                read.iter().find(|(name, _)| *name == wanted).and_then(|(_, policy)| policy.as_ref());
            policy.map(Rules::of).map(Box::new)
        };
        Self::Known { inject: rules(INJECT), guard: rules(GUARD), differences }
    }
}

impl Rules {
    pub(super) fn of(Policy { spec, status }: &Policy) -> Self {
        let setting =
            |path: &str| spec.pointer(&format!("/settings/{path}")).filter(|value| !value.is_null());
        let mode = |name: &str, default| match setting(&format!("manualPullSecrets/{name}")) {
            Some(Value::String(mode)) if mode == "reject" => Mode::Reject,
            Some(Value::String(mode)) if mode == "merge" => Mode::Merge,
            Some(Value::String(mode)) if mode == "warn" => Mode::Warn,
            Some(Value::String(mode)) if mode == "ignore" => Mode::Ignore,
            _ => default,
        };
        let list = |name: &str, vocabulary, default: &[&'static str]| match setting(name) {
            Some(list) => patterns(list, vocabulary),
            None => default.iter().map(|&name| Pattern::Name(name.into())).collect(),
        };
        let conditions = spec.get("matchConditions").and_then(Value::as_array).into_iter().flatten();
        let conditions = conditions.filter_map(|condition| condition.get("name")?.as_str());
        Self {
            monitors: spec.get("mode").and_then(Value::as_str) == Some("monitor"),
            status: status.clone(),
            namespaces: Selection {
                include: list("namespaces", Vocabulary::Label, &["default"]),
                exclude: list("excludedNamespaces", Vocabulary::Label, &DEFAULT_EXCLUDED_NAMESPACES),
            },
            service_accounts: Selection {
                include: list("serviceAccounts", Vocabulary::Subdomain, &["default"]),
                exclude: Vec::new(),
            },
            pull_secret: setting("pullSecret")
                .and_then(Value::as_str)
                .unwrap_or(DEFAULT_PULL_SECRET)
                .trim()
                .to_owned(),
            registries: list("registries", Vocabulary::Host, &[]),
            pods: mode("pods", Mode::Reject),
            owned_pods: mode("ownedPods", Mode::Merge),
            workloads: mode("workloads", Mode::Reject),
            allowed: list("manualPullSecrets/allowed", Vocabulary::Subdomain, &[]),
            reads_accounts: setting("readServiceAccounts").and_then(Value::as_bool).unwrap_or_default(),
            // Kubewarden drops `matchLabels` from this one.
            namespace_selector: expressions(spec.get("namespaceSelector"), false),
            object_selector: expressions(spec.get("objectSelector"), true),
            conditions: conditions.map(str::to_owned).collect(),
        }
    }

    /// How a list stands towards the policy's own pull secret.
    pub(super) fn standing<'a>(&self, list: &'a [String]) -> Standing<'a> {
        let is_allowed = |name: &str| self.allowed.iter().any(|pattern| pattern.matches(name));
        Standing::of(list.iter().map(String::as_str), &self.pull_secret, is_allowed)
    }

    /// Whether it has the match condition of this name.
    pub(super) fn has_condition(&self, name: &str) -> bool {
        self.conditions.iter().any(|condition| condition == name)
    }
}

/// A list of names and globs, or a text with commas.
fn patterns(list: &Value, vocabulary: Vocabulary) -> Vec<Pattern<'static>> {
    let parse = |entry: &str| Pattern::parse(entry.to_owned(), vocabulary).ok();
    match list {
        Value::String(text) => text.split(',').filter_map(parse).collect(),
        Value::Array(entries) => entries.iter().filter_map(Value::as_str).filter_map(parse).collect(),
        _ => Vec::new(),
    }
}

/// The parts of a label selector, all of which must hold.
fn expressions(selector: Option<&Value>, with_match_labels: bool) -> Vec<Expression> {
    let selector = selector.and_then(|selector| LabelSelector::deserialize(selector).ok());
    let selector = selector.map(|selector| LabelSelector {
        match_labels: selector.match_labels.filter(|_| with_match_labels),
        ..selector
    });
    let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
    selector.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn active(spec: Value) -> Policy {
        Policy { spec, status: Some("active".to_owned()) }
    }

    #[test]
    fn settings_are_read_and_the_rest_has_the_defaults_of_the_policy() {
        let spec = json!({
            "mode": "monitor",
            "settings": {
                "namespaces": "team-a, team-b*",
                "excludedNamespaces": [],
                "serviceAccounts": ["*"],
                "pullSecret": "ours",
                "registries": ["*.example.com"],
                "manualPullSecrets": { "pods": "warn", "workloads": "ignore", "allowed": ["ok-*"] },
                "readServiceAccounts": true,
            },
            "namespaceSelector": { "matchLabels": { "dropped": "x" }, "matchExpressions": [
                { "key": "env", "operator": "Exists" },
            ] },
            "objectSelector": { "matchLabels": { "kept": "x" } },
            "matchConditions": [{ "name": "one", "expression": "true" }],
        });
        let rules = Rules::of(&active(spec));
        assert!(rules.monitors && rules.reads_accounts);
        assert!(rules.namespaces.contains("team-a") && rules.namespaces.contains("team-b2"));
        assert!(rules.namespaces.exclude.is_empty() && rules.service_accounts.contains("builder"));
        assert!(rules.registries.iter().any(|registry| registry.matches("a.example.com")));
        assert_eq!((rules.pods, rules.owned_pods, rules.workloads), (Mode::Warn, Mode::Merge, Mode::Ignore));
        let list = ["ok-1".to_owned(), "mine".to_owned()];
        assert_eq!(rules.standing(&list), Standing::Manual(vec!["mine"]));
        assert_eq!(rules.standing(&["ours".to_owned()]), Standing::Listed);
        assert_eq!(rules.namespace_selector, [Expression::Exists("env".to_owned())]);
        assert_eq!(rules.object_selector, [Expression::Equal("kept".to_owned(), "x".to_owned())]);
        assert!(rules.has_condition("one") && !rules.has_condition("two"));
        let rules = Rules::of(&active(json!({ "settings": { "namespaces": null } })));
        assert_eq!((rules.pods, rules.workloads), (Mode::Reject, Mode::Reject));
        assert!(!rules.monitors && rules.registries.is_empty());
        assert!(rules.namespaces.contains("default") && !rules.namespaces.contains("team-a"));
        assert_eq!(rules.namespaces.exclude.len(), DEFAULT_EXCLUDED_NAMESPACES.len());
        assert!(rules.service_accounts.contains("default") && !rules.service_accounts.contains("builder"));
        assert_eq!(rules.pull_secret, DEFAULT_PULL_SECRET);
    }

    #[test]
    fn a_policy_that_is_not_there_has_no_rules() {
        let read = [(INJECT, Some(active(json!({})))), (GUARD, None)];
        let Policies::Known { inject, guard, .. } = Policies::known(&read, Vec::new()) else {
            panic!("they were read");
        };
        assert!(inject.is_some() && guard.is_none());
    }
}
