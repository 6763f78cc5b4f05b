//! The record of one user, and the pure machine that decides what may be done for it next.

mod blocked;
mod decision;
mod document;
mod effect;
mod facts;
mod kinship;
mod machine;
mod permit;
mod phase;
mod record;

pub use blocked::{Blocked, Change, Foreign, Waiting};
pub use decision::{Decision, Drift, Maintenance, Provision, Transition, decide};
pub use document::{Connection, CredentialDocument, LiveCredential, Version, Versioned};
pub use effect::{Effect, MaterialOrder, Origin, Outcome, Progress, Step};
pub use facts::{AccessFact, ClusterFacts, DeliveryState, Facts, Seen, SlotSeen, Slots, Wanted, WantedAuthentication};
pub use machine::{Context, Subject, next};
pub use permit::{Content, Permit, PermitId, Watch, fence_remaining, keep_live};
pub use phase::Phase;
pub use record::{
    AdoptedSlot, Authentication, Deletion, DeletionPolicy, DeliveryRecord, GivenSource, RECORD_SCHEMA, Record, Slot,
};

#[cfg(test)]
mod tests;
