//! The forms of a configuration: a ConfigMap manifest, its bare `data`, or an add-on's JSON.

use std::collections::BTreeMap;

use super::fields::Field;
use super::findings::Findings;
use super::keys::{self, CONFIG_MAP, Form, Key, MANAGED, MANIFEST};
use super::tree::{self, Node};
use super::wrapping;

/// Maximum size of a ConfigMap: 1 MiB (<https://kubernetes.io/docs/concepts/configuration/configmap/#motivation>).
pub const MAX_BYTES: usize = 1 << 20;

/// A configuration, key by key.
pub(super) struct Source {
    /// Each key with its name in this form and its value.
    pub(super) entries: Vec<(Key, &'static str, Node)>,
    pub(super) form: &'static Form,
}

impl Source {
    /// Reads the text of a file. Returns `None`, and reports why, when nothing in it can be read.
    pub(super) fn from_file(text: &[u8], findings: &mut Findings) -> Option<Self> {
        if text.len() > MAX_BYTES {
            findings.mistake(
                "configuration",
                "is larger than 1 MiB",
                "a ConfigMap cannot hold that; shorten it",
            );
            return None;
        }
        let Ok(text) = std::str::from_utf8(text) else {
            findings.mistake("configuration", "is not UTF-8 text", "save the file as UTF-8");
            return None;
        };
        let documents = tree::documents(text.strip_prefix('\u{feff}').unwrap_or(text), "", findings)?;
        let root = wrapping::among_documents(documents, findings)?;
        let is_json = matches!(&root, Node::Scalar(text) if text.trim_start().starts_with(['{', '[']));
        let root = if is_json { wrapping::unwrapped(root, "configuration", findings)? } else { root };
        Self::from_root(root, findings)
    }

    fn from_root(root: Node, findings: &mut Findings) -> Option<Self> {
        if !has_own_keys(&root)
            && let Some(config) = wrapping::of_add_on(&root, findings)
        {
            let config = wrapping::unwrapped(config, "config", findings)?;
            // An add-on's configuration has the keys of its edition.
            let form = if is_managed(&config) { &MANAGED } else { &CONFIG_MAP };
            return Some(Self::new(form, config, findings));
        }
        match root {
            Node::Map(entries) if has_manifest_keys(&entries) => Some(Self::manifest(entries, findings)),
            root @ Node::Map(_) if is_managed(&root) => Some(Self::new(&MANAGED, root, findings)),
            root @ Node::Map(_) => Some(Self::config_map(root, findings)),
            other => {
                let is_registry = |node: &Node| node.at(&["instanceId"]).or(node.at(&["regionId"])).is_some();
                let fix = match &other {
                    Node::List(list) if list.iter().any(is_registry) => {
                        "write `acr-registry-info: |` above it, and indent the list"
                    }
                    _ => "write a ConfigMap manifest or its data",
                };
                findings.mistake("configuration", format!("is {}", other.kind()), fix);
                None
            }
        }
    }

    /// Reads the `data` of a ConfigMap. Returns `None`, and reports it, when the data is too long.
    pub(super) fn from_data(data: &BTreeMap<String, String>, findings: &mut Findings) -> Option<Self> {
        if data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_BYTES {
            findings.mistake("configuration", "is larger than 1 MiB", "shorten it");
            return None;
        }
        let entries = data.iter().map(|(key, text)| (key.clone(), Node::Scalar(text.clone()))).collect();
        Some(Self::config_map(Node::Map(entries), findings))
    }

    fn manifest(mut entries: Vec<(String, Node)>, findings: &mut Findings) -> Self {
        let is_other_kind = entries
            .iter()
            .any(|(key, node)| key == "kind" && matches!(node, Node::Scalar(kind) if kind != "ConfigMap"));
        if is_other_kind {
            findings.mistake("kind", "is not ConfigMap", "write the manifest of a ConfigMap");
            // The other keys belong to that kind.
            entries.retain(|(key, _)| key == "data");
        }
        let mut data = Node::Null;
        for (key, node) in findings.entries("", Node::Map(entries), &MANIFEST) {
            match (key, node) {
                ("data", node) => data = node,
                ("metadata", Node::Map(within)) => {
                    if let Some((_, within)) = within.into_iter().find(|(key, _)| key == "data") {
                        findings.mistake(
                            "metadata.data",
                            "belongs one level up",
                            "write it next to metadata",
                        );
                        data = within;
                    }
                }
                ("binaryData", Node::Map(_)) => {
                    findings.mistake("binaryData", "is not read", "write the keys as text below data");
                }
                // The other keys belong to Kubernetes.
                _ => {}
            }
        }
        if matches!(data, Node::Null) && !is_other_kind {
            findings.mistake("data", "is missing or empty", "write the keys of the configuration below it");
        }
        Self::config_map(data, findings)
    }

