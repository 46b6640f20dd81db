//! Adds a pull secret to Pods the way the tutorial of the policy SDK mutates them: the request becomes a typed object,
//! the object is changed and written out whole.
//!
//! It is here to be measured against, and to show what this style costs besides time: fields that the types do not know
//! are lost on the way.

use k8s_openapi::api::core::v1::{LocalObjectReference, Pod};
use kubewarden_policy_sdk::request::ValidationRequest;
use kubewarden_policy_sdk::settings::Validatable;
use kubewarden_policy_sdk::{accept_request, mutate_request, protocol_version_guest, validate_settings};
use serde::{Deserialize, Serialize};
use wapc_guest::prelude::*;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    pull_secret: String,
}

impl Validatable for Settings {
    fn validate(&self) -> Result<(), String> {
        if self.pull_secret.is_empty() { Err("pullSecret is missing".to_owned()) } else { Ok(()) }
    }
}

/// Registers the three functions of the policy protocol.
#[allow(unsafe_code)] // waPC finds this function by its name.
#[unsafe(no_mangle)]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings::<Settings>);
    register_function("protocol_version", protocol_version_guest);
}

fn validate(payload: &[u8]) -> CallResult {
    let request: ValidationRequest<Settings> = ValidationRequest::new(payload)?;
    let Ok(mut pod) = serde_json::from_value::<Pod>(request.request.object.clone()) else {
        return accept_request();
    };
    let pull_secret = request.settings.pull_secret;
    let pull_secrets = pod.spec.get_or_insert_default().image_pull_secrets.get_or_insert_default();
    if pull_secrets.iter().any(|entry| entry.name == pull_secret) {
        return accept_request();
    }
    pull_secrets.push(LocalObjectReference { name: pull_secret });
    mutate_request(serde_json::to_value(pod)?)
}
