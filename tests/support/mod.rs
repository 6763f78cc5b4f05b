//! Fixtures that several tests share.

pub mod store;
pub mod store_conformance;
