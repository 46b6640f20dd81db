//! What the user can set. One reader serves the validation of settings, every request and the sidecar, so that they cannot
//! disagree.

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
    /// Service accounts whose Pods get it.
    pub service_accounts: Selection<'a>,
    /// Name of the pull secret.
    pub pull_secret: Cow<'a, str>,
    /// When not empty: only Pods with an image of one of these registries get it.
    pub registries: Vec<Pattern<'a>>,
    /// What a manual list that lacks the pull secret gets.
    pub manual: ManualPullSecrets<'a>,
    /// Whether to look a service account up before a Pod is refused.
    pub read_service_accounts: bool,
}

/// What a manual list that lacks the pull secret gets, by where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManualPullSecrets<'a> {
    /// A person's Pods: those without any owner that no `system:` user creates.
    pub pods: PodMode,
    /// All other Pods.
    pub owned_pods: PodMode,
    /// Pod templates of workloads, where it is set; [`Self::workloads`] is what counts.
    pub workloads: Option<WorkloadMode>,
    /// Manual pull secrets that are fine.
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

impl ManualPullSecrets<'_> {
    /// What pod templates get. Unless it is set, only a warning where their Pods get the pull secret all the same.
    #[must_use]
    pub fn workloads(&self) -> WorkloadMode {
        self.workloads.unwrap_or(if self.owned_pods.appends() {
            WorkloadMode::Warn
        } else {
            WorkloadMode::Reject
        })
    }
}

impl PodMode {
    /// Whether such Pods get the pull secret.
    #[must_use]
    pub fn appends(self) -> bool {
        matches!(self, Self::Merge | Self::Warn)
    }
}

/// Everything that is wrong with a document of settings, each with its path and a way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

const KEYS: [&str; 7] = [
    "namespaces",
    "excludedNamespaces",
    "serviceAccounts",
    "pullSecret",
    "registries",
    "manualPullSecrets",
    "readServiceAccounts",
];

const MANUAL_KEYS: [&str; 4] = ["pods", "ownedPods", "workloads", "allowed"];

const POD_MODES: [(&str, PodMode); 4] = [
    ("reject", PodMode::Reject),
    ("merge", PodMode::Merge),
    ("warn", PodMode::Warn),
    ("ignore", PodMode::Ignore),
];

const WORKLOAD_MODES: [(&str, WorkloadMode); 3] =
    [("reject", WorkloadMode::Reject), ("warn", WorkloadMode::Warn), ("ignore", WorkloadMode::Ignore)];

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            namespaces: Selection {
                include: vec![Pattern::Name("default".into())],
                exclude: DEFAULT_EXCLUDED_NAMESPACES.iter().map(|&name| Pattern::Name(name.into())).collect(),
            },
            service_accounts: Selection {
                include: vec![Pattern::Name("default".into())],
                exclude: Vec::new(),
            },
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
    /// The same settings, without a text that they borrow from.
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

    /// Reads settings from JSON; what is absent or `null` takes its default.
    ///
    /// # Errors
    /// Every mistake in the document, in the order of the document.
    pub fn parse(json: &'a str) -> Result<Self, Mistakes> {
        let tree = json::read(json)
            .map_err(|Malformed { complaint, .. }| Mistakes(vec![format!("settings: {complaint}")]))?;
        let mut reader = Reader::default();
        let mut settings = Self::default();
        for (key, value) in reader.entries("", tree, &KEYS) {
            match &*key {
                "namespaces" => {
                    reader.patterns(&key, value, Vocabulary::Label, &mut settings.namespaces.include);
                    reader.must_select(&key, &settings.namespaces.include);
                }
                "excludedNamespaces" => {
                    reader.patterns(&key, value, Vocabulary::Label, &mut settings.namespaces.exclude);
                }
                "serviceAccounts" => {
                    reader.patterns(
                        &key,
                        value,
                        Vocabulary::Subdomain,
                        &mut settings.service_accounts.include,
                    );
                    reader.must_select(&key, &settings.service_accounts.include);
                }
                "pullSecret" => reader.name(&key, value, &mut settings.pull_secret),
                "registries" => reader.patterns(&key, value, Vocabulary::Host, &mut settings.registries),
                "manualPullSecrets" => reader.manual(value, &mut settings.manual),
                _ => reader.boolean(&key, value, &mut settings.read_service_accounts),
            }
        }
        reader.contradictions(&settings);
        if reader.mistakes.is_empty() { Ok(settings) } else { Err(Mistakes(reader.mistakes)) }
    }
}

