//! What the policies in the cluster make of a list of pull secrets, read from their settings.
//!
//! The settings are judged by the policy itself when it is installed; what it would refuse counts here as left out.

use acr_credential_core::{Pattern, Standing, Vocabulary};
use serde_json::Value;

use crate::operations::policies::{GUARD, INJECT};

/// The policies in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Policies {
    /// They cannot be read, and this is why.
    Unknown(String),
    /// What was read.
    Known {
        inject: Option<Rules>,
        guard: Option<Rules>,
        /// Where they say something else than the configuration.
        differences: Vec<String>,
    },
}

/// What one policy does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    /// Whether it only writes down what it would do.
    pub(super) monitors: bool,
    /// When not empty: only Pods with an image from one of these are touched.
    pub(super) registries: Vec<Pattern<'static>>,
    pub(super) pods: Mode,
    pub(super) owned_pods: Mode,
    pub(super) workloads: Mode,
    allowed: Vec<Pattern<'static>>,
    /// Whether entries that the service account lists, too, are taken for copies.
    pub(super) reads_accounts: bool,
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
    /// The policies by their specs, as they were read.
    pub(super) fn known(read: &[(&str, Option<Value>)], differences: Vec<String>) -> Self {
        let rules = |wanted: &str| {
            let spec = read.iter().find(|(name, _)| *name == wanted).and_then(|(_, spec)| spec.as_ref());
            spec.map(Rules::of)
        };
        Self::Known { inject: rules(INJECT), guard: rules(GUARD), differences }
    }
}

impl Rules {
    pub(super) fn of(spec: &Value) -> Self {
        let setting = |path: &str| spec.pointer(&format!("/settings/{path}"));
        let mode = |name: &str, default| match setting(&format!("manualPullSecrets/{name}")) {
            Some(Value::String(mode)) if mode == "reject" => Mode::Reject,
            Some(Value::String(mode)) if mode == "merge" => Mode::Merge,
            Some(Value::String(mode)) if mode == "warn" => Mode::Warn,
            Some(Value::String(mode)) if mode == "ignore" => Mode::Ignore,
            _ => default,
        };
        Self {
            monitors: spec.get("mode").and_then(Value::as_str) == Some("monitor"),
            registries: patterns(setting("registries"), Vocabulary::Host),
            pods: mode("pods", Mode::Reject),
            owned_pods: mode("ownedPods", Mode::Merge),
            workloads: mode("workloads", Mode::Reject),
            allowed: patterns(setting("manualPullSecrets/allowed"), Vocabulary::Subdomain),
            reads_accounts: setting("readServiceAccounts").and_then(Value::as_bool).unwrap_or_default(),
        }
    }

    /// How a list stands towards the pull secret, as this policy sees it.
    pub(super) fn standing<'a>(&self, list: &'a [String], pull_secret: &str) -> Standing<'a> {
        let is_allowed = |name: &str| self.allowed.iter().any(|pattern| pattern.matches(name));
        Standing::of(list.iter().map(String::as_str), pull_secret, is_allowed)
    }
}

fn patterns(list: Option<&Value>, vocabulary: Vocabulary) -> Vec<Pattern<'static>> {
    let entries = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    entries.filter_map(|entry| Pattern::parse(entry.to_owned(), vocabulary).ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_read_and_the_rest_has_the_defaults_of_the_policy() {
        let spec = json!({ "mode": "monitor", "settings": {
            "registries": ["*.example.com"],
            "manualPullSecrets": { "pods": "warn", "workloads": "ignore", "allowed": ["ok-*"] },
            "readServiceAccounts": true,
        } });
        let rules = Rules::of(&spec);
        assert!(rules.monitors && rules.reads_accounts);
        assert!(rules.registries.iter().any(|registry| registry.matches("a.example.com")));
        assert_eq!((rules.pods, rules.owned_pods, rules.workloads), (Mode::Warn, Mode::Merge, Mode::Ignore));
        let list = ["ok-1".to_owned(), "mine".to_owned()];
        assert_eq!(rules.standing(&list, "ours"), Standing::Manual(vec!["mine"]));
        let rules = Rules::of(&json!({}));
        assert_eq!((rules.pods, rules.workloads), (Mode::Reject, Mode::Reject));
        assert!(!rules.monitors && rules.registries.is_empty());
    }

    #[test]
    fn a_policy_that_is_not_there_has_no_rules() {
        let read = [(INJECT, Some(json!({}))), (GUARD, None)];
        let Policies::Known { inject, guard, .. } = Policies::known(&read, Vec::new()) else {
            panic!("they were read");
        };
        assert!(inject.is_some() && guard.is_none());
    }
}
