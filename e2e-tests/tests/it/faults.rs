//! `run` when things go wrong around it: the API server, the cloud, the machine, and the other replica.

mod api_server;
mod cloud;
mod guard;
mod killed;
mod narrowing;
mod noise;
mod replicas;
mod soak;
mod strangers;
mod tenant;
mod watches;
mod writes;