/// Walks the document and collects mistakes; a value that is one leaves the default in place.
#[derive(Default)]
struct Reader {
    mistakes: Vec<String>,
}

impl Reader {
    fn mistake(&mut self, path: &str, what: impl fmt::Display) {
        self.mistakes.push(format!("{path}: {what}"));
    }

    /// The known, non-null entries of a map.
    fn entries<'a>(&mut self, path: &str, tree: Tree<'a>, known: &[&str]) -> Vec<(Cow<'a, str>, Tree<'a>)> {
        let entries = match tree {
            Tree::Null => return Vec::new(),
            Tree::Map(entries) => entries,
            other => {
                let path = if path.is_empty() { "settings" } else { path };
                self.mistake(path, format_args!("is {}, but must be a map", other.kind()));
                return Vec::new();
            }
        };
        let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
        let mut kept: Vec<(Cow<'a, str>, Tree<'a>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            if !known.contains(&&*key) {
                let way_out = match spelling::nearest(&key, known.iter().copied()) {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                self.mistake(
                    &format!("{prefix}{}", short(&key, 40)),
                    format_args!("unknown setting; {way_out}"),
                );
            } else if kept.iter().any(|(seen, _)| *seen == key) {
                self.mistake(&format!("{prefix}{}", &*key), "is set twice; remove one");
            } else if value != Tree::Null {
                kept.push((key, value));
            }
        }
        kept
    }

    /// A list of names and globs, or the vendor's comma string.
    fn patterns<'a>(&mut self, path: &str, value: Tree<'a>, names: Vocabulary, into: &mut Vec<Pattern<'a>>) {
        let mut patterns = Vec::new();
        match value {
            Tree::List(entries) => {
                for (at, entry) in entries.into_iter().enumerate() {
                    let path = format_args!("{path}[{at}]");
                    match entry {
                        Tree::Text(text) => match Pattern::parse(text, names) {
                            Ok(pattern) => patterns.push(pattern),
                            Err(error) => self.mistake(&path.to_string(), error),
                        },
                        other => self.mistake(
                            &path.to_string(),
                            format_args!("is {}, but must be a string", other.kind()),
                        ),
                    }
                }
            }
            Tree::Text(text) => {
                for (at, part) in text.split(',').enumerate().filter(|(_, part)| !part.trim().is_empty()) {
                    match Pattern::parse(part.to_owned(), names) {
                        Ok(pattern) => patterns.push(pattern),
                        Err(error) => self.mistake(path, format_args!("entry {} {error}", at + 1)),
                    }
                }
            }
            other => {
                let complaint = format!("is {}, but must be a list such as [\"default\"]", other.kind());
                self.mistake(path, complaint);
                return;
            }
        }
        *into = patterns;
    }

    /// An empty list would switch the policy off without a word.
    fn must_select(&mut self, path: &str, patterns: &[Pattern<'_>]) {
        let already_said = self.mistakes.iter().any(|mistake| mistake.starts_with(path));
        if patterns.is_empty() && !already_said {
            self.mistake(path, "selects nothing; name at least one, or remove the setting for the default");
        }
    }

    fn name<'a>(&mut self, path: &str, value: Tree<'a>, into: &mut Cow<'a, str>) {
        let Tree::Text(text) = value else {
            self.mistake(path, format_args!("is {}, but must be the name of a Secret", value.kind()));
            return;
        };
        match Pattern::parse(text, Vocabulary::Subdomain) {
            Ok(Pattern::Name(name)) => *into = name,
            Ok(_) => self.mistake(path, "must be the name of one Secret, without wildcards"),
            Err(error) => self.mistake(path, error),
        }
    }

    fn boolean(&mut self, path: &str, value: Tree<'_>, into: &mut bool) {
        match value {
            Tree::Bool(value) => *into = value,
            other => {
                self.mistake(path, format_args!("is {}, but must be true or false", other.kind()));
            }
        }
    }

    fn mode<T: Copy>(&mut self, path: &str, value: &Tree<'_>, modes: &[(&str, T)], into: &mut T) {
        let word = match value {
            Tree::Text(word) => &**word,
            _ => "",
        };
        match modes.iter().find(|(name, _)| *name == word) {
            Some((_, mode)) => *into = *mode,
            None if word == "merge" => {
                self.mistake(
                    path,
                    "cannot be \"merge\": pod templates are never changed; use reject, warn or ignore",
                );
            }
            None => {
                let known = modes.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                self.mistake(path, format_args!("must be one of: {known}"));
            }
        }
    }

    fn manual<'a>(&mut self, value: Tree<'a>, manual: &mut ManualPullSecrets<'a>) {
        for (key, value) in self.entries("manualPullSecrets", value, &MANUAL_KEYS) {
            let path = format!("manualPullSecrets.{}", &*key);
            match &*key {
                "pods" => self.mode(&path, &value, &POD_MODES, &mut manual.pods),
                "ownedPods" => self.mode(&path, &value, &POD_MODES, &mut manual.owned_pods),
                "workloads" => {
                    let mut mode = manual.workloads();
                    self.mode(&path, &value, &WORKLOAD_MODES, &mut mode);
                    manual.workloads = Some(mode);
                }
                _ => self.patterns(&path, value, Vocabulary::Subdomain, &mut manual.allowed),
            }
        }
    }

    /// Settings that are each fine but cannot both be meant.
    fn contradictions(&mut self, settings: &Settings<'_>) {
        let namespaces = &settings.namespaces;
        if let Some((glob, exclusion)) = namespaces.contradiction() {
            self.mistake(
                &format!("namespaces[{glob}]"),
                format_args!("can never select anything: excludedNamespaces[{exclusion}] excludes all of it"),
            );
        }
        let ManualPullSecrets { pods, owned_pods, workloads: _, allowed } = &settings.manual;
        for (at, pattern) in allowed.iter().enumerate() {
            let path = format!("manualPullSecrets.allowed[{at}]");
            if pattern.names(&settings.pull_secret) {
                self.mistake(
                    &path,
                    "is the pull secret itself, which is never a manual one; remove the entry",
                );
            }
            let acts = [pods, owned_pods].iter().any(|mode| matches!(mode, PodMode::Reject | PodMode::Warn))
                || matches!(settings.manual.workloads(), WorkloadMode::Reject | WorkloadMode::Warn);
            if *pattern == Pattern::All && acts {
                self.mistake(
                    &path,
                    "allows every manual pull secret, so that \"reject\" and \"warn\" can never act; \
                     name the Secrets, or set pods and ownedPods to merge and workloads to ignore",
                );
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

    #[test]
    fn what_templates_get_follows_from_what_their_pods_get_unless_it_is_set() {
        let workloads = |modes: &str| {
            let settings = format!(r#"{{"manualPullSecrets": {{{modes}}}}}"#);
            Settings::parse(&settings).unwrap().manual.workloads()
        };
        assert_eq!(workloads(""), WorkloadMode::Warn);
        assert_eq!(workloads(r#""pods": "ignore""#), WorkloadMode::Warn);
        assert_eq!(workloads(r#""ownedPods": "warn""#), WorkloadMode::Warn);
        assert_eq!(workloads(r#""ownedPods": "reject""#), WorkloadMode::Reject);
        assert_eq!(workloads(r#""ownedPods": "ignore", "workloads": null"#), WorkloadMode::Reject);
        assert_eq!(workloads(r#""ownedPods": "ignore", "workloads": "warn""#), WorkloadMode::Warn);
        assert_eq!(workloads(r#""workloads": "ignore""#), WorkloadMode::Ignore);
    }
}
