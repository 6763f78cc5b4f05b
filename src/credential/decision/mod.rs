//! What may be done for one user: the transitions that lead from its record to what its document asks for.
//!
//! [`decide`] is asked when a plan is made; the engine then drives the transitions that were approved, effect by effect,
//! with [`super::next`].

mod asked;
mod deletion;
mod maintenance;
mod provision;
mod rotation;
mod transition;

pub use transition::{Ask, Drift, Import, Maintenance, Provision, Reason, Recovery, Revoke, Rotate, Transition};

pub(super) use transition::note_left;

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::kinship::{Kinship, kinship};
use super::{
    Account, Authentication, Blocked, ClusterFacts, DeliveryState, Facts, Foreign, Phase, Record, Seen, SlotSeen,
    Waiting, Wanted,
};
use crate::names::{ClusterName, Mechanism};

/// What is to be done for a user, and what is not and why.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// In this order; empty when nothing is to be done.
    pub transitions: Vec<Transition>,
    /// What a person has to decide.
    pub blocked: Vec<Blocked>,
    /// What has to come back first.
    pub waiting: Vec<Waiting>,
    /// What goes on by itself in time, and holds nothing up: an old credential within its overlap, a cluster that left and is
    /// still owed something.
    pub notes: Vec<String>,
}

impl Decision {
    fn wait(&mut self, cluster: Option<&ClusterName>, why: std::sync::Arc<str>) {
        self.wait_for(Waiting { cluster: cluster.cloned(), why, hint: None });
    }

    fn wait_for(&mut self, waiting: Waiting) {
        if !self.waiting.contains(&waiting) {
            self.waiting.push(waiting);
        }
    }

    fn block(&mut self, blocked: Blocked) {
        if !self.blocked.contains(&blocked) {
            self.blocked.push(blocked);
        }
    }

    /// Whether anything holds the user up.
    fn is_held_up(&self) -> bool {
        !self.blocked.is_empty() || !self.waiting.is_empty()
    }
}

/// Decides what leads from the record to what is wanted. `wanted` is `None` when no document names the user any more:
/// the transition then is a deletion, which the plan drops unless the pass prunes. With `ask`, what a person asks for by
/// name is decided and nothing else.
pub fn decide(
    record: Option<&Record>,
    wanted: Option<&Wanted>,
    facts: &Facts,
    ask: Option<&Ask>,
    now: Timestamp,
) -> Decision {
    let mut decision = Decision::default();
    match (record, wanted) {
        (None, None) => {}
        (Some(record), None) => deletion::decide(record, facts, now, &mut decision),
        (record, Some(wanted)) => {
            if let Some(by) = &facts.claimed_by {
                decision.block(Blocked::Claimed(by.clone()));
            } else if let Some(record) = record.filter(|record| record.scope != wanted.scope) {
                decision.block(Blocked::OtherScope(record.scope.clone()));
            } else if let Some(blocked) = record.and_then(|record| rollback(record, facts, ask)) {
                decision.block(blocked);
            } else {
                decide_wanted(record, wanted, facts, ask, now, &mut decision);
            }
        }
    }
    decision
}

/// A delivery that is ahead of the record freezes everything but what a person does about it (R9).
fn rollback(record: &Record, facts: &Facts, ask: Option<&Ask>) -> Option<Blocked> {
    let seen = facts.newest_delivered().filter(|&seen| seen > record.allotted)?;
    (!matches!(ask, Some(Ask::Recover | Ask::Import)))
        .then_some(Blocked::StateRollback { seen, known: record.allotted })
}

fn decide_wanted(
    record: Option<&Record>,
    wanted: &Wanted,
    facts: &Facts,
    ask: Option<&Ask>,
    now: Timestamp,
    decision: &mut Decision,
) {
    let Some(record) = record else {
        return match ask {
            None => provision::decide(None, wanted, facts, now, decision),
            Some(ask) => asked::without_credential(ask, decision),
        };
    };
    match (record.phase, ask) {
        (Phase::Deleted, None) => {
            deletion::pay(record, facts, decision);
            // What a cluster still holds from before goes first, so that it is not taken for a stranger's.
            if decision.transitions.is_empty() {
                provision::decide(Some(record), wanted, facts, now, decision);
            } else {
                decision.wait(None, "what a cluster still holds of it from before goes first".into());
            }
        }
        (Phase::Deleting, None) => {
            decision.transitions.push(Transition::Delete);
            // What the deletion leaves behind is known: a tombstone, and nothing in Kafka.
            provision::decide_after_deletion(record, wanted, facts, decision);
        }
        (Phase::Deleted | Phase::Deleting, Some(ask)) => asked::without_credential(ask, decision),
        (Phase::Prepared, None) if record.is_first() => {
            rotation::leave(record, wanted, decision);
            decision.transitions.push(Transition::Resume(record.allotted));
            list_unreachable(wanted, facts, decision);
        }
        (_, None) => {
            rotation::leave(record, wanted, decision);
            // Where access is cut, clients may be locked out, or the record calls active what was retired long ago, the
            // way out of that comes first.
            let is_urgent =
                record.phase == Phase::Revoking || record.overwrites() || rotation::is_recovering(record, facts);
            if is_urgent {
                rotation::decide(record, wanted, facts, now, decision);
            }
            maintenance::decide(record, wanted, facts, decision);
            if !is_urgent {
                rotation::decide(record, wanted, facts, now, decision);
            }
            deletion::pay(record, facts, decision);
        }
        (_, Some(ask)) => asked::decide(record, wanted, facts, ask, now, decision),
    }
}

