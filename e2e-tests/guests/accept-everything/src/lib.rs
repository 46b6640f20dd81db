//! A policy that accepts every request without reading it.
//!
//! What it takes is what the policy host itself takes: an instance, one call, one answer. Other policies are measured
//! against it.

use wapc_guest::prelude::*;

/// Registers the three functions of the policy protocol.
#[allow(unsafe_code)] // waPC finds this function by its name.
#[unsafe(no_mangle)]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings);
    register_function("protocol_version", kubewarden_policy_sdk::protocol_version_guest);
}

fn validate(_payload: &[u8]) -> CallResult {
    kubewarden_policy_sdk::accept_request()
}

// waPC fixes the signature.
#[allow(clippy::unnecessary_wraps)]
fn validate_settings(_settings: &[u8]) -> CallResult {
    Ok(br#"{"valid":true}"#.to_vec())
}
