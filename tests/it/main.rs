//! The policy from outside, natively: payload in, answer out. The compiled wasm is tested once more in `e2e-tests`.

// A test binary exports nothing; `pub` is for its own modules. And a test may panic: that is how it fails.
#![allow(unreachable_pub, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod bad_input;
mod fixtures;
mod pods;
mod properties;
mod service_accounts;
mod settings;
mod support;
mod workloads;