/// Notes every cluster that cannot be reached.
fn list_unreachable(wanted: &Wanted, facts: &Facts, decision: &mut Decision) {
    for cluster in &wanted.clusters {
        if let Seen::Unknown(why) = facts.cluster(cluster) {
            decision.wait(Some(cluster), why);
        }
    }
}

/// Notes every delivery that cannot be written.
fn list_unwritable(facts: &Facts, decision: &mut Decision) {
    for (name, state) in &facts.deliveries {
        match state {
            DeliveryState::InStep
            | DeliveryState::Pending { .. }
            | DeliveryState::Surplus
            | DeliveryState::Ahead(_) => {}
            DeliveryState::Refused { why, hint } => {
                decision.block(Blocked::Delivery { name: name.clone(), why: why.clone(), hint: hint.clone() });
            }
            DeliveryState::Unknown { why, hint } => {
                let why = format!("delivery `{name}`: {why}").into();
                decision.wait_for(Waiting { cluster: None, why, hint: hint.clone() });
            }
        }
    }
}

/// Something that exists in Kafka under a user's name and is not ours.
struct Stranger<'a> {
    account: Account,
    found: Foreign,
    seen: Option<&'a SlotSeen>,
}

/// What exists on a cluster under names that are to become the user's; what could not be seen is noted.
fn list_strangers<'a>(
    names: &BTreeSet<&crate::names::UserName>,
    record: Option<&Record>,
    cluster: &ClusterName,
    seen: &'a ClusterFacts,
    decision: &mut Decision,
) -> Vec<Stranger<'a>> {
    let mut strangers = Vec::new();
    for username in names.iter().copied() {
        let account = Account::new(cluster, username);
        let Some(found) = seen.accounts.get(username) else { continue };
        match (&found.slots, &found.access) {
            (Seen::Known(slots), Seen::Known(access)) => {
                for (&mechanism, slot) in slots {
                    let is_ours =
                        record.is_some_and(|record| kinship(record, &account, mechanism, slot) == Kinship::Named);
                    if !is_ours {
                        let found = Foreign::Credential(mechanism);
                        strangers.push(Stranger { account: account.clone(), found, seen: Some(slot) });
                    }
                }
                if access.present {
                    strangers.push(Stranger { account, found: Foreign::Access, seen: None });
                }
            }
            (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => decision.wait(Some(cluster), why.clone()),
        }
    }
    strangers
}

fn given_is_there(path: &str, key: &str, facts: &Facts, decision: &mut Decision) -> bool {
    match &facts.source {
        Seen::Known(Some(_)) => true,
        Seen::Known(None) => {
            decision.block(Blocked::NoGivenPassword(format!("{path}#{key}")));
            false
        }
        Seen::Unknown(why) => {
            decision.wait(None, why.clone());
            false
        }
    }
}

/// Whether the user's credential is ours to keep.
fn is_scram(record: &Record) -> bool {
    record.authentication == Authentication::Scram
}

/// An unknown credential, as the record names it from now on.
fn adopted(stranger: &Stranger<'_>) -> Option<super::AdoptedSlot> {
    match (stranger.found, stranger.seen) {
        (Foreign::Credential(mechanism), Some(seen)) => Some(adopt(&stranger.account, mechanism, seen)),
        (Foreign::Credential(_) | Foreign::Access, _) => None,
    }
}

fn adopt(account: &Account, mechanism: Mechanism, seen: &SlotSeen) -> super::AdoptedSlot {
    super::AdoptedSlot {
        cluster: account.cluster.clone(),
        username: account.username.clone(),
        mechanism,
        salt: seen.salt.clone(),
        iterations: seen.iterations,
    }
}
