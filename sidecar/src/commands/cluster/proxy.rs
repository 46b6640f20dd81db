//! The proxy on the way to the API server, chosen as kubectl chooses it.
//!
//! kube itself compares `NO_PROXY` with the proxy instead of the API server, and fails on an entry that it cannot parse.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::cloud::Environment;

/// A proxy. Its URL may contain a password, so it has no `Debug`.
pub(super) struct Proxy(Url);

impl Proxy {
    /// Returns the proxy to the API server: the kubeconfig's, or else the environment's. As in kubectl, `NO_PROXY` and loopback
    /// are exceptions from the environment's only. An error contains no value, because it may contain a password.
    pub(super) fn choose(
        api_server: &Uri,
        of_cluster: Option<&str>,
        environment: &Environment,
    ) -> Result<Option<Self>, String> {
        if let Some(url) = of_cluster.filter(|url| !url.is_empty()) {
            return Self::parse("proxy-url", url).map(Some);
        }
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| environment.get(name).map(|value| (name, value)))
        };
        let is_https = api_server.scheme_str() == Some("https");
        let wanted = if is_https { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
        let exceptions = first(["NO_PROXY", "no_proxy"]).map_or("", |(_, value)| value);
        match first(wanted) {
            Some((name, url)) if !is_direct(api_server, exceptions) => Self::parse(name, url).map(Some),
            _ => Ok(None),
        }
    }

    fn parse(place: &str, text: &str) -> Result<Self, String> {
        let text = text.trim();
        // Without a scheme, curl and Go expect an HTTP proxy.
        let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
        let is_supported = |url: &Url| matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h");
        match url {
            Ok(url) if is_supported(&url) && url.has_host() => Ok(Self(url)),
            _ => Err(format!(
                "{place} is not the URL of a proxy: write http://, https:// or socks5://HOST:PORT"
            )),
        }
    }

    /// Returns the URL without user and password, with the port written out.
    pub(super) fn shown(&self) -> String {
        let url = &self.0;
        let is_socks = url.scheme().starts_with("socks5");
        let port = url.port_or_known_default().unwrap_or(1080);
        let scheme = if is_socks { "socks5" } else { url.scheme() };
        format!("{scheme}://{}:{port}", url.host_str().unwrap_or_default())
    }

    /// Returns the URL with user and password, in the form that kube and hyper accept.
    pub(super) fn uri(&self) -> Result<Uri, http::uri::InvalidUri> {
        let url = &self.0;
        let login = match (url.username(), url.password()) {
            ("", None) => String::new(),
            (user, password) => format!("{user}:{}@", password.unwrap_or_default()),
        };
        self.shown().replacen("://", &format!("://{login}"), 1).parse()
    }

    /// Returns user and password of a SOCKS proxy. kube passes on only those of HTTP proxies.
    pub(super) fn socks_login(&self) -> Option<(String, String)> {
        let url = &self.0;
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let has_login = url.scheme().starts_with("socks5") && !url.username().is_empty();
        has_login.then(|| (decoded(url.username()), decoded(url.password().unwrap_or_default())))
    }
}

