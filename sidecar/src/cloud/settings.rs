//! What the cloud client is told once, at the start.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::endpoints::Endpoints;
use crate::configuration::Region;

/// What the cloud client is told once, at the start.
#[derive(Debug, Clone)]
pub struct CloudSettings {
    /// Where the APIs are.
    pub endpoints: Endpoints,
    /// The cluster's region (`--region`); asked from ECS metadata where absent.
    pub region: Option<Region>,
    /// Directory of the key Secrets as Kubernetes mounts them: `<name>/access-key-id`, `<name>/access-key-secret`.
    pub key_secrets: Option<PathBuf>,
    /// The environment of the process.
    pub environment: Environment,
    /// How long to wait, how often to try.
    pub limits: Limits,
}

/// How long to wait, how often to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub read: Duration,
    /// For one attempt, from its start to the end of the answer.
    pub total: Duration,
    /// For one request to ECS metadata, which is on the same machine; its connection and its bytes have the same limit.
    pub metadata: Duration,
    /// Bytes of an answer.
    pub answer_bytes: usize,
    /// Attempts after the first one, at failures that can heal.
    pub retries: usize,
    /// Before the second attempt; doubled for each further one, with jitter.
    pub first_delay: Duration,
    /// An API that asks for a longer wait than this gets no further attempt in the same call.
    pub longest_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(10),
            total: Duration::from_secs(15),
            // What Alibaba's own SDKs give it.
            metadata: Duration::from_secs(1),
            // A token is 2 KiB; the endpoints of an instance with long access lists are some 100 KiB.
            answer_bytes: 1 << 20,
            retries: 2,
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(5),
        }
    }
}

/// Environment variables, read once. Empty ones count as absent. `Debug` shows the names only: some hold keys.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The environment of this process; variables that are not Unicode are left out, none of ours may be such.
    pub fn from_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether a variable is `true`, in any case, as Alibaba's SDKs read their switches.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self(variables.filter(|(_, value): &(String, String)| !value.trim().is_empty()).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.0.keys().collect();
        names.sort_unstable();
        f.debug_set().entries(names).finish()
    }
}

#[cfg(test)]
impl Default for CloudSettings {
    fn default() -> Self {
        Self {
            endpoints: Endpoints::parse(super::endpoints::Flags::default()).unwrap(),
            region: None,
            key_secrets: None,
            environment: Environment::default(),
            limits: Limits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_absent_and_debug_shows_no_value() {
        let environment: Environment =
            [("A", ""), ("B", " "), ("C", "MARKER"), ("D", "True")].into_iter().collect();
        assert_eq!(environment.get("A"), None);
        assert_eq!(environment.get("B"), None);
        assert_eq!(environment.get("C"), Some("MARKER"));
        assert!(environment.is_true("D") && !environment.is_true("C") && !environment.is_true("A"));
        assert_eq!(format!("{environment:?}"), r#"{"C", "D"}"#);
    }
}
