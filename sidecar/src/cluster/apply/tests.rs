//! What is sent to the API server, and what is made of its answers.

use http::{Request, Response, StatusCode};
use insta::assert_snapshot;
use kube::Error;
use kube::client::Body as HttpBody;
use serde_json::Value;
use tower_test::mock;

use super::*;
use crate::broker::mint_once;
use crate::broker::testing::{FakeCloud, TestClock, registry};
use crate::clock::Clock as _;
use crate::cluster::desired::DesiredSecrets;
use crate::cluster::notice::{About, Notice};
use crate::cluster::plan::Cause;
use crate::reason::Reason;

type ApiServer = mock::Handle<Request<HttpBody>, Response<HttpBody>>;

fn writer() -> (Writer, ApiServer) {
    let (service, server) = mock::pair();
    (Writer::new(Client::new(service, "default"), "acr-pull".into()), server)
}

async fn content() -> Arc<DesiredSecret> {
    let clock = TestClock::new();
    let registries = [registry("cri-one", &["one.example.com"])];
    let snapshot = mint_once(Arc::new(FakeCloud::new()), Arc::new(TestClock::new()), registries.into()).await;
    DesiredSecrets::default().for_namespace(&snapshot, "team-a", clock.now()).unwrap()
}

fn version() -> Version {
    Version { uid: "u".into(), resource_version: "7".into() }
}

/// Answers one request, and returns it as text: the request's line, what it accepts, and its body.
async fn answer(server: &mut ApiServer, status: u16, answer: Value) -> String {
    let (request, reply) = server.next_request().await.expect("a request");
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await.unwrap();
    let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    reply.send_response(response.body(HttpBody::from(serde_json::to_vec(&answer).unwrap())).unwrap());
    let sent: Value = serde_json::from_slice(&body).unwrap();
    let accept = parts.headers.get("accept").map(|value| value.to_str().unwrap()).unwrap_or_default();
    format!("{} {}\naccept: {accept}\n{sent:#}", parts.method, parts.uri)
}

fn written() -> Value {
    serde_json::json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": { "name": "acr-pull", "namespace": "team-a", "uid": "u", "resourceVersion": "8" },
    })
}

fn refusal(code: u16, message: &str, causes: &Value) -> Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "message": message,
        "details": { "causes": causes },
    })
}

