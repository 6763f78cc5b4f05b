//! What the machine can ask to be done, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Blocked, DeliveryRecord, GivenSource, PermitId, Record, Slot, Slots, Version};
use crate::names::{ClusterName, DeliveryName, Generation, Mechanism};
use crate::secret::{Iterations, PasswordLength};

/// What to do next for one user.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// This, and nothing else before its outcome is known.
    Act(Effect),
    /// Nothing before this much time has passed: a fence (R1).
    Fence(Duration),
    /// Nothing in this pass; what is waited for.
    Wait(String),
    /// Nothing until a person acts.
    Blocked(Blocked),
    /// The transition is complete.
    Settled,
}

/// One effect; everything it needs is in it or in the record. All are idempotent under the record's material.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write the material of a new generation, create-only.
    Material(MaterialOrder),
    /// Write the record, by compare-and-set on the version it was read at.
    Record(Box<Record>),
    /// Look at every slot of the user (R6).
    Look {
        /// Where.
        clusters: BTreeSet<ClusterName>,
    },
    /// Create ACLs and set quotas, as the plan lists them.
    Grant {
        /// Where.
        clusters: BTreeSet<ClusterName>,
    },
    /// Put a credential into its slot (R1).
    Upsert {
        /// Where.
        clusters: BTreeSet<ClusterName>,
        /// What.
        slot: Slot,
        /// Under which permit.
        permit: PermitId,
    },
    /// Log in with a credential on every broker.
    Login {
        /// Where.
        clusters: BTreeSet<ClusterName>,
        /// With what.
        slot: Slot,
    },
    /// Write the credential document (R3).
    Document(Slot),
    /// Write deliveries (R4).
    Deliver {
        /// Which.
        names: BTreeSet<DeliveryName>,
        /// Of which credential.
        slot: Slot,
    },
    /// Remove deliveries that are ours.
    Recall {
        /// Which.
        names: BTreeSet<DeliveryName>,
    },
    /// Delete ACLs and remove quotas, as the plan lists them.
    Withdraw {
        /// Where.
        clusters: BTreeSet<ClusterName>,
    },
    /// Delete credentials (R1).
    Empty {
        /// Which slots, where.
        slots: BTreeMap<ClusterName, BTreeSet<Mechanism>>,
        /// Under which permits.
        permits: BTreeMap<Mechanism, PermitId>,
    },
    /// Turn the credential document into a tombstone (R7).
    Bury(Generation),
    /// Destroy material (R11).
    Destroy(BTreeSet<Generation>),
}

impl Effect {
    /// The name of the effect: what crash points, logs and progress call it. A record write is named by its phase.
    pub fn name(&self) -> &'static str {
        use super::Phase::*;
        match self {
            Self::Material(_) => "material",
            Self::Record(record) => match record.phase {
                Idle => "record-idle",
                Prepared => "record-prepared",
                Verified => "record-verified",
                Published => "record-published",
                Confirmed => "record-confirmed",
                Retiring => "record-retiring",
                Aborting => "record-aborting",
                Revoking => "record-revoking",
                Deleting => "record-deleting",
                Deleted => "record-deleted",
            },
            Self::Look { .. } => "look",
            Self::Grant { .. } => "grant",
            Self::Upsert { .. } => "upsert",
            Self::Login { .. } => "login",
            Self::Document(_) => "document",
            Self::Deliver { .. } => "deliver",
            Self::Recall { .. } => "recall",
            Self::Withdraw { .. } => "withdraw",
            Self::Empty { .. } => "empty",
            Self::Bury(_) => "bury",
            Self::Destroy(_) => "destroy",
        }
    }
}

/// How to make the material of one generation.
#[derive(Debug, Clone, PartialEq)]
pub struct MaterialOrder {
    /// Its number.
    pub generation: Generation,
    /// Mechanism its keys are derived for.
    pub mechanism: Mechanism,
    /// PBKDF2 iterations.
    pub iterations: Iterations,
    /// Where the password comes from.
    pub origin: Origin,
}

