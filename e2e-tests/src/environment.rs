//! The policies that a host serves, compiled and with their settings checked: policy-server's evaluation, in process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use axum::Json;
use axum::body::Bytes;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use crate::host_calls::{
    ClusterSource, ContextAwareResource, HostCall, Journal, KubewardenHost, RecordedSource, ResourceSource,
};
use crate::review::{AdmissionResponse, AdmissionReview, Mode, Terms};
use crate::wasm::{Limits, PolicyModule, Runtime, Trap};
use crate::{kubeconfig, paths};

/// What to serve.
#[derive(Clone, Debug, Default)]
pub struct HostConfig {
    /// The policies under the names that appear in their paths.
    pub policies: BTreeMap<String, PolicyConfig>,
    /// How policies reach the API server, and as whom. Without it every lookup finds nothing.
    pub kubeconfig: Option<PathBuf>,
    /// How long policies may run. policy-server proper always takes its defaults.
    pub limits: Limits,
}

/// One policy, as policy-server is told of it.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// The file of the compiled policy.
    pub module: PathBuf,
    /// The settings that go with every request.
    pub settings: Map<String, Value>,
    /// Whether it may change objects.
    pub mutating: bool,
    /// Whether its verdict counts.
    pub mode: Mode,
    /// What users read in place of its own message.
    pub message: Option<String>,
    /// The kinds that it may read.
    pub context_aware_resources: BTreeSet<ContextAwareResource>,
    /// A limit of its own, in place of the host's.
    pub timeout_eval_seconds: Option<u64>,
}

impl PolicyConfig {
    /// A protecting policy that may mutate, and nothing else.
    #[must_use]
    pub fn mutating(module: PathBuf, settings: Map<String, Value>) -> Self {
        Self {
            module,
            settings,
            mutating: true,
            mode: Mode::Protect,
            message: None,
            context_aware_resources: BTreeSet::new(),
            timeout_eval_seconds: None,
        }
    }
}

/// What the API server gets to see.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body: an `AdmissionReview`, or `{"message", "status"}`.
    pub body: Bytes,
    /// What the policy asked of its host. Unknown where policy-server proper evaluates.
    pub host_calls: Option<Vec<HostCall>>,
}

impl Answer {
    fn error(status: u16, message: &str) -> Self {
        let body = json!({"message": message, "status": status}).to_string();
        Self { status, body: body.into(), host_calls: Some(Vec::new()) }
    }
}

/// Compiled policies with settings that they accept.
pub struct Environment {
    policies: BTreeMap<String, LoadedPolicy>,
    source: Arc<dyn ResourceSource>,
    default_ticks: u64,
}

struct LoadedPolicy {
    config: PolicyConfig,
    module: PolicyModule,
}

impl Environment {
    /// Compiles each module once and has every policy check its settings. Call it from within a tokio runtime; lookups
    /// are made there.
    ///
    /// # Errors
    /// When a module cannot be loaded or a policy refuses its settings; the message names the policy.
    pub async fn load(config: HostConfig) -> Result<Self> {
        let HostConfig { policies, kubeconfig, limits } = config;
        let source: Arc<dyn ResourceSource> = match kubeconfig {
            Some(path) => Arc::new(ClusterSource::new(kubeconfig::client(&path).await?, Handle::current())),
            None => Arc::new(RecordedSource::default()),
        };
        let policies = tokio::task::spawn_blocking(move || load_policies(policies, limits))
            .await
            .context("the thread that compiles the policies ended early")??;
        Ok(Self { policies, source, default_ticks: limits.ticks })
    }

    /// Answers the body of a request to `/validate/{policy}`. Call it from a thread that may block.
    #[must_use]
    pub fn validate(&self, policy: &str, body: &Bytes) -> Answer {
        let review = match Json::<AdmissionReview>::from_bytes(body) {
            Ok(Json(review)) => review,
            Err(rejection) => return Answer::error(rejection.status().as_u16(), &rejection.body_text()),
        };
        let Some(LoadedPolicy { config, module }) = self.policies.get(policy) else {
            return Answer::error(404, &format!("unknown policy: {policy}"));
        };

        let request = review.request;
        let journal = Journal::default();
        let host = KubewardenHost::new(
            config.context_aware_resources.clone(),
            Arc::clone(&self.source),
            journal.clone(),
        );
        let ticks = config.timeout_eval_seconds.unwrap_or(self.default_ticks);
        let outcome = match request.payload(&config.settings) {
            Ok(payload) => module.evaluate_within(ticks, "validate", &payload, Arc::new(host)),
            Err(error) => Err(Trap::Call(error.to_string())),
        };
        if let Err(Trap::Start(message)) = &outcome {
            tracing::error!(policy, message, "no instance could be started");
            return Answer::error(500, "Something went wrong");
        }
        let terms = Terms {
            policy,
            mode: config.mode,
            mutating: config.mutating,
            message: config.message.as_deref(),
        };
        let response = AdmissionResponse::new(&request, outcome, &terms);
        Answer {
            status: 200,
            body: response.into_review().to_string().into(),
            host_calls: Some(journal.calls()),
        }
    }
}

fn load_policies(
    policies: BTreeMap<String, PolicyConfig>,
    limits: Limits,
) -> Result<BTreeMap<String, LoadedPolicy>> {
    let runtime = Runtime::with_cache_in(limits, &paths::module_cache())?;
    let mut modules = BTreeMap::<PathBuf, PolicyModule>::new();
    let mut loaded = BTreeMap::new();
    for (name, config) in policies {
        let module = if let Some(module) = modules.get(&config.module) {
            module.clone()
        } else {
            let module = runtime.compile_file(&config.module)?;
            modules.insert(config.module.clone(), module.clone());
            module
        };
        let verdict = module
            .validate_settings(&config.settings, Arc::new(KubewardenHost::closed()))
            .with_context(|| format!("{name}: failed to check the settings"))?;
        if !verdict.valid {
            let message = verdict.message.unwrap_or_else(|| "no message".to_owned());
            bail!("{name}: Policy settings are invalid: {message}");
        }
        loaded.insert(name, LoadedPolicy { config, module });
    }
    Ok(loaded)
}
