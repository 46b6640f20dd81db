//! Service accounts: append the pull secret, whatever else the list holds.

use super::object::{ServiceAccount, names};
use super::{Reason, Request, Rule, Settings, Verdict, append, insert_first, object_of};
use crate::json::{self, Malformed, Map};

pub(super) fn judge<'a>(request: &Request<'a>, settings: &Settings<'_>) -> Result<Verdict<'a>, Malformed> {
    let object = object_of(request.object, "object")?;
    let Map(ServiceAccount { metadata: Map(metadata), image_pull_secrets }) = json::read(object)?;
    if metadata.is_being_deleted() {
        return Ok(Verdict::Accept(Reason::Exempt));
    }
    if !settings.service_accounts.contains(&metadata.name.0) {
        return Ok(Verdict::Accept(Reason::NotSelected));
    }
    let is_listed = names(image_pull_secrets)?.iter().any(|name| **name == *settings.pull_secret);
    if is_listed {
        return Ok(Verdict::Accept(Reason::Listed));
    }
    let splice = match image_pull_secrets.0 {
        Some(list) => append(list, object, &settings.pull_secret),
        None => insert_first(object, object, &settings.pull_secret),
    };
    splice
        .map(|splice| {
            let rule = Rule::ServiceAccountAppended;
            Verdict::Mutate { rule, object, splice, warnings: Vec::new() }
        })
        .ok_or_else(|| Malformed::new("cannot be found in the object").below("imagePullSecrets"))
}
