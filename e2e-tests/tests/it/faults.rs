//! `run` when things go wrong around it: the API server, the cloud, the machine, and the other replica.

mod api_server;
mod cloud;
mod guard;
mod killed;
mod narrowing;
mod replicas;
mod watches;
mod writes;
