//! The sidecar of acr-credential-helper: mints short-lived credentials at Alibaba Cloud Container Registry (ACR).
//!
//! `configuration` reads what the user wrote, `cloud` is the only code that calls Alibaba Cloud, `broker` keeps one
//! credential per identity, region and instance fresh, and `docker_config` renders what the kubelet reads. `kubernetes` reads
//! lists and watches of the API server, and `cluster` acts on them.

pub mod args;
pub mod broker;
pub mod clock;
pub mod cloud;
pub mod cluster;
pub mod commands;
pub mod configuration;
pub mod credential;
pub mod docker_config;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod kubernetes;
pub mod logging;
pub mod operations;
