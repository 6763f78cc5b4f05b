//! Why something is not done: what a person has to decide, and what has to come back first.

use std::sync::Arc;

use super::Phase;
use crate::names::{ClusterName, DeliveryName, Mechanism, Scope};

/// A change that only a rotation, or a planned move, can carry out on a live user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The mechanism in use is not allowed any more.
    Mechanism(Mechanism),
    /// Other iterations.
    Iterations {
        /// In use.
        from: u32,
        /// Asked for.
        to: u32,
    },
    /// The given password changed at its source, or is given or not given any more.
    Password,
    /// Clusters were added.
    ClustersAdded(Vec<ClusterName>),
    /// Clusters were removed.
    ClustersRemoved(Vec<ClusterName>),
    /// Another user name, or another kind of authentication.
    Username {
        /// In use.
        from: String,
        /// Asked for.
        to: String,
    },
    /// Between SCRAM and external.
    AuthenticationType,
    /// `movedFrom` is set.
    Moved(Arc<str>),
    /// An adopted credential is to be retired.
    AdoptedCredential(Mechanism),
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |names: &[ClusterName]| names.iter().map(ClusterName::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::Mechanism(used) => write!(f, "the mechanism in use, {used}, is not among those allowed any more"),
            Self::Iterations { from, to } => write!(f, "iterations change from {from} to {to}"),
            Self::Password => f.write_str("the given password changed at its source"),
            Self::ClustersAdded(names) => write!(f, "cluster {} is added to `clusters`", list(names)),
            Self::ClustersRemoved(names) => write!(f, "cluster {} is removed from `clusters`", list(names)),
            Self::Username { from, to } => write!(f, "the user name changes from `{from}` to `{to}`"),
            Self::AuthenticationType => f.write_str("the authentication type changes between scram and external"),
            Self::Moved(from) => write!(f, "the document was moved from `{from}`"),
            Self::AdoptedCredential(mechanism) => {
                write!(f, "the adopted credential in {mechanism} is still valid and waits to be retired")
            }
        }
    }
}

/// What stands under a user's name in Kafka without being ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// A credential with this mechanism.
    Credential(Mechanism),
    /// ACLs or quotas.
    Access,
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Credential(mechanism) => write!(f, "a {mechanism} credential"),
            Self::Access => f.write_str("ACLs or quotas"),
        }
    }
}

/// Why nothing is done until a person acts.
#[derive(Debug, Clone, PartialEq)]
pub enum Blocked {
    /// The user name exists in Kafka and no record of ours claims it.
    Unowned {
        /// Where.
        cluster: ClusterName,
        /// What was found.
        found: Foreign,
    },
    /// A credential in Kafka that the record does not name (R6).
    ForeignCredential {
        /// Where.
        cluster: ClusterName,
        /// In which slot.
        mechanism: Mechanism,
    },
    /// Only a rotation or a planned move can carry out this change.
    NeedsRotation(Change),
    /// The record belongs to another set of documents.
    OtherScope(Scope),
    /// Another document or store claims the name.
    Claimed(Arc<str>),
    /// A given password is not there.
    NoGivenPassword(String),
    /// A delivery would not be written.
    Delivery {
        /// Which.
        name: DeliveryName,
        /// What stands in the way.
        why: Arc<str>,
        /// What to do about it.
        hint: Option<Arc<str>>,
    },
    /// The record is in a phase that this version does not drive.
    UnderWay(Phase),
}

impl std::fmt::Display for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unowned { cluster, found } => {
                write!(f, "{cluster} has {found} under this name that Kastellan did not make")
            }
            Self::ForeignCredential { cluster, mechanism } => write!(
                f,
                "{cluster} holds a {mechanism} credential that the record does not know; nothing is sent to this user's slots"
            ),
            Self::NeedsRotation(change) => {
                write!(f, "{change}: on a live user only a rotation carries this out, and rotation is not built yet")
            }
            Self::OtherScope(scope) => write!(f, "its record belongs to scope `{scope}`"),
            Self::Claimed(by) => write!(f, "the user name is claimed by {by}"),
            Self::NoGivenPassword(path) => write!(f, "the store holds no password at `{path}`"),
            Self::Delivery { name, why, .. } => write!(f, "delivery `{name}`: {why}"),
            Self::UnderWay(phase) => write!(f, "its record is in phase {phase}, which this version cannot drive"),
        }
    }
}

impl Blocked {
    /// Stable identifier for JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unowned { .. } => "unowned",
            Self::ForeignCredential { .. } => "foreign-credential",
            Self::NeedsRotation(_) => "needs-rotation",
            Self::OtherScope(_) => "other-scope",
            Self::Claimed(_) => "claimed",
            Self::NoGivenPassword(_) => "no-given-password",
            Self::Delivery { .. } => "delivery",
            Self::UnderWay(_) => "under-way",
        }
    }

    /// The remedy, if there is a general one.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unowned { found: Foreign::Credential(_), .. } => {
                "set `adopt: true` (or pass `--adopt USER`) to take the name over: our credential goes into a free slot, the unknown one stays valid until it is retired"
            }
            Self::Unowned { found: Foreign::Access, .. } => {
                "set `adopt: true` (or pass `--adopt USER`) to take the name over: ACLs and quotas that the document does not declare are then removed"
            }
            Self::ForeignCredential { .. } => {
                "find out who made it; then delete it, or set `adopt: true` to take note of it"
            }
            Self::OtherScope(_) => "pass the `--scope` it belongs to, or remove the document there first",
            Self::NoGivenPassword(_) => "write it with `kastellan store put`",
            Self::NeedsRotation(Change::Moved(_)) => "keep the old name for now",
            Self::Delivery { hint, .. } => return hint.as_ref().map(ToString::to_string),
            Self::NeedsRotation(_) | Self::Claimed(_) | Self::UnderWay(_) => return None,
        };
        Some(text.to_owned())
    }
}

/// Something that has to come back first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What it is about, e.g. a cluster; `None` for the user as a whole.
    pub cluster: Option<ClusterName>,
    /// Why.
    pub why: Arc<str>,
}
