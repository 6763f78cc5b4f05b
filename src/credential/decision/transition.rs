//! Transitions: paths through the phases that are approved as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::credential::{AdoptedSlot, Change, DeletionPolicy, Phase, Place, Record, Slot};
use crate::names::{ClusterId, ClusterName, DeliveryName, Generation, Mechanism, StoreName, UserName};
use crate::spec::format_duration;

/// What a person asks for by name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ask {
    /// Rotate now.
    Rotate,
    /// Every consumer has moved to this generation, the active one by default; during a revocation: the brokers were
    /// restarted.
    Acknowledge(Option<Generation>),
    /// Take a rotation back that is in PREPARED (R2).
    Abort,
    /// The credential was stolen: cut it off (rotation.md D2).
    Revoke {
        /// Whether the user moves to another name, which needs no waiting.
        new_name: bool,
    },
    /// Assert a new generation over what a restored store does not know (rotation.md D5).
    Recover,
    /// Take what is delivered for the truth that a restored store does not know (rotation.md D5).
    Import,
}

impl Ask {
    /// The verb.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Acknowledge(_) => "acknowledge",
            Self::Abort => "abort",
            Self::Revoke { .. } => "revoke",
            Self::Recover | Self::Import => "recover",
        }
    }
}

/// A path through the phases, approved as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Transition {
    /// Take note of a principal that somebody else authenticates. Ends in IDLE.
    Claim,
    /// First provisioning, a rotation from nothing. Ends in IDLE, or in PUBLISHED beside an adopted credential.
    Provision(Provision),
    /// Finish what was interrupted, or is held, in PREPARED or VERIFIED. Ends in PUBLISHED or IDLE.
    Resume(Generation),
    /// Replace the credential. Ends in PUBLISHED, or in IDLE where nothing old is left or its time is over at once.
    Rotate(Rotate),
    /// Take what is old away: the previous credential, adopted ones. Ends in IDLE.
    Retire,
    /// Note that the consumers of this generation have moved: CONFIRMED.
    Acknowledge(Generation),
    /// Note that the brokers were restarted since the revocation.
    Restarted,
    /// Take the pending credential back. Ends in IDLE.
    Abort,
    /// Cut a stolen credential off, and put a fresh one in its place. Ends in IDLE.
    Revoke(Revoke),
    /// Note what a restored store does not know, so that a rotation leads past it.
    Recover(Recovery),
    /// Keep the credential that is delivered, and works, as the published one. Ends in PUBLISHED.
    Import(Import),
    /// Clusters that are no longer the user's: what they hold is owed from now on (R12). The phase stays.
    Leave(BTreeSet<ClusterName>),
    /// Take away what clusters still hold that are no longer the user's (R12). The phase stays.
    Pay(BTreeSet<ClusterName>),
    /// Keep a provisioned user as it should be; the phase stays.
    Maintain(Maintenance),
    /// Take everything away and leave a tombstone. Ends in DELETED.
    Delete,
    /// Destroy the material of a tombstone whose time for undo is over.
    Expire(Generation),
    /// Carry the user to another store as it is. The phase stays.
    Move(StoreName),
}

/// How a first credential comes to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Provision {
    /// The slot to be filled: the name in Kafka,
    pub username: UserName,
    /// and the mechanism.
    pub mechanism: Mechanism,
    /// The generation whose password comes back; `None` for a new password.
    pub restores: Option<Generation>,
    /// Unknown credentials that are named in the record from now on.
    pub adopts: Vec<AdoptedSlot>,
    /// Whether an unknown credential is in the slot and is replaced.
    pub replaces: bool,
}

/// How a credential is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rotate {
    /// The slot to be filled.
    pub place: Place,
    /// Why; never empty.
    pub reasons: Vec<Reason>,
    /// Whether it is the slot in use, so that clients are locked out for a moment.
    pub overwrites: bool,
}

/// How a stolen credential is cut off.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Revoke {
    /// The slot of the fresh credential.
    pub place: Place,
    /// The generations that are revoked; empty where that is written down already, and goes on.
    pub revokes: BTreeSet<Generation>,
}

