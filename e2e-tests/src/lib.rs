//! The system tests' side of Kubewarden: everything between a `ClusterAdmissionPolicy` in `deploy/` and a decision in the
//! API server.
//!
//! - [`manifests`] turns our policies into webhook configurations, as Kubewarden's controller does;
//! - [`server`] is the webhook that they point to, as policy-server is;
//! - behind it, [`environment`] evaluates in process ([`wasm`], [`host_calls`], [`review`]), or [`policy_server`] runs
//!   the real thing;
//! - [`cluster`] starts a control plane and talks to it; [`installation`] puts all of it to work there, and [`kubewarden`] those that
//!   somebody has applied.
//!
//! And the sidecar's: [`sidecar`] runs its commands, with the rights of [`grants`], on the fake cloud of the crate
//! `acr-fake-cloud` or on a process of it, [`cloud_process`]. [`api_proxy`] stands between it and the API server, and makes
//! things go wrong there. [`helm`] installs the chart of both. [`desk`] is a directory in
//! which a user's commands work as they are written, and the crate `acr-documentation` reads those of the pages.

pub mod api_proxy;
pub mod client;
pub mod cloud_process;
pub mod cluster;
pub mod desk;
pub mod environment;
pub mod grants;
pub mod helm;
pub mod host_calls;
pub mod installation;
pub mod kubeconfig;
pub mod kubewarden;
pub mod manifests;
pub mod paths;
pub mod policy_server;
pub mod review;
pub mod server;
pub mod sidecar;
pub mod table;
pub mod wait;
pub mod wasm;
