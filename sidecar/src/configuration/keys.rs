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

/// A form of the configuration: its keys by their names, and what messages call its parts.
pub(super) struct Form {
    pub(super) keys: &'static [(&'static str, Key)],
    /// The list of registries.
    pub(super) registries: &'static str,
    /// How RRSA is switched on.
    pub(super) enable_rrsa: &'static str,
}

/// The vendor's keys of the self-managed component, and ours.
pub(super) static CONFIG_MAP: Form = Form {
    keys: &[
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
    ],
    registries: "acr-registry-info",
    enable_rrsa: "add the key rrsa with the text `enable: true`",
};

/// The vendor's keys of the managed add-on.
pub(super) static MANAGED: Form = Form {
    keys: &[
        ("serviceAccount", Key::ServiceAccount),
        ("watchNamespace", Key::WatchNamespace),
        ("AcrInstanceInfo", Key::Registries),
        ("expiringThreshold", Key::ExpiringThreshold),
        ("enableRRSA", Key::EnableRrsa),
        ("notifyEmail", Key::NotifyEmail),
    ],
    registries: "AcrInstanceInfo",
    enable_rrsa: "set enableRRSA to true",
};

impl Form {
    pub(super) fn has(&self, name: &str) -> bool {
        self.keys.iter().any(|(known, _)| *known == name)
    }
}

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

/// The name that the other form of a configuration has for a key of this one.
pub(super) fn in_other_form(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let all = || CONFIG_MAP.keys.iter().chain(MANAGED.keys);
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
    if known.contains(&"data") {
        return if CONFIG_MAP.has(name) {
            Some((DEEPER, "write it below data".to_owned()))
        } else {
            REGISTRY.contains(&name).then(|| (DEEPER, "write it in an entry of acr-registry-info".to_owned()))
        };
    }
    if let Some(form) = [&CONFIG_MAP, &MANAGED].into_iter().find(|form| known.contains(&form.registries)) {
        let list = form.registries;
        return match name {
            "enable" => Some((DEEPER, "write it below rrsa or webhook-configuration".to_owned())),
            // Which namespaces are managed is said here, which of them get a registry is said there.
            "namespaces" if CONFIG_MAP.has(list) => Some((
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
    if CONFIG_MAP.has(name) || MANAGED.has(name) {
        return Some((UP, format!("write it beside {outer}")));
    }
    let is_of_list = REGISTRY.contains(&name) && !known.contains(&name);
    is_of_list.then(|| ("belongs elsewhere", "write it in an entry of acr-registry-info".to_owned()))
}
