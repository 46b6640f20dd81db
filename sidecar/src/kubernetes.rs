//! Reads lists and watches of the Kubernetes API so that nothing that a tenant writes can fail or bloat what others share.
//!
//! kube decodes a whole page of a list at once: one object with a date of the year 10000 in its `managedFields`, which any
//! tenant can write, fails all of it. Here each object is taken out of the stream as text, read leniently by its
//! [`Metadata`], and dropped before the next one comes.

pub mod api_error;
mod collection;
mod follow;
mod items;
pub mod lease;
mod metadata;
pub mod retry_after;
pub mod rights;

/// Who writes: field manager, reporter of Events, and value of the label `app.kubernetes.io/managed-by`. It must never change:
/// fields that an older release owns would no longer be ours.
pub const FIELD_MANAGER: &str = "acr-credential-sidecar";

/// No object ever has this version: the API server gives out higher ones. An apply with it creates what is absent, and is a conflict
/// where something is there. Without it, an apply under our own name would overwrite what another replica has just created. (0, which
/// is said to mean the same, is refused as invalid where there is an object.) A create by POST would need a right that cannot be
/// limited to a name.
pub const NO_VERSION: &str = "1";

pub use self::api_error::{ApiError, within};
pub use self::collection::{Collection, as_metadata, at, request};
pub use self::follow::{Change, follow};
#[cfg(any(test, fuzzing))]
pub use self::items::cut;
pub use self::metadata::{Entry, Metadata, Place, decode, elements, member, text};

/// What was asked of the API server, by its name in RBAC.
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
    /// Its name in RBAC.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Create => "create",
            Self::Patch => "patch",
        }
    }
}