#[tokio::test(start_paused = true)]
async fn a_pull_secret_is_created_only_where_nothing_is() {
    let (writer, mut server) = writer();
    let action = SecretAction::Create(content().await);
    let (outcome, request) =
        tokio::join!(writer.apply("team-a", &action, Vec::new()), answer(&mut server, 201, written()),);
    let Some(Ok(Written::There(facts))) = outcome.pull_secret else { panic!("{outcome:?}") };
    assert_eq!(&*facts.resource_version, "8");
    assert_snapshot!(request, @r#"
    PATCH /api/v1/namespaces/team-a/secrets/acr-pull?&fieldManager=acr-credential-sidecar
    accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1
    {
      "apiVersion": "v1",
      "data": {
        ".dockerconfigjson": "eyJhdXRocyI6eyJvbmUuZXhhbXBsZS5jb20iOnsiYXV0aCI6IlkzSmZkR1Z0Y0Y5MWMyVnlPblJ2YTJWdUxURT0iLCJwYXNzd29yZCI6InRva2VuLTEiLCJ1c2VybmFtZSI6ImNyX3RlbXBfdXNlciJ9fX0="
      },
      "kind": "Secret",
      "metadata": {
        "annotations": {
          "acr-credential-helper.io/expires-at": "2026-11-24T21:00:00Z",
          "acr-credential-helper.io/hash": "cced37a50939fbf7ec2ff5733afefcfbdf5291e14b872eddfbced23e1b94f1cd",
          "acr-credential-helper.io/inputs": "05e139af52f595040237fa4abfccad65",
          "acr-credential-helper.io/registries": "cn-hangzhou/cri-one"
        },
        "labels": {
          "app.kubernetes.io/managed-by": "acr-credential-sidecar"
        },
        "name": "acr-pull",
        "resourceVersion": "1"
      },
      "type": "kubernetes.io/dockerconfigjson"
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_pull_secret_is_updated_only_in_the_version_that_was_seen() {
    let (writer, mut server) = writer();
    let action = SecretAction::Update { content: content().await, version: version(), cause: Cause::Renewed };
    let (_, request) =
        tokio::join!(writer.apply("team-a", &action, Vec::new()), answer(&mut server, 200, written()));
    assert!(request.contains("force=true"), "{request}");
    let body: Value = serde_json::from_str(request.splitn(3, '\n').last().unwrap()).unwrap();
    assert_eq!((&body["metadata"]["uid"], &body["metadata"]["resourceVersion"]), (&"u".into(), &"7".into()));
}

#[tokio::test(start_paused = true)]
async fn a_pull_secret_is_deleted_only_in_the_version_that_was_seen() {
    let (writer, mut server) = writer();
    let done = refusal(200, "", &Value::Array(Vec::new()));
    let action = SecretAction::Delete(version());
    let (outcome, request) =
        tokio::join!(writer.apply("team-a", &action, Vec::new()), answer(&mut server, 200, done));
    assert_eq!(outcome.pull_secret, Some(Ok(Written::Deleted("u".into()))));
    assert_snapshot!(request, @r#"
    DELETE /api/v1/namespaces/team-a/secrets/acr-pull?
    accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1
    {
      "preconditions": {
        "resourceVersion": "7",
        "uid": "u"
      }
    }
    "#);
}

fn account(name: &str, pull_secrets: &[&str], attach: bool) -> AccountAction {
    let pull_secrets = pull_secrets.iter().map(|&name| name.into()).collect();
    AccountAction { name: name.into(), version: version(), pull_secrets, attach }
}

#[tokio::test(start_paused = true)]
async fn a_list_is_written_as_a_whole_in_the_version_that_was_seen() {
    let (writer, mut server) = writer();
    let action = account("default", &["mine", "", "acr-pull"], true);
    let (outcome, request) = tokio::join!(
        writer.apply("team-a", &SecretAction::Leave, vec![action]),
        answer(&mut server, 200, written()),
    );
    let (_, facts) = outcome.service_accounts.into_iter().next().unwrap();
    assert!(facts.unwrap().lists("acr-pull"));
    assert_snapshot!(request, @r#"
    PATCH /api/v1/namespaces/team-a/serviceaccounts/default?&force=true&fieldManager=acr-credential-sidecar
    accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1
    {
      "apiVersion": "v1",
      "imagePullSecrets": [
        {
          "name": "mine"
        },
        {},
        {
          "name": "acr-pull"
        }
      ],
      "kind": "ServiceAccount",
      "metadata": {
        "name": "default",
        "resourceVersion": "7",
        "uid": "u"
      }
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_holds_nothing_more_is_taken_away_so_that_nobody_owns_it() {
    let (writer, mut server) = writer();
    let action = account("default", &[], false);
    let (outcome, request) = tokio::join!(
        writer.apply("team-a", &SecretAction::Leave, vec![action]),
        answer(&mut server, 200, written()),
    );
    assert!(outcome.service_accounts.into_iter().all(|(_, facts)| facts.is_ok()));
    assert_snapshot!(request, @r#"
    PATCH /api/v1/namespaces/team-a/serviceaccounts/default?&fieldManager=acr-credential-sidecar
    accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1
    {
      "imagePullSecrets": null,
      "metadata": {
        "name": "default",
        "resourceVersion": "7",
        "uid": "u"
      }
    }
    "#);
}

/// Other managers must not lose their entries because an admission webhook refuses the write.
#[tokio::test(start_paused = true)]
async fn only_an_object_that_the_api_server_calls_invalid_loses_its_managed_fields() {
    for (code, is_retried) in [(422, true), (400, false)] {
        let (writer, mut server) = writer();
        let answers = async {
            answer(&mut server, code, refusal(code, "no", &Value::Null)).await;
            if is_retried { Some(answer(&mut server, 200, written()).await) } else { None }
        };
        let actions = vec![account("default", &["other"], false)];
        let (outcome, second) = tokio::join!(writer.apply("team-a", &SecretAction::Leave, actions), answers);
        assert_eq!(outcome.service_accounts[0].1.is_ok(), is_retried);
        let clears = |body: String| body.contains("\"managedFields\": [\n      {}\n    ]");
        assert_eq!(second.map(clears), is_retried.then_some(true));
    }
}

#[tokio::test(start_paused = true)]
async fn no_reference_is_made_to_a_pull_secret_that_could_not_be_written() {
    let (writer, mut server) = writer();
    let action = SecretAction::Create(content().await);
    let answers = async {
        answer(&mut server, 409, refusal(409, "conflict", &Value::Array(Vec::new()))).await;
        answer(&mut server, 200, written()).await
    };
    let (outcome, second) = tokio::join!(
        writer.apply("team-a", &action, vec![account("one", &[], true), account("two", &[], false)]),
        answers
    );
    assert_eq!(outcome.pull_secret, Some(Err(ApiError::Conflict)));
    assert!(second.starts_with("PATCH /api/v1/namespaces/team-a/serviceaccounts/two?"), "{second}");
    assert_eq!(outcome.service_accounts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_ends() {
    let (writer, mut server) = writer();
    let action = SecretAction::Create(content().await);
    let (outcome, held) = tokio::join!(writer.apply("team-a", &action, Vec::new()), server.next_request());
    assert_eq!(
        outcome.pull_secret,
        Some(Err(ApiError::Unreachable("no complete answer arrived within 10 s".to_owned())))
    );
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_sent_is_shown() {
    let content = content().await;
    let body = Body::new("acr-pull", &content, None, NO_VERSION);
    let shown = format!("{body:?} {content:?} {:?}", Patch::Apply(&body));
    assert!(!shown.contains("token-") && !shown.contains(&STANDARD.encode(&*content.docker_config.bytes)));
}

#[test]
fn answers_are_told_apart_by_what_to_do_next() {
    let check = |code, message: &str, causes: &Value, expected: &str| {
        let status = serde_json::from_value(refusal(code, message, causes)).unwrap();
        assert_eq!(ApiError::from(&Error::Api(Box::new(status))).name(), expected, "{code} {message}");
    };
    let none = Value::Array(Vec::new());
    check(409, "the object has been modified", &none, "Conflict");
    check(404, "not found", &none, "Gone");
    check(403, "forbidden: User cannot patch", &none, "Forbidden");
    let quota = "secrets \"a\" is forbidden: exceeded quota: few, requested: secrets=1, used: secrets=5, limited: secrets=5";
    check(403, quota, &none, "Quota");
    let terminating =
        serde_json::json!([{ "reason": "NamespaceTerminating", "field": "metadata.namespace" }]);
    check(403, "is forbidden", &terminating, "Terminating");
    check(
        422,
        "invalid",
        &serde_json::json!([{ "field": "type", "message": "field is immutable" }]),
        "WrongType",
    );
    check(422, "data: Forbidden: field is immutable when `immutable` is set", &none, "Immutable");
    check(422, "something else", &none, "Invalid");
    check(400, "something else", &none, "Refused");
    check(429, "too many requests", &none, "Busy");
    check(503, "", &none, "Busy");
}

#[test]
fn races_are_nobodys_business() {
    assert!(
        Notice::of_failed_write(&ApiError::Conflict, About::PullSecret).is_none()
            && ApiError::Conflict.is_a_race()
    );
    let notice = Notice::of_failed_write(&ApiError::Immutable, About::PullSecret).unwrap();
    assert_eq!(notice.reason, Reason::PullSecretImmutable);
}

#[test]
fn a_quota_is_no_missing_right() {
    let notice =
        Notice::of_failed_write(&ApiError::Quota("exceeded quota: few".to_owned()), About::PullSecret)
            .unwrap();
    assert_eq!(notice.reason, Reason::WriteFailed);
    assert!(
        notice.message.starts_with("a ResourceQuota of the namespace leaves no room for it: raise its limit")
    );
}
