//! The settings of the policy. The validation of settings, every request and the sidecar use the same reader, so that they
//! cannot disagree.

use std::borrow::Cow;
use std::fmt;

use super::message::short;
use crate::json::{self, Malformed, Tree};
use crate::{DEFAULT_EXCLUDED_NAMESPACES, DEFAULT_PULL_SECRET, Pattern, Selection, Vocabulary, spelling};

/// The policy's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings<'a> {
    /// Namespaces whose Pods get the pull secret.
    pub namespaces: Selection<'a>,
    /// Service accounts whose Pods get the pull secret.
    pub service_accounts: Selection<'a>,
    /// Name of the pull secret.
    pub pull_secret: Cow<'a, str>,
    /// If not empty, only Pods with an image of one of these registries get the pull secret.
    pub registries: Vec<Pattern<'a>>,
    /// What happens when a manual list lacks the pull secret.
    pub manual: ManualPullSecrets<'a>,
    /// Whether to look up the service account before a Pod is refused.
    pub read_service_accounts: bool,
}

/// What happens when a manual list lacks the pull secret, by the object that contains the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManualPullSecrets<'a> {
    /// A person's Pods: Pods that have no owner and are not created by a `system:` user.
    pub pods: PodMode,
    /// All other Pods.
    pub owned_pods: PodMode,
    /// Pod templates of workloads, if it is set. [`Self::workloads`] returns the mode in effect.
    pub workloads: Option<WorkloadMode>,
    /// Pull secrets that do not count as manual.
    pub allowed: Vec<Pattern<'a>>,
}

/// What happens to a Pod with a manual list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodMode {
    /// Refuse it.
    Reject,
    /// Append the pull secret.
    Merge,
    /// Append the pull secret, and warn.
    Warn,
    /// Leave it alone.
    Ignore,
}

/// What happens to a workload whose template has a manual list. There is no `merge`: templates are never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkloadMode {
    /// Refuse it.
    Reject,
    /// Accept it, and warn.
    Warn,
    /// Leave it alone.
    Ignore,
}

impl<'a> ManualPullSecrets<'a> {
    const ALL: [Setting<'a, Self>; 4] = [
        ("pods", |reader, path, value, manual| reader.mode(path, &value, &POD_MODES, &mut manual.pods)),
        ("ownedPods", |reader, path, value, manual| {
            reader.mode(path, &value, &POD_MODES, &mut manual.owned_pods);
        }),
        ("workloads", |reader, path, value, manual| {
            reader.mode(path, &value, &WORKLOAD_MODES, &mut manual.workloads);
        }),
        ("allowed", |reader, path, value, manual| {
            reader.patterns(path, value, Vocabulary::Subdomain, &mut manual.allowed);
        }),
    ];

    /// Returns the mode for pod templates. If it is not set, templates whose Pods get the pull secret anyway only cause a
    /// warning.
    #[must_use]
    pub fn workloads(&self) -> WorkloadMode {
        self.workloads.unwrap_or(match self.owned_pods {
            PodMode::Merge | PodMode::Warn => WorkloadMode::Warn,
            PodMode::Reject | PodMode::Ignore => WorkloadMode::Reject,
        })
    }
}

/// Every mistake in a document of settings, each with its path and a fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Mistakes(Vec<String>);

/// A setting: its name, and the function that reads its value.
type Setting<'a, S> = (&'static str, fn(&mut Reader, &str, Tree<'a>, &mut S));

const POD_MODES: [(&str, PodMode); 4] = [
    ("reject", PodMode::Reject),
    ("merge", PodMode::Merge),
    ("warn", PodMode::Warn),
    ("ignore", PodMode::Ignore),
];

const WORKLOAD_MODES: [(&str, Option<WorkloadMode>); 3] = [
    ("reject", Some(WorkloadMode::Reject)),
    ("warn", Some(WorkloadMode::Warn)),
    ("ignore", Some(WorkloadMode::Ignore)),
];

impl Default for Settings<'_> {
    fn default() -> Self {
        let default = || vec![Pattern::Name("default".into())];
        let excluded = DEFAULT_EXCLUDED_NAMESPACES.iter().map(|&name| Pattern::Name(name.into()));
        Self {
            namespaces: Selection { include: default(), exclude: excluded.collect() },
            service_accounts: Selection { include: default(), exclude: Vec::new() },
            pull_secret: DEFAULT_PULL_SECRET.into(),
            registries: Vec::new(),
            manual: ManualPullSecrets {
                pods: PodMode::Reject,
                owned_pods: PodMode::Merge,
                workloads: None,
                allowed: Vec::new(),
            },
            read_service_accounts: false,
        }
    }
}

