//! Links between pages, and what they lead to.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use super::Page;

/// A link of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its line, from 1.
    pub line: usize,
    /// Where it leads, as it is written.
    pub target: String,
}

/// The links of a page that lead to something in the repository. Blocks and code have none.
#[must_use]
pub fn of(page: &Page) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, text) in prose(page) {
        let text = without_code(text);
        let mut rest = text.as_str();
        while let Some((_, behind)) = rest.split_once("](") {
            let Some((target, behind)) = behind.split_once(')') else { break };
            if !["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme)) {
                found.push(Link { line, target: target.to_owned() });
            }
            rest = behind;
        }
    }
    found
}

/// The anchors of a page: one for each heading, as GitHub makes them.
#[must_use]
pub fn anchors(page: &Page) -> BTreeSet<String> {
    let mut times: HashMap<String, usize> = HashMap::new();
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(page) {
        let text = line.trim_start_matches('#');
        if text.len() == line.len() || !text.starts_with(' ') {
            continue;
        }
        let anchor = anchor(text.trim());
        let before = times.entry(anchor.clone()).or_default();
        anchors.insert(if *before == 0 { anchor } else { format!("{anchor}-{before}") });
        *before += 1;
    }
    anchors
}

/// The path in the repository that a link of a page leads to, and the anchor there.
#[must_use]
pub fn resolve(page: &Page, link: &Link) -> (PathBuf, Option<String>) {
    let (path, anchor) = match link.target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor.to_owned())),
        None => (link.target.as_str(), None),
    };
    if path.is_empty() {
        return (PathBuf::from(&page.path), anchor);
    }
    let mut resolved = PathBuf::new();
    let from = Path::new(&page.path).parent().unwrap_or(Path::new(""));
    for component in from.join(path).components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            other => resolved.push(other),
        }
    }
    (resolved, anchor)
}

/// The lines of a page outside of its blocks, with their numbers.
fn prose(page: &Page) -> Vec<(usize, &str)> {
    let mut is_inside = false;
    let mut lines = Vec::new();
    for (at, line) in page.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_inside = !is_inside;
        } else if !is_inside {
            lines.push((at + 1, line));
        }
    }
    lines
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page { path: "docs/page.md".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn links_to_the_repository_are_found_and_code_is_none() {
        let page = page("[a](b.md#c) and [d](../e) `[f](g)`\n[h](https://i)\n```\n[j](k)\n```\n[l](#m)\n");
        let links: Vec<_> = of(&page).into_iter().map(|link| (link.line, link.target)).collect();
        let expected = [(1, "b.md#c"), (1, "../e"), (6, "#m")].map(|(line, to)| (line, to.to_owned()));
        assert_eq!(links, expected);
        let to: Vec<_> = of(&page).iter().map(|link| resolve(&page, link)).collect();
        let path = PathBuf::from;
        assert_eq!(to[0], (path("docs/b.md"), Some("c".to_owned())));
        assert_eq!(to[1], (path("e"), None));
        assert_eq!(to[2], (path("docs/page.md"), Some("m".to_owned())));
    }

    #[test]
    fn anchors_are_those_of_github() {
        let page = page(
            "# Two words\n## `manualPullSecrets.pods`\n### 6. Take away, now\n## Two words\n```\n# no\n```\n#no\n",
        );
        let expected = ["two-words", "manualpullsecretspods", "6-take-away-now", "two-words-1"];
        assert_eq!(anchors(&page), expected.map(str::to_owned).into());
    }
}