/// Why a credential is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A person asked for it.
    Asked,
    /// It is older than the documents allow.
    Due(Duration),
    /// The documents changed in a way that only a rotation carries out.
    Change(Change),
    /// The store was restored from an older snapshot.
    Recovery,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asked => f.write_str("asked for"),
            Self::Due(every) => write!(f, "due every {}", format_duration(*every)),
            Self::Change(change) => change.fmt(f),
            Self::Recovery => f.write_str("the store was restored from an older snapshot"),
        }
    }
}

/// What was seen that a restored store does not know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recovery {
    /// The highest generation that was seen; the next one is above it.
    pub seen: Generation,
    /// Unknown credentials, named in the record from now on.
    pub adopts: Vec<AdoptedSlot>,
}

impl Recovery {
    /// A restored record with what was seen beside it. What it calls pending or previous may be there, and is of no use: it
    /// goes as adopted credentials do.
    pub(in crate::credential) fn noted_in(&self, record: &Record) -> Record {
        let mut noted = record.clone();
        noted.allotted = record.allotted.max(self.seen);
        noted.adopted.extend(self.adopts.iter().filter(|slot| !record.adopted.contains(slot)).cloned());
        let left = noted.pending.take().into_iter().chain(noted.previous.take());
        for slot in left {
            noted.destroy.insert(slot.generation);
            note_left(&mut noted, &slot);
        }
        noted.phase = Phase::Idle;
        noted.pending_source = None;
        noted.overlap_from = None;
        noted.confirmed_at = None;
        noted
    }
}

/// Names a credential of ours that may be left in Kafka, where nothing else is named in its place.
pub(in crate::credential) fn note_left(record: &mut Record, slot: &Slot) {
    for cluster in record.clusters.keys() {
        let is_here = |adopted: &AdoptedSlot| adopted.cluster == *cluster && adopted.place() == slot.place();
        if !record.adopted.iter().any(is_here) {
            record.adopted.push(AdoptedSlot {
                cluster: cluster.clone(),
                username: slot.username.clone(),
                mechanism: slot.mechanism,
                salt: Some(slot.salt.clone()),
                iterations: slot.iterations,
            });
        }
    }
}

/// A delivered credential that a restored store does not know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Import {
    /// The delivery that carries it.
    pub delivery: DeliveryName,
    /// Its number.
    pub generation: Generation,
    /// Unknown credentials in Kafka; it is one of them.
    pub strangers: Vec<AdoptedSlot>,
}

/// What is not as it should be with a provisioned user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Maintenance {
    /// Clusters whose slot does not hold the active credential (R5).
    pub reassert: BTreeMap<ClusterName, Drift>,
    /// Clusters whose slot does not hold the previous credential, which is still valid (R5).
    pub reassert_previous: BTreeMap<ClusterName, Drift>,
    /// Clusters that have a new id, because they were rebuilt, or that are new to the user.
    pub rebind: BTreeMap<ClusterName, ClusterId>,
    /// Unknown credentials that are named in the record from now on.
    pub adopts: Vec<AdoptedSlot>,
    /// The document is not as it should be, and why.
    pub republish: Option<Arc<str>>,
    /// Deliveries to write, and why.
    pub deliver: BTreeMap<DeliveryName, Arc<str>>,
    /// Deliveries to remove.
    pub recall: BTreeSet<DeliveryName>,
    /// Accounts with ACLs to create or quotas to set.
    pub grant: BTreeSet<super::Account>,
    /// Accounts with ACLs or quotas to take away.
    pub withdraw: BTreeSet<super::Account>,
    /// Material that is due to be destroyed.
    pub destroy: BTreeSet<Generation>,
    /// The deletion policy changes to this.
    pub deletion_policy: Option<DeletionPolicy>,
}

impl Maintenance {
    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a slot came to differ from the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drift {
    /// The slot is empty: the credential was deleted, Kafka was rebuilt, or the cluster is new to the user.
    Missing,
    /// The slot holds a credential of somebody else.
    Changed,
}
