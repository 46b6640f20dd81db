//! Pods: append the pull secret, or say why not.

use serde::Deserialize;

use super::message::{manual_list_warnings, pod_refusal, short};
use super::object::{PodOrTemplate, PodSpec};
use super::{
    PodMode, Reason, Request, Rule, ServiceAccounts, Settings, Shape, Splice, Verdict, append, first_unknown,
    insert_after, insert_first, is_person, object_of, selects, standing,
};
use crate::ListVerdict;
use crate::json::{self, Malformed, Map, Raw};

const PATH: &str = "spec.imagePullSecrets";

pub(super) fn judge<'a>(
    request: &Request<'a>,
    settings: &Settings<'_>,
    accounts: &dyn ServiceAccounts,
) -> Result<Verdict<'a>, Malformed> {
    let object = object_of(request.object, "object")?;
    let PodOrTemplate { metadata, spec } = PodOrTemplate::parse(object, Shape::Pod)?;
    if metadata.is_mirror() {
        return Ok(Verdict::Accept(Reason::Exempt));
    }
    if !selects(settings, &spec).map_err(|malformed| malformed.below("spec"))? {
        return Ok(Verdict::Accept(Reason::NotSelected));
    }
    let names = spec.pull_secret_names().map_err(|malformed| malformed.below("spec"))?;
    let manual = match standing(settings, &names) {
        ListVerdict::Listed => return Ok(Verdict::Accept(Reason::Listed)),
        ListVerdict::Free => return mutate(object, &spec, settings, Rule::PodAppended, Vec::new()),
        ListVerdict::Manual(manual) => manual,
    };
    let is_persons = !metadata.is_owned() && is_person(request.user);
    let mode = if is_persons { settings.manual.pods } else { settings.manual.owned_pods };
    let first = manual.first().copied().unwrap_or_default();
    match mode {
        PodMode::Merge => mutate(object, &spec, settings, Rule::PodMerged, Vec::new()),
        PodMode::Warn => {
            let warnings = manual_list_warnings(first, &settings.pull_secret, mode);
            mutate(object, &spec, settings, Rule::PodMerged, warnings)
        }
        PodMode::Ignore => Ok(Verdict::LeaveAlone { rule: Rule::PodIgnored, warnings: Vec::new() }),
        PodMode::Reject => {
            let refuse = |entry: &str| {
                let subject = metadata.subject(request.kind, request.namespace);
                let message = pod_refusal(&subject, PATH, entry, &settings.pull_secret);
                Verdict::Refuse { rule: Rule::PodRefused, message }
            };
            if !settings.read_service_accounts {
                return Ok(refuse(first));
            }
            // The only look-up of the policy: Kubernetes may have copied these entries from the service account.
            match accounts.pull_secrets(request.namespace, spec.service_account()) {
                Ok(copied) => {
                    let copied: Vec<&str> = copied.iter().map(String::as_str).collect();
                    match first_unknown(&manual, &copied) {
                        Some(entry) => Ok(refuse(entry)),
                        None => mutate(object, &spec, settings, Rule::PodAppended, Vec::new()),
                    }
                }
                Err(error) => {
                    let warning = lookup_warning(spec.service_account(), error.advice());
                    mutate(object, &spec, settings, Rule::PodMerged, vec![warning])
                }
            }
        }
    }
}

fn lookup_warning(service_account: &str, advice: &str) -> String {
    format!("kept a list that may be manual: {advice} (\"{}\")", short(service_account, 28))
}

fn mutate<'a>(
    object: &'a str,
    spec: &PodSpec<'a>,
    settings: &Settings<'_>,
    rule: Rule,
    warnings: Vec<String>,
) -> Result<Verdict<'a>, Malformed> {
    let splice = match (spec.image_pull_secrets.0, spec.containers.0) {
        (Some(list), _) => append(list, object, &settings.pull_secret),
        (None, Some(containers)) => insert_after(containers, object, &settings.pull_secret),
        (None, None) => insert_into_spec(object, &settings.pull_secret)?,
    };
    splice
        .map(|splice| Verdict::Mutate { rule, object, splice, warnings })
        .ok_or_else(|| Malformed::new("cannot be found in the object").below(PATH))
}

/// For a Pod without containers. No API server accepts one, but it is a request all the same.
fn insert_into_spec(object: &str, pull_secret: &str) -> Result<Option<Splice>, Malformed> {
    #[derive(Deserialize)]
    struct Pod<'a> {
        #[serde(borrow)]
        spec: Raw<'a>,
    }
    let Map(Pod { spec }) = json::read(object)?;
    Ok(insert_first(spec.0.unwrap_or_default(), object, pull_secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::LookupError;
    use crate::policy::message::LONGEST_WARNING;

    #[test]
    fn lookup_warnings_keep_within_the_limit() {
        let name = "a".repeat(253);
        for error in
            [LookupError::Forbidden, LookupError::NotGranted, LookupError::NotFound, LookupError::Failed]
        {
            let warning = lookup_warning(&name, error.advice());
            assert!(warning.chars().count() <= LONGEST_WARNING, "{warning}");
        }
    }
}
