//! The keys of a configuration, except for the list of registries.

use std::time::Duration;

use acr_credential_core::{DEFAULT_EXCLUDED_NAMESPACES, Pattern, Selection, Vocabulary, spelling};
use kube::core::Selector;

use super::fields::Field;
use super::findings::Findings;
use super::keys::{self, Key};
use super::source::{Source, within_text};
use super::tree::Node;
use super::values::{ValueError, refuse_if};
use super::{Attach, Configuration, Registry, conflicts, duration, registry, selector};

/// The vendor's default.
const DEFAULT_THRESHOLD: Duration = Duration::from_mins(15);

/// The range of valid thresholds. Refreshes of one credential are at least a minute apart, and no credential lives longer
/// than a role's longest session.
const THRESHOLDS: std::ops::RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(12);

/// From this value on, a threshold has no effect on a credential of one hour: no credential is renewed in the first third of
/// its life.
const NO_LONGER_EFFECTIVE: Duration = Duration::from_mins(40);

/// The only value in the vendor's documentation.
const API_VERSION: &str = "2018-12-01";

const ATTACH: [(&str, Attach); 3] =
    [("pod", Attach::Pod), ("service-account", Attach::ServiceAccount), ("both", Attach::Both)];

/// Turns the keys into a configuration. A wrong value is replaced by its default, so that all other keys are checked.
pub(super) fn read(source: Source, findings: &mut Findings) -> Configuration {
    let Source { entries, form } = source;
    let mut configuration = Configuration {
        namespaces: Selection { include: vec![default_name()], exclude: default_exclusions() },
        namespace_selector: None,
        service_accounts: Selection { include: vec![default_name()], exclude: Vec::new() },
        attach: Attach::default(),
        expiring_threshold: DEFAULT_THRESHOLD,
        registries: Vec::new(),
    };
    let mut registries = Node::Null;
    let mut rrsa = false;
    let mut namespaces_are_known = true;
    let mut names = Names { watch: "watch-namespace", exclude: "exclude-namespace" };
    for (key, name, node) in entries {
        match key {
            Key::ServiceAccount => {
                let names = findings.patterns(name, node, Vocabulary::Subdomain);
                replace_unless_empty(&mut configuration.service_accounts.include, names);
            }
            Key::WatchNamespace => {
                names.watch = name;
                let names = findings.patterns(name, node, Vocabulary::Label);
                namespaces_are_known &= !matches!(names, Field::Wrong);
                replace_unless_empty(&mut configuration.namespaces.include, names);
            }
            Key::ExcludeNamespace => {
                names.exclude = name;
                if matches!(node, Node::Null) {
                    findings.warning(
                        name,
                        "is null, which a cluster stores as an empty text, and that excludes nothing",
                        "remove the key for the default, or write \"\" to exclude nothing",
                    );
                }
                match findings.patterns(name, node, Vocabulary::Label) {
                    Field::Given(exclude) => configuration.namespaces.exclude = exclude,
                    Field::Wrong => namespaces_are_known = false,
                    Field::Absent => {}
                }
            }
            Key::NamespaceSelector => {
                configuration.namespace_selector = label_selector(name, node, findings);
            }
            Key::Registries => registries = node,
            Key::ExpiringThreshold => {
                if let Field::Given(threshold) = findings.parsed(name, node, threshold) {
                    configuration.expiring_threshold = threshold;
                    if threshold > NO_LONGER_EFFECTIVE {
                        findings.warning(
                            name,
                            "is longer than 40m, but a credential of one hour is never renewed in its first 20 minutes",
                            "write 15m, unless your sessions last longer than an hour",
                        );
                    }
                }
            }
            Key::Attach => {
                if let Field::Given(attach) = findings.parsed(name, node, attach) {
                    configuration.attach = attach;
                }
            }
            Key::Rrsa => rrsa = rrsa_is_enabled(name, node, findings),
            Key::EnableRrsa => rrsa = switched_on(name, node, findings),
            Key::Webhook => webhook(name, node, findings),
            Key::ApiVersion => {
                if let Field::Given(version) = findings.text(name, node)
                    && version != API_VERSION
                {
                    findings.warning(name, "is not used", format!("write {API_VERSION}, or remove it"));
                }
            }
            // The effect of this key in the vendor's component is not known.
            Key::NotifyEmail => {}
        }
    }
    let place = form.registries;
    let enable_rrsa = (!rrsa).then_some(form.enable_rrsa);
    configuration.registries = registry::read_all(place, registries, enable_rrsa, findings);
    conflicts::check(place, &configuration.registries, findings);
    if namespaces_are_known {
        namespaces(&configuration.namespaces, &names, findings);
        unmanaged(place, &configuration, &names, findings);
    }
    if configuration.registries.is_empty() {
        configuration.registries.push(Registry::of_cluster(place));
    }
    configuration
}

/// The names of the two keys in this form of the configuration.
struct Names {
    watch: &'static str,
    exclude: &'static str,
}

fn default_name() -> Pattern<'static> {
    Pattern::Name("default".into())
}

fn default_exclusions() -> Vec<Pattern<'static>> {
    DEFAULT_EXCLUDED_NAMESPACES.iter().map(|&name| Pattern::Name(name.into())).collect()
}

