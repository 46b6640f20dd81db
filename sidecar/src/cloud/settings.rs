//! The settings of the cloud client.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::endpoints::Endpoints;
use crate::configuration::Region;

/// The settings of the cloud client, which do not change after the start.
#[derive(Debug, Clone)]
pub struct CloudSettings {
    /// The endpoints of the APIs.
    pub endpoints: Endpoints,
    /// The cluster's region (`--region`); if absent, it is read from ECS metadata.
    pub region: Option<Region>,
    /// Directory in which Kubernetes mounts the key Secrets: `<name>/access-key-id`, `<name>/access-key-secret`.
    pub key_secrets: Option<PathBuf>,
    /// The environment of the process.
    pub environment: Environment,
    /// Limits on times, sizes and retries.
    pub limits: Limits,
}

/// Limits on times, sizes and retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum time for a connection, including TLS.
    pub connect: Duration,
    /// Maximum time for the next bytes of a response.
    pub read: Duration,
    /// Maximum time for one attempt, from its start to the end of the response.
    pub total: Duration,
    /// Maximum time for one request to ECS metadata, which is on the same machine. The same limit applies to its connection and
    /// to its bytes.
    pub metadata: Duration,
    /// Maximum bytes of a response.
    pub answer_bytes: usize,
    /// Maximum number of retries after failures that can pass.
    pub retries: usize,
    /// Delay before the second attempt. It is doubled for each further attempt, with jitter.
    pub first_delay: Duration,
    /// If an API asks for a longer wait than this, there is no further attempt in the same call.
    pub longest_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(10),
            total: Duration::from_secs(15),
            // Alibaba's own SDKs have the same limit.
            metadata: Duration::from_secs(1),
            // A token is 2 KiB; the endpoints of an instance with long access lists are about 100 KiB.
            answer_bytes: 1 << 20,
            retries: 2,
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(5),
        }
    }
}

/// Environment variables, read once. Empty variables count as absent. `Debug` shows only the names, because some values are
/// keys.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// Reads the environment of this process. Variables that are not Unicode are left out; our variables must be Unicode.
    pub fn from_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// Returns the value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns whether a variable is `true`, in upper or lower case, as in Alibaba's SDKs.
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
