//! What a policy may ask of its host while it runs.
//!
//! Two things are answered: `tracing/log`, which is kept for the tests to read, and `kubernetes/get_resource`, from a
//! real API server or from a table. Everything else is refused, so a test fails when a policy starts to ask for more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::runtime::Handle;

/// Answers the calls of one policy.
pub trait HostCalls: Send + Sync {
    /// Answers one call. It runs on the thread of the policy, which waits for it.
    ///
    /// # Errors
    /// The text that the policy is given in place of an answer.
    fn call(
        &self,
        binding: &str,
        namespace: &str,
        operation: &str,
        payload: &[u8],
    ) -> Result<Vec<u8>, String>;
}

/// A kind that a policy was granted to read, as `spec.contextAwareResources` lists it. Compared to the letter.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContextAwareResource {
    /// Such as `v1`, or `apps/v1`.
    pub api_version: String,
    /// Such as `ServiceAccount`.
    pub kind: String,
}

/// The payload of `kubernetes/get_resource`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ResourceRequest {
    /// Such as `v1`.
    pub api_version: String,
    /// Such as `ServiceAccount`.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The object's namespace, for a kind that has one.
    pub namespace: Option<String>,
    /// Whether an answer from the last seconds will not do.
    pub disable_cache: bool,
    /// The fields that are wanted. Metadata comes in any case.
    #[serde(default)]
    pub field_masks: Option<BTreeSet<String>>,
}

/// What identifies an object.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ResourceId {
    /// Such as `v1`.
    pub api_version: String,
    /// Such as `ServiceAccount`.
    pub kind: String,
    /// The object's namespace, for a kind that has one.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl From<&ResourceRequest> for ResourceId {
    fn from(request: &ResourceRequest) -> Self {
        let ResourceRequest { api_version, kind, name, namespace, .. } = request.clone();
        Self { api_version, kind, namespace, name }
    }
}

/// A call that a policy made.
#[derive(Clone, Debug, PartialEq)]
pub enum HostCall {
    /// It read an object.
    GetResource {
        /// What it asked for.
        request: ResourceRequest,
        /// What it was given; the error is the text of the refusal.
        answer: Result<Value, String>,
    },
    /// It logged something.
    Log(Value),
    /// It asked for something that is not granted here; the operation, with its namespace.
    Refused(String),
}

/// The calls of a policy, in their order. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Vec<HostCall>>>);

impl Journal {
    /// All calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<HostCall> {
        lock(&self.0).clone()
    }

    /// The objects that were asked for so far.
    #[must_use]
    pub fn lookups(&self) -> Vec<ResourceRequest> {
        let only_lookups = |call: &HostCall| match call {
            HostCall::GetResource { request, .. } => Some(request.clone()),
            HostCall::Log(_) | HostCall::Refused(_) => None,
        };
        lock(&self.0).iter().filter_map(only_lookups).collect()
    }

    fn add(&self, call: HostCall) {
        lock(&self.0).push(call);
    }
}

/// Where objects come from.
pub trait ResourceSource: Send + Sync {
    /// Reads one object.
    ///
    /// # Errors
    /// The text with which the host explains why there is none.
    fn get(&self, request: &ResourceRequest) -> Result<Value, String>;
}

/// The host functions of policy-server, as far as they are granted.
pub struct KubewardenHost {
    granted: BTreeSet<ContextAwareResource>,
    source: Arc<dyn ResourceSource>,
    journal: Journal,
}

impl KubewardenHost {
    /// Answers `get_resource` for these kinds from this source, and writes down every call.
    #[must_use]
    pub fn new(
        granted: BTreeSet<ContextAwareResource>,
        source: Arc<dyn ResourceSource>,
        journal: Journal,
    ) -> Self {
        Self { granted, source, journal }
    }

    /// Grants nothing and keeps nothing.
    #[must_use]
    pub fn closed() -> Self {
        Self::new(BTreeSet::new(), Arc::new(RecordedSource::default()), Journal::default())
    }

