//! The rules that the policy and the sidecar must agree on: which namespaces and service accounts are selected, which
//! registry an image comes from, and what the policy decides.
//!
//! The crate is pure: it has no IO, no clock and no Kubernetes types. It compiles to wasm.

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

/// Default name of the pull secret. The vendor's component uses the same name, so manifests written for it continue to work.
pub const DEFAULT_PULL_SECRET: &str = "acr-credential-secret-aggregation";

/// Namespaces that no glob selects unless the user changes the exclusions.
pub const DEFAULT_EXCLUDED_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
