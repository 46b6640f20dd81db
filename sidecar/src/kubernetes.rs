//! Reads lists and watches of the Kubernetes API. No object that a tenant writes can make a read fail for others, or make it
//! use too much memory.
//!
//! kube decodes a whole page of a list in one step. One object with a date of the year 10000 in its `managedFields`, which any
//! tenant can write, makes the whole page fail. This module takes each object out of the stream as text, reads it leniently
//! through its [`Metadata`], and drops it before the next object.

pub mod api_error;
mod collection;
mod follow;
mod items;
pub mod lease;
mod metadata;
pub mod retry_after;
pub mod rights;

/// Our name as field manager, as reporter of Events, and as value of the label `app.kubernetes.io/managed-by`. It must never
/// change: the fields that an older release owns would no longer be ours.
pub const FIELD_MANAGER: &str = "acr-credential-sidecar";

/// A resource version that no object ever has, because the API server assigns higher versions. An apply with it creates an
/// object that is absent, and is a conflict if the object exists. Without it, an apply under our own name would overwrite an
/// object that another replica has just created. (0 is supposed to mean the same, but it is refused as invalid if the object
/// exists.) A create by POST would need a right that cannot be limited to a name.
pub const NO_VERSION: &str = "1";

pub use self::api_error::{ApiError, within};
pub use self::collection::{Collection, as_metadata, at, request};
pub use self::follow::{Change, follow};
#[cfg(any(test, fuzzing))]
pub use self::items::cut;
pub use self::metadata::{ManagedFieldsEntry, Metadata, Place, decode, elements, member, text};

/// A request to the API server, by its verb in RBAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(strum::EnumIter))]
pub enum Verb {
    /// To read.
    Get,
    /// To create.
    Create,
    /// To change.
    Patch,
}

impl Verb {
    /// Returns the name of the verb in RBAC.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Create => "create",
            Self::Patch => "patch",
        }
    }
}