/// Replaces the default unless the list is empty. An empty list would silently switch everything off; the vendor's component
/// uses the default, too.
fn replace_unless_empty(default: &mut Vec<Pattern<'static>>, patterns: Field<Vec<Pattern<'static>>>) {
    if let Field::Given(patterns) = patterns
        && !patterns.is_empty()
    {
        *default = patterns;
    }
}

/// Reads a label selector, and reports an empty one: a selector limits the namespaces, and an empty one would not.
fn label_selector(place: &str, node: Node, findings: &mut Findings) -> Option<Selector> {
    let field = findings.parsed(place, node, selector::parse);
    if field.is_absent() {
        findings.mistake(
            place,
            "is empty",
            "write a label selector, or remove the key if namespaces are managed whatever their labels",
        );
    }
    field.given()
}

fn threshold(text: &str) -> Result<Duration, ValueError> {
    let threshold = duration::parse(text)?;
    let is_sensible = THRESHOLDS.contains(&threshold);
    refuse_if(!is_sensible, "is not between 1m and 12h", "write 15m, or remove it for that default")?;
    Ok(threshold)
}

fn attach(text: &str) -> Result<Attach, ValueError> {
    let words = ATTACH.iter().map(|(word, _)| *word);
    ATTACH.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, attach)| *attach).ok_or_else(
        || {
            let fix = match spelling::nearest(text, words) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "write pod, service-account or both".to_owned(),
            };
            ValueError::new("is not one of pod, service-account and both", fix)
        },
    )
}

fn rrsa_is_enabled(place: &str, node: Node, findings: &mut Findings) -> bool {
    let Some(node) = within_text(place, node, findings) else { return true };
    if matches!(node, Node::Scalar(_) | Node::List(_)) {
        findings.mistake(place, format!("is {}", node.kind()), "write `enable: true`");
        return true;
    }
    let entries = findings.entries(place, node, &keys::RRSA);
    entries.into_iter().any(|(key, node)| switched_on(&format!("{place}.{key}"), node, findings))
}

/// Returns whether RRSA is switched on. It is also `true` for a wrong value, so that entries that need RRSA are not reported
/// as well.
fn switched_on(place: &str, node: Node, findings: &mut Findings) -> bool {
    !matches!(findings.boolean(place, node), Field::Given(false) | Field::Absent)
}

fn webhook(place: &str, node: Node, findings: &mut Findings) {
    let Some(node) = within_text(place, node, findings) else { return };
    let mut enabled = false;
    for (key, node) in findings.entries(place, node, &keys::WEBHOOK) {
        let place = format!("{place}.{key}");
        match key {
            "enable" => enabled = matches!(findings.boolean(&place, node), Field::Given(true)),
            "failure-policy" => {
                findings.parsed(&place, node, |text| {
                    let is_known = matches!(text, "Ignore" | "Fail");
                    refuse_if(!is_known, "is neither Ignore nor Fail", "write Ignore or Fail")
                });
            }
            _ => {
                findings.parsed(&place, node, |text| {
                    let is_number = matches!(text.parse::<u8>(), Ok(1..=30));
                    refuse_if(!is_number, "is not a number from 1 to 30", "write the seconds, such as 10")
                });
            }
        }
    }
    if enabled {
        findings.warning(
            place,
            "has no effect here",
            "enable the ClusterAdmissionPolicy serviceaccounts, which does the same, and remove it",
        );
    }
}

/// Checks the managed namespaces as a whole.
fn namespaces(selection: &Selection<'_>, names: &Names, findings: &mut Findings) {
    let Names { watch, exclude } = names;
    if let Some((glob, exclusion)) = selection.contradiction() {
        findings.mistake(
            *watch,
            format!("entry {} can select nothing", glob + 1),
            format!("remove it, or remove entry {} of {exclude}, which excludes all of it", exclusion + 1),
        );
    }
    let is_meant = |name: &str| selection.include.iter().any(|pattern| pattern.names(name));
    let lost: Vec<_> = DEFAULT_EXCLUDED_NAMESPACES
        .into_iter()
        .filter(|name| selection.contains(name) && !is_meant(name))
        .collect();
    if !lost.is_empty() {
        let lost = lost.join(",");
        findings.warning(
            *exclude,
            format!("replaces the default, so that {watch} now selects {lost} too"),
            format!("add {lost} to it, since a credential there can break the pulls of system images"),
        );
    }
}

/// Warns about registries for namespaces that are not managed. Globs are not checked: their matches are only known at run
/// time.
fn unmanaged(place: &str, configuration: &Configuration, names: &Names, findings: &mut Findings) {
    // More comparisons would take too long; only hostile input needs more.
    const MOST_COMPARISONS: usize = 100_000;
    let Configuration { namespaces, registries, .. } = configuration;
    let most = MOST_COMPARISONS / (1 + namespaces.include.len() + namespaces.exclude.len());
    let patterns = registries
        .iter()
        .enumerate()
        .flat_map(|(at, registry)| registry.namespaces.iter().flatten().map(move |pattern| (at, pattern)));
    for (at, pattern) in patterns.take(most) {
        if let Pattern::Name(name) = pattern
            && !namespaces.contains(name)
        {
            findings.warning(
                format!("{place}[{at}].namespaces"),
                format!("names {name}, which is not a managed namespace"),
                format!("add it to {}, or remove it here", names.watch),
            );
        }
    }
}