    fn get_resource(&self, payload: &[u8]) -> Result<Vec<u8>, String> {
        let request: ResourceRequest = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        let answer = self.read(&request);
        self.journal.add(HostCall::GetResource { request, answer: answer.clone() });
        serde_json::to_vec(&answer?).map_err(|error| error.to_string())
    }

    fn read(&self, request: &ResourceRequest) -> Result<Value, String> {
        let ResourceRequest { api_version, kind, .. } = request;
        let wanted = ContextAwareResource { api_version: api_version.clone(), kind: kind.clone() };
        if !self.granted.contains(&wanted) {
            return Err(format!(
                "Policy has not been granted access to Kubernetes {api_version}/{kind} resources. The violation has been reported."
            ));
        }
        let object =
            self.source.get(request).map_err(|reason| format!("Callback evaluation failure: {reason}"))?;
        Ok(match &request.field_masks {
            Some(masks) => mask(object, masks),
            None => object,
        })
    }
}

impl HostCalls for KubewardenHost {
    fn call(
        &self,
        binding: &str,
        namespace: &str,
        operation: &str,
        payload: &[u8],
    ) -> Result<Vec<u8>, String> {
        match (binding, namespace, operation) {
            ("kubewarden", "tracing", "log") => {
                let entry = serde_json::from_slice(payload)
                    .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(payload).into_owned()));
                tracing::debug!(target: "policy_log", %entry);
                self.journal.add(HostCall::Log(entry));
                Ok(Vec::new())
            }
            ("kubewarden", "kubernetes", "get_resource") => self.get_resource(payload),
            _ => {
                self.journal.add(HostCall::Refused(format!("{namespace}/{operation}")));
                Err(format!(
                    "Policy has not been granted access to the '{namespace}/{operation}' host capability. The violation has been reported."
                ))
            }
        }
    }
}

/// Objects read from an API server.
pub struct ClusterSource {
    client: Client,
    runtime: Handle,
    kinds: Mutex<BTreeMap<ContextAwareResource, DiscoveredKind>>,
    recent: Mutex<BTreeMap<ResourceId, (Instant, Value)>>,
}

#[derive(Clone)]
struct DiscoveredKind {
    resource: ApiResource,
    namespaced: bool,
}

impl ClusterSource {
    /// How long policy-server answers from memory.
    const CACHED_FOR: Duration = Duration::from_secs(5);

    /// Reads as whoever this client is; the runtime is the one that the client was made in.
    #[must_use]
    pub fn new(client: Client, runtime: Handle) -> Self {
        Self { client, runtime, kinds: Mutex::default(), recent: Mutex::default() }
    }

    async fn read(&self, request: &ResourceRequest) -> anyhow::Result<Value> {
        let ResourceRequest { api_version, kind, name, namespace, .. } = request;
        let DiscoveredKind { resource, namespaced } = self.discover(api_version, kind).await?;
        let api: Api<DynamicObject> = if namespaced {
            let namespace = namespace.as_deref().ok_or_else(|| {
                anyhow::anyhow!("Resource {api_version}/{kind} is namespaced, but no namespace was provided")
            })?;
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        };
        let object = api.get_opt(name).await?.ok_or_else(|| anyhow::anyhow!(not_found(request)))?;
        Ok(serde_json::to_value(object)?)
    }

    async fn discover(&self, api_version: &str, kind: &str) -> anyhow::Result<DiscoveredKind> {
        let key = ContextAwareResource { api_version: api_version.to_owned(), kind: kind.to_owned() };
        if let Some(known) = lock(&self.kinds).get(&key) {
            return Ok(known.clone());
        }
        let (list, group, version) = match api_version.split_once('/') {
            None => (self.client.list_core_api_resources(api_version).await?, "", api_version),
            Some((group, version)) => {
                (self.client.list_api_group_resources(api_version).await?, group, version)
            }
        };
        let found = list
            .resources
            .into_iter()
            .find(|resource| resource.kind == kind && !resource.name.contains('/'))
            .ok_or_else(|| anyhow::anyhow!("Cannot find resource {api_version}/{kind}"))?;
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let discovered = DiscoveredKind {
            resource: ApiResource::from_gvk_with_plural(&gvk, &found.name),
            namespaced: found.namespaced,
        };
        lock(&self.kinds).insert(key, discovered.clone());
        Ok(discovered)
    }
}

