//! What must never be seen.

use std::fmt::Write;
use std::fs;

use super::*;
use crate::telemetry::logging::testing::{heard, listen};

#[tokio::test]
async fn no_secret_is_logged_at_any_level_nor_shown_by_debug() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, "MARKER-oidc").unwrap();
    listen();

    let proxy = ("HTTPS_PROXY", "http://user:MARKER-proxy@127.0.0.1:1");
    let token = ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", file.to_str().unwrap());
    let id = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI5tEXAMPLE");
    let secret = ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "MARKER-environment");
    let refusing = r#"{"Code":"SignatureDoesNotMatch","RequestId":"7B2C-10","Message":"MARKER"}"#;
    let bad = Server::start(move |_| answer(400, "x-marker: MARKER\r\n", refusing)).await;
    let good = Server::start(good).await;
    let mut shown = String::new();
    // Without a key, the default chain ends at ECS metadata.
    for (server, variables) in
        [(&good, vec![proxy, token, id, secret]), (&good, vec![proxy]), (&bad, vec![token])]
    {
        let cloud = cloud_with(server, |settings| settings.environment = variables.into_iter().collect());
        for source in [key_pair(), rrsa(), IdentitySource::DefaultChain] {
            for identity in [alone(source.clone()), assuming(source)] {
                let key = enterprise(identity);
                write!(shown, "{:?}", cloud.credential(&key).await).unwrap();
                write!(shown, "{:?}", cloud.session(&key.identity, &region()).await).unwrap();
                if let Err(error) = cloud.hosts(&key).await {
                    shown += &error.to_string();
                }
                write!(shown, "{key:?}").unwrap();
            }
        }
        write!(shown, "{cloud:?} {:?}", cloud.region().await).unwrap();
    }
    assert!(good.lines().iter().any(|line| line.ends_with("/KubernetesWorkerRole")), "metadata was asked");
    let logged = heard();
    assert!(logged.contains("7B2C-10") && logged.contains("GetAuthorizationToken"), "{logged}");
    assert!(!logged.contains("MARKER"), "{logged}");
    assert!(!shown.contains("MARKER"), "{shown}");
}
