//! Extracts a configuration from its surroundings: request and response bodies of the cloud's API, or a file with other objects.

use acr_credential_core::{Pattern, Vocabulary};

use super::findings::Findings;
use super::tree::{self, Node, YamlDocument};

/// The names of both of the vendor's add-ons end with this.
const ADD_ON: &str = "acr-credential-helper";

/// Maximum levels of texts within texts: JSON may be escaped more than once.
const MOST_LAYERS: usize = 3;

/// An add-on in a request or response body of the cloud's API.
struct AddOn<'a> {
    name: Option<&'a str>,
    config: Option<&'a Node>,
}

impl AddOn<'_> {
    fn is_ours(&self) -> bool {
        self.name.is_some_and(|name| name.ends_with(ADD_ON))
    }
}

/// Returns the `config` of the vendor's add-on at any level, or `None` if there is no such add-on.
pub(super) fn of_add_on(root: &Node, findings: &mut Findings) -> Option<Node> {
    let mut all = Vec::new();
    collect(root, None, &mut all);
    let is_named = all.iter().any(AddOn::is_ours);
    // The request that changes an add-on does not contain its name.
    all.retain(|add_on| if is_named { add_on.is_ours() } else { add_on.name.is_none() });
    let (first, others) = all.split_first()?;
    if !is_named && !others.is_empty() {
        return None;
    }
    let configured: Vec<_> = all
        .iter()
        .filter_map(|add_on| add_on.config)
        .filter(|node| !matches!(node, Node::Null) && !node.is_blank_text())
        .collect();
    if configured.len() > 1 {
        findings.mistake(
            "configuration",
            format!("contains {} add-ons with a configuration", configured.len()),
            "keep the one that is installed",
        );
    }
    let config = configured.first().copied().or(first.config);
    Some(config.cloned().unwrap_or(Node::Null))
}

/// Collects the add-ons at all levels. Some responses have the names of the add-ons as keys.
fn collect<'a>(node: &'a Node, key: Option<&'a str>, found: &mut Vec<AddOn<'a>>) {
    match node {
        Node::List(list) => list.iter().for_each(|node| collect(node, None, found)),
        Node::Map(entries) => {
            let value = |keys: &[&str]| {
                let is_one = |key: &str| keys.iter().any(|known| key.eq_ignore_ascii_case(known));
                entries.iter().find(|(key, _)| is_one(key)).map(|(_, node)| node)
            };
            let name = match value(&["name", "component_name", "componentName", "addon_name", "addonName"]) {
                Some(Node::Scalar(name)) => Some(name.as_str()),
                _ => key.filter(|key| key.ends_with(ADD_ON)),
            };
            let add_on = AddOn { name, config: value(&["config"]) };
            if add_on.config.is_some() || add_on.is_ours() {
                found.push(add_on);
            } else {
                for (key, node) in entries {
                    collect(node, Some(key), found);
                }
            }
        }
        Node::Null | Node::Scalar(_) => {}
    }
}

/// Reads a document that is written as a text within the text.
pub(super) fn unwrapped(mut node: Node, place: &str, findings: &mut Findings) -> Option<Node> {
    for _ in 0..MOST_LAYERS {
        match node {
            Node::Scalar(text) => node = tree::read(&text, place, findings)?,
            other => return Some(other),
        }
    }
    Some(node)
}

/// Returns the configuration of a file. Other objects beside it are reported as a mistake, so that the file that is checked
/// is the file that is applied.
pub(super) fn among_documents(documents: Vec<YamlDocument>, findings: &mut Findings) -> Option<Node> {
    let mut documents = documents.into_iter();
    let first = documents.next()?;
    let Some(second) = documents.next() else {
        return among_items(first.root, findings);
    };
    let problem = format!("a second document begins in line {}", second.line);
    let roots = [first, second].into_iter().chain(documents).map(|document| document.root).collect();
    alone(roots, problem, "keep one configuration in one file", findings)
}

/// Returns the configuration in a `List`, as `kubectl get` writes it.
fn among_items(root: Node, findings: &mut Findings) -> Option<Node> {
    let Node::Map(mut entries) = root else { return Some(root) };
    let is_list = |node: &Node| matches!(node, Node::Scalar(kind) if kind.ends_with("List"));
    if !entries.iter().any(|(key, node)| key == "kind" && is_list(node)) {
        return Some(Node::Map(entries));
    }
    let items = match entries.iter().position(|(key, _)| key == "items").map(|at| entries.swap_remove(at).1) {
        Some(Node::List(items)) => items,
        _ => Vec::new(),
    };
    alone(items, "is a list of objects".to_owned(), "use only the ConfigMap acr-configuration", findings)
}

/// Returns the ConfigMap among other objects; if there are several, the one with the usual name. Reports the problem with the
/// advice to use only this ConfigMap, or with `otherwise` if the objects contain no ConfigMap.
fn alone(objects: Vec<Node>, problem: String, otherwise: &str, findings: &mut Findings) -> Option<Node> {
    const USUAL: &str = "acr-configuration";
    let is_config_map =
        |node: &Node| matches!(node.at(&["kind"]), Some(Node::Scalar(kind)) if kind == "ConfigMap");
    let mut config_maps: Vec<_> = objects.into_iter().filter(is_config_map).collect();
    let usual = config_maps.iter().position(|node| name(node) == Some(USUAL)).unwrap_or_default();
    let chosen = (usual < config_maps.len()).then(|| config_maps.swap_remove(usual));
    let advice = |node| format!("use only the ConfigMap {}", name(node).unwrap_or(USUAL));
    findings.mistake("configuration", problem, chosen.as_ref().map_or_else(|| otherwise.to_owned(), advice));
    chosen
}

/// Returns the name of an object if it is valid. Other texts are not shown.
fn name(object: &Node) -> Option<&str> {
    match object.at(&["metadata", "name"]) {
        Some(Node::Scalar(name)) => {
            let is_name = matches!(Pattern::parse(name, Vocabulary::Subdomain), Ok(Pattern::Name(_)));
            is_name.then_some(name)
        }
        _ => None,
    }
}