impl ResourceSource for ClusterSource {
    fn get(&self, request: &ResourceRequest) -> Result<Value, String> {
        let read = || self.runtime.block_on(self.read(request)).map_err(|error| describe(&error));
        if request.disable_cache {
            return read();
        }
        // Held while the API server answers, as in policy-server: lookups there wait for each other too.
        let mut recent = lock(&self.recent);
        let key = ResourceId::from(request);
        if let Some((read_at, object)) = recent.get(&key)
            && read_at.elapsed() < Self::CACHED_FOR
        {
            return Ok(object.clone());
        }
        let object = read()?;
        recent.insert(key, (Instant::now(), object.clone()));
        Ok(object)
    }
}

/// Objects from a table, for tests without a cluster. What is not in it is not found.
#[derive(Clone, Debug, Default)]
pub struct RecordedSource(BTreeMap<ResourceId, Result<Value, String>>);

impl RecordedSource {
    /// Adds an object, under the names that it carries itself.
    #[must_use]
    pub fn with_object(self, object: Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let id = ResourceId {
            api_version: text("/apiVersion").unwrap_or_default(),
            kind: text("/kind").unwrap_or_default(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_default(),
        };
        self.with_answer(id, Ok(object))
    }

    /// Adds an answer; the error is what the host would say.
    #[must_use]
    pub fn with_answer(mut self, id: ResourceId, answer: Result<Value, String>) -> Self {
        self.0.insert(id, answer);
        self
    }
}

impl ResourceSource for RecordedSource {
    fn get(&self, request: &ResourceRequest) -> Result<Value, String> {
        self.0.get(&ResourceId::from(request)).cloned().unwrap_or_else(|| Err(not_found(request)))
    }
}

fn not_found(request: &ResourceRequest) -> String {
    let ResourceRequest { api_version, kind, name, namespace, .. } = request;
    // policy-server prints the `Option` just so.
    format!("Cannot find {api_version}/{kind} named '{name}' inside of namespace '{namespace:?}'")
}

/// The debug form of an `anyhow::Error`, which policy-server shows, without the backtrace that `RUST_BACKTRACE` adds.
fn describe(error: &anyhow::Error) -> String {
    let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
    match causes.as_slice() {
        [] => error.to_string(),
        [cause] => format!("{error}\n\nCaused by:\n    {cause}"),
        causes => {
            let numbered: Vec<String> =
                causes.iter().enumerate().map(|(number, cause)| format!("    {number}: {cause}")).collect();
            format!("{error}\n\nCaused by:\n{}", numbered.join("\n"))
        }
    }
}

/// Keeps the named fields, and what identifies the object.
fn mask(object: Value, masks: &BTreeSet<String>) -> Value {
    let Value::Object(fields) = object else { return object };
    let paths: Vec<Vec<&str>> = masks.iter().map(|path| path.split('.').collect()).collect();
    let keep = |(name, value): (String, Value)| match name.as_str() {
        "apiVersion" | "kind" | "metadata" => Some((name, value)),
        _ => mask_field(name, value, &paths),
    };
    Value::Object(fields.into_iter().filter_map(keep).collect())
}

fn mask_field(name: String, value: Value, paths: &[Vec<&str>]) -> Option<(String, Value)> {
    let below: Vec<Vec<&str>> = paths
        .iter()
        .filter_map(|path| path.split_first())
        .filter(|(first, _)| **first == name)
        .map(|(_, rest)| rest.to_vec())
        .collect();
    match below.as_slice() {
        [] => None,
        // A path that ends here asks for all there is, unless a longer one narrows it.
        below if below.iter().all(Vec::is_empty) => Some((name, value)),
        below => Some((name, mask_value(value, below))),
    }
}

fn mask_value(value: Value, paths: &[Vec<&str>]) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter_map(|(name, value)| mask_field(name, value, paths))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| mask_value(item, paths)).collect()),
        other => other,
    }
}

