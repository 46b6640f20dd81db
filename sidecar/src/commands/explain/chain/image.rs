//! Where an image comes from, and whether the pull secret has a login for it.

use std::sync::LazyLock;

use acr_credential_core::registry_host;
use regex::Regex;

use super::super::super::report::{Line, Mark};
use super::{Subject, Surroundings};
use crate::cluster::fingerprint::instance_name;
use crate::cluster::observed::PullSecret;
use crate::configuration::{Configuration, Host, Instance, Origin, Registry, without_token_api};

/// What there is to say about an image.
pub(super) struct Judged {
    pub(super) line: Line,
    /// Whether the pull secret matters to it.
    pub(super) needs_login: bool,
}

/// How a registry of the configuration stands towards a host.
enum Cover<'a> {
    /// It has that host.
    Has(&'a Registry),
    /// Its hosts are asked of the cloud, and it may be one of them.
    May(&'a Registry),
    /// It has that host, but is for other namespaces.
    Elsewhere(&'a Registry),
    /// The same, but it is for other namespaces.
    MayElsewhere(&'a Registry),
}

pub(super) fn judge(image: &str, subject: &Subject, around: &Surroundings<'_>) -> Judged {
    let host = registry_host(image);
    let say = |needs_login, mark, message: String| {
        let name = if image.is_empty() { "\"\"" } else { image };
        Judged { line: Line::new(mark, format_args!("image {name}"), message), needs_login }
    };
    let (with_login, without) =
        (|mark, message| say(true, mark, message), |mark, message| say(false, mark, message));
    if let Some(problem) = mistake(image) {
        return without(Mark::Error, problem.to_owned());
    }
    let Surroundings { configuration, cluster, .. } = around;
    let hosts = cluster.and_then(|cluster| cluster.hosts.as_ref());
    if let Some(hosts) = hosts {
        if hosts.iter().any(|known| known == host) {
            return with_login(Mark::Ok, "the pull secret has a login for its host".to_owned());
        }
        if configuration.registries.iter().any(|registry| has_host(registry, host) == Some(true)) {
            return with_login(
                Mark::Error,
                "the pull secret has no login for its host: see `status`".to_owned(),
            );
        }
    }
    let plain = plain(host);
    if plain != host && !matches!(cover(&plain, subject, configuration), None | Some(Cover::MayElsewhere(_)))
    {
        let problem = format!(
            "the kubelet finds no login for its host, which it compares letter by letter: write {plain}"
        );
        return with_login(Mark::Error, problem);
    }
    match cover(host, subject, configuration) {
        Some(Cover::Has(registry)) => match cluster.and_then(|cluster| cluster.secret.as_ref()) {
            Some(secret) if secret.ours && !holds(secret, registry) => with_login(
                Mark::Error,
                format!(
                    "its host belongs to {}, which the pull secret does not hold: see `status`",
                    registry.place
                ),
            ),
            _ => with_login(Mark::Ok, format!("its host belongs to {}", registry.place)),
        },
        Some(Cover::Elsewhere(registry)) => with_login(
            Mark::Error,
            format!(
                "its host belongs to {}, which is for other namespaces: add {} to its namespaces",
                registry.place, subject.namespace
            ),
        ),
        Some(Cover::May(registry)) if hosts.is_none() => with_login(
            Mark::Warning,
            format!(
                "its host may belong to {}, whose hosts the cloud names: --read-secret tells",
                registry.place
            ),
        ),
        Some(Cover::MayElsewhere(registry)) => with_login(
            Mark::Warning,
            format!(
                "its host may belong to {}, which is for other namespaces: if it does, add {} to its namespaces",
                registry.place, subject.namespace
            ),
        ),
        Some(Cover::May(_)) | None => match without_token_api(host) {
            Some(problem) => without(Mark::Warning, format!("its host {problem}")),
            None => without(
                Mark::Skipped,
                format!("{host} is not among the configured registries; fine if it is public"),
            ),
        },
    }
}

/// The host as pull secrets have it. The kubelet takes one in upper case, or with a port, for another
/// (<https://github.com/kubernetes/kubernetes/blob/master/pkg/credentialprovider/keyring.go>, `URLsMatch`).
fn plain(host: &str) -> String {
    let lower = host.to_ascii_lowercase();
    lower.strip_suffix(":443").unwrap_or(&lower).to_owned()
}

/// A reference by the grammar of <https://github.com/distribution/reference>, which container runtimes use.
const REFERENCE: &str = concat!(
    r"^(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[A-Fa-f0-9:]+\])(?::[0-9]+)?/)?",
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*",
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?",
    r"(?:@(?:sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}))?$",
);

/// Why no container runtime takes this image.
fn mistake(image: &str) -> Option<&'static str> {
    static GRAMMAR: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(REFERENCE).ok());
    let is_reference = |image: &str| GRAMMAR.as_ref().is_none_or(|grammar| grammar.is_match(image));
    let holds = |parts: &[&str]| parts.iter().any(|part| image.contains(part));
    match image {
        "" => Some("is empty: name an image"),
        _ if is_reference(image) => None,
        _ if holds(&["{{", "}}", "${", "$(", "<%"]) => {
            Some("is a template that was not rendered: render it first")
        }
        _ if holds(&["://"]) => Some("begins with a scheme: begin with the host"),
        _ if image.contains(char::is_whitespace) => Some("holds a blank: remove it"),
        _ if image.ends_with('/') => Some("ends with a slash: name the repository"),
        _ if is_reference(&image.to_ascii_lowercase()) => {
            Some("has an upper-case letter in its repository: write it in lower case")
        }
        _ => Some("is not the reference of an image: write host/repository:tag"),
    }
}

fn cover<'a>(host: &str, subject: &Subject, configuration: &'a Configuration) -> Option<Cover<'a>> {
    let is_for = |registry: &&Registry| {
        let patterns = registry.namespaces.as_ref();
        patterns.is_none_or(|all| all.iter().any(|pattern| pattern.matches(&subject.namespace)))
    };
    let (here, elsewhere): (Vec<_>, Vec<_>) = configuration.registries.iter().partition(is_for);
    let first = |registries: &[&'a Registry], answer| {
        registries.iter().copied().find(|registry| has_host(registry, host) == answer)
    };
    first(&here, Some(true))
        .map(Cover::Has)
        .or_else(|| first(&elsewhere, Some(true)).map(Cover::Elsewhere))
        .or_else(|| first(&here, None).map(Cover::May))
        .or_else(|| first(&elsewhere, None).map(Cover::MayElsewhere))
}

