//! Pods: append the pull secret, or report why it is not appended.

use serde::Deserialize;

use super::list_verdict::ListVerdict;
use super::message::{Subject, manual_list_warnings, pod_refusal, short};
use super::object::PodOrTemplate;
use super::{
    LookupError, PodMode, Request, Rule, ServiceAccounts, Settings, Shape, Splice, Verdict, first_unknown,
    is_person, selects,
};
use crate::json::{self, Malformed, Map, Raw};

pub(super) fn judge<'a>(
    request: &Request<'a>,
    settings: &Settings<'_>,
    accounts: &dyn ServiceAccounts,
) -> Result<Verdict<'a>, Malformed> {
    let object = request.object()?;
    let pod = PodOrTemplate::parse(object, Shape::Pod)?;
    if pod.metadata.is_mirror() {
        return Ok(Verdict::Accept);
    }
    if !selects(settings, &pod)? {
        return Ok(Verdict::NotSelected);
    }
    let append = |rule, warnings| {
        let splice = match (pod.spec.image_pull_secrets.0, pod.spec.containers.0) {
            (Some(list), _) => Splice::append(list, object, &settings.pull_secret),
            (None, Some(containers)) => Splice::insert_after(containers, object, &settings.pull_secret),
            (None, None) => insert_into_spec(object, &settings.pull_secret)?,
        };
        Verdict::mutate(rule, object, splice, warnings)
    };
    let names = pod.pull_secret_names()?;
    let manual = match ListVerdict::new(&names, settings) {
        ListVerdict::Listed => return Ok(Verdict::Accept),
        ListVerdict::Free => return append(Rule::PodAppended, Vec::new()),
        ListVerdict::Manual(manual) => manual,
    };
    let is_persons = !pod.metadata.is_owned() && is_person(request.user);
    let mode = if is_persons { settings.manual.pods } else { settings.manual.owned_pods };
    match mode {
        PodMode::Merge => append(Rule::PodMerged, Vec::new()),
        PodMode::Warn => {
            let first = manual.first().copied().unwrap_or_default();
            append(Rule::PodMerged, manual_list_warnings(first, &settings.pull_secret, mode))
        }
        PodMode::Ignore => Ok(Verdict::LeaveAlone { rule: Rule::PodIgnored, warnings: Vec::new() }),
        PodMode::Reject => {
            let service_account = pod.spec.service_account();
            // This is the policy's only look-up: Kubernetes may have copied these entries from the service account.
            let copied = if settings.read_service_accounts {
                accounts.pull_secrets(request.namespace, service_account)
            } else {
                Ok(Vec::new())
            };
            let copied = match copied {
                Ok(copied) => copied,
                Err(error) => {
                    return append(Rule::PodMerged, vec![lookup_warning(service_account, error)]);
                }
            };
            let copied: Vec<&str> = copied.iter().map(String::as_str).collect();
            match first_unknown(&manual, &copied) {
                None => append(Rule::PodAppended, Vec::new()),
                Some(entry) => {
                    let subject =
                        Subject { kind: request.kind, namespace: request.namespace, metadata: &pod.metadata };
                    let message = pod_refusal(&subject, entry, &settings.pull_secret);
                    Ok(Verdict::Refuse { rule: Rule::PodRefused, message })
                }
            }
        }
    }
}

fn lookup_warning(service_account: &str, error: LookupError) -> String {
    format!("kept a list that may be manual: {error} (\"{}\")", short(service_account, 28))
}

/// Inserts the list into the spec of a Pod without containers. No API server accepts such a Pod, but a request may contain one.
fn insert_into_spec(object: &str, pull_secret: &str) -> Result<Option<Splice>, Malformed> {
    #[derive(Deserialize)]
    struct Pod<'a> {
        #[serde(borrow)]
        spec: Raw<'a>,
    }
    let Map(Pod { spec }) = json::read(object)?;
    Ok(Splice::insert_first(spec.0.unwrap_or_default(), object, pull_secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::message::LONGEST_WARNING;

    #[test]
    fn lookup_warnings_keep_within_the_limit() {
        let name = "a".repeat(253);
        for error in
            [LookupError::Forbidden, LookupError::NotGranted, LookupError::NotFound, LookupError::Failed]
        {
            let warning = lookup_warning(&name, error);
            assert!(warning.chars().count() <= LONGEST_WARNING, "{warning}");
        }
    }
}
