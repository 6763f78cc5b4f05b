//! What the machine is told: what the documents ask for, and what is out there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{DeletionPolicy, Record, Rollout, RotationSpec, Version};
use crate::names::{AclRule, ClusterId, ClusterName, DeliveryName, Generation, Mechanism, Scope, SmallMap, UserName};
use crate::secret::{Iterations, PasswordLength, Salt};

/// Something that was looked for: known, or unknown with the reason. Unknown is never taken for absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Seen<T> {
    /// What was seen.
    Known(T),
    /// It could not be seen, and why.
    Unknown(Arc<str>),
}

impl<T> Seen<T> {
    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// Why it is not known.
    pub fn unknown_because(&self) -> Option<&Arc<str>> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(why) => Some(why),
        }
    }

    /// Unknown, for this reason.
    pub fn unknown(why: impl std::fmt::Display) -> Self {
        Self::Unknown(why.to_string().into())
    }
}

/// One credential that a cluster holds for a user name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SlotSeen {
    /// Iterations, as Describe tells.
    pub iterations: u32,
    /// Salt, as the first message of a login tells; `None` where no listener of ours offers the mechanism.
    pub salt: Option<Salt>,
    /// Whether every broker shows it. A broker that started can have lost it for good, by a fault of Kafka's, until it is
    /// written again: it is there, and has to be asserted all the same.
    pub everywhere: bool,
}

/// The credentials that one cluster holds for one user name; empty when it has none.
pub type Slots = SmallMap<Mechanism, SlotSeen>;

/// A user name on one cluster: what slots, ACLs and quotas belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// The cluster.
    pub cluster: ClusterName,
    /// The name in Kafka.
    pub username: UserName,
}

impl Account {
    /// The account of a name on a cluster.
    pub fn new(cluster: &ClusterName, username: &UserName) -> Self {
        Self { cluster: cluster.clone(), username: username.clone() }
    }
}

/// What is left to do about the ACLs and quotas of one account. For a name that the document asks for, the way to what it
/// declares; for any other, the way to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AccessFact {
    /// ACLs to create or quotas to set.
    pub grants: bool,
    /// ACLs or quotas to take away.
    pub withdrawals: bool,
    /// Any ACL or quota exists there under this name.
    pub present: bool,
    /// Some of them are nobody's the documents know of: `authorization` or `quotas` is absent.
    pub unmanaged: bool,
    /// Every ACL that is there; only told where a revocation is asked for or under way.
    pub rules: Option<Arc<[AclRule]>>,
}

/// What one reachable cluster holds under one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccountFacts {
    /// Its credentials.
    pub slots: Seen<Slots>,
    /// Its ACLs and quotas.
    pub access: Seen<AccessFact>,
}

/// What one reachable cluster holds of a user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterFacts {
    /// The cluster's own id.
    pub id: ClusterId,
    /// By every name the user has, had, or is to have.
    pub accounts: SmallMap<UserName, AccountFacts>,
    /// How long whoever logged in with a credential can outlive it.
    pub afterlife: Afterlife,
}

/// How long whoever logged in with a credential can outlive it, with access that comes back to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Afterlife {
    /// No connection lives longer than this on a credential that is gone, on any listener (K6).
    Ends(Duration),
    /// As long as its connection: some listener does not ask for a new login, or nobody could see.
    Connection,
    /// As long as a delegation token that it made, whatever becomes of its connections.
    Token,
}

/// How one delivery stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// It holds what it should.
    InStep,
    /// It has to be written.
    Pending {
        /// Why.
        why: Arc<str>,
        /// What the record calls this kind of delivery.
        kind: &'static str,
        /// What it is written to, as the record names it.
        target: Arc<str>,
        /// Whose it is, where it is somebody else's that is taken over; for people.
        taken_from: Option<Arc<str>>,
    },
    /// It was written once and is not declared any more.
    Surplus,
    /// It would not be written, and why.
    Refused {
        /// What stands in the way.
        why: Arc<str>,
        /// What to do about it.
        hint: Option<Arc<str>>,
    },
    /// It carries a generation that no record knows: the store was restored from an older snapshot (R9).
    Ahead(Generation),
    /// It cannot be seen from here; left alone.
    Unknown {
        /// Why not.
        why: Arc<str>,
        /// What to do about it.
        hint: Option<Arc<str>>,
    },
}

/// Everything known about one user at the moment of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Every cluster that the document or the record names.
    pub clusters: BTreeMap<ClusterName, Seen<ClusterFacts>>,
    /// Version of the credential document; `None` when there is none.
    pub document: Seen<Option<Version>>,
    /// What the document has to tell of how to connect: a digest for each cluster, in the user's order; `None` when nobody
    /// asks for one.
    pub connections: Option<Vec<(ClusterName, Arc<str>)>>,
    /// Deliveries that the document declares or the record knows.
    pub deliveries: BTreeMap<DeliveryName, DeliveryState>,
    /// Version of the given password's source; `None` when there is none at that path.
    pub source: Seen<Option<Version>>,
    /// The workloads that an old credential waits for; `None` where nothing waits for any.
    pub rollout: Option<Arc<Rollout>>,
    /// Another user document or store that already claims the name, if any, for people.
    pub claimed_by: Option<Arc<str>>,
}

