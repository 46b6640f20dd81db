//! Workloads: judge the pod template, never change it.

use super::message::{manual_list_warnings, workload_refusal};
use super::object::PodOrTemplate;
use super::{
    Operation, Reason, Request, Rule, Settings, Shape, Verdict, WorkloadMode, first_unknown, object_of,
    selects, standing,
};
use crate::ListVerdict;
use crate::json::Malformed;

pub(super) fn judge<'a>(request: &Request<'a>, settings: &Settings<'_>) -> Result<Verdict<'a>, Malformed> {
    let mode = settings.manual.workloads();
    if mode == WorkloadMode::Ignore {
        return Ok(Verdict::Accept(Reason::Ignored));
    }
    let (spec_path, list_path) = paths(request.shape);
    let in_spec = |malformed: Malformed| malformed.below(spec_path);
    let object = object_of(request.object, "object")?;
    let PodOrTemplate { metadata, spec } = PodOrTemplate::parse(object, request.shape)?;
    // What another object made follows from that one, which is where the list can be changed.
    if metadata.is_owned() || metadata.is_being_deleted() {
        return Ok(Verdict::Accept(Reason::Exempt));
    }
    let names = spec.pull_secret_names().map_err(in_spec)?;
    let manual = match standing(settings, &names) {
        ListVerdict::Listed => return Ok(Verdict::Accept(Reason::Listed)),
        ListVerdict::Free => return Ok(Verdict::Accept(Reason::NothingManual)),
        ListVerdict::Manual(manual) => manual,
    };
    if !selects(settings, &spec).map_err(in_spec)? {
        return Ok(Verdict::Accept(Reason::NotSelected));
    }
    let offending = match request.operation {
        Operation::Update => newly_offending(request, settings, &manual)?,
        Operation::Create => manual.first().copied().map(str::to_owned),
    };
    let Some(entry) = offending else {
        return Ok(Verdict::Accept(Reason::Unchanged));
    };
    Ok(match mode {
        WorkloadMode::Reject => {
            let subject = metadata.subject(request.kind, request.namespace);
            let owned_pods = settings.manual.owned_pods;
            let message = workload_refusal(&subject, list_path, &entry, &settings.pull_secret, owned_pods);
            Verdict::Refuse { rule: Rule::WorkloadRefused, message }
        }
        WorkloadMode::Warn | WorkloadMode::Ignore => Verdict::LeaveAlone {
            rule: Rule::WorkloadWarned,
            warnings: manual_list_warnings(&entry, &settings.pull_secret, settings.manual.owned_pods),
        },
    })
}

/// The manual entry that this update is to blame for, if it is to blame at all: whatever was there before may stay.
fn newly_offending(
    request: &Request<'_>,
    settings: &Settings<'_>,
    manual: &[&str],
) -> Result<Option<String>, Malformed> {
    let old = object_of(request.old_object, "oldObject")?;
    let PodOrTemplate { metadata: _, spec: old } =
        PodOrTemplate::parse(old, request.shape).map_err(|malformed| malformed.below("oldObject"))?;
    let (spec_path, _) = paths(request.shape);
    let in_spec = |malformed: Malformed| malformed.below(spec_path).below("oldObject");
    let first = manual.first().map(|entry| (*entry).to_owned());
    if !selects(settings, &old).map_err(in_spec)? {
        return Ok(first);
    }
    let names = old.pull_secret_names().map_err(in_spec)?;
    Ok(match standing(settings, &names) {
        ListVerdict::Listed | ListVerdict::Free => first,
        ListVerdict::Manual(before) => first_unknown(manual, &before).map(str::to_owned),
    })
}

/// Of the template's spec, and of the list in it.
fn paths(shape: Shape) -> (&'static str, &'static str) {
    match shape {
        Shape::JobTemplate => {
            ("spec.jobTemplate.spec.template.spec", "spec.jobTemplate.spec.template.spec.imagePullSecrets")
        }
        Shape::Pod | Shape::Template | Shape::ServiceAccount => {
            ("spec.template.spec", "spec.template.spec.imagePullSecrets")
        }
    }
}
