//! The server's own limit: the requests that the sidecar sends, made beforehand and sent by a client that does nothing else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http_body_util::BodyExt as _;
use hyper::Request;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::bed::Party;
use crate::each;
use crate::observer::Sight;

/// Who writes. The longer the name, the larger the objects, so it is the sidecar's.
const FIELD_MANAGER: &str = "acr-credential-sidecar";

/// Requests at a time: the sidecar's `--concurrency` where nobody says otherwise.
const IN_FLIGHT: usize = 16;

/// The writes of the sidecar.
pub(crate) struct Load {
    secret: Secret,
}

/// Requests for each of some namespaces.
pub(crate) type Requests = Vec<Request<Vec<u8>>>;

impl Load {
    /// Imitates one of these Secrets, which the sidecar wrote.
    pub(crate) async fn like(admin: &Client, party: &Party, there: &HashMap<String, Sight>) -> Result<Self> {
        let namespace = there.keys().next().context("there is no Secret to imitate")?;
        let secrets: Api<Secret> = Api::namespaced(admin.clone(), namespace);
        Ok(Self { secret: secrets.get(&party.name).await? })
    }

    /// Creates the Secret in a namespace.
    pub(crate) fn creation(&self, name: &str, namespace: &str) -> Result<Request<Vec<u8>>> {
        let body = self.body(name, None, "1", 0)?;
        request(name, namespace, &PatchParams::apply(FIELD_MANAGER), &body)
    }

    /// The same in each of these.
    pub(crate) fn creations(&self, name: &str, namespaces: &[String]) -> Result<Requests> {
        namespaces.iter().map(|namespace| self.creation(name, namespace)).collect()
    }

    /// Updates the Secrets that there are. What they get differs from round to round, in as many bytes: a write of what is
    /// there already would be none.
    pub(crate) fn updates(
        &self,
        name: &str,
        there: &HashMap<String, Sight>,
        round: usize,
    ) -> Result<Requests> {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let one = |(namespace, sight): (&String, &Sight)| {
            // Round 0 is what they were created with.
            let body = self.body(name, Some(&sight.uid), &sight.version, round + 1)?;
            request(name, namespace, &parameters, &body)
        };
        there.iter().map(one).collect()
    }

    fn body(&self, name: &str, uid: Option<&str>, version: &str, round: usize) -> Result<Value> {
        let mut annotations = json!(self.secret.metadata.annotations);
        let hash = annotations["acr-credential-helper.io/hash"].as_str().context("no hash")?;
        let kept = hash.get(..hash.len().saturating_sub(4)).unwrap_or_default();
        annotations["acr-credential-helper.io/hash"] = json!(format!("{kept}{round:04}"));
        let mut data = json!(self.secret.data);
        let bytes = self.secret.data.as_ref().and_then(|data| data.get(".dockerconfigjson"));
        let mut bytes = bytes.context("no data")?.0.clone();
        // One digit of a login is another one.
        if let Some(last) = bytes.iter_mut().rfind(|byte| byte.is_ascii_digit()) {
            *last = b"0123456789".get(round % 10).copied().unwrap_or(b'0');
        }
        data[".dockerconfigjson"] = json!(k8s_openapi::ByteString(bytes));
        let mut metadata = json!({
            "name": name,
            "resourceVersion": version,
            "labels": self.secret.metadata.labels,
            "annotations": annotations,
        });
        if let Some(uid) = uid {
            metadata["uid"] = json!(uid);
        }
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": self.secret.type_,
            "data": data,
        }))
    }
}

/// Sends requests, and returns how long it took until the last answer was read.
pub(crate) async fn send_all(client: &Client, requests: Requests) -> Result<Duration> {
    let began = Instant::now();
    each(IN_FLIGHT, requests, |request| send(client.clone(), request)).await?;
    Ok(began.elapsed())
}

/// Sends one request, and reads the answer without a look at it.
pub(crate) async fn send(client: Client, request: Request<Vec<u8>>) -> Result<()> {
    let response = client.send(request.map(Body::from)).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

fn request(name: &str, namespace: &str, parameters: &PatchParams, body: &Value) -> Result<Request<Vec<u8>>> {
    let path = format!("/api/v1/namespaces/{namespace}/secrets");
    Ok(kube::core::Request::new(path).patch_metadata(name, parameters, &Patch::Apply(body))?)
}
