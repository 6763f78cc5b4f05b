//! What a pass may not do: limits on deletion, and users that nobody may touch through documents.

use super::{Options, Plan};
use crate::credential::Seen;
use crate::names::{ClusterName, NamespacedName, UserName};
use crate::state::{Desired, DesiredUser, Observed};

/// Why a pass as a whole is refused (exit status 3).
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// More would go than allowed.
    TooManyDeletes {
        /// How many users, ACLs and quotas would go.
        deletes: usize,
        /// The limit.
        limit: usize,
    },
    /// Every user of the scope would go.
    Empty {
        /// How many that are.
        users: usize,
    },
    /// A document names a super user of the brokers, or Kastellan itself.
    Protected {
        /// The document.
        user: NamespacedName,
        /// The name.
        username: UserName,
        /// Where it is protected.
        cluster: ClusterName,
        /// What it is there.
        role: &'static str,
    },
    /// Two names of one physical cluster.
    SameCluster {
        /// One name.
        first: ClusterName,
        /// The other.
        second: ClusterName,
    },
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooManyDeletes { deletes, limit } => {
                write!(f, "{deletes} users, ACLs and quotas would go, more than the limit of {limit}")
            }
            Self::Empty { users } => write!(f, "every user of the scope would be deleted ({users})"),
            Self::Protected { user, username, cluster, role } => {
                write!(f, "`{user}` names `{username}`, which is {role} on {cluster}; no document may name it")
            }
            Self::SameCluster { first, second } => {
                write!(f, "`{first}` and `{second}` are the same Kafka cluster: their cluster ids agree")
            }
        }
    }
}

impl Refusal {
    /// The remedy.
    pub fn hint(&self) -> String {
        match self {
            Self::TooManyDeletes { deletes, .. } => {
                format!("look at what would go; if it is meant, pass `--max-deletes {deletes}`")
            }
            Self::Empty { .. } => "check that all documents are there; if it is meant, pass `--allow-empty`".to_owned(),
            Self::Protected { .. } => "remove the document, or give it another `username`".to_owned(),
            Self::SameCluster { .. } => "declare each Kafka cluster once".to_owned(),
        }
    }
}

/// The refusals that the whole plan gives rise to; `gone` users are deleted because their document is gone.
pub(super) fn refusals(
    plan: &Plan,
    desired: &Desired,
    observed: &Observed,
    options: &Options,
    gone: usize,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if plan.deletes > options.max_deletes {
        refusals.push(Refusal::TooManyDeletes { deletes: plan.deletes, limit: options.max_deletes });
    }
    let nobody_stays = gone > 0 && {
        let stays = observed.records.iter().any(|(user, seen)| match seen {
            Seen::Known(found) => {
                let record = &found.record.value;
                record.scope == desired.scope && record.claims_username() && !plan.users.contains_key(user)
            }
            Seen::Unknown(_) => true,
        });
        !stays && desired.users.is_empty()
    };
    if nobody_stays && !options.allow_empty {
        refusals.push(Refusal::Empty { users: gone });
    }
    refusals.extend(same_clusters(desired, observed));
    refusals
}

fn same_clusters(desired: &Desired, observed: &Observed) -> Vec<Refusal> {
    let mut by_id = std::collections::BTreeMap::new();
    let mut refusals = Vec::new();
    for name in desired.clusters.keys() {
        if let Some(Seen::Known(seen)) = observed.clusters.get(name)
            && let Some(first) = by_id.insert(seen.id.clone(), name)
        {
            refusals.push(Refusal::SameCluster { first: first.clone(), second: name.clone() });
        }
    }
    refusals
}

/// Whether a document names a super user, or the principal Kastellan logs in with.
pub(super) fn protected(
    user: &NamespacedName,
    wanted: &DesiredUser,
    desired: &Desired,
    observed: &Observed,
) -> Option<Refusal> {
    let username = &wanted.wanted.username;
    wanted.wanted.clusters.iter().find_map(|cluster| {
        let admin = desired.clusters.get(cluster).and_then(|cluster| cluster.admin.as_ref());
        let is_super = match observed.clusters.get(cluster) {
            Some(Seen::Known(seen)) => seen.super_users.known().is_some_and(|users| users.contains(username)),
            Some(Seen::Unknown(_)) | None => false,
        };
        let role = match (admin == Some(username), is_super) {
            (true, _) => "the user Kastellan itself logs in with",
            (false, true) => "a super user of the brokers",
            (false, false) => return None,
        };
        Some(Refusal::Protected { user: user.clone(), username: username.clone(), cluster: cluster.clone(), role })
    })
}
