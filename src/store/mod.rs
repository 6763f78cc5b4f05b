//! Where records, material and credentials live: one port, and one folder or file for each kind of store.
//!
//! ```text
//!   engine --- StoreReader  (plan, status: opens nothing)     ---+--- age      a folder: readable records, age files
//!          |-- SecretReader (verify: opens, changes nothing)  ---+--- memory   tests and simulation
//!          \-- Store        (apply: opens and writes)         ---+--- vault    a KV version 2 mount
//! ```
//!
//! Everything is batched, with one result per item in the order of the input. Every write is conditional: records and
//! credentials by compare-and-set, material create-only. This room does not decide anything, does not know what a phase
//! means, and never waits: a conflict is the caller's to solve by reading again.

pub mod age;
mod copy;
mod counters;
mod error;
mod fields;
mod input;
mod memory;
mod payload;
mod port;
mod registry;
pub mod vault;

pub use copy::{Copied, Copies, CopyError, Extent, copy_store, copy_users};
pub use error::StoreError;
pub use input::{InputDocument, InputValue};
pub use memory::{MemoryStore, ReadLag};
pub use port::{
    Batch, Created, CredentialWrite, ListedRecord, MaterialStat, RecordWrite, SecretReader, Store, StoreReader, Tally,
};
pub use registry::{Backend, MachineState, StoreSettings, open_for_reading, open_for_writing, open_secrets, take_over};

use std::collections::BTreeSet;

use crate::names::NamespacedName;

/// What is wrong with a document, as an error of the place it was found at.
fn payload_error(place: impl std::fmt::Display, error: payload::PayloadError) -> StoreError {
    use payload::PayloadError;
    match error {
        PayloadError::NotFields | PayloadError::Field(_) | PayloadError::Misfiled { .. } => {
            StoreError::damaged(place, error.to_string())
        }
        PayloadError::NewerSchema(schema) => {
            StoreError::NewerSchema { place: place.to_string(), schema, known: payload::MATERIAL_SCHEMA }
        }
        PayloadError::NotText => StoreError::NotText { place: place.to_string() },
    }
}

/// Makes every item but the first of each user a conflict: they were all made from the same version.
fn first_of_each<W>(writes: Vec<W>, user: impl Fn(&W) -> &NamespacedName) -> Vec<Result<W, StoreError>> {
    let mut seen = BTreeSet::new();
    writes
        .into_iter()
        .map(|write| match seen.insert(user(&write).clone()) {
            true => Ok(write),
            false => Err(StoreError::Conflict { place: user(&write).to_string() }),
        })
        .collect()
}
