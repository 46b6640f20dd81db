//! Tests of the fake cloud itself. The vendor's SDKs have their say in `replay`.

// A test may panic: that is how it fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod faults;
mod login;
mod metadata;
mod refusals;
mod replay;
mod server;
mod signature;
mod state;
mod sts;
mod support;
