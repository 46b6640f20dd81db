//! The keys of each level of a configuration, and the right level of a misplaced key.

/// The meaning of a key, which is the same in all forms.
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

/// A form of the configuration: its keys by their names, and the names of its parts in messages.
pub(super) struct Form {
    pub(super) keys: &'static [(&'static str, Key)],
    /// The list of registries.
    pub(super) registries: &'static str,
    /// How RRSA is switched on.
    pub(super) enable_rrsa: &'static str,
}

/// The vendor's keys of the self-managed component, and our keys.
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

/// A key that both editions of the vendor's add-on are installed with. It selects the identity of the vendor's component.
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

/// Returns the known key with the same meaning as this key of the other form.
pub(super) fn in_other_form(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let all = || CONFIG_MAP.keys.iter().chain(MANAGED.keys);
    let (_, meant) = all().find(|(other, _)| *other == name)?;
    all().find(|(other, key)| key == meant && known.contains(other)).map(|(other, _)| *other)
}

/// Returns problem and fix for a key of the vendor's older versions.
pub(super) fn replaced(name: &str) -> Option<(&'static str, &'static str)> {
    // This was a list of hosts with wildcards, until 2019.
    (name == "acr-registry").then_some((
        "is a key of older versions",
        "write acr-registry-info instead: an entry for each instance, with its id as instanceId, which is empty for Personal \
         Edition, and its regionId",
    ))
}

/// Returns problem and fix for a key that belongs to another level. `place` is the place of the map that contains it, and
/// `known` are the keys of that map.
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
            // This level selects the managed namespaces, and an entry selects the namespaces that get its registry.
            "namespaces" if CONFIG_MAP.has(list) => Some((
                DEEPER,
                format!(
                    "write it in an entry of {list}, or write watch-namespace for the managed namespaces"
                ),
            )),
            _ if REGISTRY.contains(&name) => Some((DEEPER, format!("write it in an entry of {list}"))),
            _ if WEBHOOK.contains(&name) => Some((DEEPER, "write it below webhook-configuration".to_owned())),
            _ if MANIFEST.contains(&name) && name != "data" => Some((UP, "write it next to data".to_owned())),
            _ => None,
        };
    }
    if let Some((_, beside)) = place.rsplit_once("].")
        && REGISTRY.contains(&name)
    {
        return Some((UP, format!("write it next to {beside}")));
    }
    let outer = place.split(['[', '.']).next().unwrap_or(place);
    if CONFIG_MAP.has(name) || MANAGED.has(name) {
        return Some((UP, format!("write it next to {outer}")));
    }
    let is_of_list = REGISTRY.contains(&name) && !known.contains(&name);
    is_of_list.then(|| ("belongs elsewhere", "write it in an entry of acr-registry-info".to_owned()))
}
