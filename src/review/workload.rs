//! Workloads: judge the pod template, never change it.

use acr_credential_core::Standing;

use super::{TemplateAt, first_unknown, object_of, selects, standing};
use crate::json::Malformed;
use crate::message::{manual_list_warning, refusal};
use crate::object::PodOrTemplate;
use crate::request::Request;
use crate::settings::{Settings, WorkloadMode};
use crate::verdict::{Rule, Verdict};

pub(super) fn review<'a>(
    request: &Request<'a>,
    settings: &Settings<'_>,
    template: TemplateAt,
) -> Result<Verdict<'a>, Malformed> {
    if settings.manual.workloads == WorkloadMode::Ignore {
        return Ok(Verdict::Accept);
    }
    let object = object_of(request.object, "object")?;
    let PodOrTemplate { metadata, spec } = PodOrTemplate::parse(object, template.spec_keys())?;
    // What a controller made follows from its owner, and the owner has been judged.
    if metadata.controller.is_some() || metadata.is_being_deleted {
        return Ok(Verdict::Accept);
    }
    let names = spec.pull_secret_names().map_err(|malformed| malformed.below(template.spec_path()))?;
    let Standing::Manual(manual) = standing(settings, &names) else {
        return Ok(Verdict::Accept);
    };
    if !selects(settings, &spec).map_err(|malformed| malformed.below(template.spec_path()))? {
        return Ok(Verdict::Accept);
    }
    let offending = match &*request.operation {
        "UPDATE" => newly_offending(request, settings, template, &manual)?,
        _ => manual.first().copied().map(str::to_owned),
    };
    let Some(entry) = offending else {
        return Ok(Verdict::Accept);
    };
    let path = template.list_path();
    Ok(match settings.manual.workloads {
        WorkloadMode::Reject => {
            let subject = metadata.subject(&request.kind.kind, &request.namespace);
            let message = refusal(&subject, path, &entry, &settings.pull_secret);
            Verdict::Refuse { rule: Rule::WorkloadRefused, message }
        }
        WorkloadMode::Warn | WorkloadMode::Ignore => Verdict::LeaveAlone {
            rule: Rule::WorkloadWarned,
            warning: Some(manual_list_warning(path, &entry, &settings.pull_secret)),
        },
    })
}

/// The manual entry that this update is to blame for, if it is to blame at all: whatever was there before may stay.
fn newly_offending(
    request: &Request<'_>,
    settings: &Settings<'_>,
    template: TemplateAt,
    manual: &[&str],
) -> Result<Option<String>, Malformed> {
    let old = object_of(request.old_object, "oldObject")?;
    let PodOrTemplate { metadata: _, spec: old } =
        PodOrTemplate::parse(old, template.spec_keys()).map_err(|malformed| malformed.below("oldObject"))?;
    let old_path = |malformed: Malformed| malformed.below(template.spec_path()).below("oldObject");
    let first = manual.first().map(|entry| (*entry).to_owned());
    if !selects(settings, &old).map_err(old_path)? {
        return Ok(first);
    }
    let names = old.pull_secret_names().map_err(old_path)?;
    Ok(match standing(settings, &names) {
        Standing::Listed | Standing::Free => first,
        Standing::Manual(before) => first_unknown(manual, &before).map(str::to_owned),
    })
}

impl TemplateAt {
    fn spec_keys(self) -> &'static [&'static str] {
        match self {
            Self::Spec => &["spec", "template", "spec"],
            Self::JobTemplate => &["spec", "jobTemplate", "spec", "template", "spec"],
        }
    }

    fn spec_path(self) -> &'static str {
        match self {
            Self::Spec => "spec.template.spec",
            Self::JobTemplate => "spec.jobTemplate.spec.template.spec",
        }
    }

    fn list_path(self) -> &'static str {
        match self {
            Self::Spec => "spec.template.spec.imagePullSecrets",
            Self::JobTemplate => "spec.jobTemplate.spec.template.spec.imagePullSecrets",
        }
    }
}
