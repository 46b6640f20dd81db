//! `run` on a real control plane, with a fake cloud, under exactly the rights that `deploy/sidecar.yaml` grants.

pub mod accounts;
mod commands;
mod configuration;
mod credentials;
mod fence;
mod pods;
mod pull_secrets;
mod pulls;
mod rights;
mod scenarios;
pub mod stage;
mod story;
mod tenants;
