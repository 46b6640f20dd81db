//! The forms a configuration comes in: a ConfigMap manifest, its bare `data`, or the managed add-on's JSON.

use std::collections::BTreeMap;

use super::findings::Findings;
use super::tree::{self, Node};

/// A ConfigMap holds 1 MiB at most
/// (<https://kubernetes.io/docs/concepts/configuration/configmap/#motivation>).
pub const MAX_BYTES: usize = 1 << 20;

/// What a key of any form means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    ServiceAccount,
    WatchNamespace,
    ExcludeNamespace,
    NamespaceSelector,
    Registries,
    ExpiringThreshold,
    Attach,
    Rrsa,
    EnableRrsa,
    Webhook,
    ApiVersion,
    NotifyEmail,
}

type Keys = [(&'static str, Key)];

/// The vendor's keys of the self-managed component, and ours.
const CONFIG_MAP_KEYS: &Keys = &[
    ("service-account", Key::ServiceAccount),
    ("watch-namespace", Key::WatchNamespace),
    ("exclude-namespace", Key::ExcludeNamespace),
    ("watch-namespace-selector", Key::NamespaceSelector),
    ("acr-registry-info", Key::Registries),
    ("expiring-threshold", Key::ExpiringThreshold),
    ("attach", Key::Attach),
    ("rrsa", Key::Rrsa),
    ("webhook-configuration", Key::Webhook),
    ("acr-api-version", Key::ApiVersion),
    ("notify-email", Key::NotifyEmail),
];

/// The vendor's keys of the managed add-on.
const MANAGED_KEYS: &Keys = &[
    ("serviceAccount", Key::ServiceAccount),
    ("watchNamespace", Key::WatchNamespace),
    ("AcrInstanceInfo", Key::Registries),
    ("expiringThreshold", Key::ExpiringThreshold),
    ("enableRRSA", Key::EnableRrsa),
    ("notifyEmail", Key::NotifyEmail),
];

const MANIFEST_KEYS: [&str; 6] = ["data", "apiVersion", "kind", "metadata", "binaryData", "immutable"];

/// A configuration, key by key.
pub(super) struct Source {
    /// Key, its name in this form, and its value.
    pub(super) entries: Vec<(Key, &'static str, Node)>,
    /// What this form calls the list of registries.
    pub(super) registries: &'static str,
    /// How this form switches RRSA on, for messages.
    pub(super) enable_rrsa: &'static str,
}

impl Source {
    /// Reads the text of a file. `None` when nothing in it can be read, which then has been reported.
    pub(super) fn from_file(text: &[u8], findings: &mut Findings) -> Option<Self> {
        if text.len() > MAX_BYTES {
            findings.mistake(
                "configuration",
                "is longer than 1 MiB",
                "a ConfigMap cannot hold that; shorten it",
            );
            return None;
        }
        let Ok(text) = std::str::from_utf8(text) else {
            findings.mistake("configuration", "is not UTF-8 text", "save the file as UTF-8");
            return None;
        };
        let root = tree::read(text, "", findings)?;
        match root {
            Node::Map(entries) => Some(Self::from_map(entries, findings)),
            Node::List(list) => Self::from_list(list, findings),
            Node::Null => {
                findings.mistake("configuration", "is empty", "write a ConfigMap manifest or its data");
                None
            }
            Node::Scalar(_) => {
                findings.mistake(
                    "configuration",
                    "is a single value",
                    "write a ConfigMap manifest or its data",
                );
                None
            }
        }
    }

    /// Reads the `data` of a ConfigMap. `None` when it is too long, which then has been reported.
    pub(super) fn from_data(data: &BTreeMap<String, String>, findings: &mut Findings) -> Option<Self> {
        if data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_BYTES {
            findings.mistake("configuration", "is longer than 1 MiB", "shorten it");
            return None;
        }
        let entries = data.iter().map(|(key, text)| (key.clone(), Node::Scalar(text.clone()))).collect();
        Some(Self::config_map(Node::Map(entries), findings))
    }

    fn from_map(entries: Vec<(String, Node)>, findings: &mut Findings) -> Self {
        let holds = |names: &[&str]| entries.iter().any(|(key, _)| names.contains(&key.as_str()));
        if holds(&["data", "kind", "apiVersion", "metadata"]) {
            return Self::manifest(entries, findings);
        }
        let holds_one_of = |keys: &Keys| keys.iter().any(|(name, _)| holds(&[name]));
        if holds_one_of(MANAGED_KEYS) && !holds_one_of(CONFIG_MAP_KEYS) {
            Self::managed(Node::Map(entries), findings)
        } else {
            Self::config_map(Node::Map(entries), findings)
        }
    }

    fn manifest(entries: Vec<(String, Node)>, findings: &mut Findings) -> Self {
        let mut data = Node::Null;
        for (key, node) in findings.entries("", Node::Map(entries), &MANIFEST_KEYS) {
            match (key, node) {
                ("data", node) => data = node,
                ("kind", Node::Scalar(kind)) if kind != "ConfigMap" => {
                    findings.mistake("kind", "is not ConfigMap", "write the manifest of a ConfigMap");
                }
                ("binaryData", Node::Map(_)) => {
                    findings.mistake("binaryData", "is not read", "write the keys as text below data");
                }
                // The rest is Kubernetes' own.
                _ => {}
            }
        }
        if matches!(data, Node::Null) {
            findings.mistake("data", "is missing or empty", "write the keys of the configuration below it");
        }
        Self::config_map(data, findings)
    }

    fn config_map(data: Node, findings: &mut Findings) -> Self {
        let entries = keyed(data, CONFIG_MAP_KEYS, findings);
        for (_, name, node) in &entries {
            if let Node::List(_) | Node::Map(_) = node {
                findings.mistake(
                    *name,
                    format!("is {}, but a ConfigMap holds texts only", node.kind()),
                    format!("begin a text with `{name}: |` and indent what follows"),
                );
            }
        }
        let enable_rrsa = "add the key rrsa with the text `enable: true`";
        Self { entries, registries: "acr-registry-info", enable_rrsa }
    }

    fn managed(config: Node, findings: &mut Findings) -> Self {
        let entries = keyed(config, MANAGED_KEYS, findings);
        Self { entries, registries: "AcrInstanceInfo", enable_rrsa: "set enableRRSA to true" }
    }

    /// The body that installs the managed add-on, `[{"name": …, "config": "<JSON>"}]`; other add-ons may stand in it.
    fn from_list(list: Vec<Node>, findings: &mut Findings) -> Option<Self> {
        let mut is_registry_list = false;
        for node in list {
            let Node::Map(entries) = node else { continue };
            is_registry_list |= entries.iter().any(|(key, _)| key == "instanceId" || key == "regionId");
            let is_ours = entries.iter().any(|(key, node)| {
                key == "name" && matches!(node, Node::Scalar(name) if name.ends_with("acr-credential-helper"))
            });
            if !is_ours {
                continue;
            }
            return match entries.into_iter().find(|(key, _)| key == "config") {
                Some((_, Node::Scalar(json))) => {
                    let config = tree::read(&json, "config", findings)?;
                    Some(Self::managed(config, findings))
                }
                Some((_, config)) => Some(Self::managed(config, findings)),
                None => Some(Self::managed(Node::Null, findings)),
            };
        }
        let fix = if is_registry_list {
            "write `acr-registry-info: |` above it, and indent the list"
        } else {
            "write a ConfigMap manifest or its data"
        };
        findings.mistake("configuration", "is a list", fix);
        None
    }
}

fn keyed(node: Node, keys: &Keys, findings: &mut Findings) -> Vec<(Key, &'static str, Node)> {
    let names: Vec<_> = keys.iter().map(|(name, _)| *name).collect();
    let entries = findings.entries("", node, &names);
    entries
        .into_iter()
        .filter_map(|(name, node)| {
            let (_, key) = keys.iter().find(|(known, _)| *known == name)?;
            Some((*key, name, node))
        })
        .collect()
}

/// A list or map that is written as YAML within a text. `None` when it is no YAML, which then has been reported.
pub(super) fn within_text(place: &str, node: Node, findings: &mut Findings) -> Option<Node> {
    match node {
        Node::Scalar(text) => tree::read(&text, place, findings),
        node => Some(node),
    }
}
