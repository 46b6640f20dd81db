//! Service accounts: append the pull secret, whatever else the list contains.

use std::borrow::Cow;

use super::object::{ServiceAccount, names};
use super::{Request, Rule, Settings, Splice, Verdict};
use crate::json::{self, Malformed, Map};

pub(super) fn judge<'a>(request: &Request<'a>, settings: &Settings<'_>) -> Result<Verdict<'a>, Malformed> {
    let object = request.object()?;
    let Map(ServiceAccount { metadata: Map(metadata), image_pull_secrets }) = json::read(object)?;
    if metadata.deletion_timestamp.is_some() {
        return Ok(Verdict::Accept);
    }
    if !settings.service_accounts.contains(&metadata.name.0) {
        return Ok(Verdict::NotSelected);
    }
    if names(image_pull_secrets)?.contains(&settings.pull_secret) {
        return Ok(Verdict::Accept);
    }
    let splice = match image_pull_secrets.0 {
        Some(list) => Splice::append(list, object, &settings.pull_secret),
        None => Splice::insert_first(object, object, &settings.pull_secret),
    };
    Verdict::mutate(Rule::ServiceAccountAppended, object, splice, Vec::new())
}

/// Returns the names in the `imagePullSecrets` of a service account, which is given as JSON.
///
/// # Errors
/// Returns what is wrong with the list, with the path.
pub fn listed_pull_secrets(service_account: &str) -> Result<Vec<String>, Malformed> {
    let Map(ServiceAccount { image_pull_secrets, .. }) = json::read(service_account)?;
    Ok(names(image_pull_secrets)?.into_iter().map(Cow::into_owned).collect())
}
