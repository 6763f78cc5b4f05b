//! What the machine is told: what the documents ask for, and what is out there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{DeletionPolicy, Record, Version};
use crate::names::{ClusterId, ClusterName, DeliveryName, Mechanism, Scope, SmallMap, UserName};
use crate::secret::{Iterations, PasswordLength, Salt};

/// Something that was looked for: known, or unknown with the reason. Unknown is never taken for absent.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// The credentials that one cluster holds for one user name; empty when it has none.
pub type Slots = SmallMap<Mechanism, SlotSeen>;

/// What is left to do about a principal's ACLs and quotas on one cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccessFact {
    /// ACLs to create or quotas to set.
    pub grants: bool,
    /// ACLs or quotas to take away.
    pub withdrawals: bool,
    /// Any ACL or quota exists there under this name.
    pub present: bool,
}

/// What one reachable cluster holds of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The cluster's own id.
    pub id: ClusterId,
    /// Its credentials.
    pub slots: Seen<Slots>,
    /// Its ACLs and quotas.
    pub access: Seen<AccessFact>,
}

/// How one delivery stands.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// It cannot be seen from here, and why; left alone.
    Unknown(Arc<str>),
}

/// Everything known about one user at the moment of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Every cluster that the document or the record names.
    pub clusters: BTreeMap<ClusterName, Seen<ClusterFacts>>,
    /// Version of the credential document; `None` when there is none.
    pub document: Seen<Option<Version>>,
    /// What the document has to tell of how to connect, as [`super::Record::document_inputs`] notes it; `None` when nobody
    /// asks for one.
    pub document_inputs: Option<Arc<str>>,
    /// Deliveries that the document declares or the record knows.
    pub deliveries: BTreeMap<DeliveryName, DeliveryState>,
    /// Version of the given password's source; `None` when there is none at that path.
    pub source: Seen<Option<Version>>,
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
    /// The name in Kafka that everything done for the user is about: a name that the document changed on a live user stays
    /// the record's until a rotation moves it.
    pub fn username_now<'a>(&'a self, record: Option<&'a Record>) -> &'a UserName {
        record.filter(|record| record.claims_username()).map_or(&self.username, |record| &record.username)
    }

    /// Whether a record's credential was made for the same name and kind of authentication.
    pub fn continues(&self, record: &Record) -> bool {
        let same_kind = matches!(
            (&self.authentication, record.authentication),
            (WantedAuthentication::External, super::Authentication::External)
                | (WantedAuthentication::Scram { .. }, super::Authentication::Scram)
        );
        same_kind && self.username == record.username
    }
}
