//! The endpoints of the APIs: the host rules of Alibaba Cloud, and the flags that override them.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::configuration::Region;

/// The root of an API or of ECS metadata: scheme, host and port. APIs need HTTPS, except on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base(Url);

/// The endpoints of the APIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    acr: Overrides,
    sts: Overrides,
    /// The endpoint of ECS metadata.
    pub(super) metadata: Base,
    /// Whether the VPC names of the APIs are used.
    pub(super) vpc: bool,
}

/// The values of the flags, as the user wrote them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags<'a> {
    /// Each `--acr-endpoint [REGION=]URL`.
    pub acr: &'a [String],
    /// Each `--sts-endpoint [REGION=]URL`.
    pub sts: &'a [String],
    /// `--metadata-endpoint URL`.
    pub metadata: Option<&'a str>,
    /// `--vpc-endpoints`.
    pub vpc: bool,
}

/// Why a flag is not an endpoint. The message names the flag and the correct form. It does not quote the value, which may
/// contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: {problem}: {fix}")]
pub struct EndpointError {
    flag: &'static str,
    problem: &'static str,
    fix: &'static str,
}

impl Endpoints {
    /// Reads the flags.
    pub fn parse(flags: Flags<'_>) -> Result<Self, EndpointError> {
        Ok(Self {
            acr: overrides("--acr-endpoint", flags.acr)?,
            sts: overrides("--sts-endpoint", flags.sts)?,
            metadata: Base::parse(METADATA_FLAG, flags.metadata.unwrap_or("http://100.100.100.200"))?,
            vpc: flags.vpc,
        })
    }

    /// Returns the endpoint of ACR in a region, for both editions.
    pub fn acr(&self, region: &Region) -> Result<Base, EndpointError> {
        let vpc = if self.vpc { "-vpc" } else { "" };
        overriding(&self.acr, region)
            .map_or_else(|| Base::from_host(&format!("cr{vpc}.{region}.aliyuncs.com")), Ok)
    }

    /// Returns the endpoint of STS in a region. If `vpc` is true, this is the VPC name, whatever the flag is.
    pub fn sts(&self, region: &Region, vpc: bool) -> Result<Base, EndpointError> {
        overriding(&self.sts, region)
            .map_or_else(|| Base::from_host(&sts_host(region.as_str(), self.vpc || vpc)), Ok)
    }
}

impl Base {
    /// Returns host and port as in the Host header.
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        // `port` is `None` for the scheme's default port, which the header leaves out as well.
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Returns the URL of a path and a query, which must be encoded already.
    pub fn url(&self, path: &str, query: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        url
    }

    /// Returns the root of a registry: HTTPS, or HTTP if the host is this machine.
    pub fn from_registry(host: &str) -> Result<Self, EndpointError> {
        let secure = Self::from_host(host)?;
        if is_loopback(&secure.0) { Self::parse("host", &format!("http://{host}")) } else { Ok(secure) }
    }

    fn from_host(host: &str) -> Result<Self, EndpointError> {
        Self::parse("host", &format!("https://{host}"))
    }

