//! The cluster: watches what is there, plans what should be, and writes the difference.
//!
//! `types` is what is kept of watched objects, `content` what a pull secret should hold, `plan` decides (pure), and `apply`
//! is the only code that writes to a tenant's namespace.

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
pub mod state;
pub mod store;
pub mod watches;
