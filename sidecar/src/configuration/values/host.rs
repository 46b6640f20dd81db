//! Hosts of registries.

use std::net::Ipv4Addr;

use super::{NO_TOKEN_API, Region, ValueError, no_token_api, refuse_if, refuse_placeholder, text_value};

text_value! {
    /// Host of a registry, `host` or `host:port`, in lower case.
    Host
}

/// The information in the name of a host about its instance, by the naming rules of Alibaba Cloud. Custom domains contain no
/// such information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Personal Edition in this region.
    Personal(Region),
    /// An Enterprise Edition instance in this region.
    Enterprise(Region),
}

/// Public registries. A credential for one of them would be sent to a third party, and Pods could not pull from it any more.
const PUBLIC: [&str; 16] = [
    "docker.io",
    "docker.com",
    "ghcr.io",
    "quay.io",
    "gcr.io",
    "pkg.dev",
    "registry.k8s.io",
    "mcr.microsoft.com",
    "public.ecr.aws",
    "registry.gitlab.com",
    "registry.access.redhat.com",
    "registry.redhat.io",
    "docker.elastic.co",
    "nvcr.io",
    "lscr.io",
    "cgr.dev",
];

impl Host {
    /// Reads a host. Upper case is changed to lower case, because the case of hosts has no meaning.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let host = Self::from_api(text)?;
        refuse_placeholder(&host.0, "write the hosts of the instance, or leave domains out for all of them")?;
        Ok(host)
    }

    /// Reads a host from an API's response, which may look like a placeholder.
    pub fn from_api(text: &str) -> Result<Self, ValueError> {
        const FIX: &str = "write a host, such as registry.example.com or registry.example.com:5000";
        let text = text.trim().to_ascii_lowercase();
        let one_pair = "write one text in one pair of quotes: domains: \"a.com,b.com\"";
        refuse_if(text.contains(['"', '\'']), "contains a quote", one_pair)?;
        if let Some(fix) = host_within_url(&text) {
            return Err(ValueError::new("is a URL or a path", fix));
        }
        refuse_if(text.starts_with("*."), "is a wildcard", "write each host in full")?;
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text.as_str(), None),
        };
        let is_port = |port: &str| matches!(port.parse::<u16>(), Ok(1..));
        refuse_if(port.is_some_and(|port| !is_port(port)), "has no valid port after the colon", FIX)?;
        let names_a_registry = name.contains('.') || port.is_some() || name == "localhost";
        let is_host = names_a_registry && name.len() <= 253 && name.split('.').all(is_label);
        refuse_if(!is_host, "is not a host", FIX)?;
        if without_token_api(name).is_some() {
            return Err(no_token_api());
        }
        Ok(Self(text))
    }

    /// Returns the hosts of Personal Edition in a region, sorted. All of them accept the same credential. The `-intl` forms are
    /// those of the international site, and exist in mainland regions too.
    pub fn of_personal_edition(region: &Region) -> Vec<Self> {
        let forms = ["-internal", "-intl-internal", "-intl-vpc", "-intl", "-vpc", ""];
        forms.iter().map(|form| Self(format!("registry{form}.{region}.aliyuncs.com"))).collect()
    }

    /// Returns whether the host is a public registry or an IP address. No ACR instance has such a host.
    pub fn is_elsewhere(&self) -> bool {
        let name = self.name();
        let is_below = |public: &&str| {
            name.strip_suffix(*public).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        PUBLIC.iter().any(is_below) || name.parse::<Ipv4Addr>().is_ok()
    }

    fn name(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// Returns the edition and the region that the name contains, if any.
    pub fn origin(&self) -> Option<Origin> {
        let name = self.name().strip_suffix(".aliyuncs.com")?;
        if let Some(name) = name.strip_suffix(".cr") {
            let (registry, region) = name.rsplit_once('.')?;
            let is_registry = registry.contains("-registry") || registry.contains("-chart");
            return Region::parse(region).ok().filter(|_| is_registry).map(Origin::Enterprise);
        }
        let (registry, region) = name.split_once('.')?;
        let is_registry = registry == "registry" || registry.starts_with("registry-");
        Region::parse(region).ok().filter(|_| is_registry).map(Origin::Personal)
    }
}

/// Returns problem and fix for a host for which no token API exists.
pub fn without_token_api(host: &str) -> Option<String> {
    let name = host.split(':').next().unwrap_or_default();
    let (problem, fix) = NO_TOKEN_API;
    let is_meant = name.starts_with("crpi-") && name.ends_with(".personal.cr.aliyuncs.com");
    is_meant.then(|| format!("{problem}: {fix}"))
}

/// Returns what to write instead of a text that is a URL or a path.
fn host_within_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
    if scheme.is_empty() && host == text {
        return None;
    }
    Some(match Host::parse(host) {
        Ok(host) => format!("write only the host: {host}"),
        Err(_) => "write only the host, such as registry.example.com".to_owned(),
    })
}

/// Returns whether the text is a label of a DNS name (RFC 1123).
fn is_label(label: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(is_inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}
