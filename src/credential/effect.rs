//! What the machine can ask to be done, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{
    Account, Blocked, DeliveryRecord, GivenSource, Import, Permit, PermitId, Place, Record, Slot, Slots, Version,
};
use crate::names::{ClusterName, DeliveryName, Generation, Mechanism, StoreName, UserName};
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
    /// Read a credential back from where it is delivered, and write it as material, create-only (rotation.md D5).
    Import(Import),
    /// Write the record, by compare-and-set on the version it was read at.
    Record(Box<Record>),
    /// Look at every slot of some accounts (R6).
    Look(BTreeSet<Account>),
    /// Create ACLs and set quotas, as the plan lists them.
    Grant(BTreeSet<Account>),
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
        /// Which brokers have to take it.
        witnesses: Witnesses,
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
    /// Set the marker of a credential in every workload that the deliveries name, where it does not stand yet.
    Restart(Slot),
    /// Remove deliveries that are ours.
    Recall {
        /// Which.
        names: BTreeSet<DeliveryName>,
    },
    /// Delete ACLs and remove quotas, as the plan lists them.
    Withdraw(BTreeSet<Account>),
    /// Delete credentials (R1).
    Empty {
        /// Which slots of which accounts; an account without one needs nothing.
        slots: BTreeMap<Account, BTreeSet<Mechanism>>,
        /// Under which permits.
        permits: BTreeMap<Place, PermitId>,
    },
    /// Turn the credential document into a tombstone (R7).
    Bury(Generation),
    /// Destroy material (R11).
    Destroy(BTreeSet<Generation>),
    /// Copy everything but the record into another store.
    Copy(StoreName),
    /// Copy the record as well, for good.
    Move(StoreName),
}

impl Effect {
    /// The name of the effect: what crash points, logs and progress call it. A record write is named by its phase.
    pub fn name(&self) -> &'static str {
        use super::Phase::*;
        match self {
            Self::Material(_) => "material",
            Self::Import(_) => "import",
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
            Self::Look(_) => "look",
            Self::Grant(_) => "grant",
            Self::Upsert { .. } => "upsert",
            Self::Login { .. } => "login",
            Self::Document(_) => "document",
            Self::Deliver { .. } => "deliver",
            Self::Restart(_) => "restart",
            Self::Recall { .. } => "recall",
            Self::Withdraw(_) => "withdraw",
            Self::Empty { .. } => "empty",
            Self::Bury(_) => "bury",
            Self::Destroy(_) => "destroy",
            Self::Copy(_) => "copy",
            Self::Move(_) => "move",
        }
    }
}

/// Which brokers have to take a credential before it counts as proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Witnesses {
    /// Those that run.
    Running,
    /// Every broker that is registered with its cluster, so that none is left out. One that is starting takes logins before it
    /// knows what was written meanwhile: whoever has a working credential does not get another one then.
    Registered,
}

/// How to make the material of one generation.
#[derive(Debug, Clone, PartialEq)]
pub struct MaterialOrder {
    /// Its number.
    pub generation: Generation,
    /// The name in Kafka it is for.
    pub username: UserName,
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
    /// The slots of an account.
    Looked(Account, Slots),
    /// Access was granted to an account.
    Granted(Account),
    /// The account holds the credential of a generation.
    Upserted(Account, Generation),
    /// The credential of a generation logged in on every broker of a cluster.
    LoggedIn(ClusterName, Generation),
    /// The document was written, or is ours already.
    Document(Version),
    /// A delivery holds the credential.
    Delivered(DeliveryName, DeliveryRecord),
    /// Every workload carries the marker of a credential, or is not there.
    Restarted(Generation),
    /// A delivery is gone.
    Recalled(DeliveryName),
    /// Access is gone from an account.
    Withdrawn(Account),
    /// The slots of an account that were to be emptied are empty.
    Emptied(Account),
    /// The document is a tombstone.
    Buried(Version),
    /// Material is destroyed.
    Destroyed(Generation),
    /// The other store has everything but the record.
    Copied,
    /// The other store has the user.
    Moved,
}

