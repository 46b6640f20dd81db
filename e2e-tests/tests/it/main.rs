//! The system tests, in one binary: they share one control plane and one build.

// A test binary exports nothing; `pub` is for its own modules. And a test may panic: that is how it fails.
#![allow(unreachable_pub, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod availability;
mod chart;
mod check;
mod demo;
mod docs;
mod explain;
mod faults;
mod host;
mod manifests;
mod mint;
mod people_and_tools;
mod pods;
mod release;
mod secrets;
mod service_accounts;
mod sidecar;
mod support;
mod wasm;
mod workloads;
