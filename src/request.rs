//! The admission request, read by reference.
//!
//! The objects in it are kept as they are written: most of them are let through without a look, and a mutated object is the
//! request's own bytes.

use acr_credential_core::json::{self, Malformed, Map, Raw, Text};
use acr_credential_core::policy::{Operation, Request, Shape};
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, ReplicationController, ServiceAccount};
use serde::{Deserialize, Deserializer};

/// What a policy server hands to `validate`.
#[derive(Debug)]
pub(crate) struct Review<'a> {
    /// None where no rule is about such requests.
    pub(crate) request: Option<AdmissionRequest<'a>>,
    /// As JSON.
    pub(crate) settings: &'a str,
}

/// A request that some rule is about.
#[derive(Debug)]
pub(crate) struct AdmissionRequest<'a> {
    shape: Shape,
    operation: Operation,
    fields: Fields<'a>,
}

/// The parts of an `AdmissionRequest` (admission.k8s.io/v1) that decide.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    kind: Map<GroupKind<'a>>,
    sub_resource: Text<'a>,
    namespace: Text<'a>,
    #[serde(deserialize_with = "required")]
    operation: Text<'a>,
    user_info: Option<Map<UserInfo<'a>>>,
    #[serde(default)]
    object: Raw<'a>,
    #[serde(default)]
    old_object: Raw<'a>,
}

/// Group and kind; the version does not matter to any rule.
#[derive(Debug, Deserialize)]
struct GroupKind<'a> {
    #[serde(borrow)]
    group: Text<'a>,
    #[serde(deserialize_with = "required")]
    kind: Text<'a>,
}

/// Who makes the request.
#[derive(Debug, Deserialize)]
struct UserInfo<'a> {
    #[serde(borrow)]
    username: Text<'a>,
}

/// A text that has to be there.
fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text<'de>, D::Error> {
    Text::deserialize(deserializer)
}

impl<'a> Review<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// What is wrong with it, with the path.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct Payload<'a> {
            #[serde(borrow)]
            request: Map<Fields<'a>>,
            #[serde(default)]
            settings: Raw<'a>,
        }
        let read = match std::str::from_utf8(payload) {
            Ok(payload) => json::read::<Map<Payload<'_>>>(payload),
            Err(_) => Err(Malformed { path: String::new(), complaint: "is not UTF-8".to_owned() }),
        };
        let Map(Payload { request: Map(fields), settings }) = read.map_err(|mut malformed| {
            if malformed.path.is_empty() {
                "request".clone_into(&mut malformed.path);
            }
            malformed
        })?;
        let handled = handled(&fields);
        Ok(Self {
            request: handled.map(|(shape, operation)| AdmissionRequest { shape, operation, fields }),
            settings: settings.0.unwrap_or("null"),
        })
    }
}

impl AdmissionRequest<'_> {
    /// What is judged.
    pub(crate) fn to_judge(&self) -> Request<'_> {
        let Self { shape, operation, fields } = self;
        Request {
            shape: *shape,
            kind: &fields.kind.0.kind.0,
            operation: *operation,
            namespace: &fields.namespace.0,
            user: fields.user_info.as_ref().map_or("", |Map(user)| &user.username.0),
            object: fields.object.not_null(),
            old_object: fields.old_object.not_null(),
        }
    }
}

/// The requests that some rule is about. Group and kind both decide: another group may have a `Deployment` of its own.
fn handled(
    Fields { kind: Map(kind), sub_resource, operation, .. }: &Fields<'_>,
) -> Option<(Shape, Operation)> {
    if !sub_resource.0.is_empty() {
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
    match (&*operation.0, shape) {
        ("CREATE", _) => Some((shape, Operation::Create)),
        // `imagePullSecrets` of an existing Pod cannot change.
        ("UPDATE", Shape::ServiceAccount | Shape::Template | Shape::JobTemplate) => {
            Some((shape, Operation::Update))
        }
        _ => None,
    }
}
