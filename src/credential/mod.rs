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
mod rollout;
mod schedule;
mod standing;
mod strategy;
mod takeover;

pub use crate::spec::{Confirm, RotationSpec, Strategy};
pub use blocked::{Blocked, Change, Foreign, Waiting};
use decision::note_left;
pub use decision::{
    Ask, Decision, Drift, Import, Maintenance, Provision, Reason, Recovery, Revoke, Rotate, Transition, decide,
};
pub use document::{Connection, CredentialDocument, LiveCredential, Version, Versioned};
pub use effect::{Effect, MaterialOrder, Origin, Outcome, Progress, Step, Witnesses};
pub use facts::{
    AccessFact, Account, AccountFacts, Afterlife, ClusterFacts, DeliveryState, Facts, Seen, SlotSeen, Slots, Wanted,
    WantedAuthentication,
};
pub use machine::{Context, PERMITS_MAX, REAUTHENTICATION_MARGIN, Subject, next};
pub use permit::{Content, KnownPlaces, Permit, PermitId, Place, Watch, fence_remaining, keep_live};
pub use phase::Phase;
pub use record::{
    AdoptedSlot, Authentication, Cut, Deletion, DeletionPolicy, DeliveryRecord, GivenSource, Owed, RECORD_SCHEMA,
    Record, Revocation, Slot,
};
pub use rollout::{Outstanding, Rollout, WorkloadSeen};
pub use schedule::{Retirement, due_at, retirement};
pub use standing::{Awaits, Standing, standing};
pub use takeover::Takeover;

#[cfg(test)]
mod tests;
