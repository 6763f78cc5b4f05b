//! What a person asks for by name: decided alone, beside nothing else the pass could do.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::rotation::{self, begin, is_ahead, may_begin, resume, revocation};
use super::{Ask, Decision, Import, Reason, Recovery, Transition, adopted, is_scram, list_strangers};
use crate::credential::schedule::{Retirement, retirement};
use crate::credential::standing::standing;
use crate::credential::{AdoptedSlot, Blocked, Facts, Foreign, Phase, Record, Seen, Wanted};
use crate::names::{Generation, UserName};

/// There is no credential to do anything with.
pub(super) fn without_credential(ask: &Ask, decision: &mut Decision) {
    let what = ask.as_str();
    decision.block(Blocked::Refused(format!("there is nothing to {what}: it has no credential; `apply` makes one")));
}

pub(super) fn decide(
    record: &Record,
    wanted: &Wanted,
    facts: &Facts,
    ask: &Ask,
    now: Timestamp,
    decision: &mut Decision,
) {
    if !is_scram(record) {
        let why = "somebody else authenticates it: no credential is ours to change".to_owned();
        return decision.block(Blocked::Refused(why));
    }
    match ask {
        Ask::Rotate => rotate(record, wanted, facts, now, decision),
        Ask::Acknowledge(generation) => acknowledge(record, wanted, *generation, now, decision),
        Ask::Abort => abort(record, facts, decision),
        Ask::Revoke { new_name } => match revocation(record, wanted, *new_name) {
            Ok(revoke) => decision.transitions.push(Transition::Revoke(revoke)),
            Err(blocked) => decision.block(blocked),
        },
        Ask::Recover => recover(record, wanted, facts, decision),
        Ask::Import => import(record, facts, decision),
    }
}

/// Rotates now; one that is under way goes on instead, because there is at most one.
fn rotate(record: &Record, wanted: &Wanted, facts: &Facts, now: Timestamp, decision: &mut Decision) {
    rotation::leave(record, wanted, decision);
    let begins = !matches!(record.phase, Phase::Prepared | Phase::Verified);
    if begins && rotation::given_is_unchanged(record, wanted, facts) {
        return decision.block(Blocked::GivenUnchanged);
    }
    // What is published names every cluster of the record, so all of them have to be ready for it.
    let joining = record.joining().find(|name| wanted.clusters.contains(name));
    if let Some(joining) = joining.filter(|_| begins) {
        let why = format!("it comes to {joining}, and has no access or credential there yet: `apply` first");
        return decision.block(Blocked::Refused(why));
    }
    match record.phase {
        Phase::Prepared | Phase::Verified => resume(record, wanted, facts, decision),
        Phase::Idle => begin(record, wanted, facts, vec![Reason::Asked], decision),
        Phase::Published | Phase::Confirmed | Phase::Retiring => match may_begin(record, wanted, facts, now) {
            Err(blocked) => decision.block(blocked),
            Ok(()) => {
                decision.transitions.push(Transition::Retire);
                begin(record, wanted, facts, vec![Reason::Asked], decision);
            }
        },
        Phase::Aborting => {
            decision.transitions.push(Transition::Abort);
            begin(record, wanted, facts, vec![Reason::Asked], decision);
        }
        phase @ (Phase::Revoking | Phase::Deleting | Phase::Deleted) => {
            let stands = standing(record, Some(wanted), None, now).says;
            decision.block(Blocked::Refused(format!("it does not rotate in phase {phase}: {stands}")));
        }
    }
}

/// The consumers have moved. What is due because of it is done at once.
fn acknowledge(
    record: &Record,
    wanted: &Wanted,
    generation: Option<Generation>,
    now: Timestamp,
    decision: &mut Decision,
) {
    let active = record.active.as_ref().map_or(Generation::NONE, |slot| slot.generation);
    let refuse = |why: String| Blocked::Refused(why);
    if let Some(named) = generation.filter(|&named| named != active) {
        return decision
            .block(refuse(format!("the published generation is {active}, not {named}; nothing was acknowledged")));
    }
    match record.phase {
        Phase::Published | Phase::Confirmed => {
            decision.transitions.push(Transition::Acknowledge(active));
            let confirmed = Record { phase: Phase::Confirmed, confirmed_at: Some(now), ..record.clone() };
            match retirement(&confirmed, Some(wanted), None, now) {
                Retirement::Nothing | Retirement::Due => decision.transitions.push(Transition::Retire),
                Retirement::At(_) | Retirement::Acknowledgement(_) | Retirement::Rollout { .. } => {
                    decision.notes.push(standing(&confirmed, Some(wanted), None, now).says);
                }
            }
        }
        Phase::Revoking => {
            decision.transitions.push(Transition::Restarted);
            match revocation(record, wanted, false) {
                Ok(revoke) => decision.transitions.push(Transition::Revoke(revoke)),
                Err(blocked) => decision.block(blocked),
            }
        }
        phase @ (Phase::Idle
        | Phase::Prepared
        | Phase::Verified
        | Phase::Retiring
        | Phase::Aborting
        | Phase::Deleting
        | Phase::Deleted) => {
            let stands = standing(record, Some(wanted), None, now).says;
            decision.block(refuse(format!("nothing waits for an acknowledgement in phase {phase}: {stands}")));
        }
    }
}

