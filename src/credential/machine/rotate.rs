//! Rotation: a credential beside the one in use, proven, published, and the old one retired.

use std::collections::BTreeSet;

use super::pending::{material, name_pending};
use super::publish::{announce_deliveries, publish, published, undeliverable};
use super::slots::{
    add_clear_permits, assert_slot, destroy, destroy_and_strike, empty, grant, log_in, look, prune_names, reachable,
    wanted_accounts, withdraw_surplus,
};
use super::{Context, Subject, write};
use crate::credential::schedule::{Retirement, retirement};
use crate::credential::{Account, Blocked, Phase, Record, Rotate, Slot, Step, Witnesses};
use crate::names::ClusterName;

/// Whether the rotation of this pass is over: what it made is the published credential.
pub(super) fn is_done(subject: &Subject<'_>, record: &Record) -> bool {
    let made = subject.progress.material.as_ref().map(|(slot, _)| slot);
    made.is_some() && made == record.active.as_ref()
}

/// Material first, then PREPARED with the permit that the first request needs, where no fence is in its way.
pub(super) fn prepare(subject: &Subject<'_>, record: &Record, rotate: &Rotate, context: &Context<'_>) -> Step {
    let Some(wanted) = subject.wanted else { return Step::Settled };
    let made = match material(subject, wanted, record, || rotate.place.clone(), None) {
        Ok(made) => made,
        Err(step) => return step,
    };
    let mut prepared = record.clone();
    prepared.phase = Phase::Prepared;
    prepared.further_names.extend(wanted.names().iter().filter(|name| **name != record.username).cloned());
    name_pending(subject, &mut prepared, made, context);
    write(prepared, context)
}

/// Goes on from wherever the record stands.
pub(super) fn advance(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    match record.phase {
        Phase::Prepared => fill(subject, record, context),
        Phase::Verified => issue(subject, record, context),
        Phase::Published | Phase::Confirmed => begin_retiring(subject, record, context),
        Phase::Retiring => retire(subject, record, context),
        Phase::Idle => settle(subject, record, context),
        Phase::Aborting | Phase::Revoking | Phase::Deleting | Phase::Deleted => Step::Settled,
    }
}

/// PREPARED: access, credential, proof. Then VERIFIED, from which on it only goes forward (R2); a first credential and one
/// that overwrites the active one are never aborted, and are published at once.
fn fill(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    let Some(pending) = record.pending.as_deref() else { return Step::Blocked(Blocked::Damaged(record.phase)) };
    let (clusters, missing) = reachable(subject, record);
    // Clients are locked out from the upsert to the publication, so nothing may be missing before it.
    if record.overwrites()
        && let Some(why) = missing.clone().or_else(|| undeliverable(subject, pending))
    {
        return Step::Wait(why);
    }
    let witnesses = if record.is_first() { Witnesses::Running } else { Witnesses::Registered };
    // Whoever holds a credential of this name would gain what is granted, so strangers are looked for before that.
    if let Some(step) = look_and_grant(subject, record, &clusters, context)
        .or_else(|| assert_slot(subject, record, pending, &clusters, witnesses, context))
    {
        return step;
    }
    if let Some(why) = missing {
        return Step::Wait(why);
    }
    if record.is_first() || record.overwrites() {
        return finish(subject, record, pending, context);
    }
    let mut verified = record.clone();
    verified.phase = Phase::Verified;
    announce_deliveries(subject, &mut verified);
    write(verified, context)
}

/// Access for the names that are asked for, after a look that found no stranger. A name that is in use has its access
/// already, and changes of it are no matter of a rotation.
///
/// The documents may ask for other names than when PREPARED was written: what gets access is named by the record first.
fn look_and_grant(
    subject: &Subject<'_>,
    record: &Record,
    clusters: &BTreeSet<ClusterName>,
    context: &Context<'_>,
) -> Option<Step> {
    let used = record.active.as_ref().filter(|_| !record.is_first()).map(|slot| &slot.username);
    let fresh = |account: &Account| used != Some(&account.username);
    let accounts = wanted_accounts(subject, clusters).into_iter().filter(fresh).collect::<Vec<_>>();
    let step = grant(subject, accounts)?;
    let mut named = record.clone();
    let wanted = subject.wanted.map_or(&[][..], |wanted| wanted.names());
    named.further_names.extend(wanted.iter().filter(|name| **name != record.username).cloned());
    if named != *record {
        return Some(write(named, context));
    }
    Some(look(subject, record, clusters).unwrap_or(step))
}

/// VERIFIED: document and deliveries. What was proven in an earlier pass is proven again.
fn issue(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    let Some(pending) = record.pending.as_deref() else { return Step::Blocked(Blocked::Damaged(record.phase)) };
    let (clusters, missing) = reachable(subject, record);
    let is_proven =
        clusters.iter().all(|name| subject.progress.logged_in.contains(&(name.clone(), pending.generation)));
    if !is_proven && let Some(step) = assert_slot(subject, record, pending, &clusters, Witnesses::Registered, context) {
        return step;
    }
    if let Some(why) = missing {
        return Step::Wait(why);
    }
    finish(subject, record, pending, context)
}

