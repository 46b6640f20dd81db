//! What a control plane can have besides itself: a registry, and a node that pulls from it.

use std::time::Duration;

/// What to start. By default, the control plane alone.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The registry.
    pub registry: Option<Registry>,
    /// The node. Without it, Pods are pending for ever.
    pub node: Option<Node>,
}

/// A registry whose logins the fake cloud judges.
#[derive(Clone, Debug)]
pub struct Registry {
    /// The URL of the fake cloud.
    pub cloud: String,
    /// Images that need a login, such as `team/web:1`.
    pub images: Vec<String>,
    /// Images that everybody may pull.
    pub public_images: Vec<String>,
}

/// A node that pulls images as a kubelet does, and runs nothing.
#[derive(Clone, Debug)]
pub struct Node {
    /// Host names in images that lead to the registry, such as `*.aliyuncs.com`; or elsewhere, such as
    /// `example.com=127.0.0.1:5000`.
    pub hosts: Vec<String>,
    /// How long it waits after the first pull that failed. It doubles with each further one.
    pub pull_back_off: Duration,
    /// Where the doubling ends.
    pub pull_back_off_limit: Duration,
    /// Whether it pulls again when a pull secret changes, as no kubelet does.
    pub retry_on_secret_change: bool,
}

impl Default for Node {
    /// With a kubelet's patience.
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            pull_back_off: Duration::from_secs(10),
            pull_back_off_limit: Duration::from_mins(5),
            retry_on_secret_change: false,
        }
    }
}

impl Options {
    /// The flags of `cluster up`.
    pub(super) fn arguments(&self) -> Vec<String> {
        let Self { registry, node } = self;
        let mut arguments = Vec::new();
        if let Some(Registry { cloud, images, public_images }) = registry {
            arguments.push(format!("--registry-cloud={cloud}"));
            arguments.extend(images.iter().map(|image| format!("--image={image}")));
            arguments.extend(public_images.iter().map(|image| format!("--public-image={image}")));
        }
        if let Some(Node { hosts, pull_back_off, pull_back_off_limit, retry_on_secret_change }) = node {
            arguments.push("--node".to_owned());
            arguments.push(format!("--pull-back-off={}ms", pull_back_off.as_millis()));
            arguments.push(format!("--pull-back-off-limit={}ms", pull_back_off_limit.as_millis()));
            arguments.push(format!("--retry-on-secret-change={retry_on_secret_change}"));
            arguments.extend(hosts.iter().map(|host| format!("--host={host}")));
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_alone_needs_no_flags() {
        assert_eq!(Options::default().arguments(), Vec::<String>::new());
    }

    #[test]
    fn everything_that_is_wanted_becomes_a_flag() {
        let registry = Registry {
            cloud: "http://127.0.0.1:8080".into(),
            images: vec!["team/web:1".into()],
            public_images: vec!["public/tool:1".into()],
        };
        let node = Node {
            hosts: vec!["*.aliyuncs.com".into()],
            pull_back_off: Duration::from_millis(200),
            ..Node::default()
        };
        let arguments = Options { registry: Some(registry), node: Some(node) }.arguments();
        assert_eq!(
            arguments,
            [
                "--registry-cloud=http://127.0.0.1:8080",
                "--image=team/web:1",
                "--public-image=public/tool:1",
                "--node",
                "--pull-back-off=200ms",
                "--pull-back-off-limit=300000ms",
                "--retry-on-secret-change=false",
                "--host=*.aliyuncs.com",
            ]
        );
    }
}
