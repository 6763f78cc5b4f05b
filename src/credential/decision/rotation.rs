//! Rotation: what begins one, how it goes on, and what leaves with it.

use jiff::Timestamp;

use super::{
    Decision, Reason, Revoke, Rotate, Transition, given_is_there, list_strangers, list_unreachable, list_unwritable,
};
use crate::credential::schedule::{Retirement, due_at, retirement};
use crate::credential::standing::standing;
use crate::credential::strategy::next_place;
use crate::credential::{Account, Blocked, Change, Facts, Phase, Record, Seen, Wanted, WantedAuthentication};
use crate::names::UserName;

/// Clusters that the document does not name any more leave the user before anything else, so that one that burnt down holds
/// nothing.
pub(super) fn leave(record: &Record, wanted: &Wanted, decision: &mut Decision) {
    let gone = record.clusters.keys().filter(|name| !wanted.clusters.contains(name)).cloned();
    let gone = gone.collect::<std::collections::BTreeSet<_>>();
    if !gone.is_empty() {
        decision.transitions.push(Transition::Leave(gone));
    }
}

/// What is under way goes on; at rest, what is due or asked for by a change of the documents begins.
pub(super) fn decide(record: &Record, wanted: &Wanted, facts: &Facts, now: Timestamp, decision: &mut Decision) {
    match record.phase {
        Phase::Prepared | Phase::Verified => resume(record, wanted, facts, decision),
        Phase::Retiring => decision.transitions.push(Transition::Retire),
        Phase::Aborting => decision.transitions.push(Transition::Abort),
        Phase::Revoking => revoke_on(record, wanted, facts, decision),
        Phase::Published | Phase::Confirmed => {
            retire(record, wanted, facts, now, decision);
            // What is new waits until the old credential is gone: one rotation at a time.
            if may_begin(record, wanted, facts, now).is_err()
                && let Some(first) = changes(record, wanted, facts).into_iter().next()
            {
                decision.notes.push(format!("{first}: the next rotation carries this out, once this one is over"));
            }
        }
        Phase::Idle => begin(record, wanted, facts, reasons(record, wanted, facts, now), decision),
        Phase::Deleting | Phase::Deleted => {}
    }
}

/// Goes on from PREPARED or VERIFIED; takes back what the documents do not ask for any more, as long as that is possible.
pub(super) fn resume(record: &Record, wanted: &Wanted, facts: &Facts, decision: &mut Decision) {
    if record.phase == Phase::Prepared && is_outdated(record, wanted) && !is_ahead(record, facts) {
        return decision.transitions.push(Transition::Abort);
    }
    decision.transitions.push(Transition::Resume(record.allotted));
    list_unreachable(wanted, facts, decision);
    list_unwritable(facts, decision);
}

/// Whether the documents still ask for the place of a credential.
fn is_asked_for(wanted: &Wanted, slot: &crate::credential::Slot) -> bool {
    let WantedAuthentication::Scram { mechanisms, .. } = &wanted.authentication else { return false };
    wanted.names().contains(&slot.username) && mechanisms.contains(&slot.mechanism)
}

/// Whether the pending credential goes to a place that the documents do not ask for any more: they changed in the middle of a
/// rotation. Its name may never have been given access.
fn is_outdated(record: &Record, wanted: &Wanted) -> bool {
    let pending = record.pending.as_deref().filter(|_| !record.is_first() && !record.overwrites());
    pending.is_some_and(|pending| !is_asked_for(wanted, pending))
}

/// Takes what is old away when its time is over, and says what it waits for until then.
pub(super) fn retire(record: &Record, wanted: &Wanted, facts: &Facts, now: Timestamp, decision: &mut Decision) {
    let rollout = facts.rollout.as_deref();
    match retirement(record, Some(wanted), rollout, now) {
        Retirement::Nothing | Retirement::Due => decision.transitions.push(Transition::Retire),
        Retirement::Rollout { outstanding, .. } if outstanding.is_stuck => {
            decision.wait(None, standing(record, Some(wanted), rollout, now).says.into());
        }
        Retirement::At(_) | Retirement::Acknowledgement(_) | Retirement::Rollout { .. } => {
            decision.notes.push(standing(record, Some(wanted), rollout, now).says);
        }
    }
}

/// A rotation begins only when nothing old is valid any more.
///
/// # Errors
/// What is still valid, and until when.
pub(super) fn may_begin(record: &Record, wanted: &Wanted, facts: &Facts, now: Timestamp) -> Result<(), Blocked> {
    match retirement(record, Some(wanted), facts.rollout.as_deref(), now) {
        Retirement::Nothing | Retirement::Due => Ok(()),
        waits @ (Retirement::At(_) | Retirement::Acknowledgement(_) | Retirement::Rollout { .. }) => {
            let generation = record.previous.as_ref().map(|slot| slot.generation);
            Err(Blocked::StillValid { generation, waits })
        }
    }
}

