//! Everything that needs no server.

mod architecture;
mod documents;
mod kafka_client;
mod renderings;
mod schemas;
mod store;
mod wire;

#[path = "../support/mod.rs"]
mod support;
