//! Pods: append the pull secret, or say why not.

use acr_credential_core::Standing;

use super::{append, first_unknown, insert_after, insert_first, object_of, selects, standing};
use crate::accounts::ServiceAccounts;
use crate::json::{Malformed, Reader};
use crate::message::{manual_list_warning, refusal, short};
use crate::object::{PodOrTemplate, PodSpec};
use crate::request::Request;
use crate::settings::{PodMode, Settings};
use crate::verdict::{Rule, Splice, Verdict};

const PATH: &str = "spec.imagePullSecrets";

pub(super) fn review<'a>(
    request: &Request<'a>,
    settings: &Settings<'_>,
    accounts: &dyn ServiceAccounts,
) -> Result<Verdict<'a>, Malformed> {
    let object = object_of(request.object, "object")?;
    let read_now;
    let pod = if let Some(read_before) = &request.pod {
        read_before
    } else {
        read_now = PodOrTemplate::parse(object, &["spec"]);
        &read_now
    };
    let PodOrTemplate { metadata, spec } = pod.as_ref().map_err(Clone::clone)?;
    if metadata.is_mirror || !selects(settings, spec).map_err(|malformed| malformed.below("spec"))? {
        return Ok(Verdict::Accept);
    }
    let names = spec.pull_secret_names().map_err(|malformed| malformed.below("spec"))?;
    let manual = match standing(settings, &names) {
        Standing::Listed => return Ok(Verdict::Accept),
        Standing::Free => return mutate(object, spec, settings, Rule::PodAppended, None),
        Standing::Manual(manual) => manual,
    };
    let is_owned = metadata.controller.is_some();
    let mode = if is_owned { settings.manual.owned_pods } else { settings.manual.pods };
    let first = manual.first().copied().unwrap_or_default();
    match mode {
        PodMode::Merge => mutate(object, spec, settings, Rule::PodMerged, None),
        PodMode::Warn => {
            let warning = manual_list_warning(PATH, first, &settings.pull_secret);
            mutate(object, spec, settings, Rule::PodMerged, Some(warning))
        }
        PodMode::Ignore => Ok(Verdict::LeaveAlone { rule: Rule::PodIgnored, warning: None }),
        PodMode::Reject => {
            let refuse = |entry: &str| {
                let subject = metadata.subject(&request.kind.kind, &request.namespace);
                Verdict::Refuse {
                    rule: Rule::PodRefused,
                    message: refusal(&subject, PATH, entry, &settings.pull_secret),
                }
            };
            if !settings.read_service_accounts {
                return Ok(refuse(first));
            }
            // The only lookup of the policy: Kubernetes may have copied these entries from the service account.
            match accounts.pull_secrets(&request.namespace, spec.service_account()) {
                Ok(copied) => {
                    let copied: Vec<&str> = copied.iter().map(String::as_str).collect();
                    match first_unknown(&manual, &copied) {
                        Some(entry) => Ok(refuse(entry)),
                        None => mutate(object, spec, settings, Rule::PodAppended, None),
                    }
                }
                Err(error) => {
                    let warning = lookup_warning(spec.service_account(), error.advice());
                    mutate(object, spec, settings, Rule::PodMerged, Some(warning))
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
    warning: Option<String>,
) -> Result<Verdict<'a>, Malformed> {
    let splice = match (spec.image_pull_secrets, spec.containers) {
        (Some(list), _) => append(list, object, &settings.pull_secret),
        (None, Some(containers)) => insert_after(containers, object, &settings.pull_secret),
        (None, None) => insert_into_spec(object, &settings.pull_secret)?,
    };
    splice
        .map(|splice| Verdict::Mutate { rule, object, splice, warning })
        .ok_or_else(|| Malformed::new("cannot be found in the object").below(PATH))
}

/// For a Pod without containers. No API server accepts one, but it is a request all the same.
fn insert_into_spec(object: &str, pull_secret: &str) -> Result<Option<Splice>, Malformed> {
    let mut spec = "";
    Reader::document(object, |reader| {
        reader.map(&["spec"], &mut |reader, _| {
            spec = reader.raw()?;
            Ok(())
        })
    })?;
    Ok(insert_first(spec, object, pull_secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::LookupError;
    use crate::message::LONGEST_WARNING;

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