/// Why the credential would be replaced by a pass that nobody asked for it.
fn reasons(record: &Record, wanted: &Wanted, facts: &Facts, now: Timestamp) -> Vec<Reason> {
    let changes = changes(record, wanted, facts).into_iter().map(Reason::Change);
    let every = wanted.rotation.as_ref().and_then(|rotation| rotation.every);
    let due = due_at(record, wanted).filter(|&at| at <= now).and(every).map(Reason::Due);
    let recovery = is_recovering(record, facts).then_some(Reason::Recovery);
    changes.chain(due).chain(recovery).collect()
}

/// Whether a recovery was interrupted after it noted what was seen, and before it began to rotate past that.
pub(super) fn is_recovering(record: &Record, facts: &Facts) -> bool {
    let is_noted = facts.newest_delivered().is_some_and(|seen| seen <= record.allotted);
    record.phase == Phase::Idle && is_noted && is_ahead(record, facts)
}

/// Whether something newer is delivered than what the record calls published: clients have it, or will.
pub(super) fn is_ahead(record: &Record, facts: &Facts) -> bool {
    facts.newest_delivered().is_some_and(|seen| seen > record.generation)
}

/// Begins a rotation for these reasons, where everything it needs can be seen; nothing without a reason.
pub(super) fn begin(record: &Record, wanted: &Wanted, facts: &Facts, reasons: Vec<Reason>, decision: &mut Decision) {
    let Some(active) = record.active.as_ref().filter(|_| !reasons.is_empty()) else { return };
    if let Some(rotate) = prepare(record, wanted, facts, active, reasons, decision) {
        decision.transitions.push(Transition::Rotate(rotate));
    }
}

/// The rotation that would begin; what stands in its way is noted instead.
fn prepare(
    record: &Record,
    wanted: &Wanted,
    facts: &Facts,
    active: &crate::credential::Slot,
    reasons: Vec<Reason>,
    decision: &mut Decision,
) -> Option<Rotate> {
    let change = reasons.iter().find_map(|reason| match reason {
        Reason::Change(change) => Some(change),
        Reason::Asked | Reason::Due(_) | Reason::Recovery => None,
    });
    let taken = record.adopted.iter().map(|slot| slot.place()).collect::<std::collections::BTreeSet<_>>();
    let place = match next_place(wanted, active, &taken, change) {
        // What was delivered stands in the other place, and is newer than what a restored record calls active. Where nothing
        // newer is delivered, clients have the active one.
        Ok(place) if is_asked_for(wanted, active) && taken.contains(&place) && is_ahead(record, facts) => {
            active.place()
        }
        Ok(place) => place,
        Err(blocked) => {
            decision.block(blocked);
            return None;
        }
    };
    // A cluster that cannot be seen holds the beginning: nobody is harmed by waiting, and a stranger may live there.
    list_unreachable(wanted, facts, decision);
    list_unwritable(facts, decision);
    if place.username != active.username {
        block_new_name(record, wanted, facts, &place.username, decision);
        block_unmanaged(wanted, facts, active, decision);
    }
    if let WantedAuthentication::Scram { given: Some((path, key)), .. } = &wanted.authentication {
        given_is_there(path, key, facts, decision);
    }
    if decision.is_held_up() {
        return None;
    }
    let overwrites = place == active.place() && !is_empty(wanted, facts, &place);
    Some(Rotate { place, reasons, overwrites })
}

/// Whether no cluster holds anything in a place, as after a rotation that a restored record knows nothing of: then nobody is
/// locked out.
fn is_empty(wanted: &Wanted, facts: &Facts, place: &crate::credential::Place) -> bool {
    let is_there = |slots: &crate::credential::Slots| slots.contains_key(&place.mechanism);
    wanted.clusters.iter().all(|cluster| {
        let Seen::Known(seen) = facts.cluster(cluster) else { return false };
        seen.accounts
            .get(&place.username)
            .is_none_or(|account| account.slots.known().is_some_and(|slots| !is_there(slots)))
    })
}

/// A name that is new to the user belongs to nobody, or is adopted.
fn block_new_name(record: &Record, wanted: &Wanted, facts: &Facts, name: &UserName, decision: &mut Decision) {
    if record.names().contains(name) || wanted.adopt {
        return;
    }
    let names = std::collections::BTreeSet::from([name]);
    for cluster in &wanted.clusters {
        let Seen::Known(seen) = facts.cluster(cluster) else { continue };
        if let Some(first) = list_strangers(&names, Some(record), cluster, seen, decision).first() {
            decision.block(Blocked::Unowned { cluster: cluster.clone(), found: first.found });
        }
    }
}

