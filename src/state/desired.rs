//! What the documents ask for, resolved: defaults merged, references followed, names checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::credential::{Connection, Wanted};
use crate::diagnostic::Location;
use crate::names::{
    AclRule, ClusterName, DeliveryName, Mechanism, NamespacedName, Scope, StoreName, UserName, UserQuotas,
};

/// Everything one set of documents asks for.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    /// The scope the documents belong to.
    pub scope: Scope,
    /// Clusters, by name.
    pub clusters: BTreeMap<ClusterName, DesiredCluster>,
    /// Users, by identity.
    pub users: BTreeMap<NamespacedName, DesiredUser>,
}

/// What the engine and the plan need of a cluster's document.
#[derive(Debug, Clone)]
pub struct DesiredCluster {
    /// Nothing is changed here.
    pub suspend: bool,
    /// Mechanisms of the clients' listener, the preferred first.
    pub mechanisms: Vec<Mechanism>,
    /// How applications reach it.
    pub connection: Connection,
    /// The beginning of the SHA-256 over `connection`, in hex: all of it is public.
    pub connection_digest: Arc<str>,
    /// Whether a login on every broker is the proof; else Describe and the barrier.
    pub verify_logins: bool,
    /// How long a late request may still be executed (R1).
    pub fence: std::time::Duration,
    /// The name Kastellan itself logs in with, where the document tells.
    pub admin: Option<UserName>,
}

/// What is wanted of one user.
#[derive(Debug, Clone)]
pub struct DesiredUser {
    /// Where its document stands.
    pub location: Location,
    /// The store of its credentials.
    pub store: StoreName,
    /// What the machine is told.
    pub wanted: Arc<Wanted>,
    /// Nothing is changed for it.
    pub suspend: bool,
    /// Its ACLs, sorted; `None`: not ours to manage.
    pub rules: Option<Arc<[AclRule]>>,
    /// Its quotas; `None`: not ours to manage.
    pub quotas: Option<UserQuotas>,
    /// Where its credential is published.
    pub deliveries: BTreeMap<DeliveryName, DesiredDelivery>,
}

/// One place a credential is to be published to.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredDelivery {
    /// Whose bootstrap servers it carries.
    pub cluster: ClusterName,
    /// Where to, and in which form.
    pub target: crate::spec::DeliveryTarget,
}

impl Desired {
    /// The users that name `cluster`.
    pub fn users_of<'a>(
        &'a self,
        cluster: &'a ClusterName,
    ) -> impl Iterator<Item = (&'a NamespacedName, &'a DesiredUser)> {
        self.users.iter().filter(move |(_, user)| user.wanted.clusters.contains(cluster))
    }

    /// The longest fence of some clusters; that of an unknown cluster is the default.
    pub fn fence<'a>(&self, clusters: impl Iterator<Item = &'a ClusterName>) -> std::time::Duration {
        let fences = clusters.map(|name| self.clusters.get(name).map_or(Self::DEFAULT_FENCE, |cluster| cluster.fence));
        fences.max().unwrap_or(Self::DEFAULT_FENCE)
    }

    /// More than the brokers' default request timeout of 30 s, twice (R1).
    pub const DEFAULT_FENCE: std::time::Duration = std::time::Duration::from_secs(60);

    /// The stores that users refer to.
    pub fn stores(&self) -> BTreeSet<&StoreName> {
        self.users.values().map(|user| &user.store).collect()
    }
}
