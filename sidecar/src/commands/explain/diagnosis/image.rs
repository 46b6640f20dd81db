//! Finds the registry of an image, and whether the pull secret has a login for it.

use std::sync::LazyLock;

use acr_credential_core::registry_host;
use regex::Regex;

use super::{Case, Need};
use crate::cluster::fingerprint::instance_name;
use crate::cluster::observed::PullSecret;
use crate::commands::report::Mark;
use crate::commands::report::remark::{Remark, error, ok, skipped, warning};
use crate::configuration::{Host, Instance, Origin, Registry, without_token_api};

/// A registry of the configuration that has a host.
struct HostMatch<'a> {
    registry: &'a Registry,
    /// Whether the match is certain. Otherwise the cloud knows the registry's hosts, and this host may be one of them.
    is_certain: bool,
    /// Whether the registry is for the namespace of the subject.
    is_for_namespace: bool,
}

impl Case<'_> {
    /// Returns whether an image needs the pull secret, and the finding about the image.
    pub(super) fn image(&self, image: &str) -> (Need, Remark) {
        if let Some(problem) = mistake(image) {
            return (Need::No, error(problem));
        }
        let host = registry_host(image);
        let hosts = self.cluster.hosts.as_deref();
        let holds_login = |host: &str| hosts.is_some_and(|hosts| hosts.iter().any(|known| known == host));
        if holds_login(host) {
            return (Need::Yes, ok("the pull secret has a login for its host"));
        }
        let registries = self.configuration.map(|configuration| configuration.registries.as_slice());
        let known = registries.unwrap_or_default();
        if hosts.is_some() && known.iter().any(|registry| has_host(registry, host) == Some(true)) {
            return (Need::Yes, error("the pull secret has no login for its host: see `status`"));
        }
        let plain = plain(host);
        let is_meant = |found: HostMatch<'_>| found.is_certain || found.is_for_namespace;
        if plain != host && (holds_login(&plain) || self.match_host(known, &plain).is_some_and(is_meant)) {
            let problem = format!(
                "the kubelet finds no login for its host, which it compares letter by letter: write {plain}"
            );
            return (Need::Yes, error(problem));
        }
        if registries.is_err() {
            return self.image_by_secret(host);
        }
        let namespace = &self.subject.namespace;
        let Some(HostMatch { registry, is_certain, is_for_namespace }) = self.match_host(known, host) else {
            return (Need::No, unknown_host(host));
        };
        let place = &registry.place;
        let is_lacking = self.cluster.secret.found().is_some_and(|it| it.ours && !holds(it, registry));
        let lacks = "which the pull secret does not contain: see `status`";
        let remark = match (is_certain, is_for_namespace) {
            (true, true) if is_lacking => error(format!("its host belongs to {place}, {lacks}")),
            (true, true) => ok(format!("its host belongs to {place}")),
            (true, false) => error(format!(
                "its host belongs to {place}, which is for other namespaces: add {namespace} to its namespaces"
            )),
            (false, true) if is_lacking => warning(format!("its host may belong to {place}, {lacks}")),
            // All hosts are known, and this host is not among them.
            (false, true) if hosts.is_some() && self.is_good_secret() => {
                return (Need::No, unknown_host(host));
            }
            (false, true) => warning(format!(
                "its host may belong to {place}, whose hosts the cloud names: --read-secret shows whether it does"
            )),
            (false, false) => warning(format!(
                "its host may belong to {place}, which is for other namespaces: if it does, add {namespace} to its namespaces"
            )),
        };
        (Need::Yes, remark)
    }

    /// Returns whether the Secret is known to be what the sidecar wrote, and to be valid.
    fn is_good_secret(&self) -> bool {
        self.secret().0 == Mark::Ok
    }

    /// Judges a host for which the pull secret is not known to have a login, without a configuration.
    fn image_by_secret(&self, host: &str) -> (Need, Remark) {
        if let Some(problem) = without_token_api(host) {
            return (Need::No, warning(format!("its host {problem}")));
        }
        let none = |what: &str| format!("the pull secret has no {what}; fine if the image is public");
        let origin = Host::parse(host).ok().and_then(|host| host.origin());
        let secret = self.cluster.secret.found().filter(|secret| secret.ours && secret.intact);
        // A problem of the Secret may be the reason why this host is not in it.
        let (need_of_acr, need_of_others) =
            if self.is_good_secret() { (Need::Maybe, Need::No) } else { (Need::Yes, Need::Maybe) };
        match (origin, &self.cluster.hosts, secret) {
            (None, Some(_), _) => (need_of_others, skipped(none("login for its host"))),
            (Some(_), Some(_), _) => (need_of_acr, warning(none("login for its host"))),
            (None, None, _) => (
                Need::Maybe,
                skipped(
                    "its host is not one of ACR; --read-secret shows whether the pull secret has a login for it",
                ),
            ),
            (Some(_), None, None) => {
                (Need::Yes, skipped("whether the pull secret has a login for its host was not checked"))
            }
            (Some(origin), None, Some(secret)) => {
                match secret.registries.split(',').find(|name| may_have(name, &origin)) {
                    Some(name) => (
                        Need::Yes,
                        warning(format!(
                            "its host may belong to {name}, which the pull secret contains: --read-secret shows whether it does"
                        )),
                    ),
                    None => (need_of_acr, warning(none("registry of this kind and region"))),
                }
            }
        }
    }

    /// Returns the registry that has this host. Certain matches come before possible ones, and then registries for this
    /// namespace before others.
    fn match_host<'r>(&self, registries: &'r [Registry], host: &str) -> Option<HostMatch<'r>> {
        [(true, true), (true, false), (false, true), (false, false)].into_iter().find_map(
            |(is_certain, is_for_namespace)| {
                let answer = is_certain.then_some(true);
                let found = registries.iter().find(|it| {
                    it.is_for(&self.subject.namespace) == is_for_namespace && has_host(it, host) == answer
                });
                found.map(|registry| HostMatch { registry, is_certain, is_for_namespace })
            },
        )
    }
}

