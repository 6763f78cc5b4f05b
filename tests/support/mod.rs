//! Fixtures that several tests share.

pub mod broker;
pub mod kafka_conformance;
pub mod store;
pub mod store_conformance;
pub mod world;