/// R2: from PREPARED only, and never where the pending credential takes the place of the active one, or is delivered: then the
/// store was restored from a snapshot that was taken in the middle.
fn abort(record: &Record, facts: &Facts, decision: &mut Decision) {
    let why = match record.phase {
        Phase::Aborting => return decision.transitions.push(Transition::Abort),
        Phase::Prepared if record.is_first() => {
            "a first provisioning is not aborted: remove its document and `apply --prune`"
        }
        Phase::Prepared if record.overwrites() => {
            "an `in-place` rotation is not aborted, because the old credential may be gone already: `apply` finishes it"
        }
        Phase::Prepared if is_ahead(record, facts) => {
            "a delivery carries the new credential already, so the store was restored from an older snapshot: `apply` \
             finishes the rotation"
        }
        Phase::Prepared => return decision.transitions.push(Transition::Abort),
        Phase::Verified | Phase::Published | Phase::Confirmed | Phase::Retiring => {
            "the new credential may be in use already: from here on a rotation only goes forward; `apply` finishes it"
        }
        Phase::Idle => "no rotation is under way",
        Phase::Revoking => "a revocation is not aborted: `apply` finishes it",
        Phase::Deleting | Phase::Deleted => "it is being deleted; putting the document back undoes that",
    };
    decision.block(Blocked::Refused(why.to_owned()));
}

/// What stands in Kafka under names of the user and is not named by the record.
fn strangers(names: &BTreeSet<&UserName>, record: &Record, facts: &Facts, decision: &mut Decision) -> Vec<AdoptedSlot> {
    let mut unknown = Vec::new();
    for cluster in record.clusters.keys() {
        match facts.cluster(cluster) {
            Seen::Known(seen) => {
                let found = list_strangers(names, Some(record), cluster, seen, decision);
                unknown.extend(found.iter().filter(|stranger| stranger.found != Foreign::Access).filter_map(adopted));
            }
            Seen::Unknown(why) => decision.wait(Some(cluster), why),
        }
    }
    unknown
}

/// Asserts the store's word again as a new generation, above everything that was seen; what stands in Kafka and is unknown
/// is named, and retired once the new one is out.
fn recover(record: &Record, wanted: &Wanted, facts: &Facts, decision: &mut Decision) {
    let names = wanted.names().iter().chain(record.names()).collect::<BTreeSet<_>>();
    let adopts = strangers(&names, record, facts, decision);
    let seen = facts.newest_delivered().unwrap_or(record.allotted).max(record.allotted);
    if seen == record.allotted && adopts.is_empty() {
        decision.block(Blocked::NothingToRecover);
    }
    match record.phase {
        Phase::Idle | Phase::Prepared | Phase::Published | Phase::Confirmed | Phase::Retiring | Phase::Aborting
            if record.active.is_some() => {}
        phase @ (Phase::Idle
        | Phase::Prepared
        | Phase::Verified
        | Phase::Published
        | Phase::Confirmed
        | Phase::Retiring
        | Phase::Aborting
        | Phase::Revoking
        | Phase::Deleting
        | Phase::Deleted) => decision.block(Blocked::Refused(format!(
            "it is in phase {phase} by the restored store, which names no credential to go on with; \
             `--from-deliveries` may find one"
        ))),
    }
    if decision.is_held_up() {
        return;
    }
    let recovery = Recovery { seen, adopts };
    let noted = recovery.noted_in(record);
    decision.transitions.push(Transition::Recover(recovery));
    begin(&noted, wanted, facts, vec![Reason::Recovery], decision);
}

/// Keeps what is delivered: clients work with it, so it is the truth, if it works.
fn import(record: &Record, facts: &Facts, decision: &mut Decision) {
    let strangers = strangers(&record.names(), record, facts, decision);
    let Some((delivery, generation)) = facts.newest_delivery() else {
        return decision.block(Blocked::NothingToRecover);
    };
    if strangers.iter().all(|stranger| stranger.salt.is_none()) {
        let why = format!(
            "delivery `{delivery}` carries generation {generation}, and no cluster holds a credential that the store does not \
             know: it does not work any more; `recover` without `--from-deliveries` makes a new one"
        );
        decision.block(Blocked::Refused(why));
    }
    match record.phase {
        Phase::Idle | Phase::Prepared | Phase::Verified | Phase::Published | Phase::Confirmed => {}
        phase @ (Phase::Retiring | Phase::Aborting | Phase::Revoking | Phase::Deleting | Phase::Deleted) => {
            decision.block(Blocked::Refused(format!(
                "it is in phase {phase} by the restored store; `recover` without `--from-deliveries` goes on from there"
            )));
        }
    }
    if !decision.is_held_up() {
        decision.transitions.push(Transition::Import(Import { delivery: delivery.clone(), generation, strangers }));
    }
}