/// Returns whether the environment's proxy is not for this server, by the rules of Go: loopback is always direct, entries may
/// have a port, a leading dot means only subdomains, names never match an address, and entries that cannot be understood are
/// ignored.
/// <https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config>
fn is_direct(server: &Uri, exceptions: &str) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
    let port = port.to_string();
    let ip = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    let is_named_by = |entry: &str| {
        if let Ok(network) = entry.parse::<IpNet>() {
            return ip.is_some_and(|ip| network.contains(&ip));
        }
        let (name, its_port) = match entry.rsplit_once(':') {
            Some((name, port)) if name.ends_with(']') => (name.trim_matches(['[', ']']), port),
            // Not the last part of an IPv6 address.
            Some((name, port)) if !name.contains(':') => (name, port),
            _ => (entry, ""),
        };
        if !its_port.is_empty() && its_port != port {
            return false;
        }
        if let Some(ip) = ip {
            return name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical() == ip);
        }
        let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
        match host.strip_suffix(name) {
            Some("") => !name.is_empty() && !name.starts_with('.'),
            Some(rest) => !name.is_empty() && (name.starts_with('.') || rest.ends_with('.')),
            None => false,
        }
    };
    host == "localhost"
        || ip.is_some_and(|ip| ip.is_loopback())
        || exceptions
            .to_ascii_lowercase()
            .split(',')
            .map(str::trim)
            .any(|entry| entry == "*" || is_named_by(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(
        server: &str,
        of_cluster: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Option<String>, String> {
        let environment = variables.iter().copied().collect();
        let proxy = Proxy::choose(&server.parse().unwrap(), of_cluster, &environment)?;
        Ok(proxy.map(|proxy| proxy.uri().unwrap().to_string()))
    }

    #[test]
    fn the_proxy_is_that_of_the_kubeconfig_or_of_the_environment() {
        #[track_caller]
        fn check(server: &str, of_cluster: Option<&str>, variables: &[(&str, &str)], expected: Option<&str>) {
            assert_eq!(chosen(server, of_cluster, variables).unwrap().as_deref(), expected);
        }
        let both = [
            ("HTTPS_PROXY", "http://upper:1"),
            ("https_proxy", "http://lower:2"),
            ("HTTP_PROXY", "http://plain:3"),
        ];
        let server = "https://api.example.com:6443";
        check(server, None, &both, Some("http://upper:1/"));
        check(server, None, &both[1..], Some("http://lower:2/"));
        check(server, None, &both[2..], None);
        check("http://api.example.com:8080", None, &both, Some("http://plain:3/"));
        // kubectl does not read it.
        check(server, None, &[("ALL_PROXY", "http://all:4")], None);
        // The kubeconfig is more specific, and has no exceptions.
        let all = [("HTTPS_PROXY", "http://upper:1"), ("NO_PROXY", "*")];
        check(server, Some("socks5://jump"), &all, Some("socks5://jump:1080/"));
        check("https://127.0.0.1:6443", Some("https://jump"), &[], Some("https://jump:443/"));
        check(server, Some(""), &all[..1], Some("http://upper:1/"));
        check(server, None, &[("HTTPS_PROXY", "proxy:3128")], Some("http://proxy:3128/"));
        check(server, None, &[("HTTPS_PROXY", "socks5h://proxy")], Some("socks5://proxy:1080/"));
        check(server, None, &[("HTTPS_PROXY", "http://me@proxy")], Some("http://me:@proxy:80/"));
        check(server, None, &[("HTTPS_PROXY", "http://me:p%40ss@proxy")], Some("http://me:p%40ss@proxy:80/"));
    }

    #[test]
    fn what_is_shown_of_a_proxy_has_no_password() {
        let proxy = Proxy::parse("proxy-url", "socks5://me:p%40ss@jump:9050").unwrap();
        assert_eq!(proxy.shown(), "socks5://jump:9050");
        assert_eq!(proxy.socks_login(), Some(("me".to_owned(), "p@ss".to_owned())));
        for wrong in ["ftp://me:MARKER@jump", "http://me:MARKER@", "http://MARKER:port"] {
            let error = chosen("https://api.example.com", Some(wrong), &[]).unwrap_err();
            assert!(error.starts_with("proxy-url is not") && !error.contains("MARKER"), "{error}");
        }
    }

    #[test]
    fn no_proxy_follows_the_rules_of_go() {
        #[track_caller]
        fn check(host: &str, exceptions: &str, expected: bool) {
            let server = format!("https://{host}").parse().unwrap();
            assert_eq!(is_direct(&server, exceptions), expected, "{host} {exceptions}");
        }
        for loopback in ["localhost:6443", "LOCALHOST", "127.0.0.1", "127.8.9.1:6443", "[::1]:6443"] {
            check(loopback, "", true);
        }
        check("api.example.com:6443", "", false);
        check("api.example.com:6443", "*", true);
        check("api.example.com:6443", "other, *", true);
        check("api.example.com:6443", "a,,b, api.example.com ,", true);
        check("api.example.com:6443", "API.Example.com", true);
        check("api.example.com:6443", "api.example.com:6443", true);
        check("api.example.com:6443", "api.example.com:443", false);
        check("api.example.com", "api.example.com:443", true);
        check("api.example.com", "example.com", true);
        check("api.example.com", ".example.com", true);
        check("api.example.com", "*.example.com", true);
        check("api.example.com:6443", ".example.com:6443", true);
        check("example.com", "example.com", true);
        check("example.com", ".example.com", false);
        check("notexample.com", "example.com", false);
        check("10.1.2.3:6443", "10.0.0.0/8", true);
        check("11.1.2.3:6443", "10.0.0.0/8", false);
        check("10.1.2.3:6443", "10.1.2.3", true);
        check("10.1.2.3:6443", "10.1.2.3:6443", true);
        check("10.1.2.3:6443", "10.1.2.3:443", false);
        check("[fd00::1]:6443", "fd00::/8", true);
        check("[fd00::1]:6443", "fd00::1", true);
        check("[fd00::1]:6443", "[fd00::1]:6443", true);
        check("[fd00::1]:6443", "[fd00::1]:443", false);
        check("[fd00::1]:6443", "[fd00::1]:", true);
        check("[fd00::1]:6443", "[fd00::1]", false);
        check("10.1.2.3:6443", "10.1.2.3:", true);
        check("10.1.2.3:6443", ".3", false);
        check("10.1.2.3:6443", "*.2.3", false);
        check("10.1.2.3:6443", "2.3", false);
        check("api.example.com:6443", "api.example.com:", true);
        check("api.example.com:6443", ":6443", false);
    }
}