/// Publishes the pending credential, and writes down that it is.
fn finish(subject: &Subject<'_>, record: &Record, pending: &Slot, context: &Context<'_>) -> Step {
    if let Some(step) = publish(subject, record, pending, context) {
        return step;
    }
    let mut done = published(subject, record, pending, context);
    done.phase = if done.overlap_from.is_some() { Phase::Published } else { Phase::Idle };
    if done.phase == Phase::Idle {
        let (clusters, _) = reachable(subject, record);
        if let Some(step) = withdraw_surplus(subject, record, &done, &clusters) {
            return step;
        }
        prune_names(subject, &mut done);
    }
    write(done, context)
}

/// What follows a first IDLE in the same pass: superfluous access, and material that is not needed any more.
fn settle(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    let (clusters, _) = reachable(subject, record);
    let accounts = wanted_accounts(subject, &clusters);
    if let Some(step) = grant(subject, accounts.clone()).or_else(|| super::slots::withdraw(subject, accounts)) {
        return step;
    }
    if let Some(step) = withdraw_surplus(subject, record, record, &clusters) {
        return step;
    }
    destroy_and_strike(subject, record, context)
}

/// PUBLISHED, CONFIRMED: nothing until the old credential's time is over; then the active one has to log in again (I4).
fn begin_retiring(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    match retirement(record, subject.wanted, subject.facts.rollout.as_deref(), context.now.wall) {
        Retirement::Due => {}
        Retirement::Nothing => return write(idle(subject, record), context),
        Retirement::At(_) | Retirement::Acknowledgement(_) | Retirement::Rollout { .. } => return Step::Settled,
    }
    let Some(active) = &record.active else { return Step::Blocked(Blocked::Damaged(record.phase)) };
    let (clusters, missing) = reachable(subject, record);
    if let Some(why) = missing {
        return Step::Wait(why);
    }
    if let Some(step) = log_in(subject, active, &clusters, Witnesses::Running) {
        return step;
    }
    let mut retiring = record.clone();
    retiring.phase = Phase::Retiring;
    retiring.destroy.extend(record.previous.as_ref().map(|slot| slot.generation));
    add_clear_permits(&mut retiring, &record.old_places(), context);
    write(retiring, context)
}

/// RETIRING: the old credential goes, then what belongs to a name that goes with it, then its material.
fn retire(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    let Some(active) = &record.active else { return Step::Blocked(Blocked::Damaged(record.phase)) };
    let (clusters, missing) = reachable(subject, record);
    if let Some(why) = missing {
        return Step::Wait(why);
    }
    let after = idle(subject, record);
    let step = log_in(subject, active, &clusters, Witnesses::Running)
        .or_else(|| empty(subject, record, &record.old_places(), &clusters, context))
        .or_else(|| withdraw_surplus(subject, record, &after, &clusters))
        .or_else(|| destroy(subject, &record.destroy));
    step.unwrap_or_else(|| write(after, context))
}

/// The record at rest again, without anything old.
fn idle(subject: &Subject<'_>, record: &Record) -> Record {
    let mut idle = record.clone();
    idle.phase = Phase::Idle;
    idle.previous = None;
    idle.pending = None;
    idle.pending_source = None;
    idle.adopted.clear();
    idle.overlap_from = None;
    idle.confirmed_at = None;
    idle.destroy.retain(|generation| !subject.progress.destroyed.contains(generation));
    prune_names(subject, &mut idle);
    idle
}

/// CONFIRMED: somebody said that the consumers have moved.
pub(super) fn acknowledge(record: &Record, context: &Context<'_>) -> Step {
    if record.phase != Phase::Published && record.phase != Phase::Confirmed || record.confirmed_at.is_some() {
        return Step::Settled;
    }
    let mut confirmed = record.clone();
    confirmed.phase = Phase::Confirmed;
    confirmed.confirmed_at = Some(context.now.wall);
    write(confirmed, context)
}

/// ABORTING: the pending credential is taken back, its number is burnt (R2, R8).
pub(super) fn abort(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    match record.phase {
        Phase::Aborting => {}
        Phase::Prepared => {
            let mut aborting = record.clone();
            aborting.phase = Phase::Aborting;
            let Some(pending) = &record.pending else { return Step::Blocked(Blocked::Damaged(record.phase)) };
            aborting.destroy.insert(pending.generation);
            add_clear_permits(&mut aborting, &BTreeSet::from([pending.place()]), context);
            return write(aborting, context);
        }
        Phase::Idle => return destroy_and_strike(subject, record, context),
        _ => return Step::Settled,
    }
    let Some(pending) = &record.pending else { return Step::Blocked(Blocked::Damaged(record.phase)) };
    let (clusters, missing) = reachable(subject, record);
    let mut after = record.clone();
    after.phase = Phase::Idle;
    after.pending = None;
    after.pending_source = None;
    after.destroy.retain(|generation| !subject.progress.destroyed.contains(generation));
    if let Some(step) = empty(subject, record, &BTreeSet::from([pending.place()]), &clusters, context)
        .or_else(|| withdraw_surplus(subject, record, &after, &clusters))
    {
        return step;
    }
    if let Some(why) = missing {
        return Step::Wait(why);
    }
    prune_names(subject, &mut after);
    destroy(subject, &record.destroy).unwrap_or_else(|| write(after, context))
}