/// Where a password comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// Drawn.
    Generated(PasswordLength),
    /// Read from the store's inputs.
    Given {
        /// Path below the inputs.
        path: String,
        /// Key there.
        key: String,
    },
    /// The one of an earlier generation, whose deletion is undone.
    SameAs(Generation),
}

/// What came of an effect that succeeded, for one user, as far as the machine has to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The material is there, made now or by a crashed attempt with the same parameters.
    Material {
        /// What it holds, without its secret.
        slot: Slot,
        /// Where a given password was read.
        source: Option<GivenSource>,
    },
    /// The number is taken by material of other parameters, or destroyed (R8).
    MaterialUnusable(Generation),
    /// The slots of a cluster.
    Looked(ClusterName, Slots),
    /// Access was granted on a cluster.
    Granted(ClusterName),
    /// The slot holds the credential on a cluster.
    Upserted(ClusterName),
    /// The credential logged in on every broker of a cluster.
    LoggedIn(ClusterName),
    /// The document was written, or is ours already.
    Document(Version),
    /// A delivery holds the credential.
    Delivered(DeliveryName, DeliveryRecord),
    /// A delivery is gone.
    Recalled(DeliveryName),
    /// Access is gone from a cluster.
    Withdrawn(ClusterName),
    /// The slots of a cluster are empty.
    Emptied(ClusterName),
    /// The document is a tombstone.
    Buried(Version),
    /// Material is destroyed.
    Destroyed(Generation),
}

/// What has been done in this pass and is not in the record; lost with the process, and then done again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Material for the number to be prepared.
    pub material: Option<(Slot, Option<GivenSource>)>,
    /// Numbers that cannot be used.
    pub unusable: BTreeSet<Generation>,
    /// Slots, by cluster, as the look of this pass found them.
    pub looked: BTreeMap<ClusterName, Slots>,
    /// Clusters where access was granted.
    pub granted: BTreeSet<ClusterName>,
    /// Clusters whose slot was filled.
    pub upserted: BTreeSet<ClusterName>,
    /// Clusters on which the credential logged in.
    pub logged_in: BTreeSet<ClusterName>,
    /// The document as it is now.
    pub document: Option<Version>,
    /// Deliveries written.
    pub delivered: BTreeMap<DeliveryName, DeliveryRecord>,
    /// Deliveries removed.
    pub recalled: BTreeSet<DeliveryName>,
    /// Clusters from which access was withdrawn.
    pub withdrawn: BTreeSet<ClusterName>,
    /// Clusters whose slots were emptied.
    pub emptied: BTreeSet<ClusterName>,
    /// The tombstone's version.
    pub buried: Option<Version>,
    /// Material destroyed.
    pub destroyed: BTreeSet<Generation>,
    /// Permits of this process, by slot.
    pub own_permits: BTreeMap<Mechanism, PermitId>,
}

impl Progress {
    /// Takes note of an outcome.
    pub fn advance(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Material { slot, source } => self.material = Some((slot, source)),
            Outcome::MaterialUnusable(generation) => drop(self.unusable.insert(generation)),
            Outcome::Looked(cluster, slots) => drop(self.looked.insert(cluster, slots)),
            Outcome::Granted(cluster) => drop(self.granted.insert(cluster)),
            Outcome::Upserted(cluster) => drop(self.upserted.insert(cluster)),
            Outcome::LoggedIn(cluster) => drop(self.logged_in.insert(cluster)),
            Outcome::Document(version) => self.document = Some(version),
            Outcome::Delivered(name, record) => drop(self.delivered.insert(name, record)),
            Outcome::Recalled(name) => drop(self.recalled.insert(name)),
            Outcome::Withdrawn(cluster) => drop(self.withdrawn.insert(cluster)),
            Outcome::Emptied(cluster) => drop(self.emptied.insert(cluster)),
            Outcome::Buried(version) => self.buried = Some(version),
            Outcome::Destroyed(generation) => drop(self.destroyed.insert(generation)),
        }
    }
}
