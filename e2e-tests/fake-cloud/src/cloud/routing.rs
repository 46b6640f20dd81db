//! Which call a request is.

use crate::error::ApiError;
use crate::fault::Action;
use crate::message::Request;

/// What a request calls.
pub(super) fn action_of(request: &Request) -> Action {
    if request.path == "/latest/api/token" {
        return Action::MetadataToken;
    }
    if let Some(role) = request.path.strip_prefix("/latest/meta-data/ram/security-credentials/")
        && !role.is_empty()
    {
        return Action::MetadataCredentials;
    }
    if request.path.starts_with("/latest/") {
        return Action::Metadata;
    }
    if request.path == "/v2/" || request.path == "/v2" {
        return Action::Registry;
    }
    if request.path == "/auth" {
        return Action::RegistryLogin;
    }
    let (version, action) = version_and_action(request);
    let rpc = request.path == "/" && (request.method == "POST" || request.method == "GET");
    match (version.as_deref(), action.as_deref()) {
        (Some("2018-12-01"), Some("GetAuthorizationToken")) if rpc => Action::GetAuthorizationToken,
        (Some("2018-12-01"), Some("ListInstanceEndpoint")) if rpc => Action::ListInstanceEndpoint,
        (Some("2015-04-01"), Some("AssumeRole")) if rpc => Action::AssumeRole,
        (Some("2015-04-01"), Some("AssumeRoleWithOIDC")) if rpc => Action::AssumeRoleWithOIDC,
        (Some("2016-06-07"), Some("GetAuthorizationToken") | None)
            if request.path == "/tokens" && request.method == "GET" =>
        {
            Action::GetPersonalToken
        }
        _ => Action::Unknown,
    }
}

/// Why it calls nothing.
pub(super) fn unknown_action(request: &Request) -> ApiError {
    let (version, action) = version_and_action(request);
    match (version.as_deref(), action) {
        (None, _) => ApiError::missing("Version"),
        (_, None) => ApiError::missing("Action"),
        (Some("2018-12-01" | "2016-06-07" | "2015-04-01"), Some(_)) => ApiError::new(
            404,
            "InvalidAction.NotFound",
            "Specified api is not found, please check your url and method.",
        ),
        (Some(_), Some(_)) => {
            ApiError::new(400, "InvalidVersion", "Specified parameter Version is not valid.")
        }
    }
}

fn version_and_action(request: &Request) -> (Option<String>, Option<String>) {
    let either =
        |header: &str, parameter: &str| request.header(header).or_else(|| request.parameter(parameter));
    (either("x-acs-version", "Version"), either("x-acs-action", "Action"))
}
