//! What is out there, as one pass saw it. What could not be seen is [`Seen::Unknown`], never absent.

use std::collections::{BTreeMap, BTreeSet};

use crate::credential::{Afterlife, DeliveryState, Record, Rollout, Seen, Slots, Version, Versioned};
use crate::names::{
    AclRule, BrokerId, ClusterId, ClusterName, DeliveryName, NamespacedName, StoreName, UserName, UserQuotas,
};

/// One pass's view of stores, clusters and deliveries.
#[derive(Debug, Default)]
pub struct Observed {
    /// Every record of every store; a damaged one is unknown.
    pub records: BTreeMap<NamespacedName, Seen<Box<RecordObserved>>>,
    /// Stores that could not be listed, and why: nothing is known of any of their records.
    pub stores_unknown: BTreeMap<StoreName, std::sync::Arc<str>>,
    /// Clusters.
    pub clusters: BTreeMap<ClusterName, Seen<ClusterObserved>>,
    /// Versions of credential documents, for users with a record.
    pub documents: BTreeMap<NamespacedName, Seen<Option<Version>>>,
    /// Deliveries that are declared or recorded.
    pub deliveries: BTreeMap<NamespacedName, BTreeMap<DeliveryName, DeliveryState>>,
    /// Workloads of users whose old credential waits for them.
    pub rollouts: BTreeMap<NamespacedName, std::sync::Arc<Rollout>>,
    /// Versions of given passwords at their source.
    pub sources: BTreeMap<NamespacedName, Seen<Option<Version>>>,
}

/// A record, and the store it was found in.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordObserved {
    /// The store.
    pub store: StoreName,
    /// The record at its version.
    pub record: Versioned<Record>,
    /// A second store that holds a record of the same identity, if any.
    pub also_in: Option<StoreName>,
}

/// What one cluster shows.
#[derive(Debug, Clone)]
pub struct ClusterObserved {
    /// Its own id.
    pub id: ClusterId,
    /// Its brokers with their addresses, as the admin listener tells.
    pub brokers: BTreeMap<BrokerId, String>,
    /// ACLs of every `User:` principal, sorted.
    pub acls: Seen<BTreeMap<UserName, Vec<AclRule>>>,
    /// Quotas of every user.
    pub quotas: Seen<BTreeMap<UserName, UserQuotas>>,
    /// Credentials of every user that is declared or recorded here.
    pub slots: BTreeMap<UserName, Seen<Slots>>,
    /// How long whoever logged in with a credential can outlive it.
    pub afterlife: Afterlife,
    /// The brokers' `super.users`; unknown where Kastellan may not ask.
    pub super_users: Seen<BTreeSet<UserName>>,
}
