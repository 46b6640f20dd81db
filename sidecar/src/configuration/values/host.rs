//! Hosts of registries.

use std::net::Ipv4Addr;

use super::{NO_TOKEN_API, Region, ValueError, no_token_api, refuse_if, refuse_placeholder, text_value};

text_value! {
    /// Host of a registry, `host` or `host:port`, lower case.
    Host
}

/// What the name of a host gives away about the instance behind it (facts of Alibaba Cloud; custom domains give away
/// nothing).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Personal Edition in this region.
    Personal(Region),
    /// An Enterprise Edition instance in this region.
    Enterprise(Region),
}

/// Registries whose images are for everybody. A credential for one of them would be sent to a stranger, and Pods could not pull
/// from there any more.
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
    /// Reads a host. Upper case is read as lower case, since hosts have none.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let host = Self::from_api(text)?;
        refuse_placeholder(&host.0, "write the hosts of the instance, or leave domains out for all of them")?;
        Ok(host)
    }

    /// Reads a host that an API names, which may look like a placeholder.
    pub fn from_api(text: &str) -> Result<Self, ValueError> {
        const FIX: &str = "write a host, such as registry.example.com or registry.example.com:5000";
        let text = text.trim().to_ascii_lowercase();
        let one_pair = "write one text in one pair of quotes: domains: \"a.com,b.com\"";
        refuse_if(text.contains(['"', '\'']), "holds a quote", one_pair)?;
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

    /// The hosts of Personal Edition in a region, sorted. All of them take the same credential; the `-intl` forms are those of the
    /// international site, which exist in mainland regions too.
    pub fn of_personal_edition(region: &Region) -> Vec<Self> {
        let forms = ["-internal", "-intl-internal", "-intl-vpc", "-intl", "-vpc", ""];
        forms.iter().map(|form| Self(format!("registry{form}.{region}.aliyuncs.com"))).collect()
    }

    /// Whether it is a registry of images for everybody, or an address: no instance of ACR is there.
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

    /// What its name gives away.
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

/// Where no token can be had for a host: why, and what to do instead.
pub fn without_token_api(host: &str) -> Option<String> {
    let name = host.split(':').next().unwrap_or_default();
    let (problem, fix) = NO_TOKEN_API;
    let is_meant = name.starts_with("crpi-") && name.ends_with(".personal.cr.aliyuncs.com");
    is_meant.then(|| format!("{problem}: {fix}"))
}

/// Where a text is a URL or a path: what to write instead.
fn host_within_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
    if scheme.is_empty() && host == text {
        return None;
    }
    Some(match Host::parse(host) {
        Ok(host) => format!("write the host alone: {host}"),
        Err(_) => "write the host alone, such as registry.example.com".to_owned(),
    })
}

/// A label of a DNS name (RFC 1123).
fn is_label(label: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(is_inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}