impl<'a> Settings<'a> {
    const ALL: [Setting<'a, Self>; 7] = [
        ("namespaces", |reader, path, value, settings| {
            reader.selected(path, value, Vocabulary::Label, &mut settings.namespaces.include);
        }),
        ("excludedNamespaces", |reader, path, value, settings| {
            reader.patterns(path, value, Vocabulary::Label, &mut settings.namespaces.exclude);
        }),
        ("serviceAccounts", |reader, path, value, settings| {
            reader.selected(path, value, Vocabulary::Subdomain, &mut settings.service_accounts.include);
        }),
        ("pullSecret", |reader, path, value, settings| {
            reader.name(path, value, &mut settings.pull_secret);
        }),
        ("registries", |reader, path, value, settings| {
            reader.patterns(path, value, Vocabulary::Host, &mut settings.registries);
        }),
        ("manualPullSecrets", |reader, path, value, settings| {
            reader.map(path, value, &ManualPullSecrets::ALL, &mut settings.manual);
        }),
        ("readServiceAccounts", |reader, path, value, settings| {
            reader.boolean(path, &value, &mut settings.read_service_accounts);
        }),
    ];

    /// Returns the same settings as an owned value.
    #[must_use]
    pub fn into_owned(self) -> Settings<'static> {
        let owned = |patterns: Vec<Pattern<'_>>| patterns.into_iter().map(Pattern::into_owned).collect();
        let selection = |Selection { include, exclude }: Selection<'_>| Selection {
            include: owned(include),
            exclude: owned(exclude),
        };
        Settings {
            namespaces: selection(self.namespaces),
            service_accounts: selection(self.service_accounts),
            pull_secret: self.pull_secret.into_owned().into(),
            registries: owned(self.registries),
            manual: ManualPullSecrets { allowed: owned(self.manual.allowed), ..self.manual },
            read_service_accounts: self.read_service_accounts,
        }
    }

    /// Reads settings from JSON. A setting that is absent or `null` has its default.
    ///
    /// # Errors
    /// Returns every mistake in the document, in the order of the document.
    pub fn parse(json: &'a str) -> Result<Self, Mistakes> {
        let tree = json::read(json)
            .map_err(|Malformed { complaint, .. }| Mistakes(vec![format!("settings: {complaint}")]))?;
        let mut reader = Reader::default();
        let mut settings = Self::default();
        reader.map("", tree, &Self::ALL, &mut settings);
        reader.contradictions(&settings);
        if reader.mistakes.is_empty() { Ok(settings) } else { Err(Mistakes(reader.mistakes)) }
    }
}

/// Walks the document and collects mistakes. A wrong value leaves the default in place.
#[derive(Default)]
struct Reader {
    mistakes: Vec<String>,
}

impl Reader {
    /// Adds a mistake. Its text begins with the path.
    fn mistake(&mut self, text: fmt::Arguments<'_>) {
        self.mistakes.push(text.to_string());
    }

    fn wrong_type(&mut self, path: &str, value: &Tree<'_>, wanted: &str) {
        self.mistake(format_args!("{path}: is {}, but must be {wanted}", value.kind()));
    }

    /// Reads a map of settings; `null` means that it is absent.
    fn map<'a, S>(&mut self, path: &str, tree: Tree<'a>, known: &[Setting<'a, S>], into: &mut S) {
        let entries = match tree {
            Tree::Null => return,
            Tree::Map(entries) => entries,
            other => {
                let path = if path.is_empty() { "settings" } else { path };
                return self.wrong_type(path, &other, "a map");
            }
        };
        let dot = if path.is_empty() { "" } else { "." };
        let names = || known.iter().map(|(name, _)| *name);
        let mut kept: Vec<(&Setting<'a, S>, Tree<'a>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let Some(setting) = known.iter().find(|(name, _)| *name == key) else {
                let way_out = match spelling::nearest(&key, names()) {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => format!("known here: {}", names().collect::<Vec<_>>().join(", ")),
                };
                self.mistake(format_args!("{path}{dot}{}: unknown setting; {way_out}", short(&key, 40)));
                continue;
            };
            if kept.iter().any(|((seen, _), _)| *seen == key) {
                self.mistake(format_args!("{path}{dot}{key}: is set twice; remove one"));
            } else if value != Tree::Null {
                kept.push((setting, value));
            }
        }
        for ((name, read), value) in kept {
            read(self, &[path, dot, name].concat(), value, into);
        }
    }

