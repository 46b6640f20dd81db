//! Kubewarden policy that adds the pull secret of Alibaba Cloud Container Registry (ACR) to the Pods it selects, and tells people
//! whose Pods and workloads list other pull secrets, but not this one.
//!
//! This package is the edge to the policy server: it reads the request, looks a service account up and writes the answer. What
//! it answers is decided in [`acr_credential_core::policy`]. [`validate_with`] is the same function without waPC, for tests.

mod accounts;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod request;
mod response;

use acr_credential_core::policy::{Settings, Verdict, judge};
use kubewarden_policy_sdk::settings::SettingsValidationResponse;
use wapc_guest::{CallResult, register_function};

use accounts::PolicyServer;
pub use acr_credential_core::policy::{LookupError, ServiceAccounts};
use request::Review;

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
    let review = Review::parse(payload);
    let verdict = match &review {
        Err(malformed) => Verdict::malformed(&malformed.path, &malformed.complaint),
        Ok(review) => match review.request() {
            None => Verdict::NotSelected,
            Some(request) => match Settings::parse(review.settings.0.unwrap_or("null")) {
                Ok(settings) => judge(&request, &settings, accounts),
                Err(mistakes) => Verdict::Error { code: 500, message: format!("wrong settings: {mistakes}") },
            },
        },
    };
    Ok(response::to_json(&verdict)?)
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