/// A panic elsewhere leaves these lists whole, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service_account() -> Value {
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "team-a"},
            "imagePullSecrets": [{"name": "own"}], "secrets": [{"name": "token"}]
        })
    }

    fn host(granted: &[&str], journal: &Journal) -> KubewardenHost {
        let granted = granted
            .iter()
            .map(|kind| ContextAwareResource { api_version: "v1".to_owned(), kind: (*kind).to_owned() })
            .collect();
        let source = RecordedSource::default().with_object(service_account());
        KubewardenHost::new(granted, Arc::new(source), journal.clone())
    }

    fn get(host: &KubewardenHost, name: &str, field_masks: &[&str]) -> Result<Value, String> {
        let field_masks = (!field_masks.is_empty()).then_some(field_masks);
        let request = json!({
            "api_version": "v1", "kind": "ServiceAccount", "name": name, "namespace": "team-a",
            "disable_cache": false, "field_masks": field_masks
        });
        host.call("kubewarden", "kubernetes", "get_resource", request.to_string().as_bytes())
            .map(|answer| serde_json::from_slice(&answer).unwrap())
    }

    #[test]
    fn a_granted_object_is_read_and_written_down() {
        let journal = Journal::default();
        assert_eq!(get(&host(&["ServiceAccount"], &journal), "default", &[]), Ok(service_account()));
        assert_eq!(journal.lookups().len(), 1);
    }

    #[test]
    fn a_kind_that_was_not_granted_is_refused_in_the_words_of_policy_server() {
        assert_eq!(
            get(&host(&["serviceaccount", "Secret"], &Journal::default()), "default", &[]),
            Err("Policy has not been granted access to Kubernetes v1/ServiceAccount resources. The violation has been reported.".to_owned())
        );
    }

    #[test]
    fn a_missing_object_is_reported_in_the_words_of_policy_server() {
        assert_eq!(
            get(&host(&["ServiceAccount"], &Journal::default()), "gone", &[]),
            Err("Callback evaluation failure: Cannot find v1/ServiceAccount named 'gone' inside of namespace 'Some(\"team-a\")'".to_owned())
        );
    }

    #[test]
    fn field_masks_leave_metadata_alone() {
        assert_eq!(
            get(&host(&["ServiceAccount"], &Journal::default()), "default", &["imagePullSecrets.name"]),
            Ok(json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": "default", "namespace": "team-a"},
                "imagePullSecrets": [{"name": "own"}]
            }))
        );
    }

    #[test]
    fn anything_else_is_refused_and_written_down() {
        let journal = Journal::default();
        let answer = host(&["ServiceAccount"], &journal).call("kubewarden", "oci", "v1/verify", b"{}");
        assert!(answer.unwrap_err().contains("'oci/v1/verify' host capability"));
        assert_eq!(journal.calls(), [HostCall::Refused("oci/v1/verify".to_owned())]);
    }

    #[test]
    fn logs_are_kept() {
        let journal = Journal::default();
        let entry = json!({"level": "INFO", "message": "hello"});
        let answer = host(&[], &journal).call("kubewarden", "tracing", "log", entry.to_string().as_bytes());
        assert_eq!(answer, Ok(Vec::new()));
        assert_eq!(journal.calls(), [HostCall::Log(entry)]);
    }

    #[test]
    fn causes_are_listed_the_way_policy_server_prints_them() {
        let one = anyhow::anyhow!("cause").context("failed");
        assert_eq!(describe(&one), "failed\n\nCaused by:\n    cause");
        let two = one.context("outer");
        assert_eq!(describe(&two), "outer\n\nCaused by:\n    0: failed\n    1: cause");
    }
}