/// ACLs and quotas that no document declares would be missing under the new name.
fn block_unmanaged(wanted: &Wanted, facts: &Facts, active: &crate::credential::Slot, decision: &mut Decision) {
    for cluster in &wanted.clusters {
        let account = Account::new(cluster, &active.username);
        if facts.access(&account).is_some_and(|access| access.unmanaged) {
            decision.block(Blocked::UnmanagedAccess(account));
        }
    }
}

/// A revocation under way goes on wherever it can.
fn revoke_on(record: &Record, wanted: &Wanted, facts: &Facts, decision: &mut Decision) {
    match revocation(record, wanted, false) {
        Ok(revoke) => decision.transitions.push(Transition::Revoke(revoke)),
        Err(blocked) => decision.block(blocked),
    }
    for cluster in record.clusters.keys() {
        if let Seen::Unknown(why) = facts.cluster(cluster) {
            decision.wait(Some(cluster), why);
        }
    }
}

/// Where the fresh credential of a revocation goes: to the other slot, which needs no fence, or the same where there is no
/// other; with `new_name`, or where the documents ask for another name anyway, to that.
///
/// # Errors
/// [`Blocked::NoNewName`] where another name is asked for and there is none.
pub(super) fn revocation(record: &Record, wanted: &Wanted, new_name: bool) -> Result<Revoke, Blocked> {
    let WantedAuthentication::Scram { mechanisms, .. } = &wanted.authentication else {
        return Err(Blocked::Refused("who authenticates it has to revoke its credential".to_owned()));
    };
    let revoked = record.slots().map(|slot| &slot.username).collect::<std::collections::BTreeSet<_>>();
    let used = record.active.as_ref().or_else(|| record.revocation.as_ref().and_then(|now| now.slots.first()));
    let fresh = wanted.names().iter().find(|name| !revoked.contains(name));
    let (name, is_new) = match (fresh, used) {
        (Some(fresh), _) if new_name || !wanted.names().iter().any(|name| revoked.contains(name)) => (fresh, true),
        (None, _) if new_name => return Err(Blocked::NoNewName),
        (_, used) => (used.map_or(&wanted.names()[0], |used| &used.username), false),
    };
    let is_used = |mechanism: &crate::names::Mechanism| {
        !is_new && record.slots().any(|slot| slot.username == *name && slot.mechanism == *mechanism)
    };
    let mechanism = mechanisms.iter().find(|mechanism| !is_used(mechanism)).or(mechanisms.last());
    let mechanism = *mechanism.expect("a document allows at least one mechanism");
    let place = crate::credential::Place { username: name.clone(), mechanism };
    let is_begun = record.phase == Phase::Revoking;
    let revokes = record.slots().filter(|_| !is_begun).map(|slot| slot.generation).collect();
    Ok(Revoke { place, revokes })
}

/// The differences that only a rotation can carry out; those that nothing can are [`super::maintenance`]'s.
pub(super) fn changes(record: &Record, wanted: &Wanted, facts: &Facts) -> Vec<Change> {
    let (WantedAuthentication::Scram { mechanisms, iterations, given, .. }, Some(active)) =
        (&wanted.authentication, &record.active)
    else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    if !wanted.names().contains(&active.username) {
        let (from, to) = (active.username.to_string(), wanted.names()[0].to_string());
        changes.push(Change::Username { from, to });
    }
    if !mechanisms.contains(&active.mechanism) {
        changes.push(Change::Mechanism(active.mechanism));
    }
    if iterations.count() != active.iterations {
        changes.push(Change::Iterations { from: active.iterations, to: iterations.count() });
    }
    if given_changed(record, given.as_ref(), facts) {
        changes.push(Change::Password);
    }
    changes
}

/// Whether the password is somebody else's and still the one in use, so that there is nothing to rotate to.
pub(super) fn given_is_unchanged(record: &Record, wanted: &Wanted, facts: &Facts) -> bool {
    let WantedAuthentication::Scram { given: Some(given), .. } = &wanted.authentication else { return false };
    !given_changed(record, Some(given), facts)
}

/// Whether a given password differs from the one in use; a source that cannot be seen has not changed.
fn given_changed(record: &Record, given: Option<&(String, String)>, facts: &Facts) -> bool {
    match (given, &record.source) {
        (None, None) => false,
        (Some((path, key)), Some(source)) => {
            let moved = *path != source.path || *key != source.key;
            let newer = facts.source.known().and_then(Option::as_ref).is_some_and(|version| *version != source.version);
            moved || newer
        }
        (None, Some(_)) | (Some(_), None) => true,
    }
}