fn unknown_host(host: &str) -> Remark {
    match without_token_api(host) {
        Some(problem) => warning(format!("its host {problem}")),
        None => skipped(format!("{host} is not among the configured registries; fine if it is public")),
    }
}

/// Returns the host as it is written in pull secrets. The kubelet treats a host in upper case, or with a port, as a
/// different host (<https://github.com/kubernetes/kubernetes/blob/master/pkg/credentialprovider/keyring.go>, `URLsMatch`).
fn plain(host: &str) -> String {
    let lower = host.to_ascii_lowercase();
    lower.strip_suffix(":443").unwrap_or(&lower).to_owned()
}

/// The grammar of an image reference, from <https://github.com/distribution/reference>, which container runtimes use.
const REFERENCE: &str = concat!(
    r"^(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[A-Fa-f0-9:]+\])(?::[0-9]+)?/)?",
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*",
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?",
    r"(?:@(?:sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}))?$",
);

/// Returns the reason why no container runtime accepts this image.
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
        _ if image.contains(char::is_whitespace) => Some("contains a blank: remove it"),
        _ if image.ends_with('/') => Some("ends with a slash: name the repository"),
        _ if is_reference(&image.to_ascii_lowercase()) => {
            Some("has an upper-case letter in its repository: write it in lower case")
        }
        _ => Some("is not the reference of an image: write host/repository:tag"),
    }
}

/// Returns whether a registry has this host; `None` if only the cloud knows.
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

/// Returns whether the annotations of the pull secret name this registry.
fn holds(secret: &PullSecret, registry: &Registry) -> bool {
    let instance = instance_name(&registry.instance);
    match &registry.region {
        Some(region) => secret.holds(&format!("{region}/{instance}")),
        None => secret.registries.split(',').any(|name| name.ends_with(&format!("/{instance}"))),
    }
}

/// Returns whether a registry, by its name in the annotations, may have a host of this origin.
fn may_have(name: &str, origin: &Origin) -> bool {
    let personal = instance_name(&Instance::Personal);
    let Some((of, instance)) = name.split_once('/') else { return false };
    match origin {
        Origin::Personal(region) => of == region.as_str() && instance == personal,
        Origin::Enterprise(region) => of == region.as_str() && instance != personal,
    }
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
        check("a.example.com/b ", Some("contains a blank"));
        check("a.example.com/b:", Some("is not the reference"));
        check("a.example.com//b", Some("is not the reference"));
        check("a.example.com/b@sha256:0", Some("is not the reference"));
    }
}
