//! The admission request, read by reference.
//!
//! The objects in it are kept as they are written: most of them are accepted without being parsed, and a mutated object is
//! built from the request's own bytes.

use acr_credential_core::json::{self, Malformed, Map, Raw, Text};
use acr_credential_core::policy::{Operation, Request, Shape};
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, ReplicationController, ServiceAccount};
use serde::Deserialize;

/// The payload that a policy server passes to `validate`.
#[derive(Debug, Deserialize)]
pub(crate) struct Review<'a> {
    #[serde(borrow)]
    request: Map<AdmissionRequest<'a>>,
    #[serde(default)]
    pub(crate) settings: Raw<'a>,
}

/// The parts of an `AdmissionRequest` (admission.k8s.io/v1) that the decision depends on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionRequest<'a> {
    #[serde(borrow)]
    kind: Map<GroupKind<'a>>,
    sub_resource: Text<'a>,
    namespace: Text<'a>,
    #[serde(deserialize_with = "Text::deserialize")]
    operation: Text<'a>,
    user_info: Option<Map<UserInfo<'a>>>,
    #[serde(default)]
    object: Raw<'a>,
    #[serde(default)]
    old_object: Raw<'a>,
}

/// Group and kind. No rule depends on the version.
#[derive(Debug, Deserialize)]
struct GroupKind<'a> {
    #[serde(borrow)]
    group: Text<'a>,
    #[serde(deserialize_with = "Text::deserialize")]
    kind: Text<'a>,
}

/// The user who makes the request.
#[derive(Debug, Deserialize)]
struct UserInfo<'a> {
    #[serde(borrow)]
    username: Text<'a>,
}

impl<'a> Review<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// Returns what is wrong with the payload, with the path.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let payload =
            std::str::from_utf8(payload).map_err(|_| Malformed::new("is not UTF-8").below("request"))?;
        let read = json::read(payload).map(|Map(review)| review);
        read.map_err(
            |malformed| if malformed.path.is_empty() { malformed.below("request") } else { malformed },
        )
    }

    /// Returns the request to decide about, or `None` if no rule applies to such requests. Both group and kind are compared:
    /// another group may have its own `Deployment`.
    pub(crate) fn request(&self) -> Option<Request<'_>> {
        let Map(request) = &self.request;
        let Map(kind) = &request.kind;
        if !request.sub_resource.0.is_empty() {
            return None;
        }
        let shape = match (&*kind.group.0, &*kind.kind.0) {
            (Pod::GROUP, Pod::KIND) => Shape::Pod,
            (ServiceAccount::GROUP, ServiceAccount::KIND) => Shape::ServiceAccount,
            (Deployment::GROUP, Deployment::KIND)
            | (StatefulSet::GROUP, StatefulSet::KIND)
            | (DaemonSet::GROUP, DaemonSet::KIND)
            | (ReplicaSet::GROUP, ReplicaSet::KIND)
            | (ReplicationController::GROUP, ReplicationController::KIND)
            | (Job::GROUP, Job::KIND) => Shape::Template,
            (CronJob::GROUP, CronJob::KIND) => Shape::JobTemplate,
            _ => return None,
        };
        let operation = match (&*request.operation.0, shape) {
            ("CREATE", _) => Operation::Create,
            // The `imagePullSecrets` of an existing Pod cannot change, so no rule applies to updates of Pods.
            ("UPDATE", Shape::ServiceAccount | Shape::Template | Shape::JobTemplate) => Operation::Update,
            _ => return None,
        };
        Some(Request {
            shape,
            kind: &kind.kind.0,
            operation,
            namespace: &request.namespace.0,
            user: request.user_info.as_ref().map_or("", |Map(user)| &user.username.0),
            object: request.object.not_null(),
            old_object: request.old_object.not_null(),
        })
    }
}
