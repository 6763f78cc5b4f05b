//! The record of one user, and the pure machine that decides what may be done for it next.

mod document;
mod permit;
mod phase;
mod record;

pub use document::{Connection, CredentialDocument, LiveCredential, Version, Versioned};
pub use permit::{Content, Permit, PermitId, Watch, fence_remaining, keep_live};
pub use phase::Phase;
pub use record::{
    AdoptedSlot, Authentication, Debt, Deletion, DeletionPolicy, DeliveryRecord, GivenSource, RECORD_SCHEMA, Record,
    Slot,
};