/// What has been done in this pass and is not in the record; lost with the process, and then done again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Material for the number to be prepared.
    pub material: Option<(Slot, Option<GivenSource>)>,
    /// Numbers that cannot be used.
    pub unusable: BTreeSet<Generation>,
    /// Slots, by account, as the look of this pass found them; forgotten when one is altered.
    pub looked: BTreeMap<Account, Slots>,
    /// Accounts to which access was granted.
    pub granted: BTreeSet<Account>,
    /// Clusters whose slot was filled, with the generation.
    pub upserted: BTreeSet<(ClusterName, Generation)>,
    /// Clusters on which a credential logged in, with its generation.
    pub logged_in: BTreeSet<(ClusterName, Generation)>,
    /// The document as it is now.
    pub document: Option<Version>,
    /// Deliveries written.
    pub delivered: BTreeMap<DeliveryName, DeliveryRecord>,
    /// Credentials whose markers were set in workloads.
    pub restarted: BTreeSet<Generation>,
    /// Deliveries removed.
    pub recalled: BTreeSet<DeliveryName>,
    /// Accounts from which access was withdrawn.
    pub withdrawn: BTreeSet<Account>,
    /// Accounts whose slots were emptied.
    pub emptied: BTreeSet<Account>,
    /// The tombstone's version.
    pub buried: Option<Version>,
    /// Material destroyed.
    pub destroyed: BTreeSet<Generation>,
    /// Whether the other store has everything but the record.
    pub copied: bool,
    /// Whether the other store has the user.
    pub moved: bool,
    /// Permits of this process, by slot.
    pub own_permits: BTreeMap<Place, PermitId>,
}

impl Progress {
    /// Takes note of a record that this process wrote: the permits that it has and the one before had not are its own. Where
    /// somebody else's is over by then, a late request may have landed since the look, so what was seen is forgotten (R6).
    pub fn note_permits(&mut self, before: Option<&Record>, written: &Record) {
        let known = before.map_or(&[][..], |record| &record.permits);
        let is_own = |permit: &Permit| self.own_permits.get(&permit.place()) == Some(&permit.id);
        let over = known.iter().filter(|permit| !written.permits.contains(permit) && !is_own(permit));
        let names = over.map(|permit| &permit.username).collect::<BTreeSet<_>>();
        self.looked.retain(|account, _| !names.contains(&account.username));
        for permit in written.permits.iter().filter(|permit| !known.contains(permit)) {
            self.own_permits.insert(permit.place(), permit.id);
        }
    }

    /// Takes note of an outcome.
    pub fn advance(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Material { slot, source } => self.material = Some((slot, source)),
            Outcome::MaterialUnusable(generation) => drop(self.unusable.insert(generation)),
            Outcome::Looked(account, slots) => drop(self.looked.insert(account, slots)),
            Outcome::Granted(account) => drop(self.granted.insert(account)),
            Outcome::Upserted(account, generation) => {
                self.looked.remove(&account);
                self.upserted.insert((account.cluster, generation));
            }
            Outcome::LoggedIn(cluster, generation) => drop(self.logged_in.insert((cluster, generation))),
            Outcome::Document(version) => self.document = Some(version),
            Outcome::Delivered(name, record) => drop(self.delivered.insert(name, record)),
            Outcome::Restarted(generation) => drop(self.restarted.insert(generation)),
            Outcome::Recalled(name) => drop(self.recalled.insert(name)),
            Outcome::Withdrawn(account) => drop(self.withdrawn.insert(account)),
            Outcome::Emptied(account) => {
                self.looked.remove(&account);
                self.emptied.insert(account);
            }
            Outcome::Buried(version) => self.buried = Some(version),
            Outcome::Destroyed(generation) => drop(self.destroyed.insert(generation)),
            Outcome::Copied => self.copied = true,
            Outcome::Moved => self.moved = true,
        }
    }
}
