//! What a configuration comes wrapped in: the answers and bodies of the cloud's API, and other objects beside it.

use acr_credential_core::{Pattern, Vocabulary};

use super::findings::Findings;
use super::tree::{self, Document, Node};

/// Names of both of the vendor's add-ons end so.
const ADD_ON: &str = "acr-credential-helper";

/// Texts within texts: JSON that was escaped more than once.
const MOST_LAYERS: usize = 3;

/// An add-on, as bodies and answers of the cloud's API write it.
struct AddOn<'a> {
    name: Option<&'a str>,
    config: Option<&'a Node>,
}

impl AddOn<'_> {
    fn is_ours(&self) -> bool {
        self.name.is_some_and(|name| name.ends_with(ADD_ON))
    }
}

/// The `config` of the vendor's add-on, wherever it is within this. `None` when there is none.
pub(super) fn of_add_on(root: &Node, findings: &mut Findings) -> Option<Node> {
    let mut all = Vec::new();
    collect(root, None, &mut all);
    let is_named = all.iter().any(AddOn::is_ours);
    // The body that changes an add-on does not name it.
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
            format!("holds {} add-ons with a configuration", configured.len()),
            "keep the one that is installed",
        );
    }
    let config = configured.first().copied().or(first.config);
    Some(config.cloned().unwrap_or(Node::Null))
}

/// Some answers have the names of the add-ons as keys.
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

/// A document that is written as a text within the text.
pub(super) fn unwrapped(mut node: Node, place: &str, findings: &mut Findings) -> Option<Node> {
    for _ in 0..MOST_LAYERS {
        match node {
            Node::Scalar(text) => node = tree::read(&text, place, findings)?,
            other => return Some(other),
        }
    }
    Some(node)
}

/// The configuration of a file. One that is beside other objects is told to be taken alone: what is checked is then what is
/// applied.
pub(super) fn among_documents(documents: Vec<Document>, findings: &mut Findings) -> Option<Node> {
    let mut documents = documents.into_iter();
    let first = documents.next()?;
    let Some(second) = documents.next() else {
        return among_items(first.root, findings);
    };
    let problem = format!("a second document begins in line {}", second.line);
    let roots = [first, second].into_iter().chain(documents).map(|document| document.root).collect();
    alone(roots, problem, "keep one configuration in one file", findings)
}

/// The same for a `List`, as `kubectl get` writes it.
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
    alone(items, "is a list of objects".to_owned(), "take the ConfigMap acr-configuration alone", findings)
}

/// The ConfigMap among other objects, the one of the usual name if there are several. The problem is reported with the advice to
/// take it, or with `otherwise` if there is none.
fn alone(objects: Vec<Node>, problem: String, otherwise: &str, findings: &mut Findings) -> Option<Node> {
    const USUAL: &str = "acr-configuration";
    let is_config_map =
        |node: &Node| matches!(node.at(&["kind"]), Some(Node::Scalar(kind)) if kind == "ConfigMap");
    let mut config_maps: Vec<_> = objects.into_iter().filter(is_config_map).collect();
    let usual = config_maps.iter().position(|node| name(node) == Some(USUAL)).unwrap_or_default();
    let chosen = (usual < config_maps.len()).then(|| config_maps.swap_remove(usual));
    let advice = |node| format!("take the ConfigMap {} alone", name(node).unwrap_or(USUAL));
    findings.mistake("configuration", problem, chosen.as_ref().map_or_else(|| otherwise.to_owned(), advice));
    chosen
}

/// The name of an object. What cannot be one is not shown.
fn name(object: &Node) -> Option<&str> {
    match object.at(&["metadata", "name"]) {
        Some(Node::Scalar(name)) => {
            let is_name = matches!(Pattern::parse(name, Vocabulary::Subdomain), Ok(Pattern::Name(_)));
            is_name.then_some(name)
        }
        _ => None,
    }
}