    fn config_map(mut data: Node, findings: &mut Findings) -> Self {
        if let Node::Map(entries) = &mut data {
            lift(entries, findings);
        }
        let mut source = Self::new(&CONFIG_MAP, data, findings);
        let swallowed = swallowed(&mut source.entries, findings);
        source.entries.extend(Self::new(&CONFIG_MAP, Node::Map(swallowed), findings).entries);
        for (_, name, node) in &source.entries {
            if let Node::List(_) | Node::Map(_) = node {
                findings.mistake(
                    *name,
                    format!("is {}, but a ConfigMap contains only texts", node.kind()),
                    format!("begin a text with `{name}: |` and indent what follows"),
                );
            }
        }
        source
    }

    fn new(form: &'static Form, mut config: Node, findings: &mut Findings) -> Self {
        if let Node::Map(entries) = &mut config
            && let Some(at) = entries.iter().position(|(key, _)| key == keys::TOKEN_MODE)
        {
            let (_, mode) = entries.remove(at);
            if matches!(findings.text(keys::TOKEN_MODE, mode), Field::Given(_)) {
                findings.warning(
                    keys::TOKEN_MODE,
                    "has no effect here",
                    "remove it: an entry names its identity, or that of the sidecar is used",
                );
            }
        }
        let names: Vec<_> = form.keys.iter().map(|(name, _)| *name).collect();
        let entries = findings.entries("", config, &names).into_iter().filter_map(|(name, node)| {
            let (_, key) = form.keys.iter().find(|(known, _)| *known == name)?;
            Some((*key, name, node))
        });
        Self { entries: entries.collect(), form }
    }
}

fn has_manifest_keys(entries: &[(String, Node)]) -> bool {
    entries.iter().any(|(key, _)| matches!(key.as_str(), "data" | "kind" | "apiVersion" | "metadata"))
}

/// Returns whether the keys are those of the managed add-on.
fn is_managed(config: &Node) -> bool {
    let Node::Map(entries) = config else { return false };
    let holds = |form: &Form| entries.iter().any(|(key, _)| form.has(key));
    holds(&MANAGED) && !holds(&CONFIG_MAP)
}

/// Returns whether this is a configuration with its own keys, or a Kubernetes object.
fn has_own_keys(root: &Node) -> bool {
    let Node::Map(entries) = root else { return false };
    let is_own = |key: &str| {
        matches!(key, "kind" | "apiVersion" | "metadata") || CONFIG_MAP.has(key) || MANAGED.has(key)
    };
    entries.iter().any(|(key, _)| is_own(key))
}

/// Moves keys of the configuration out of a key that is not a key of the configuration, such as the name of a file, and
/// reports that key.
fn lift(entries: &mut Vec<(String, Node)>, findings: &mut Findings) {
    let is_key = |line: &str| line.split_once(':').is_some_and(|(key, _)| CONFIG_MAP.has(key));
    let keys_of = |node: &Node| match node {
        Node::Map(within) if within.iter().any(|(key, _)| CONFIG_MAP.has(key)) => Some(within.clone()),
        _ => None,
    };
    for (at, (key, node)) in std::mem::take(entries).into_iter().enumerate() {
        let within = match &node {
            _ if CONFIG_MAP.has(&key) => None,
            // Mistakes within the text are reported when the user has moved it to its place. Of a broken text nothing is read.
            Node::Scalar(text) if text.contains('\n') => {
                match tree::read(text, "data", &mut Findings::default()) {
                    Some(read) => keys_of(&read),
                    None => text.lines().any(is_key).then(Vec::new),
                }
            }
            node => keys_of(node),
        };
        let Some(within) = within else {
            entries.push((key, node));
            continue;
        };
        findings.mistake(
            "data",
            format!("key {} contains keys that belong one level up", at + 1),
            "write them in its place, directly below data",
        );
        entries.extend(within);
    }
}

/// Removes and returns keys of the configuration that are indented below another such key, and reports them.
fn swallowed(entries: &mut [(Key, &'static str, Node)], findings: &mut Findings) -> Vec<(String, Node)> {
    let mut swallowed = Vec::new();
    for (_, name, node) in entries {
        let Node::Map(within) = node else { continue };
        let (others, found): (Vec<_>, Vec<_>) =
            std::mem::take(within).into_iter().partition(|(key, _)| !CONFIG_MAP.has(key));
        for (key, _) in &found {
            if let Some((problem, fix)) = keys::misplaced(name, key, &[]) {
                findings.mistake(format!("{name}.{key}"), problem, fix);
            }
        }
        *node = if others.is_empty() && !found.is_empty() { Node::Null } else { Node::Map(others) };
        swallowed.extend(found);
    }
    swallowed
}

/// Reads a list or map that is written as YAML within a text. Returns `None`, and reports it, when the text is not YAML.
pub(super) fn within_text(place: &str, node: Node, findings: &mut Findings) -> Option<Node> {
    let node = match node {
        Node::Scalar(text) => tree::read(&text, place, findings)?,
        node => node,
    };
    match node {
        Node::Map(mut entries) if entries.len() == 1 && entries.iter().all(|(key, _)| key == place) => {
            findings.mistake(
                format!("{place}.{place}"),
                "is there twice",
                "remove the inner one, and keep what is below it",
            );
            entries.pop().map(|(_, node)| node)
        }
        node => Some(node),
    }
}
