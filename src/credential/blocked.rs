//! Why something is not done: what a person has to decide, and what has to come back first.

use std::sync::Arc;

use super::{Account, Phase, Retirement};
use crate::names::{ClusterName, DeliveryName, Generation, Mechanism, Scope};

/// A change that only a rotation, or a planned move, can carry out on a live user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// Another name in Kafka: a new `username`, or to and from the two of `dual-user`.
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
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mechanism(used) => write!(f, "the mechanism in use, {used}, is not among those allowed any more"),
            Self::Iterations { from, to } => write!(f, "iterations change from {from} to {to}"),
            Self::Password => f.write_str("the given password changed at its source"),
            Self::Username { from, to } => write!(f, "the user name changes from `{from}` to `{to}`"),
            Self::AuthenticationType => f.write_str("the authentication type changes between scram and external"),
            Self::Moved(from) => write!(f, "the document was moved from `{from}`"),
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
    /// This change is not carried out on a live user.
    Unsupported(Change),
    /// A rotation is asked for, by this change if there is one, and the documents state no strategy.
    NoStrategy(Option<Change>),
    /// The strategy finds no place for the next credential.
    NoFreeSlot,
    /// A rotation would move the user to another name, and ACLs or quotas under the present one are not declared.
    UnmanagedAccess(Account),
    /// A rotation cannot begin because the last one's old credential is still valid.
    StillValid {
        /// Its generation; `None` for an unknown credential that was adopted.
        generation: Option<Generation>,
        /// When it goes.
        waits: Retirement,
    },
    /// What a person asked for cannot be done as things stand, and why.
    Refused(String),
    /// A revocation cannot move the user to another name.
    NoNewName,
    /// There is nothing to recover from.
    NothingToRecover,
    /// A delivery carries a generation that the record does not know: the store was restored from an older snapshot.
    StateRollback {
        /// What was seen.
        seen: Generation,
        /// The highest the record knows.
        known: Generation,
    },
    /// The record belongs to another set of documents.
    OtherScope(Scope),
    /// Another document or store claims the name.
    Claimed(Arc<str>),
    /// A given password is not there.
    NoGivenPassword(String),
    /// A rotation is asked for, and the password is somebody else's and has not changed.
    GivenUnchanged,
    /// A delivery would not be written.
    Delivery {
        /// Which.
        name: DeliveryName,
        /// What stands in the way.
        why: Arc<str>,
        /// What to do about it.
        hint: Option<Arc<str>>,
    },
    /// The record names no credential where its phase asks for one.
    Damaged(Phase),
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
            Self::Unsupported(change) => write!(f, "{change}: this is not carried out on a live user"),
            Self::NoStrategy(Some(change)) => {
                write!(f, "{change}: on a live user only a rotation carries this out, and no strategy is stated for it")
            }
            Self::NoStrategy(None) => f.write_str("no rotation strategy is stated for it, and there is no safe guess"),
            Self::NoFreeSlot => {
                f.write_str("the strategy finds no place for the next credential beside the one in use")
            }
            Self::UnmanagedAccess(Account { cluster, username }) => write!(
                f,
                "`{username}` has ACLs or quotas on {cluster} that its document does not declare; under another name they would be missing"
            ),
            Self::StillValid { generation: Some(generation), waits } => {
                write!(f, "one rotation at a time: generation {generation} was replaced already and {waits}")
            }
            Self::StillValid { generation: None, waits } => {
                write!(f, "one rotation at a time: an adopted credential was replaced already and {waits}")
            }
            Self::Refused(why) => f.write_str(why),
            Self::NoNewName => f.write_str("the document gives it no other name in Kafka to move to"),
            Self::NothingToRecover => f.write_str("nothing was seen that is newer than its record"),
            Self::StateRollback { seen, known } => write!(
                f,
                "a delivery carries generation {seen}, and the record knows of none above {known}: the store was restored from an older snapshot; nothing is changed for this user"
            ),
            Self::OtherScope(scope) => write!(f, "its record belongs to scope `{scope}`"),
            Self::Claimed(by) => write!(f, "the user name is claimed by {by}"),
            Self::NoGivenPassword(path) => write!(f, "the store holds no password at `{path}`"),
            Self::GivenUnchanged => f.write_str(
                "its password is somebody else's and has not changed at its source: there is nothing to rotate to",
            ),
            Self::Delivery { name, why, .. } => write!(f, "delivery `{name}`: {why}"),
            Self::Damaged(phase) => {
                write!(f, "its record is in phase {phase} and names no credential for it; please report")
            }
        }
    }
}

impl Blocked {
    /// Stable identifier for JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unowned { .. } => "unowned",
            Self::ForeignCredential { .. } => "foreign-credential",
            Self::Unsupported(_) => "unsupported-change",
            Self::NoStrategy(_) => "no-strategy",
            Self::NoFreeSlot => "no-free-slot",
            Self::UnmanagedAccess(_) => "unmanaged-access",
            Self::StillValid { .. } => "still-valid",
            Self::Refused(_) => "refused",
            Self::NoNewName => "no-new-name",
            Self::NothingToRecover => "nothing-to-recover",
            Self::StateRollback { .. } => "state-rollback",
            Self::OtherScope(_) => "other-scope",
            Self::Claimed(_) => "claimed",
            Self::NoGivenPassword(_) => "no-given-password",
            Self::GivenUnchanged => "given-unchanged",
            Self::Delivery { .. } => "delivery",
            Self::Damaged(_) => "damaged",
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
            Self::GivenUnchanged => "write the new one with `kastellan store put`; `apply` then rotates to it",
            Self::Unsupported(Change::Moved(_)) => {
                "keep the document's old namespace and name; or declare a new user with a new `username`, move the clients to it, and remove the old document then"
            }
            Self::Unsupported(_) => {
                "declare a new user with a new `username`, move the clients to it, and remove the old document then"
            }
            Self::NoStrategy(_) => {
                "state `rotation.strategy` in its document, or as the cluster's default: `mechanism-flip` if its clients read `sasl.mechanism` from what is delivered, `dual-user` if they read the user name"
            }
            Self::NoFreeSlot => "offer a second mechanism in `clients.mechanisms`, or choose another strategy",
            Self::UnmanagedAccess(_) => "declare them: `authorization` and `quotas`",
            Self::StillValid { waits: Retirement::Acknowledgement(_), .. } => {
                "once every consumer has moved, say so with `kastellan ack`"
            }
            Self::StillValid { waits: Retirement::Rollout { .. }, .. } => {
                "see to the rollout; or once every consumer has moved, say so with `kastellan ack`"
            }
            Self::StillValid { .. } => {
                "rotate again after that, or shorten `rotation.overlap`; where it was stolen, `kastellan rotate --revoke-now` waits for nothing"
            }
            Self::NoNewName => "give the document another `username`, or use the strategy `dual-user`",
            Self::StateRollback { .. } => {
                "find the newer store, or look at `kastellan recover --help`: it offers the two ways to go on without it"
            }
            Self::Delivery { hint, .. } => return hint.as_ref().map(ToString::to_string),
            Self::Refused(_) | Self::NothingToRecover | Self::Claimed(_) | Self::Damaged(_) => return None,
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
    /// What brings it back, where that is known.
    pub hint: Option<Arc<str>>,
}
