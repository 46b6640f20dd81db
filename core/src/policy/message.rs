//! The messages for users: each is one line, and long names are shortened.

use std::fmt;

use super::PodMode;
use super::object::{Metadata, Owner};
use crate::json::Text;
use crate::text::is_invisible;

/// Shortens a name to at most `most` characters by leaving out its middle. Invisible characters are replaced, so that the
/// result stays on one line and hides nothing.
pub(super) fn short(name: &str, most: usize) -> String {
    let clean = name.chars().map(|c| if is_invisible(c) { char::REPLACEMENT_CHARACTER } else { c });
    let length = name.chars().count();
    if length <= most {
        return clean.collect();
    }
    let head = most.saturating_sub(1).div_ceil(2);
    let tail = most.saturating_sub(1) - head;
    clean.clone().take(head).chain(['…']).chain(clean.skip(length - tail)).collect()
}

/// The object that a message is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
    pub(super) metadata: &'a Metadata<'a>,
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Metadata { name: Text(name), generate_name: Text(prefix), .. } = self.metadata;
        write!(f, "{} {}/", short(self.kind, 21), short(self.namespace, 28))?;
        if !name.is_empty() {
            return f.write_str(&short(name, 40));
        }
        match (&**prefix, self.metadata.owner()) {
            ("", None) => f.write_str("(no name)"),
            (prefix, None) => write!(f, "{} (generateName)", short(prefix, 40)),
            ("", Some(Owner { kind, name, .. })) => {
                write!(f, "(no name; of {} {})", short(&kind.0, 21), short(&name.0, 40))
            }
            (prefix, Some(Owner { kind, name, .. })) => {
                let (prefix, kind, name) = (short(prefix, 28), short(&kind.0, 21), short(&name.0, 32));
                write!(f, "{prefix} (generateName; of {kind} {name})")
            }
        }
    }
}

/// Returns why a person's Pod is refused, and what to do.
pub(super) fn pod_refusal(subject: &Subject<'_>, entry: &str, pull_secret: &str) -> String {
    refusal(subject, "spec", entry, pull_secret, ", so the Pod would not get it")
}

/// Returns why a workload is refused, and what to do. Its Pods have owners, so the mode for owned Pods applies to them.
pub(super) fn workload_refusal(
    subject: &Subject<'_>,
    spec: &str,
    entry: &str,
    pull_secret: &str,
    owned_pods: PodMode,
) -> String {
    let outcome = match owned_pods {
        PodMode::Merge | PodMode::Warn => ": its Pods get it anyway, but the policy refuses such lists",
        PodMode::Reject => ": its Pods would be refused",
        PodMode::Ignore => ": its Pods would not get it",
    };
    refusal(subject, spec, entry, pull_secret, outcome)
}

/// Returns the text of a refusal. `spec` is the path of the Pods' spec.
fn refusal(subject: &Subject<'_>, spec: &str, entry: &str, pull_secret: &str, outcome: &str) -> String {
    let what_to_do = what_to_do(entry, pull_secret);
    let (entry, ours) = (short(entry, 28), short(pull_secret, 36));
    format!("{subject}: {spec}.imagePullSecrets lists \"{entry}\" without \"{ours}\"{outcome}; {what_to_do}")
}

/// Returns the warnings about a manual list. They do not name the object, because the API server shows them beside it.
pub(super) fn manual_list_warnings(entry: &str, pull_secret: &str, mode: PodMode) -> Vec<String> {
    let outcome = match mode {
        PodMode::Merge | PodMode::Warn => "Pods get it anyway",
        PodMode::Reject => "Pods will be refused",
        PodMode::Ignore => "Pods will not get it",
    };
    let what_to_do = what_to_do(entry, pull_secret);
    let (entry, ours) = (short(entry, 24), short(pull_secret, 34));
    vec![format!("imagePullSecrets lists \"{entry}\" without \"{ours}\"; {outcome}"), what_to_do]
}

/// Returns what to do about a manual entry. It never advises users to remove the entry, which may be for another registry.
fn what_to_do(entry: &str, pull_secret: &str) -> String {
    let (entry, ours) = (short(entry, 24), short(pull_secret, 34));
    format!("add \"{ours}\" to the list, or allow \"{entry}\" in manualPullSecrets.allowed")
}

/// Longest warning, in characters: the limit that Kubernetes recommends to webhooks.
#[cfg(test)]
pub(super) const LONGEST_WARNING: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{self, Map};

    /// Longest refusal, in characters.
    const LONGEST_REFUSAL: usize = 400;

    const LONG: &str =
        "a-name-that-some-tool-generated-out-of-many-parts-and-that-is-therefore-rather-long-indeed";

    #[test]
    fn names_are_elided_in_the_middle_and_stay_on_one_line() {
        assert_eq!(short("web", 8), "web");
        assert_eq!(short("abcdefghij", 7), "abc…hij");
        assert_eq!(short("a\nb\u{2028}", 40), "a�b�");
        for c in (0..=char::MAX as u32).filter_map(char::from_u32).filter(|c| is_invisible(*c)) {
            assert_eq!(short(&format!("a{c}b"), 40), "a�b", "{c:?}");
        }
    }

    #[test]
    fn the_longest_names_keep_within_the_limits() {
        let named = format!(r#"{{"name": "{LONG}"}}"#);
        let owned = format!(
            r#"{{"generateName": "{LONG}", "ownerReferences": [{{"kind": "ReplicationController", "name": "{LONG}"}}]}}"#
        );
        let Map(named) = json::read(&named).unwrap();
        let Map(owned) = json::read(&owned).unwrap();
        let workload = Subject { kind: "ReplicationController", namespace: LONG, metadata: &named };
        let cron_job = Subject { kind: "CronJob", ..workload };
        let pod = Subject { kind: "Pod", metadata: &owned, ..workload };
        let template = "spec.template.spec";
        let cron_template = "spec.jobTemplate.spec.template.spec";
        let is_short = |message: &str| {
            assert!(message.chars().count() <= LONGEST_REFUSAL, "{} {message}", message.chars().count());
        };
        for mode in [PodMode::Reject, PodMode::Merge, PodMode::Warn, PodMode::Ignore] {
            is_short(&workload_refusal(&workload, template, LONG, LONG, mode));
            is_short(&workload_refusal(&cron_job, cron_template, LONG, LONG, mode));
            for warning in manual_list_warnings(LONG, LONG, mode) {
                assert!(warning.chars().count() <= LONGEST_WARNING, "{warning}");
            }
        }
        is_short(&pod_refusal(&pod, LONG, LONG));
    }
}
