//! What is in the cloud: a declarative document, read from YAML and changed by JSON merge patches.

mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::oidc::OidcProvider;
use crate::policy::{Policy, TrustPolicy};

/// Everything that is in the cloud. All but `accounts` has a default.
///
/// Things with a name are maps, never lists, so that a merge patch can name them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// The main listener's region.
    #[serde(default = "default_region")]
    pub region: String,
    /// Regions with a listener of their own.
    #[serde(default)]
    pub more_regions: BTreeSet<String>,
    /// When the clock starts; the machine's time if not given. It runs from there.
    #[serde(default)]
    pub clock: Option<Timestamp>,
    /// Makes every key, token and id that is handed out repeatable. Random if not given.
    #[serde(default)]
    pub seed: Option<String>,
    /// Life of a registry credential that a long-lived key asked for, in seconds. A session's lives as long as the
    /// session.
    #[serde(default = "one_hour")]
    pub credential_seconds: i64,
    /// The accounts, by their number.
    pub accounts: BTreeMap<String, Account>,
    /// The ECS instance whose metadata is served.
    #[serde(default)]
    pub metadata: Option<Metadata>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Account {
    /// Access keys of the account itself (the root user), by id.
    #[serde(default)]
    pub access_keys: BTreeMap<String, AccessKey>,
    /// RAM users, by name.
    #[serde(default)]
    pub users: BTreeMap<String, User>,
    /// RAM roles, by name.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
    /// OIDC providers, by name.
    #[serde(default)]
    pub oidc_providers: BTreeMap<String, OidcProvider>,
    /// ACR Enterprise instances, by id.
    #[serde(default)]
    pub instances: BTreeMap<String, Instance>,
    /// Regions in which ACR Personal Edition was opened.
    #[serde(default)]
    pub personal: BTreeSet<String>,
}

/// An access key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessKey {
    /// Its secret.
    pub secret: Secret,
    /// Whether it is enabled.
    #[serde(default = "yes")]
    pub active: bool,
}

/// A RAM user.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// Its access keys, by id.
    #[serde(default)]
    pub access_keys: BTreeMap<String, AccessKey>,
    /// What it may do.
    #[serde(default)]
    pub policies: Vec<Grant>,
}

/// A RAM role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Role {
    /// Who may become it.
    pub trust: TrustPolicy,
    /// What it may do.
    #[serde(default)]
    pub policies: Vec<Grant>,
    /// The longest session, in seconds: 3600 to 43200.
    #[serde(default = "one_hour")]
    pub max_session_seconds: i64,
}

/// A policy of the vendor's, by name, or one's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Grant {
    /// The vendor's, such as `AliyunContainerRegistryReadOnlyAccess`.
    System(String),
    /// One's own.
    Custom(Policy),
}

/// An ACR Enterprise instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Instance {
    /// Its name, the first part of its host names.
    pub name: String,
    /// Where it is. The state's region if empty.
    #[serde(default)]
    pub region: String,
    /// `RUNNING`, or another of the documented states.
    #[serde(default = "running")]
    pub status: String,
    /// Its endpoints.
    #[serde(default)]
    pub endpoints: Endpoints,
}

/// The endpoints of an instance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoints {
    /// The public one.
    #[serde(default)]
    pub internet: Endpoint,
    /// The private one.
    #[serde(default)]
    pub vpc: Endpoint,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// Whether it is open.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Such as `RUNNING`.
    #[serde(default = "running")]
    pub status: String,
    /// Host names of the user's own, besides the one that follows from the instance's name.
    #[serde(default)]
    pub custom_domains: Vec<String>,
}

/// The ECS instance whose metadata is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The account that owns it. May be left out where there is only one.
    #[serde(default)]
    pub account: String,
    /// The role attached to it, if any. It must trust `ecs.aliyuncs.com`.
    #[serde(default)]
    pub role: Option<String>,
    /// Where it runs. The state's region if empty.
    #[serde(default)]
    pub region: String,
    /// Whether reading needs a token (the security hardening mode).
    #[serde(default)]
    pub hardened: bool,
    /// Life of the role's sessions, in seconds.
    #[serde(default = "six_hours")]
    pub session_seconds: i64,
    /// How long before a session's end the next one is served, in seconds.
    #[serde(default = "half_an_hour")]
    pub rotate_before_seconds: i64,
}

/// A secret: shown by no `Debug`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self { enabled: true, status: running(), custom_domains: Vec::new() }
    }
}

/// A state that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Not the document's form.
    #[error("the state cannot be read: {0}")]
    Form(String),
    /// Each with its place.
    #[error("the state is wrong:\n{}", .0.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))]
    Content(Vec<String>),
}

impl State {
    /// Reads YAML (and so JSON), fills defaults in, and checks it.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn from_yaml(text: &str) -> Result<Self, Mistake> {
        serde_saphyr::from_str::<Self>(text)
            .map_err(|error| Mistake::Form(error.without_snippet().to_string()))?
            .completed()
    }

    /// This state, changed by a JSON merge patch (RFC 7396): `null` removes a member.
    ///
    /// # Errors
    /// What is wrong with the result, and where.
    pub fn patched(&self, patch: &Value) -> Result<Self, Mistake> {
        let mut document = serde_json::to_value(self).map_err(|error| Mistake::Form(error.to_string()))?;
        merge(&mut document, patch);
        Self::from_json(document)
    }

    /// Reads JSON, fills defaults in, and checks it.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn from_json(document: Value) -> Result<Self, Mistake> {
        serde_json::from_value::<Self>(document)
            .map_err(|error| Mistake::Form(error.to_string()))?
            .completed()
    }

    /// Fills in what follows from the rest, and checks all of it.
    fn completed(mut self) -> Result<Self, Mistake> {
        for instance in self.accounts.values_mut().flat_map(|account| account.instances.values_mut()) {
            if instance.region.is_empty() {
                instance.region.clone_from(&self.region);
            }
        }
        if let Some(metadata) = &mut self.metadata {
            if metadata.region.is_empty() {
                metadata.region.clone_from(&self.region);
            }
            let mut numbers = self.accounts.keys();
            if let (true, Some(only), None) = (metadata.account.is_empty(), numbers.next(), numbers.next()) {
                metadata.account.clone_from(only);
            }
        }
        let mistakes = check::mistakes(&self);
        if mistakes.is_empty() { Ok(self) } else { Err(Mistake::Content(mistakes)) }
    }
}

impl Instance {
    /// The host name that follows from the instance's name.
    #[must_use]
    pub fn system_domain(&self, kind: &str) -> String {
        let suffix = if kind == "vpc" { "-vpc" } else { "" };
        format!("{}-registry{suffix}.{}.cr.aliyuncs.com", self.name, self.region)
    }

    /// The endpoints, with the API's names for them.
    #[must_use]
    pub fn endpoints(&self) -> [(&'static str, &Endpoint); 2] {
        [("internet", &self.endpoints.internet), ("vpc", &self.endpoints.vpc)]
    }
}

fn merge(document: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *document = patch.clone();
        return;
    };
    if !document.is_object() {
        *document = Value::Object(serde_json::Map::new());
    }
    let Value::Object(members) = document else { return };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), change);
        }
    }
}

fn yes() -> bool {
    true
}

fn running() -> String {
    "RUNNING".into()
}

fn default_region() -> String {
    "cn-hangzhou".into()
}

fn one_hour() -> i64 {
    3600
}

fn six_hours() -> i64 {
    6 * 3600
}

fn half_an_hour() -> i64 {
    1800
}
