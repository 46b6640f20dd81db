//! The keys of each level of a configuration, and where a key belongs that is written on another one.

/// What a key of any form means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    ServiceAccount,
    WatchNamespace,
    ExcludeNamespace,
    NamespaceSelector,
    Registries,
    ExpiringThreshold,
    Attach,
    Rrsa,
    EnableRrsa,
    Webhook,
    ApiVersion,
    NotifyEmail,
}

/// The keys of a form, by their names.
pub(super) type Keys = [(&'static str, Key)];

/// The vendor's keys of the self-managed component, and ours.
pub(super) const CONFIG_MAP: &Keys = &[
    ("service-account", Key::ServiceAccount),
    ("watch-namespace", Key::WatchNamespace),
    ("exclude-namespace", Key::ExcludeNamespace),
    ("watch-namespace-selector", Key::NamespaceSelector),
    ("acr-registry-info", Key::Registries),
    ("expiring-threshold", Key::ExpiringThreshold),
    ("attach", Key::Attach),
    ("rrsa", Key::Rrsa),
    ("webhook-configuration", Key::Webhook),
    ("acr-api-version", Key::ApiVersion),
    ("notify-email", Key::NotifyEmail),
];

/// The vendor's keys of the managed add-on.
pub(super) const MANAGED: &Keys = &[
    ("serviceAccount", Key::ServiceAccount),
    ("watchNamespace", Key::WatchNamespace),
    ("AcrInstanceInfo", Key::Registries),
    ("expiringThreshold", Key::ExpiringThreshold),
    ("enableRRSA", Key::EnableRrsa),
    ("notifyEmail", Key::NotifyEmail),
];

/// What the vendor's add-ons are installed with, in both editions; it says whose rights the vendor's component uses.
pub(super) const TOKEN_MODE: &str = "tokenMode";

/// The keys of a ConfigMap's manifest.
pub(super) const MANIFEST: [&str; 6] = ["data", "apiVersion", "kind", "metadata", "binaryData", "immutable"];

/// The keys of a registry.
pub(super) const REGISTRY: [&str; 12] = [
    "instanceId",
    "regionId",
    "domains",
    "namespaces",
    "assumeRoleARN",
    "expireDuration",
    "externalId",
    "rrsaRoleARN",
    "rrsaOIDCProviderRoleARN",
    "accessKeySecretRef",
    "customAccessKey",
    "customAccessKeySecret",
];

/// The keys below `rrsa`.
pub(super) const RRSA: [&str; 1] = ["enable"];

/// The keys below `webhook-configuration`.
pub(super) const WEBHOOK: [&str; 3] = ["enable", "failure-policy", "timeout-seconds"];

pub(super) fn is_one_of(keys: &Keys, name: &str) -> bool {
    keys.iter().any(|(known, _)| *known == name)
}

/// The name that the other form of a configuration has for a key of this one.
pub(super) fn in_other_form(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let all = || CONFIG_MAP.iter().chain(MANAGED);
    let (_, meant) = all().find(|(other, _)| *other == name)?;
    all().find(|(other, key)| key == meant && known.contains(other)).map(|(other, _)| *other)
}

/// What is wrong with a key that the vendor's older versions had, and what replaces it.
pub(super) fn replaced(name: &str) -> Option<(&'static str, &'static str)> {
    // A list of hosts with wildcards, until 2019.
    (name == "acr-registry").then_some((
        "is a key of older versions",
        "write acr-registry-info instead: an entry for each instance, with its id as instanceId, which is empty for Personal \
         Edition, and its regionId",
    ))
}

/// Where a key of another level belongs, as problem and fix. `place` is that of the map that it is in, which has the keys
/// `known`.
pub(super) fn misplaced(place: &str, name: &str, known: &[&'static str]) -> Option<(&'static str, String)> {
    const UP: &str = "belongs one level up";
    const DEEPER: &str = "belongs one level deeper";
    let registries =
        CONFIG_MAP.iter().chain(MANAGED).find(|(list, key)| *key == Key::Registries && known.contains(list));
    if known.contains(&"data") {
        return if is_one_of(CONFIG_MAP, name) {
            Some((DEEPER, "write it below data".to_owned()))
        } else {
            REGISTRY.contains(&name).then(|| (DEEPER, "write it in an entry of acr-registry-info".to_owned()))
        };
    }
    if let Some((list, _)) = registries {
        return match name {
            "enable" => Some((DEEPER, "write it below rrsa or webhook-configuration".to_owned())),
            // Which namespaces are managed is said here, which of them get a registry is said there.
            "namespaces" if is_one_of(CONFIG_MAP, list) => Some((
                DEEPER,
                format!(
                    "write it in an entry of {list}, or write watch-namespace for the managed namespaces"
                ),
            )),
            _ if REGISTRY.contains(&name) => Some((DEEPER, format!("write it in an entry of {list}"))),
            _ if WEBHOOK.contains(&name) => Some((DEEPER, "write it below webhook-configuration".to_owned())),
            _ if MANIFEST.contains(&name) && name != "data" => Some((UP, "write it beside data".to_owned())),
            _ => None,
        };
    }
    if let Some((_, beside)) = place.rsplit_once("].")
        && REGISTRY.contains(&name)
    {
        return Some((UP, format!("write it beside {beside}")));
    }
    let outer = place.split(['[', '.']).next().unwrap_or(place);
    if is_one_of(CONFIG_MAP, name) || is_one_of(MANAGED, name) {
        return Some((UP, format!("write it beside {outer}")));
    }
    let is_of_list = REGISTRY.contains(&name) && !known.contains(&name);
    is_of_list.then(|| ("belongs elsewhere", "write it in an entry of acr-registry-info".to_owned()))
}
