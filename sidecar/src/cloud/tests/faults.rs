//! What a network and an API can do to a call.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn ecs_metadata_and_loopback_never_go_through_a_proxy_and_https_does() {
    let server = Server::start(good).await;
    let proxy = Server::start(|_| answer(502, "", "")).await;
    let url = proxy.url();
    let variables = [("HTTPS_PROXY", &url), ("HTTP_PROXY", &url), ("ALL_PROXY", &url)];
    let cloud = cloud_with(&server, |settings| {
        settings.environment = variables.into_iter().map(|(name, url)| (name, url.as_str())).collect();
        settings.limits.retries = 0;
    });
    cloud.region().await.unwrap();
    cloud.credential(&enterprise(alone(IdentitySource::DefaultChain))).await.unwrap();
    assert!(proxy.received().is_empty(), "{:?}", proxy.lines());

    let host = Host::parse("registry.example.com").unwrap();
    assert_eq!(cloud.challenge(&host).await.unwrap_err().reason, Reason::Unreachable);
    assert_eq!(proxy.lines(), ["CONNECT registry.example.com:443"]);
}

#[test]
fn a_proxy_that_is_none_is_named_and_not_shown() {
    for name in ["HTTPS_PROXY", "all_proxy"] {
        let environment = [(name, "socks5://user:MARKER@127.0.0.1:1")].into_iter().collect();
        let error = Cloud::new(CloudSettings { environment, ..CloudSettings::default() }, Arc::new(Still))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{name}: is not the URL of an HTTP proxy: write http://HOST:PORT")
        );
    }
    for url in ["http://user:MARKER@127.0.0.1:1", "user:MARKER@proxy.example:3128"] {
        let environment = [("HTTPS_PROXY", url)].into_iter().collect();
        let cloud =
            Cloud::new(CloudSettings { environment, ..CloudSettings::default() }, Arc::new(Still)).unwrap();
        assert!(!format!("{cloud:?}").contains("MARKER"));
    }
}

#[tokio::test]
async fn what_can_heal_is_repeated_with_a_new_nonce() {
    let calls = AtomicUsize::new(0);
    let server = Server::start(move |request| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => answer(503, "", r#"{"Code":"ServiceUnavailable"}"#),
        1 => answer(400, "", r#"{"Code":"SignatureNonceUsed"}"#),
        _ => good(request),
    })
    .await;
    cloud(&server).credential(&enterprise(alone(key_pair()))).await.unwrap();
    let nonces: BTreeSet<_> = server
        .received()
        .iter()
        .map(|request| request.header("x-acs-signature-nonce").unwrap().to_owned())
        .collect();
    assert_eq!(nonces.len(), 3);
    assert!(nonces.iter().all(|nonce| nonce.len() == 32));
}

#[tokio::test]
async fn an_api_that_asks_for_a_long_wait_is_not_asked_again_in_the_same_call() {
    let server = Server::start(|_| {
        answer(
            400,
            "x-ratelimit-user: Limit:1,Remain:0,TimeLeft:30000,Reset:1\r\n",
            r#"{"Code":"Throttling.User"}"#,
        )
    })
    .await;
    let error = cloud(&server).credential(&enterprise(alone(key_pair()))).await.unwrap_err();
    assert_eq!(error.reason, Reason::Throttled { retry_after: Some(Duration::from_secs(30)) });
    assert_eq!(server.lines().len(), 1);
}

/// The failure of one mint at a server that always answers so.
async fn failure(raw: String) -> CloudError {
    let server = Server::start(move |_| raw.clone()).await;
    let cloud = cloud_with(&server, |settings| {
        settings.limits.answer_bytes = 4096;
        settings.limits.retries = 0;
    });
    cloud.credential(&enterprise(alone(key_pair()))).await.unwrap_err()
}

#[tokio::test]
async fn answers_that_are_cut_off_oversized_or_redirects_have_their_reasons() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"AuthorizationToken\":\"MARKER".to_owned();
    let endless = answer(200, "", &"x".repeat(5000));
    let elsewhere = answer(307, "location: https://elsewhere.example/MARKER\r\n", "");
    let cases = [
        (cut, Reason::Unreachable, "no answer, the connection ended in the middle of the answer"),
        (endless, Reason::MalformedAnswer, "the answer is too large for this API"),
        (elsewhere, Reason::MalformedAnswer, "the answer is a redirect, which is not followed"),
        (String::new(), Reason::Unreachable, "no answer, connection closed before message completed"),
        ("SSH-2.0-OpenSSH\r\n".to_owned(), Reason::Unreachable, "no answer, invalid HTTP version parsed"),
    ];
    for (raw, reason, problem) in cases {
        let error = failure(raw).await;
        assert_eq!((&error.reason, error.details.problem.as_deref()), (&reason, Some(problem)));
        assert!(!format!("{error} {error:?}").contains("MARKER"));
    }
}

#[tokio::test]
async fn a_host_that_does_not_answer_in_time_is_unreachable() {
    // Nobody accepts: the connection stands, and no byte ever comes.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(good).await;
    let url = [format!("http://{}", listener.local_addr().unwrap())];
    let cloud = cloud_with(&server, |settings| {
        settings.endpoints = Endpoints::parse(Flags { acr: &url, ..Flags::default() }).unwrap();
        settings.limits.total = Duration::from_millis(20);
        settings.limits.retries = 0;
    });
    let error = cloud.credential(&enterprise(alone(key_pair()))).await.unwrap_err();
    assert_eq!(error.reason, Reason::Unreachable);
    assert_eq!(error.details.problem.as_deref(), Some("no answer, no complete answer within 20ms"));
}
