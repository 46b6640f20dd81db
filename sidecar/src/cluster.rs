//! The cluster: watches its objects, plans their desired state, and writes the difference.
//!
//! `observed` defines the parts of watched objects that are kept. `desired` defines the content of a pull secret. `plan`
//! decides, and is pure. `apply` is the only code that changes Secrets and service accounts
//! of tenants; only Events are also created in their namespaces.

pub mod apply;
pub mod configuration;
pub mod controller;
pub mod desired;
pub mod fingerprint;
pub mod notice;
pub mod observed;
pub mod observer;
pub mod plan;
pub mod queue;
pub mod saved_state;
pub mod store;
pub mod watches;
