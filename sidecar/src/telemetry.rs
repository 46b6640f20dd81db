//! The visible state of a running sidecar: metrics, health, Events, its log, and whether the policies agree.
//!
//! Nothing in this module decides what is written to a tenant's namespace, and nothing in it ever contains a secret.

pub mod events;
pub mod health;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod minter;
pub mod policies;
mod process;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
