//! Kastellan: declare Kafka users in Git; their secrets stay secret.
//!
//! `src/ARCHITECTURE.md` is the map of the rooms and floors.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod cli;
pub mod credential;
pub mod deliver;
pub mod diagnostic;
pub mod engine;
pub mod git;
pub mod host;
pub mod k8s;
pub mod kafka;
pub mod names;
pub mod plan;
pub mod render;
pub mod secret;
pub mod source;
pub mod spec;
pub mod state;
pub mod store;
pub mod vault;
pub mod view;
