//! Service accounts: append the pull secret, whatever else the list holds.

use super::{append, insert_first, object_of};
use crate::json::Malformed;
use crate::object::{ServiceAccount, names};
use crate::request::Request;
use crate::settings::Settings;
use crate::verdict::{Rule, Verdict};

pub(super) fn review<'a>(request: &Request<'a>, settings: &Settings<'_>) -> Result<Verdict<'a>, Malformed> {
    let object = object_of(request.object, "object")?;
    let ServiceAccount { metadata, image_pull_secrets } = ServiceAccount::parse(object)?;
    if metadata.is_being_deleted || !settings.service_accounts.contains(&metadata.name) {
        return Ok(Verdict::Accept);
    }
    let is_listed = names(image_pull_secrets)?.iter().any(|name| **name == *settings.pull_secret);
    if is_listed {
        return Ok(Verdict::Accept);
    }
    let splice = match image_pull_secrets {
        Some(list) => append(list, object, &settings.pull_secret),
        None => insert_first(object, object, &settings.pull_secret),
    };
    splice
        .map(|splice| Verdict::Mutate { rule: Rule::ServiceAccountAppended, object, splice, warning: None })
        .ok_or_else(|| Malformed::new("cannot be found in the object").below("imagePullSecrets"))
}
