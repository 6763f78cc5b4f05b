//! What each strategy needs of listeners, formats and the document, and what it asks of the clients.

use super::super::wording::list;
use super::Strategy;
use crate::names::{ClusterName, Mechanism};

/// What a format tells clients of their login, beside the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Carries {
    /// The SCRAM mechanism.
    pub mechanism: bool,
    /// The user name, in a way that clients take over.
    pub username: bool,
}

/// What a strategy depends on, of one user.
pub(in super::super) struct Circumstances<'a> {
    /// The mechanism that the document fixes; `None`: any.
    pub fixed: Option<Mechanism>,
    /// What the listeners of its clusters offer.
    pub offers: Vec<(&'a ClusterName, &'a [Mechanism])>,
    /// Whether clients take the mechanism from what is delivered, as far as somebody says.
    pub clients_read_mechanism: Option<bool>,
    /// Whether clients may be locked out for a moment.
    pub allow_downtime: bool,
    /// Whether the document manages the user's ACLs.
    pub manages_acls: bool,
    /// Whether any delivery names a workload to restart.
    pub restarts: bool,
    /// Formats it is delivered in, with their names.
    pub formats: Vec<(&'a str, Carries)>,
}

/// What a document lacks for a strategy.
pub(super) struct Missing {
    pub because: &'static str,
    pub remedy: &'static str,
}

impl Strategy {
    /// What it asks of the clients and of the document.
    pub(super) const fn asks(self) -> &'static str {
        match self {
            Self::MechanismFlip => "clients take `sasl.mechanism` from what is delivered",
            Self::DualUser => {
                "clients take the user name from what is delivered, their principal changes, and the document manages \
                 the ACLs"
            }
            Self::InPlace => "clients are locked out until they have the new password; needs `allowDowntime: true`",
        }
    }
}

impl Circumstances<'_> {
    /// Why a strategy is impossible with these listeners, formats and clients; empty if it is not.
    pub(super) fn obstacles(&self, strategy: Strategy) -> Vec<String> {
        match strategy {
            Strategy::MechanismFlip => self.obstacles_of_flip(),
            Strategy::DualUser => {
                let silent = self.formats_without(|carries| carries.username);
                silent.map(|format| format!("the format `{format}` does not carry the user name")).collect()
            }
            Strategy::InPlace => Vec::new(),
        }
    }

    /// What the document would have to say as well for a strategy that is possible; `None` if nothing is missing.
    pub(super) fn missing(&self, strategy: Strategy) -> Option<Missing> {
        match strategy {
            Strategy::MechanismFlip => None,
            Strategy::DualUser => (!self.manages_acls).then_some(Missing {
                because: "both users need the same ACLs, and this document manages none: what somebody else grants \
                          cannot be mirrored",
                remedy: "add `authorization`",
            }),
            Strategy::InPlace => (!self.allow_downtime).then_some(Missing {
                because: "clients are locked out until they have the new password",
                remedy: "accept it with `allowDowntime: true`",
            }),
        }
    }

    /// The strategies that are possible, the one that asks least first.
    pub(super) fn possible(&self) -> impl Iterator<Item = Strategy> {
        Strategy::ALL.into_iter().filter(|strategy| self.obstacles(*strategy).is_empty())
    }

    fn obstacles_of_flip(&self) -> Vec<String> {
        let mut obstacles = Vec::new();
        if let Some(mechanism) = self.fixed {
            let name = mechanism.as_str().to_lowercase();
            obstacles.push(format!("`authentication.type: {name}` fixes the mechanism (`type: scram` leaves it open)"));
        }
        let common = |mechanism: &Mechanism| self.offers.iter().all(|(_, offered)| offered.contains(mechanism));
        if !Mechanism::ALL.iter().all(common) {
            let lacking = self.offers.iter().filter(|(_, offered)| offered.len() < Mechanism::ALL.len());
            let offers = lacking.map(|(cluster, offered)| {
                format!("`{cluster}` offers {} alone", list(offered.iter().map(|mechanism| mechanism.as_str())))
            });
            let offers = offers.collect::<Vec<_>>().join(", ");
            obstacles.push(format!("it needs two mechanisms: {offers} (`spec.clients.mechanisms`)"));
        }
        match self.clients_read_mechanism {
            Some(true) => {}
            Some(false) => {
                obstacles
                    .push("clients do not take the mechanism from what is delivered (`clientsReadMechanism`)".into());
            }
            None => obstacles.extend(self.formats_without(|carries| carries.mechanism).map(|format| {
                format!("the format `{format}` does not carry the mechanism (unless `clientsReadMechanism: true`)")
            })),
        }
        obstacles
    }

    /// Names of the formats that lack something, each once.
    fn formats_without(&self, carried: fn(&Carries) -> bool) -> impl Iterator<Item = &str> {
        let lacking = self.formats.iter().filter(move |(_, carries)| !carried(carries)).map(|(name, _)| *name);
        lacking.collect::<std::collections::BTreeSet<_>>().into_iter()
    }
}
