//! The registry's host in an image reference.

/// Returns the host of the registry that an image reference names, with its port; `docker.io` when it names no host.
///
/// The part before the first `/` is a host when it contains a `.`, a `:` or an upper-case letter, or is `localhost`
/// (the rule of <https://github.com/distribution/reference>, which the kubelet uses).
#[must_use]
pub fn registry_host(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host != "index.docker.io" && is_host(host) => host,
        _ => "docker.io",
    }
}

fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(|c: char| c == '.' || c == ':' || c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_the_kubelet_would_ask() {
        let cases = [
            ("nginx", "docker.io"),
            ("nginx:1.27", "docker.io"),
            ("library/nginx", "docker.io"),
            ("index.docker.io/library/nginx", "docker.io"),
            ("localhost/app", "localhost"),
            ("localhost:5000/app@sha256:00", "localhost:5000"),
            ("registry.example.com/team/app:1", "registry.example.com"),
            ("demo-registry.cn-hangzhou.cr.aliyuncs.com/a/b", "demo-registry.cn-hangzhou.cr.aliyuncs.com"),
            ("", "docker.io"),
        ];
        for (image, host) in cases {
            assert_eq!(registry_host(image), host, "{image}");
        }
    }
}
