//! Everything that needs no server.

mod architecture;
mod documents;
mod renderings;
mod schemas;
mod store;

#[path = "../support/mod.rs"]
mod support;