impl Facts {
    /// What is known of one cluster, or why it is not.
    pub fn cluster(&self, name: &ClusterName) -> Seen<&ClusterFacts> {
        match self.clusters.get(name) {
            Some(Seen::Known(facts)) => Seen::Known(facts),
            Some(Seen::Unknown(why)) => Seen::Unknown(why.clone()),
            None => Seen::unknown("no document declares this cluster"),
        }
    }

    /// What the document has to tell of some clusters, as [`Record::document_inputs`] notes it.
    pub fn document_inputs(&self, is_told: impl Fn(&ClusterName) -> bool) -> Option<Arc<str>> {
        let told = self.connections.as_ref()?.iter().filter(|(name, _)| is_told(name));
        Some(told.map(|(name, digest)| format!("{name}={digest}")).collect::<Vec<_>>().join(",").into())
    }

    /// The highest generation that a delivery carries beyond what the record knows.
    pub fn newest_delivered(&self) -> Option<Generation> {
        self.newest_delivery().map(|(_, generation)| generation)
    }

    /// The delivery that carries the highest generation beyond what the record knows, the first of several.
    pub fn newest_delivery(&self) -> Option<(&DeliveryName, Generation)> {
        let ahead = self.deliveries.iter().filter_map(|(name, state)| match state {
            DeliveryState::Ahead(generation) => Some((name, *generation)),
            DeliveryState::InStep
            | DeliveryState::Pending { .. }
            | DeliveryState::Surplus
            | DeliveryState::Refused { .. }
            | DeliveryState::Unknown { .. } => None,
        });
        ahead.rev().max_by_key(|(_, generation)| *generation)
    }

    /// Whether somebody looked for the ACLs and quotas of one account, and they could not be seen.
    pub fn is_access_unseen(&self, account: &Account) -> bool {
        let cluster = self.clusters.get(&account.cluster).and_then(Seen::known);
        let facts = cluster.and_then(|cluster| cluster.accounts.get(&account.username));
        facts.is_some_and(|facts| facts.access.known().is_none())
    }

    /// What is known of the ACLs and quotas of one account.
    pub fn access(&self, account: &Account) -> Option<&AccessFact> {
        self.clusters.get(&account.cluster)?.known()?.accounts.get(&account.username)?.access.known()
    }
}

/// What the documents ask of one user.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The set of documents it is in.
    pub scope: Scope,
    /// Name in Kafka.
    pub username: UserName,
    /// Clusters, in the document's order.
    pub clusters: Vec<ClusterName>,
    /// Who authenticates it.
    pub authentication: WantedAuthentication,
    /// How its credential rotates; `None` when neither the document nor its clusters' defaults say.
    pub rotation: Option<RotationSpec>,
    /// Whether a delivery names workloads that a rotation restarts.
    pub restarts: bool,
    /// Whether what exists in Kafka under this name may be taken over.
    pub adopt: bool,
    /// What pruning does once the document is gone.
    pub deletion_policy: DeletionPolicy,
    /// `movedFrom`: the identity the user had before, for people.
    pub moved_from: Option<Arc<str>>,
}

/// How a user is to authenticate.
#[derive(Debug, Clone, PartialEq)]
pub enum WantedAuthentication {
    /// By somebody else.
    External,
    /// By a SCRAM credential.
    Scram {
        /// Mechanisms that the document and every cluster's clients allow, the preferred first; never empty.
        mechanisms: Vec<Mechanism>,
        /// PBKDF2 iterations.
        iterations: Iterations,
        /// Length of a generated password.
        length: PasswordLength,
        /// Path and key of a given password in the store.
        given: Option<(String, String)>,
    },
}

impl Wanted {
    /// The names that are to have access in Kafka: the user's own, or the two of `dual-user`.
    pub fn names(&self) -> &[UserName] {
        match self.rotation.as_ref().and_then(|rotation| rotation.users.as_ref()) {
            Some(users) => users,
            None => std::slice::from_ref(&self.username),
        }
    }

    /// Whether the user stays under this name although its document gives it another one: no strategy is stated by which it
    /// could move. Until then its clients have what the document declares.
    pub fn is_bound_to(&self, name: &UserName, record: &Record) -> bool {
        self.rotation.is_none() && record.active.as_ref().is_some_and(|active| active.username == *name)
    }

    /// Whether a record is of the same kind of authentication.
    pub fn is_authenticated_as(&self, record: &Record) -> bool {
        matches!(
            (&self.authentication, record.authentication),
            (WantedAuthentication::External, super::Authentication::External)
                | (WantedAuthentication::Scram { .. }, super::Authentication::Scram)
        )
    }

    /// Whether a record's credential was made for the same name and kind of authentication.
    pub fn continues(&self, record: &Record) -> bool {
        self.is_authenticated_as(record) && self.username == record.username
    }
}
