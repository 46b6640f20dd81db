//! The system tests' side of Kubewarden: everything between a `ClusterAdmissionPolicy` in `deploy/` and a decision in the
//! API server.
//!
//! - [`manifests`] turns our policies into webhook configurations, as Kubewarden's controller does;
//! - [`server`] is the webhook that they point to, as policy-server is;
//! - behind it, [`environment`] evaluates in process ([`wasm`], [`host_calls`], [`review`]), or [`policy_server`] runs
//!   the real thing;
//! - [`cluster`] starts a control plane and talks to it; [`installation`] puts all of it to work there.
//!
//! And the sidecar's: [`sidecar`] runs its commands, on the fake cloud of the crate `acr-fake-cloud`.

pub mod client;
pub mod cluster;
pub mod environment;
pub mod host_calls;
pub mod installation;
pub mod kubeconfig;
pub mod manifests;
pub mod paths;
pub mod policy_server;
pub mod review;
pub mod server;
pub mod sidecar;
pub mod table;
pub mod wait;
pub mod wasm;
