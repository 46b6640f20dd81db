//! What users read: one line each, long names elided.

use std::fmt;

/// Longest warning, in characters: what Kubernetes asks webhooks to keep to.
#[cfg(test)]
pub(super) const LONGEST_WARNING: usize = 120;

/// At most `most` characters of a name, the middle left out. It stays on one line: what would break it is replaced.
pub(super) fn short(name: &str, most: usize) -> String {
    let breaks_lines = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let clean = name.chars().map(|c| if breaks_lines(c) { char::REPLACEMENT_CHARACTER } else { c });
    let length = name.chars().count();
    if length <= most {
        return clean.collect();
    }
    let head = most.saturating_sub(1).div_ceil(2);
    let tail = most.saturating_sub(1) - head;
    clean.clone().take(head).chain(['…']).chain(clean.skip(length - tail)).collect()
}

/// The object that a message is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Subject<'a> {
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
    /// Empty for an object that the API server has yet to name.
    pub(super) name: &'a str,
    pub(super) generate_name: &'a str,
    /// Kind and name of the owner that controls it.
    pub(super) owner: Option<(&'a str, &'a str)>,
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/", short(self.kind, 21), short(self.namespace, 28))?;
        if !self.name.is_empty() {
            return f.write_str(&short(self.name, 40));
        }
        match (self.generate_name, self.owner) {
            ("", None) => f.write_str("(no name)"),
            (prefix, None) => write!(f, "{} (generateName)", short(prefix, 40)),
            ("", Some((kind, name))) => write!(f, "(no name; of {} {})", short(kind, 21), short(name, 40)),
            (prefix, Some((kind, name))) => {
                write!(f, "{} (generateName; of {} {})", short(prefix, 28), short(kind, 21), short(name, 32))
            }
        }
    }
}

/// Why a manual list is refused, and the three ways out.
pub(super) fn refusal(subject: &Subject<'_>, path: &str, entry: &str, pull_secret: &str) -> String {
    let entry = short(entry, 40);
    let ours = short(pull_secret, 36);
    format!(
        "{subject}: {path} lists \"{entry}\", which stops Kubernetes from adding \"{ours}\"; \
         remove the entry, add \"{ours}\" beside it, or allow it in manualPullSecrets.allowed"
    )
}

/// The warning that goes with a manual list in mode `warn`. The API server shows it beside the object, so it names none.
pub(super) fn manual_list_warning(path: &str, entry: &str, pull_secret: &str) -> String {
    let field = path.rsplit('.').next().unwrap_or(path);
    let (entry, ours) = (short(entry, 24), short(pull_secret, 36));
    format!("{field} lists \"{entry}\" without \"{ours}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longest refusal, in characters.
    const LONGEST_REFUSAL: usize = 400;

    const LONG: &str =
        "a-name-that-somebody-generated-out-of-many-parts-and-that-is-therefore-rather-long-indeed";

    #[test]
    fn names_are_elided_in_the_middle_and_stay_on_one_line() {
        assert_eq!(short("web", 8), "web");
        assert_eq!(short("abcdefghij", 7), "abc…hij");
        assert_eq!(short("a\nb\u{2028}", 40), "a�b�");
    }

    #[test]
    fn the_refusal_reads_as_promised() {
        let subject = Subject { kind: "Deployment", namespace: "team-a", name: "web", ..Subject::default() };
        assert_eq!(
            refusal(
                &subject,
                "spec.template.spec.imagePullSecrets",
                "my-registry",
                "acr-credential-secret-aggregation"
            ),
            "Deployment team-a/web: spec.template.spec.imagePullSecrets lists \"my-registry\", which stops Kubernetes \
             from adding \"acr-credential-secret-aggregation\"; remove the entry, add \
             \"acr-credential-secret-aggregation\" beside it, or allow it in manualPullSecrets.allowed"
        );
    }

    #[test]
    fn a_pod_without_a_name_is_told_by_its_prefix_and_owner() {
        let pod = Subject { kind: "Pod", namespace: "team-a", ..Subject::default() };
        assert_eq!(pod.to_string(), "Pod team-a/(no name)");
        let pod = Subject { generate_name: "web-7d4b9-", ..pod };
        assert_eq!(pod.to_string(), "Pod team-a/web-7d4b9- (generateName)");
        let pod = Subject { owner: Some(("ReplicaSet", "web-7d4b9")), ..pod };
        assert_eq!(pod.to_string(), "Pod team-a/web-7d4b9- (generateName; of ReplicaSet web-7d4b9)");
    }

    #[test]
    fn the_longest_names_keep_within_the_limits() {
        let workload =
            Subject { kind: "ReplicationController", namespace: LONG, name: LONG, ..Subject::default() };
        let cron_job = Subject { kind: "CronJob", ..workload.clone() };
        let pod = Subject {
            kind: "Pod",
            name: "",
            generate_name: LONG,
            owner: Some(("ReplicationController", LONG)),
            ..workload.clone()
        };
        let template = "spec.template.spec.imagePullSecrets";
        let cron_template = "spec.jobTemplate.spec.template.spec.imagePullSecrets";
        for (subject, path) in
            [(workload, template), (cron_job, cron_template), (pod, "spec.imagePullSecrets")]
        {
            let message = refusal(&subject, path, LONG, LONG);
            assert!(message.chars().count() <= LONGEST_REFUSAL, "{} {message}", message.chars().count());
            let warning = manual_list_warning(path, LONG, LONG);
            assert!(warning.chars().count() <= LONGEST_WARNING, "{warning}");
        }
    }
}
