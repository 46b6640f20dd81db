//! What people see of a running sidecar: metrics, health, Events, its log, the lease between replicas, and whether the policies
//! agree.
//!
//! Nothing in here decides what is written to a tenant's namespace, and nothing in here ever holds a secret.

pub mod events;
pub mod health;
pub mod http;
pub mod lease;
pub mod logging;
pub mod metrics;
pub mod minter;
pub mod policies;
mod process;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

/// Who writes: field manager, reporter of Events, and value of the label `app.kubernetes.io/managed-by`.
pub const FIELD_MANAGER: &str = "acr-credential-sidecar";
