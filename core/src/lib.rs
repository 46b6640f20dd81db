//! The rules that the policy and the sidecar must agree on: which namespaces and service accounts are selected, which
//! registry an image comes from, and what the policy makes of all that.
//!
//! Pure: no IO, no clock, no Kubernetes types. Compiles to wasm.

mod image;
pub mod json;
mod pattern;
pub mod policy;
mod selection;
pub mod spelling;
pub mod text;

pub use image::registry_host;
pub use pattern::{Pattern, PatternError, Vocabulary};
pub use selection::Selection;

/// Name of the pull secret unless the user chose another: the vendor's, so that manifests written for it go on working.
pub const DEFAULT_PULL_SECRET: &str = "acr-credential-secret-aggregation";

/// Namespaces that no glob selects unless the user says otherwise.
pub const DEFAULT_EXCLUDED_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
