use std::fs;

use super::*;

const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: dev
clusters:
- name: dev
  cluster: { server: https://dev.example.com:6443, tls-server-name: inner.example.com }
- name: broken
  cluster: { certificate-authority-data: TUFSS0VS, server: https://broken.example.com }
- name: proxied
  cluster: { server: https://proxied.example.com, proxy-url: 'ftp://me:MARKER@jump' }
- name: nowhere
  cluster: { server: MARKER }
contexts:
- name: dev
  context: { cluster: dev, user: dev, namespace: team-a }
- name: other
  context: { cluster: other, user: dev }
- name: broken
  context: { cluster: broken, user: dev }
- name: proxied
  context: { cluster: proxied, user: dev }
- name: nowhere
  context: { cluster: nowhere, user: dev, namespace: '' }
- name: nobody
  context: { cluster: dev, user: absent }
users:
- name: dev
  user: { token: MARKER }
";

fn found(wanted: Option<&str>, variables: &[(&str, &str)]) -> Result<Found, String> {
    let kubeconfig = Kubeconfig::from_yaml(KUBECONFIG).unwrap();
    find(&kubeconfig, wanted, &variables.iter().copied().collect())
}

/// Returns the kubeconfig of these files, which are written into one directory; `None` is a file that does not exist.
fn read(files: &[Option<&str>]) -> Result<Option<Kubeconfig>, String> {
    let dir = tempfile::tempdir().unwrap();
    let paths = files.iter().enumerate().map(|(n, text)| {
        let path = dir.path().join(n.to_string());
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        path
    });
    let variable = std::env::join_paths(paths).unwrap();
    Files::new(None, Some(&variable), None).read()
}

#[test]
fn the_files_are_the_flag_or_the_variable_or_the_one_at_home() {
    let check = |explicit, variable: Option<&str>, expected: &[&str]| {
        let files = Files::new(explicit, variable.map(OsStr::new), Some("/home/dev".into()));
        assert_eq!(files.paths, expected.iter().map(PathBuf::from).collect::<Vec<_>>());
    };
    check(Some(Path::new("mine")), Some("a:b"), &["mine"]);
    check(None, Some("a::b:"), &["a", "b"]);
    check(None, Some(":"), &["/home/dev/.kube/config"]);
    check(None, None, &["/home/dev/.kube/config"]);
}

#[test]
fn missing_files_of_the_variable_are_ignored_and_the_others_are_merged() {
    let first = "current-context: ''\nusers: [{ name: dev, user: { token: first } }]";
    let merged = read(&[None, Some(first), Some(""), Some(KUBECONFIG), None]).unwrap().unwrap();
    let found = find(&merged, None, &Environment::default()).unwrap();
    assert_eq!(found.config.cluster_url, "https://dev.example.com:6443/");
    let token = found.config.auth_info.token.unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&token), "first");
    assert!(read(&[None, None]).unwrap().is_none());
    assert!(read(&[Some("apiVersion: v1\nkind: Config\nclusters: []\n")]).unwrap().is_none());
}

#[test]
fn empty_values_of_a_cluster_count_as_absent() {
    let empty = "certificate-authority-data: '', certificate-authority: '', tls-server-name: ''";
    let text = KUBECONFIG.replace("tls-server-name: inner.example.com", empty);
    let config = find(&read(&[Some(&text)]).unwrap().unwrap(), None, &Environment::default()).unwrap().config;
    assert_eq!((config.root_cert, config.tls_server_name), (None, None));
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_not_shown() {
    for (text, place) in [
        ("users:\n- name: a\n  user: { token: MARKER\n", "/1: is not a kubeconfig: line "),
        ("users:\n- name: a\n  user: MARKER\n", "/1: is not a kubeconfig: line 3"),
    ] {
        let error = read(&[Some(KUBECONFIG), Some(text)]).unwrap_err();
        assert!(error.contains(place) && !error.contains("MARKER"), "{error}");
    }
    let error = Files::new(Some(Path::new("/absent/config")), None, None).read().unwrap_err();
    assert!(error.starts_with("/absent/config: No such file"), "{error}");
}

#[test]
fn the_context_leads_to_the_cluster_its_namespace_and_its_user() {
    let found = found(None, &[("HTTPS_PROXY", "http://proxy"), ("NO_PROXY", "a,,example.com:6443")]).unwrap();
    assert_eq!(found.config.default_namespace, "team-a");
    assert_eq!(found.config.tls_server_name.as_deref(), Some("inner.example.com"));
    let refused = "it does not accept the token of the user dev in the kubeconfig, which may have expired";
    assert_eq!(found.refused, refused);
    assert!(found.proxy.is_none());
    let refused = self::found(Some("nobody"), &[]).ok().unwrap().refused;
    assert!(refused.contains("without a user: the context nobody has none"));
}

#[test]
fn mistakes_are_named_without_what_is_written_there() {
    #[track_caller]
    fn check(wanted: &str, expected: &str) {
        let error = found(Some(wanted), &[]).err().unwrap();
        assert!(error.contains(expected) && !error.contains("MARKER"), "{error}");
    }
    check("absent", "there is no context absent");
    check("other", "there is no cluster other, which the context other names");
    check("broken", "cluster broken: certificate-authority-data contains no certificate");
    check("proxied", "cluster proxied: proxy-url is not the URL of a proxy");
    check("nowhere", "cluster nowhere: server is not a URL");
    let error = find(&Kubeconfig::default(), None, &Environment::default()).err().unwrap();
    assert_eq!(error, "no context is set: use --context or kubectl config use-context");
}
