//! What people see of a running sidecar, and what keeps it honest: metrics, health, Events, the lease between replicas,
//! and the rights it was given.
//!
//! Nothing in here decides what is written to a tenant's namespace, and nothing in here ever holds a secret.

pub mod api_error;
pub mod events;
pub mod health;
pub mod http;
pub mod lease;
pub mod metrics;
pub mod policies;
mod process;
pub mod retry_after;
pub mod rights;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

/// Who writes: field manager, reporter of Events, and value of the label `app.kubernetes.io/managed-by`.
pub const FIELD_MANAGER: &str = "acr-credential-sidecar";
