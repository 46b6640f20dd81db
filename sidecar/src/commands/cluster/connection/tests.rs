use kube::config::Kubeconfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Returns a client for a kubeconfig with this cluster and this user.
fn client_of(cluster: &str, user: &str) -> Result<Client, String> {
    let kubeconfig = Kubeconfig::from_yaml(&format!(
        "current-context: dev
clusters: [{{ name: dev, cluster: {{ {cluster} }} }}]
contexts: [{{ name: dev, context: {{ cluster: dev, user: dev }} }}]
users: [{{ name: dev, user: {{ {user} }} }}]"
    ));
    client(kubeconfig::find(&kubeconfig.unwrap(), None, &Environment::default())?)
}

#[test]
fn the_namespace_of_the_context_is_that_of_the_context_that_was_chosen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    let text = "current-context: dev
contexts: [{ name: dev, context: { cluster: dev, namespace: team-a } }, { name: none, context: { cluster: dev } }]";
    std::fs::write(&path, text).unwrap();
    let of = |path: &std::path::Path, context: Option<&str>| {
        let args = ClusterArgs {
            kubeconfig: Some(path.to_owned()),
            context: context.map(str::to_owned),
            sidecar_namespace: String::new(),
            config_map: String::new(),
            pull_secret: String::new(),
        };
        namespace_of_context(&args).map_err(|error| error.to_string())
    };
    assert_eq!(of(&path, None), Ok(Some("team-a".to_owned())));
    assert_eq!(of(&path, Some("none")), Ok(None));
    let error = of(&path, Some("typo")).unwrap_err();
    let expected =
        format!("failed to find the namespace of the context: {}: there is no context typo", path.display());
    assert!(error.starts_with(&expected), "{error}");
    assert!(of(&directory.path().join("absent"), None).unwrap_err().contains("absent"));
    std::fs::write(&path, "clusters: [").unwrap();
    assert!(of(&path, None).unwrap_err().contains("is not a kubeconfig"));
}

async fn ask(client: &Client) -> Result<String, String> {
    let request = Request::get("/version").body(Vec::new()).unwrap();
    client.request_text(request).await.map_err(|error| describe(&error))
}

/// Reads one request without a body.
async fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(text).unwrap()
}

/// Serves one connection with `serve`, and returns its address.
async fn server<S: Future<Output = ()> + Send + 'static>(
    serve: impl FnOnce(TcpStream) -> S + Send + 'static,
) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    address
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn an_http_proxy_gets_its_login_and_the_name_of_the_api_server() {
    let address = server(async |mut stream: TcpStream| {
        let connect = head(&mut stream).await;
        assert!(connect.starts_with("CONNECT api.example.test:8080 HTTP/1.1\r\n"), "{connect}");
        // The base64 of `me:p@ss`.
        assert!(connect.contains("Proxy-Authorization: Basic bWU6cEBzcw==\r\n"), "{connect}");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        assert!(head(&mut stream).await.contains("authorization: Bearer x\r\n"));
        stream.write_all(ANSWER).await.unwrap();
    });
    let cluster =
        format!("server: 'http://api.example.test:8080', proxy-url: 'http://me:p%40ss@{}'", address.await);
    assert_eq!(ask(&client_of(&cluster, "token: x").unwrap()).await.unwrap(), "{}");
}

#[tokio::test]
async fn a_socks_proxy_gets_its_login_and_the_name_of_the_api_server() {
    let address = server(async |mut stream: TcpStream| {
        let mut expect = async |question: &[u8], answer: &[u8]| {
            let mut read = vec![0; question.len()];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(read, question);
            stream.write_all(answer).await.unwrap();
        };
        // RFC 1928 and RFC 1929.
        expect(&[5, 1, 2], &[5, 2]).await;
        expect(b"\x01\x02me\x04p@ss", &[1, 0]).await;
        expect(b"\x05\x01\x00\x03\x10api.example.test\x1f\x90", &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        assert!(head(&mut stream).await.contains("authorization: Bearer x\r\n"));
        stream.write_all(ANSWER).await.unwrap();
    });
    let cluster =
        format!("server: 'http://api.example.test:8080', proxy-url: 'socks5h://me:p%40ss@{}'", address.await);
    assert_eq!(ask(&client_of(&cluster, "token: x").unwrap()).await.unwrap(), "{}");
}

#[tokio::test]
async fn an_error_names_the_proxy_without_its_login() {
    for scheme in ["http", "socks5"] {
        let closed = server(async |stream| drop(stream)).await;
        let cluster =
            format!("server: 'https://api.example.test', proxy-url: '{scheme}://me:MARKER@{closed}'");
        let error = ask(&client_of(&cluster, "token: x").unwrap()).await.unwrap_err();
        let expected = format!("no connection to the API server through the proxy {scheme}://{closed}: ");
        assert!(error.starts_with(&expected) && !error.contains("MARKER"), "{error}");
    }
}

#[tokio::test]
async fn a_credential_that_is_not_accepted_is_named() {
    let address = server(async |mut stream: TcpStream| {
        head(&mut stream).await;
        let answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer).await.unwrap();
    });
    let cluster = format!("server: 'http://{}'", address.await);
    let error = ask(&client_of(&cluster, "token: MARKER").unwrap()).await.unwrap_err();
    assert_eq!(
        error,
        "the API server answered 401: Unauthorized: it does not accept the token of the user dev in the kubeconfig, which may \
         have expired"
    );
}

#[test]
fn a_certificate_that_tls_refuses_is_named() {
    let check = |error: BoxError, expected: bool| {
        let text = with_causes(&*on_the_way(error, Some("http://jump:3128"), "it does not accept X"));
        assert_eq!(text.contains("it does not accept X"), expected, "{text}");
    };
    let alert = |alert| io::Error::other(rustls::Error::AlertReceived(alert)).into();
    check(alert(rustls::AlertDescription::CertificateExpired), true);
    check(alert(rustls::AlertDescription::CertificateRequired), true);
    check(alert(rustls::AlertDescription::InternalError), false);
    check(io::Error::other("closed").into(), false);
}

#[tokio::test]
async fn an_exec_plugin_that_is_missing_is_named_with_its_install_hint() {
    let check = async |command: &str, expected: &[&str]| {
        let user = format!(
            "exec: {{ apiVersion: client.authentication.k8s.io/v1, command: {command}, args: [MARKER], installHint: 'apt install it', interactiveMode: Never }}"
        );
        let error = client_of("server: 'https://127.0.0.1:1'", &user).err().unwrap();
        assert!(!error.contains("MARKER"), "{error}");
        for part in expected {
            assert!(error.contains(part), "no {part:?} in: {error}");
        }
    };
    check(
        "/absent/plugin",
        &["the exec plugin /absent/plugin of the kubeconfig", "No such file", "apt install it"],
    )
    .await;
    check("false", &["the exec plugin of the kubeconfig failed", "run it by hand: false"]).await;
}

#[tokio::test]
async fn a_key_in_the_kubeconfig_is_never_quoted() {
    let user = "client-certificate-data: TUFSS0VS, client-key-data: '!MARKER!'";
    let error = client_of("server: 'https://127.0.0.1:1'", user).err().unwrap();
    assert_eq!(error, "client-key-data is not base64");
}
