//! `run` on a real control plane, with a fake cloud, under exactly the rights that `deploy/sidecar.yaml` grants.

mod accounts;
mod commands;
mod configuration;
mod credentials;
mod pull_secrets;
mod rights;
mod stage;
mod story;
