//! The record of a user whose credential somebody else made: it is the first generation from now on, and nothing changed.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{AdoptedSlot, Authentication, DeletionPolicy, Record, Slot};
use crate::names::{ClusterId, ClusterName, Generation, NamespacedName, Scope, SmallMap};

/// A user as it was found and proven.
#[derive(Debug, Clone)]
pub struct Takeover {
    /// Its identity.
    pub user: NamespacedName,
    /// The scope of its document.
    pub scope: Scope,
    /// Where it was found.
    pub cluster: ClusterName,
    /// The cluster's own id.
    pub id: ClusterId,
    /// Its credential, with the salt as found.
    pub slot: Slot,
    /// A second credential under the same name, which nobody gave the password of.
    pub beside: Option<AdoptedSlot>,
    /// Numbers whose material is of no use.
    pub destroy: BTreeSet<Generation>,
    /// What its document says of its end.
    pub deletion_policy: DeletionPolicy,
}

impl Takeover {
    /// The first record of the user: at rest, published by whoever had it before.
    pub fn record(self, now: Timestamp) -> Record {
        let username = self.slot.username.clone();
        let generation = self.slot.generation;
        Record {
            clusters: SmallMap::from_iter([(self.cluster, self.id)]),
            generation,
            allotted: generation,
            active: Some(self.slot),
            adopted: self.beside.into_iter().collect(),
            destroy: self.destroy,
            deletion_policy: self.deletion_policy,
            published_at: Some(now),
            ..Record::blank(self.user, self.scope, username, Authentication::Scram)
        }
    }
}