/// Whether a registry has this host; none where only the cloud knows.
fn has_host(registry: &Registry, host: &str) -> Option<bool> {
    let Registry { instance, region, domains, .. } = registry;
    let is_one_of = |hosts: &[Host]| hosts.iter().any(|known| known.as_str() == host);
    let origin = || Host::parse(host).ok().and_then(|host| host.origin());
    match (instance, region) {
        _ if !domains.is_empty() => Some(is_one_of(domains)),
        (Instance::Personal, Some(region)) => Some(is_one_of(&Host::of_personal_edition(region))),
        (Instance::Personal, None) if matches!(origin(), Some(Origin::Personal(_))) => None,
        (Instance::Enterprise(_), region) => match origin() {
            Some(Origin::Enterprise(of)) if region.as_ref().is_none_or(|region| *region == of) => None,
            _ => Some(false),
        },
        (Instance::Personal, None) => Some(false),
    }
}

/// Whether the annotations of the pull secret name this registry.
fn holds(secret: &PullSecret, registry: &Registry) -> bool {
    let instance = instance_name(&registry.instance);
    secret.registries.split(',').any(|name| match (name.split_once('/'), &registry.region) {
        (Some((of, id)), Some(region)) => of == region.as_str() && id == instance,
        (Some((_, id)), None) => id == instance,
        (None, _) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_no_runtime_takes_are_told_by_what_is_wrong_with_them() {
        assert!(Regex::new(REFERENCE).is_ok());
        let check = |image: &str, expected: Option<&str>| {
            let found = mistake(image);
            let begins =
                expected.is_none_or(|expected| found.is_some_and(|found| found.starts_with(expected)));
            assert!(begins && found.is_some() == expected.is_some(), "{image}: {found:?}");
        };
        let digest = format!("a.example.com/b/c:1@sha256:{}", "0".repeat(64));
        for good in [
            "nginx",
            "nginx:1.27-Alpine_2",
            "library/nginx",
            "localhost:5000/a__b/c-d.e",
            "Registry.example.com/a",
            "[::1]:5000/a",
            &digest,
        ] {
            check(good, None);
        }
        check("", Some("is empty"));
        check("a.example.com/Team/web:1", Some("has an upper-case letter"));
        check("Nginx", Some("has an upper-case letter"));
        check("https://a.example.com/b", Some("begins with a scheme"));
        check("{{ .Values.image }}", Some("is a template"));
        check("a.example.com/b:${TAG}", Some("is a template"));
        check("a.example.com/b:$(TAG)", Some("is a template"));
        check("a.example.com/b/", Some("ends with a slash"));
        check("a.example.com/b ", Some("holds a blank"));
        check("a.example.com/b:", Some("is not the reference"));
        check("a.example.com//b", Some("is not the reference"));
        check("a.example.com/b@sha256:0", Some("is not the reference"));
    }
}