    /// Reads a list of names and globs, or a comma-separated string as the vendor's component has it.
    fn patterns<'a>(&mut self, path: &str, value: Tree<'a>, names: Vocabulary, into: &mut Vec<Pattern<'a>>) {
        let mut patterns = Vec::new();
        match value {
            Tree::List(entries) => {
                for (at, entry) in entries.into_iter().enumerate() {
                    match entry {
                        Tree::Text(text) => match Pattern::parse(text, names) {
                            Ok(pattern) => patterns.push(pattern),
                            Err(error) => self.mistake(format_args!("{path}[{at}]: {error}")),
                        },
                        other => self
                            .mistake(format_args!("{path}[{at}]: is {}, but must be a string", other.kind())),
                    }
                }
            }
            Tree::Text(text) => {
                for (at, part) in text.split(',').enumerate().filter(|(_, part)| !part.trim().is_empty()) {
                    match Pattern::parse(part.to_owned(), names) {
                        Ok(pattern) => patterns.push(pattern),
                        Err(error) => self.mistake(format_args!("{path}: entry {} {error}", at + 1)),
                    }
                }
            }
            other => return self.wrong_type(path, &other, r#"a list such as ["default"]"#),
        }
        *into = patterns;
    }

    /// Reads a list like [`Self::patterns`], and reports an empty list, which would silently switch the policy off.
    fn selected<'a>(&mut self, path: &str, value: Tree<'a>, names: Vocabulary, into: &mut Vec<Pattern<'a>>) {
        self.patterns(path, value, names, into);
        let already_said = self.mistakes.iter().any(|mistake| mistake.starts_with(path));
        if into.is_empty() && !already_said {
            self.mistake(format_args!(
                "{path}: selects nothing; name at least one, or remove the setting for the default"
            ));
        }
    }

    fn name<'a>(&mut self, path: &str, value: Tree<'a>, into: &mut Cow<'a, str>) {
        let Tree::Text(text) = value else {
            return self.wrong_type(path, &value, "the name of a Secret");
        };
        match Pattern::parse(text, Vocabulary::Subdomain) {
            Ok(Pattern::Name(name)) => *into = name,
            Ok(_) => {
                self.mistake(format_args!("{path}: must be the name of one Secret, without wildcards"));
            }
            Err(error) => self.mistake(format_args!("{path}: {error}")),
        }
    }

    fn boolean(&mut self, path: &str, value: &Tree<'_>, into: &mut bool) {
        match value {
            Tree::Bool(value) => *into = *value,
            other => self.wrong_type(path, other, "true or false"),
        }
    }

    fn mode<T: Copy>(&mut self, path: &str, value: &Tree<'_>, modes: &[(&str, T)], into: &mut T) {
        let word = if let Tree::Text(word) = value { &**word } else { "" };
        match modes.iter().find(|(name, _)| *name == word) {
            Some((_, mode)) => *into = *mode,
            None if word == "merge" => self.mistake(format_args!(
                "{path}: cannot be \"merge\": pod templates are never changed; use reject, warn or ignore"
            )),
            None => {
                let known = modes.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                self.mistake(format_args!("{path}: must be one of: {known}"));
            }
        }
    }

    /// Reports settings that are each valid, but contradict each other.
    fn contradictions(&mut self, Settings { namespaces, manual, pull_secret, .. }: &Settings<'_>) {
        if let Some((glob, exclusion)) = namespaces.contradiction() {
            self.mistake(format_args!(
                "namespaces[{glob}]: can never select anything: excludedNamespaces[{exclusion}] excludes all of it"
            ));
        }
        let acts = [manual.pods, manual.owned_pods]
            .iter()
            .any(|mode| matches!(mode, PodMode::Reject | PodMode::Warn))
            || manual.workloads() != WorkloadMode::Ignore;
        for (at, pattern) in manual.allowed.iter().enumerate() {
            if pattern.names(pull_secret) {
                self.mistake(format_args!(
                    "manualPullSecrets.allowed[{at}]: is the pull secret itself, which is never a manual one; \
                     remove the entry"
                ));
            }
            if *pattern == Pattern::All && acts {
                self.mistake(format_args!(
                    "manualPullSecrets.allowed[{at}]: allows every manual pull secret, so that \"reject\" and \
                     \"warn\" can never act; name the Secrets, or set pods and ownedPods to merge and workloads \
                     to ignore"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_outlive_the_text_that_they_were_read_from() {
        let owned = {
            let text =
                r#"{"namespaces": ["team-*", "a"], "excludedNamespaces": "b, c", "serviceAccounts": ["*"],
                "pullSecret": "ours", "registries": ["*.example.com"], "readServiceAccounts": true,
                "manualPullSecrets": {"pods": "warn", "allowed": ["corp"]}}"#
                    .to_owned();
            let read = Settings::parse(&text).unwrap();
            let owned = read.clone().into_owned();
            assert_eq!(owned, read);
            owned
        };
        assert!(owned.namespaces.contains("team-a") && owned.read_service_accounts);
    }
}
