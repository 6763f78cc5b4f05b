//! Everything that needs no server.

mod against;
mod architecture;
mod command_line;
mod documents;
mod engine;
mod examples;
mod kafka_client;
mod plans;
mod races;
mod renderings;
mod rotations;
mod schemas;
mod simulation;
mod standing;
mod store;
mod vault;
mod wire;

#[path = "../support/mod.rs"]
mod support;
