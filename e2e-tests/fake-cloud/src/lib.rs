//! A fake Alibaba Cloud on loopback: ACR of both editions, STS, ECS metadata and a registry's challenge.
//!
//! It takes what the real one takes and refuses the rest with the real one's errors, as documented; has a clock that
//! tests move; fails, throttles, stalls and lies on demand; and counts calls. It shares no code with the client that is
//! tested on it, and is itself tested by the vendor's own SDKs (`make conformance`).
//!
//! [`Cloud`] answers requests and does no IO; [`FakeCloud`] puts it behind listeners. What is in the cloud is a
//! [`State`]; `/_admin/` lets other processes do what the methods of [`FakeCloud`] do.

mod clock;
mod cloud;
mod error;
mod fault;
mod generator;
mod message;
mod oidc;
mod policy;
mod record;
mod server;
mod signature;
mod state;

pub use clock::Clock;
pub use cloud::{Cloud, Count};
pub use fault::{Action, Fault, FaultKind, Faults};
pub use message::{Answer, Delivery, Request};
pub use oidc::{OidcProvider, PublicKey, Signer, TokenRequest};
pub use policy::{
    Conditions, Effect, OneOrMany, Operator, Policy, Principal, Statement, TrustPolicy, TrustStatement,
};
pub use record::Record;
pub use server::FakeCloud;
pub use signature::{Authorization, Rejection};
pub use state::{
    AccessKey, Account, Endpoint, Endpoints, Grant, Instance, Metadata, Mistake, Role, Secret, State, User,
};