    fn parse(flag: &'static str, text: &str) -> Result<Self, EndpointError> {
        let error = |problem, fix| EndpointError { flag, problem, fix };
        let url = Url::parse(text.trim())
            .map_err(|_| error("is not a URL", "write https://HOST or https://HOST:PORT"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(error("contains a user or a password", "write only https://HOST"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(error("has a path, a query or a fragment", "write only https://HOST"));
        }
        match url.scheme() {
            // Requests over TLS may go through a proxy.
            "https" if flag == METADATA_FLAG => {
                Err(error("is HTTPS", "write http://HOST: ECS metadata has no TLS"))
            }
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            // The metadata service has HTTP, but only at a link-local address: the requests never leave the machine.
            "http" if flag == METADATA_FLAG && url.host() == Some(METADATA_HOST) => Ok(Self(url)),
            "http" => Err(error(
                "is HTTP, which would show keys to the network",
                "write https://; HTTP is for a host on this machine only, such as http://127.0.0.1:8080",
            )),
            _ => Err(error("is neither HTTPS nor HTTP", "write https://HOST")),
        }
    }
}

/// Overrides of one product. One without a region applies to every region, the others to one region each.
type Overrides = Vec<(Option<Region>, Base)>;

fn overrides(flag: &'static str, values: &[String]) -> Result<Overrides, EndpointError> {
    let mut overrides = Overrides::new();
    for value in values {
        // A URL can contain "=" only in parts that are refused anyway; a region never contains ":".
        let (region, url) = match value.split_once('=').filter(|(region, _)| !region.contains(':')) {
            Some((region, url)) => {
                let Ok(region) = Region::parse(region.trim()) else {
                    let problem = "has no region before the \"=\"";
                    let fix = "write REGION=URL with a region such as cn-hangzhou, or only the URL";
                    return Err(EndpointError { flag, problem, fix });
                };
                (Some(region), url)
            }
            None => (None, value.as_str()),
        };
        if overrides.iter().any(|(known, _)| *known == region) {
            let (problem, fix) = ("is given twice for one region", "keep one of them");
            return Err(EndpointError { flag, problem, fix });
        }
        overrides.push((region, Base::parse(flag, url)?));
    }
    Ok(overrides)
}

fn overriding(overrides: &Overrides, region: &Region) -> Option<Base> {
    let get = |wanted: Option<&Region>| overrides.iter().find(|(known, _)| known.as_ref() == wanted);
    get(Some(region)).or_else(|| get(None)).map(|(_, base)| base.clone())
}

/// Returns the host of STS in a region. The source is the endpoint table of Alibaba's credentials SDK.
fn sts_host(region: &str, vpc: bool) -> String {
    match region {
        "cn-hangzhou-finance" => sts_host("cn-hangzhou", vpc),
        // These two regions have no other host.
        "cn-shenzhen-finance-1" | "cn-north-2-gov-1" => format!("sts-vpc.{region}.aliyuncs.com"),
        _ if vpc => format!("sts-vpc.{region}.aliyuncs.com"),
        _ => format!("sts.{region}.aliyuncs.com"),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address == Ipv6Addr::LOCALHOST,
        None => false,
    }
}

const METADATA_FLAG: &str = "--metadata-endpoint";
const METADATA_HOST: Host<&str> = Host::Ipv4(Ipv4Addr::new(100, 100, 100, 200));

#[cfg(test)]
mod tests {
    use super::*;

    fn region(text: &str) -> Region {
        Region::parse(text).unwrap()
    }

    #[track_caller]
    fn check_hosts(name: &str, vpc: bool, acr: &str, sts: &str) {
        let endpoints = Endpoints::parse(Flags { vpc, ..Flags::default() }).unwrap();
        assert_eq!(endpoints.acr(&region(name)).unwrap().authority(), acr);
        assert_eq!(endpoints.sts(&region(name), false).unwrap().authority(), sts);
    }

    #[test]
    fn hosts_follow_the_rules_of_the_products() {
        check_hosts("cn-hangzhou", false, "cr.cn-hangzhou.aliyuncs.com", "sts.cn-hangzhou.aliyuncs.com");
        check_hosts("cn-beijing", true, "cr-vpc.cn-beijing.aliyuncs.com", "sts-vpc.cn-beijing.aliyuncs.com");
        check_hosts(
            "cn-hangzhou-finance",
            false,
            "cr.cn-hangzhou-finance.aliyuncs.com",
            "sts.cn-hangzhou.aliyuncs.com",
        );
        check_hosts(
            "cn-shenzhen-finance-1",
            false,
            "cr.cn-shenzhen-finance-1.aliyuncs.com",
            "sts-vpc.cn-shenzhen-finance-1.aliyuncs.com",
        );
        check_hosts(
            "cn-north-2-gov-1",
            false,
            "cr.cn-north-2-gov-1.aliyuncs.com",
            "sts-vpc.cn-north-2-gov-1.aliyuncs.com",
        );
    }

    #[test]
    fn the_override_of_a_region_beats_the_one_for_all() {
        let acr = ["https://cr.example.com".to_owned(), "cn-chengdu=https://cr.aliyuncs.com".to_owned()];
        let endpoints = Endpoints::parse(Flags { acr: &acr, ..Flags::default() }).unwrap();
        assert_eq!(endpoints.acr(&region("cn-chengdu")).unwrap().authority(), "cr.aliyuncs.com");
        assert_eq!(endpoints.acr(&region("cn-beijing")).unwrap().authority(), "cr.example.com");
        assert_eq!(
            endpoints.sts(&region("cn-beijing"), true).unwrap().authority(),
            "sts-vpc.cn-beijing.aliyuncs.com"
        );
    }

    #[track_caller]
    fn check_refusal(values: &[&str], expected: &str) {
        let acr: Vec<_> = values.iter().map(|&value| value.to_owned()).collect();
        let error = Endpoints::parse(Flags { acr: &acr, ..Flags::default() }).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_endpoint_that_is_not_safe_or_not_plain_is_refused() {
        check_refusal(
            &["http://cr.example.com"],
            "--acr-endpoint: is HTTP, which would show keys to the network: write https://; HTTP is for a host on this \
             machine only, such as http://127.0.0.1:8080",
        );
        check_refusal(
            &["cr.example.com"],
            "--acr-endpoint: is not a URL: write https://HOST or https://HOST:PORT",
        );
        check_refusal(
            &["ftp://cr.example.com"],
            "--acr-endpoint: is neither HTTPS nor HTTP: write https://HOST",
        );
        check_refusal(
            &["https://user:MARKER@cr.example.com"],
            "--acr-endpoint: contains a user or a password: write only https://HOST",
        );
        check_refusal(
            &["https://cr.example.com/v1?a=b"],
            "--acr-endpoint: has a path, a query or a fragment: write only https://HOST",
        );
        check_refusal(
            &["https://a.example.com", "https://b.example.com"],
            "--acr-endpoint: is given twice for one region: keep one of them",
        );
    }

    #[test]
    fn plain_http_is_fine_on_this_machine() {
        for text in
            ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://cr.example.com:8443/"]
        {
            let acr = [text.to_owned()];
            assert!(Endpoints::parse(Flags { acr: &acr, ..Flags::default() }).is_ok(), "{text}");
        }
        for text in ["http://100.100.100.200", "http://127.0.0.1:1"] {
            assert!(Endpoints::parse(Flags { metadata: Some(text), ..Flags::default() }).is_ok(), "{text}");
        }
        let other = Flags { metadata: Some("http://100.100.100.201"), ..Flags::default() };
        assert!(Endpoints::parse(other).is_err());
    }

    #[test]
    fn a_registry_on_this_machine_is_asked_over_http() {
        assert_eq!(
            Base::from_registry("localhost:5000").unwrap().url("/v2/", "").as_str(),
            "http://localhost:5000/v2/"
        );
        assert_eq!(
            Base::from_registry("r.example.com").unwrap().url("/v2/", "").as_str(),
            "https://r.example.com/v2/"
        );
        assert!(Base::from_registry("r.example.com/path").is_err());
    }
}
