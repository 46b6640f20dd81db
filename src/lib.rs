//! Kubewarden policy that adds the pull secret of Alibaba Cloud Container Registry (ACR) to the Pods that it selects. It warns
//! users or refuses their Pods and workloads when these list other pull secrets, but not this one.
//!
//! This package is the edge to the policy server: it reads the request, looks up a service account and writes the response. The
//! decision is made in [`acr_credential_core::policy`]. [`validate_with`] is the same function without waPC, for tests.

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

/// Reviews one admission request. The input is `{"request": AdmissionRequest, "settings": {…}}` and the output is a
/// `ValidationResponse`, both in JSON.
///
/// # Errors
/// Never returns an error in practice. The response to a request that cannot be understood has code 400.
pub fn validate_with(payload: &[u8], accounts: &dyn ServiceAccounts) -> CallResult {
    let review = Review::parse(payload);
    let verdict = match &review {
        Err(malformed) => Verdict::malformed(&malformed.path, &malformed.complaint),
        Ok(review) => match review.request() {
            None => Verdict::Accept,
            Some(request) => match Settings::parse(review.settings.0.unwrap_or("null")) {
                Ok(settings) => judge(&request, &settings, accounts),
                Err(mistakes) => Verdict::Error { code: 500, message: format!("wrong settings: {mistakes}") },
            },
        },
    };
    Ok(response::to_json(&verdict)?)
}

/// Checks settings. The input is JSON and the output is a `SettingsValidationResponse`, which contains all mistakes.
///
/// # Errors
/// Never returns an error in practice.
pub fn validate_settings(payload: &[u8]) -> CallResult {
    let checked = match std::str::from_utf8(payload) {
        Ok(json) => Settings::parse(json).map(|_| ()).map_err(|mistakes| mistakes.to_string()),
        Err(_) => Err("settings: are not UTF-8".to_owned()),
    };
    let response = SettingsValidationResponse { valid: checked.is_ok(), message: checked.err() };
    Ok(serde_json::to_vec(&response)?)
}
