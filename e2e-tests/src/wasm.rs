//! Compiled policies, run the way policy-server runs them: the module is compiled once, and every request gets an
//! instance of its own, so nothing a policy keeps in memory outlives the request.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wapc::WapcHost;
use wasmtime_provider::wasmtime::{Cache, CacheConfig, Config, Engine, Module};
use wasmtime_provider::{EpochDeadlines, WasmtimeEngineProviderBuilder, WasmtimeEngineProviderPre};

use crate::host_calls::HostCalls;

/// How long a policy may run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Length of one tick of the engine's clock.
    pub tick: Duration,
    /// Ticks that a policy's start, and each call of it, may take. The tick that is under way counts, so the time
    /// allowed is between `ticks - 1` and `ticks` ticks.
    pub ticks: u64,
}

impl Default for Limits {
    /// What policy-server does unless told otherwise.
    fn default() -> Self {
        Self { tick: Duration::from_secs(1), ticks: 2 }
    }
}

/// The engine that compiles and runs policies, with the clock that ends those that take too long.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    ticks: u64,
}

impl Runtime {
    /// Sets up an engine configured like the one in policy-server.
    ///
    /// # Errors
    /// When the engine does not support this machine, or the thread of its clock cannot be started.
    pub fn new(limits: Limits) -> Result<Self> {
        Self::with_cache(limits, None)
    }

    /// [`Runtime::new`], but what was compiled once is read from a directory. policy-server has no such thing; tests, each
    /// of which starts a host of its own, would spend most of their time compiling.
    ///
    /// # Errors
    /// As [`Runtime::new`]; also when the directory cannot be used.
    pub fn with_cache_in(limits: Limits, dir: &Path) -> Result<Self> {
        let mut config = CacheConfig::new();
        config.with_directory(dir);
        let cache = Cache::new(config).map_err(engine_error).context("failed to use the cache of modules")?;
        Self::with_cache(limits, Some(cache))
    }

    fn with_cache(limits: Limits, cache: Option<Cache>) -> Result<Self> {
        let mut config = Config::default();
        config.wasm_function_references(true).epoch_interruption(true).cache(cache);
        let engine =
            Engine::new(&config).map_err(engine_error).context("failed to set up the wasm engine")?;

        // The clock ends with the last user of the engine.
        let weak = engine.weak();
        thread::Builder::new()
            .name("wasm-clock".to_owned())
            .spawn(move || {
                loop {
                    thread::sleep(limits.tick);
                    match weak.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => break,
                    }
                }
            })
            .context("failed to start the clock of the wasm engine")?;
        Ok(Self { engine, ticks: limits.ticks })
    }

    /// Compiles the module in a file.
    ///
    /// # Errors
    /// When the file cannot be read, or is no module of a waPC guest.
    pub fn compile_file(&self, path: &Path) -> Result<PolicyModule> {
        let wasm = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        self.compile(&wasm).with_context(|| format!("failed to load the policy {}", path.display()))
    }

    /// Compiles a module.
    ///
    /// # Errors
    /// When the bytes are no module of a waPC guest.
    pub fn compile(&self, wasm: &[u8]) -> Result<PolicyModule> {
        let module =
            Module::new(&self.engine, wasm).map_err(engine_error).context("failed to compile the module")?;
        let pre = WasmtimeEngineProviderBuilder::new()
            .engine(self.engine.clone())
            .module(module)
            .build_pre()
            .context("failed to link the module")?;
        Ok(PolicyModule { pre, ticks: self.ticks })
    }
}

/// A policy, compiled and linked.
#[derive(Clone)]
pub struct PolicyModule {
    pre: WasmtimeEngineProviderPre,
    ticks: u64,
}

impl PolicyModule {
    /// Starts an instance, calls one of its functions and drops it. Call it from a thread that may block.
    ///
    /// # Errors
    /// When the instance does not start, traps, runs out of time, or answers with an error of its own.
    pub fn evaluate(
        &self,
        operation: &str,
        payload: &[u8],
        host_calls: Arc<dyn HostCalls>,
    ) -> Result<Vec<u8>, Trap> {
        self.evaluate_within(self.ticks, operation, payload, host_calls)
    }

    /// [`PolicyModule::evaluate`] with a limit for this call, as a policy's `timeoutEvalSeconds` sets it.
    ///
    /// # Errors
    /// As [`PolicyModule::evaluate`].
    pub fn evaluate_within(
        &self,
        ticks: u64,
        operation: &str,
        payload: &[u8],
        host_calls: Arc<dyn HostCalls>,
    ) -> Result<Vec<u8>, Trap> {
        let deadlines = EpochDeadlines { wapc_init: ticks, wapc_func: ticks };
        let provider = self.pre.rehydrate(Some(deadlines)).map_err(|error| Trap::Start(error.to_string()))?;
        let callback = move |_id: u64, binding: &str, namespace: &str, operation: &str, payload: &[u8]| {
            host_calls
                .call(binding, namespace, operation, payload)
                .map_err(|message| -> Box<dyn Error + Send + Sync> { message.into() })
        };
        let host = WapcHost::new(Box::new(provider), Some(Box::new(callback)))
            .map_err(|error| Trap::starting(error.to_string()))?;
        host.call(operation, payload).map_err(|error| Trap::calling(error.to_string()))
    }

    /// Asks the policy whether its settings are good.
    ///
    /// # Errors
    /// When the policy traps, or answers with something else than a verdict.
    pub fn validate_settings(
        &self,
        settings: &Map<String, Value>,
        host_calls: Arc<dyn HostCalls>,
    ) -> Result<SettingsVerdict> {
        let payload = serde_json::to_vec(settings).context("failed to write the settings")?;
        let answer = self.evaluate("validate_settings", &payload, host_calls)?;
        serde_json::from_slice(&answer).context("failed to parse what validate_settings answered")
    }

    /// The version of the policy protocol, such as `v1`.
    ///
    /// # Errors
    /// When the policy traps, or answers with something else than a version.
    pub fn protocol_version(&self, host_calls: Arc<dyn HostCalls>) -> Result<String> {
        let answer = self.evaluate("protocol_version", &[], host_calls)?;
        serde_json::from_slice(&answer).context("failed to parse what protocol_version answered")
    }
}

/// What a policy says of its settings.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SettingsVerdict {
    /// Whether the policy can work with them.
    pub valid: bool,
    /// Why not.
    pub message: Option<String>,
}

/// Why a policy gave no answer. The texts are those of policy-server's libraries, which reach the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trap {
    /// No instance could be started.
    Start(String),
    /// The start or the call took longer than allowed.
    Interrupted,
    /// The call trapped, or the policy returned an error.
    Call(String),
}

impl Trap {
    fn starting(message: String) -> Self {
        if message.contains("init interrupted, execution deadline exceeded") {
            Self::Interrupted
        } else {
            Self::Start(message)
        }
    }

    fn calling(message: String) -> Self {
        if message.contains("guest code interrupted, execution deadline exceeded") {
            Self::Interrupted
        } else {
            Self::Call(message)
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(message) | Self::Call(message) => f.write_str(message),
            Self::Interrupted => {
                f.write_str("Policy execution interrupted because it exceeded the allowed execution time")
            }
        }
    }
}

impl Error for Trap {}

/// The engine has an error type of its own, which is no `std::error::Error`.
fn engine_error(error: impl fmt::Debug) -> anyhow::Error {
    anyhow::anyhow!("{error:?}")
}
