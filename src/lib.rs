//! Kubewarden policy that adds the pull secret of Alibaba Cloud Container Registry (ACR) to the Pods it selects, and
//! refuses Pods and workloads whose manual `imagePullSecrets` would keep it out.
//!
//! This file is the waPC edge: it reads nothing and decides nothing. [`validate_with`] is the same function without
//! waPC, for tests.

mod accounts;
mod json;
mod message;
mod object;
mod request;
mod review;
mod settings;
mod verdict;

use kubewarden_policy_sdk::settings::SettingsValidationResponse;
use wapc_guest::{CallResult, register_function};

use accounts::PolicyServer;
pub use accounts::{LookupError, ServiceAccounts};
use settings::Settings;

/// Registers the three functions that a policy server calls.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings);
    register_function("protocol_version", kubewarden_policy_sdk::protocol_version_guest);
}

fn validate(payload: &[u8]) -> CallResult {
    validate_with(payload, &PolicyServer)
}

/// Reviews one admission request: `{"request": AdmissionRequest, "settings": {…}}` in, a `ValidationResponse` out, both
/// JSON.
///
/// # Errors
/// Never in practice; a request that cannot be understood is an answer (code 400), not an error.
pub fn validate_with(payload: &[u8], accounts: &dyn ServiceAccounts) -> CallResult {
    Ok(review::review(payload, accounts).to_json()?)
}

/// Checks settings, JSON in, a `SettingsValidationResponse` out. All mistakes are reported at once.
///
/// # Errors
/// Never in practice.
pub fn validate_settings(payload: &[u8]) -> CallResult {
    let checked = match std::str::from_utf8(payload) {
        Ok(json) => Settings::parse(json).map(|_| ()).map_err(|mistakes| mistakes.to_string()),
        Err(_) => Err("settings: are not UTF-8".to_owned()),
    };
    let response = SettingsValidationResponse { valid: checked.is_ok(), message: checked.err() };
    Ok(serde_json::to_vec(&response)?)
}
