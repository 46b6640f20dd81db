//! Workloads: check the pod template, but never change it.

use super::list_verdict::ListVerdict;
use super::message::{Subject, manual_list_warnings, workload_refusal};
use super::object::PodOrTemplate;
use super::{Operation, Request, Rule, Settings, Verdict, WorkloadMode, first_unknown, selects};
use crate::json::Malformed;

pub(super) fn judge<'a>(request: &Request<'a>, settings: &Settings<'_>) -> Result<Verdict<'a>, Malformed> {
    let mode = settings.manual.workloads();
    if mode == WorkloadMode::Ignore {
        return Ok(Verdict::Accept);
    }
    let workload = PodOrTemplate::parse(request.object()?, request.shape)?;
    // The list can only be changed in the object that owns this one.
    if workload.metadata.is_owned() || workload.metadata.deletion_timestamp.is_some() {
        return Ok(Verdict::Accept);
    }
    let names = workload.pull_secret_names()?;
    let ListVerdict::Manual(manual) = ListVerdict::new(&names, settings) else {
        return Ok(Verdict::Accept);
    };
    if !selects(settings, &workload)? {
        return Ok(Verdict::NotSelected);
    }
    let offending = match request.operation {
        Operation::Create => manual.first().copied(),
        Operation::Update => {
            newly_offending(request, settings, &manual).map_err(|malformed| malformed.below("oldObject"))?
        }
    };
    let Some(entry) = offending else {
        return Ok(Verdict::Accept);
    };
    let owned_pods = settings.manual.owned_pods;
    Ok(match mode {
        WorkloadMode::Reject => {
            let subject =
                Subject { kind: request.kind, namespace: request.namespace, metadata: &workload.metadata };
            let message = workload_refusal(&subject, workload.path, entry, &settings.pull_secret, owned_pods);
            Verdict::Refuse { rule: Rule::WorkloadRefused, message }
        }
        WorkloadMode::Warn | WorkloadMode::Ignore => Verdict::LeaveAlone {
            rule: Rule::WorkloadWarned,
            warnings: manual_list_warnings(entry, &settings.pull_secret, owned_pods),
        },
    })
}

/// Returns the first manual entry that this update adds, if it adds one: entries from before the update may stay.
fn newly_offending<'m>(
    request: &Request<'_>,
    settings: &Settings<'_>,
    manual: &[&'m str],
) -> Result<Option<&'m str>, Malformed> {
    let old = request.old_object.ok_or_else(|| Malformed::new("is missing"))?;
    let old = PodOrTemplate::parse(old, request.shape)?;
    let names = if selects(settings, &old)? { old.pull_secret_names()? } else { Vec::new() };
    Ok(match ListVerdict::new(&names, settings) {
        ListVerdict::Manual(before) => first_unknown(manual, &before),
        ListVerdict::Listed | ListVerdict::Free => manual.first().copied(),
    })
}
