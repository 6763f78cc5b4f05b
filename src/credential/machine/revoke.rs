//! Revocation of a stolen credential (rotation.md D2): access is cut, the credential goes, a fresh one takes its place, and
//! access comes back only when no connection of before can exist any more (K5).

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::pending::{material, name_pending};
use super::publish::{publish, published};
use super::slots::{
    add_clear_permits, assert_slot, destroy, empty, grant, look, prune_names, reachable, withdraw, withdraw_surplus,
};
use super::{Context, Subject, write};
use crate::credential::schedule::after;
use crate::credential::{Account, Afterlife, Cut, Phase, Place, Record, Revocation, Revoke, Seen, Step, Witnesses};
use crate::names::{ClusterName, SmallMap, UserName};

/// What a broker may be late by when it ends a connection whose time for a new login is over.
pub const REAUTHENTICATION_MARGIN: Duration = Duration::from_secs(5);

/// Notes that the brokers were restarted, so that no connection of before can exist.
pub(super) fn note_restart(record: &Record, context: &Context<'_>) -> Step {
    let mut noted = record.clone();
    let Some(revocation) = &mut noted.revocation else { return Step::Settled };
    let newest = revocation.cuts.values().filter_map(|cut| cut.done_at).max();
    if revocation.restarted_at.is_some() && revocation.restarted_at >= newest {
        return Step::Settled;
    }
    revocation.restarted_at = Some(context.now.wall);
    write(noted, context)
}

pub(super) fn revoke(subject: &Subject<'_>, record: &Record, asked: &Revoke, context: &Context<'_>) -> Step {
    let Some(revocation) = &record.revocation else {
        let is_due = record.slots().any(|slot| asked.revokes.contains(&slot.generation));
        return if is_due { enter(subject, record, context) } else { Step::Settled };
    };
    let (clusters, missing) = reachable(subject, record);
    let step = cut(subject, record, revocation, &clusters, context)
        .or_else(|| keep_out(subject, revocation, &clusters, context))
        .or_else(|| replace(subject, record, revocation, asked, &clusters, context))
        .or_else(|| give_back(subject, record, revocation, &clusters, context));
    if let Some(step) = step {
        return step;
    }
    if let Some(why) = missing {
        return Step::Wait(why);
    }
    if let Some(waiting) = revocation.cuts.iter().find(|(_, cut)| !cut.given_back) {
        return Step::Wait(waits(subject, revocation, waiting.0, waiting.1));
    }
    close(subject, record, context)
}

/// REVOKING: what was in use is revoked from this write on, and never asserted again (R5).
fn enter(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    let mut revoking = record.clone();
    let slots = record.slots().cloned().collect::<Vec<_>>();
    let names = slots.iter().map(|slot| &slot.username).collect::<BTreeSet<_>>();
    let cuts = record.clusters.keys().map(|cluster| {
        let access = access_of(subject, cluster, &names);
        (cluster.clone(), Cut { access, ..Cut::default() })
    });
    let cuts = cuts.collect::<SmallMap<_, _>>();
    revoking.phase = Phase::Revoking;
    revoking.destroy.extend(slots.iter().map(|slot| slot.generation));
    revoking.revocation = Some(Box::new(Revocation { at: context.now.wall, slots, cuts, restarted_at: None }));
    revoking.active = None;
    revoking.pending = None;
    revoking.pending_source = None;
    revoking.previous = None;
    add_clear_permits(&mut revoking, &record.places(), context);
    write(revoking, context)
}

/// Every ACL of some names on a cluster; `None` where it cannot be seen.
fn access_of(
    subject: &Subject<'_>,
    cluster: &ClusterName,
    names: &BTreeSet<&UserName>,
) -> Option<std::collections::BTreeMap<UserName, std::sync::Arc<[crate::names::AclRule]>>> {
    let rules = names.iter().map(|&name| {
        let access = subject.facts.access(&Account::new(cluster, name))?;
        Some((name.clone(), access.rules.clone()?))
    });
    rules.collect()
}

fn revoked_names(revocation: &Revocation) -> BTreeSet<&UserName> {
    revocation.slots.iter().map(|slot| &slot.username).collect()
}

fn revoked_accounts(revocation: &Revocation, clusters: &BTreeSet<ClusterName>) -> Vec<Account> {
    let names = revoked_names(revocation);
    clusters.iter().flat_map(|cluster| names.iter().map(move |name| Account::new(cluster, name))).collect()
}

/// On every cluster that is reached: ACLs are written down and go, then the slots are emptied.
fn cut(
    subject: &Subject<'_>,
    record: &Record,
    revocation: &Revocation,
    clusters: &BTreeSet<ClusterName>,
    context: &Context<'_>,
) -> Option<Step> {
    let is_open = |name: &&ClusterName| revocation.cuts.get(*name).is_some_and(|cut| cut.done_at.is_none());
    let open = clusters.iter().filter(is_open).cloned().collect::<BTreeSet<_>>();
    if open.is_empty() {
        return None;
    }
    let mut noted = record.clone();
    for cluster in &open {
        let unnoted = revocation.cuts[cluster].access.is_none();
        let access = unnoted.then(|| access_of(subject, cluster, &revoked_names(revocation))).flatten();
        if let (Some(access), Some(noted)) = (access, noted.revocation.as_mut()) {
            let cut = Cut { access: Some(access), ..revocation.cuts[cluster].clone() };
            noted.cuts.insert(cluster.clone(), cut);
        }
    }
    if noted != *record {
        return Some(write(noted, context));
    }
    let readable = open.iter().filter(|cluster| revocation.cuts[*cluster].access.is_some()).cloned();
    let readable = readable.collect::<BTreeSet<_>>();
    let places = revocation.slots.iter().map(|slot| slot.place());
    let places = places.chain(record.adopted.iter().map(|slot| slot.place())).collect::<BTreeSet<Place>>();
    if let Some(step) = withdraw(subject, revoked_accounts(revocation, &readable))
        .or_else(|| empty(subject, record, &places, &readable, context))
    {
        return Some(step);
    }
    let mut done = record.clone();
    if let Some(revocation) = &mut done.revocation {
        for cluster in &readable {
            let cut = Cut { done_at: Some(context.now.wall), ..revocation.cuts[cluster].clone() };
            revocation.cuts.insert(cluster.clone(), cut);
        }
    }
    (done != *record).then(|| write(done, context))
}

/// A fresh credential: made, put in place where the cut is done, proven, and published. A cluster that comes back later gets
/// it then.
fn replace(
    subject: &Subject<'_>,
    record: &Record,
    revocation: &Revocation,
    asked: &Revoke,
    clusters: &BTreeSet<ClusterName>,
    context: &Context<'_>,
) -> Option<Step> {
    let is_cut = |name: &&ClusterName| revocation.cuts.get(*name).is_none_or(|cut| cut.done_at.is_some());
    let ready = clusters.iter().filter(is_cut).cloned().collect::<BTreeSet<_>>();
    if let Some(active) = &record.active {
        let is_late = |name: &&ClusterName| revocation.cuts.get(*name).is_some_and(|cut| !cut.given_back);
        let late = ready.iter().filter(is_late).cloned().collect::<BTreeSet<_>>();
        return assert_slot(subject, record, active, &late, Witnesses::Running, context);
    }
    if ready.is_empty() {
        return None;
    }
    let Some(pending) = record.pending.as_deref() else {
        return Some(prepare(subject, record, asked, context));
    };
    // Who holds nothing that was stolen has access at once.
    let fresh = ready.iter().map(|cluster| Account::new(cluster, &pending.username));
    let is_fresh = !revoked_names(revocation).contains(&pending.username);
    let grant_fresh = is_fresh.then(|| grant(subject, fresh)).flatten();
    grant_fresh
        .map(|step| look(subject, record, &ready).unwrap_or(step))
        .or_else(|| assert_slot(subject, record, pending, &ready, Witnesses::Running, context))
        .or_else(|| publish(subject, record, pending, context))
        .or_else(|| {
            let mut done = published(subject, record, pending, context);
            done.overlap_from = None;
            Some(write(done, context))
        })
}

fn prepare(subject: &Subject<'_>, record: &Record, asked: &Revoke, context: &Context<'_>) -> Step {
    let Some(wanted) = subject.wanted else { return Step::Wait("its document is gone".to_owned()) };
    let made = match material(subject, wanted, record, || asked.place.clone(), None) {
        Ok(made) => made,
        Err(step) => return step,
    };
    let mut prepared = record.clone();
    name_pending(subject, &mut prepared, made, context);
    write(prepared, context)
}

/// When nobody who logged in before can be there any more; `None`: a person has to say so.
fn safe_from(subject: &Subject<'_>, cluster: &ClusterName, cut: &Cut) -> Option<Timestamp> {
    let Seen::Known(seen) = subject.facts.cluster(cluster) else { return None };
    match seen.afterlife {
        Afterlife::Ends(time) => Some(after(cut.done_at?, time + REAUTHENTICATION_MARGIN)),
        Afterlife::Connection | Afterlife::Token => None,
    }
}

/// Whether no connection of before can exist on a cluster any more, or may have access again because its name has none.
fn is_safe(
    subject: &Subject<'_>,
    revocation: &Revocation,
    cluster: &ClusterName,
    cut: &Cut,
    context: &Context<'_>,
) -> bool {
    let names = revoked_names(revocation);
    let is_moved = subject.wanted.is_none_or(|wanted| wanted.names().iter().all(|name| !names.contains(name)));
    let is_restarted = revocation.restarted_at.is_some_and(|at| cut.done_at.is_some_and(|done| done <= at));
    let is_over = safe_from(subject, cluster, cut).is_some_and(|at| at <= context.now.wall);
    is_moved || is_restarted || is_over
}

/// Access that somebody gave after the cut goes again: whoever planned before the revocation may still carry that out, and
/// other programs write ACLs too.
fn keep_out(
    subject: &Subject<'_>,
    revocation: &Revocation,
    clusters: &BTreeSet<ClusterName>,
    context: &Context<'_>,
) -> Option<Step> {
    let is_closed = |(cluster, cut): &(&ClusterName, &Cut)| {
        let is_open = cut.done_at.is_none() || cut.given_back;
        !is_open && clusters.contains(*cluster) && !is_safe(subject, revocation, cluster, cut, context)
    };
    let closed = revocation.cuts.iter().filter(is_closed).map(|(cluster, _)| cluster.clone()).collect();
    withdraw(subject, revoked_accounts(revocation, &closed))
}

/// Access comes back to the names that are still asked for, cluster by cluster.
fn give_back(
    subject: &Subject<'_>,
    record: &Record,
    revocation: &Revocation,
    clusters: &BTreeSet<ClusterName>,
    context: &Context<'_>,
) -> Option<Step> {
    record.active.as_ref()?;
    let is_wanted = |name: &UserName| subject.wanted.is_some_and(|wanted| wanted.names().contains(name));
    let may_return = |(cluster, cut): &(&ClusterName, &Cut)| {
        let is_due = cut.done_at.is_some() && !cut.given_back && clusters.contains(*cluster);
        is_due && is_safe(subject, revocation, cluster, cut, context)
    };
    let safe = revocation.cuts.iter().filter(may_return).map(|(cluster, _)| cluster.clone()).collect::<BTreeSet<_>>();
    if safe.is_empty() {
        return None;
    }
    let accounts = revoked_accounts(revocation, &safe).into_iter().filter(|account| is_wanted(&account.username));
    if let Some(step) = grant(subject, accounts) {
        return Some(step);
    }
    let mut noted = record.clone();
    if let Some(revocation) = &mut noted.revocation {
        for cluster in &safe {
            let cut = Cut { given_back: true, ..revocation.cuts[cluster].clone() };
            revocation.cuts.insert(cluster.clone(), cut);
        }
    }
    Some(write(noted, context))
}

/// Why access is not given back yet.
fn waits(subject: &Subject<'_>, revocation: &Revocation, cluster: &ClusterName, cut: &Cut) -> String {
    let active = subject.record.and_then(|record| record.active.as_ref()).map(|slot| &slot.username);
    let moved = active.filter(|name| !revoked_names(revocation).contains(name));
    let access = match moved {
        Some(name) => format!("{cluster}: `{name}` has access; the name that was stolen gets its own back"),
        None => format!("{cluster}: access comes back"),
    };
    if let Some(at) = safe_from(subject, cluster, cut) {
        let at = at.strftime("%Y-%m-%d %H:%M:%S UTC");
        return format!("{access} at {at}, when no connection of before can exist any more");
    }
    let or_move = if moved.is_some() { "" } else { ", or move the user to another name" };
    match subject.facts.cluster(cluster).known().map(|seen| seen.afterlife) {
        Some(Afterlife::Token) => format!(
            "{access} when nothing is left that can log in: its brokers issue delegation tokens, which outlive a password. \
             Let those of the name expire, restart the brokers, and say so with `kastellan ack`{or_move}"
        ),
        Some(Afterlife::Ends(_) | Afterlife::Connection) | None => format!(
            "{access} when no connection of before can be open any more, and the listeners never ask one for a new login: \
             restart the brokers and say so with `kastellan ack`{or_move}"
        ),
    }
}

/// IDLE: nothing of what was stolen is left.
fn close(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    let mut idle = record.clone();
    idle.phase = Phase::Idle;
    idle.revocation = None;
    idle.adopted.clear();
    let (clusters, _) = reachable(subject, record);
    let step = withdraw_surplus(subject, record, &idle, &clusters).or_else(|| destroy(subject, &record.destroy));
    if let Some(step) = step {
        return step;
    }
    idle.destroy.retain(|generation| !subject.progress.destroyed.contains(generation));
    prune_names(subject, &mut idle);
    write(idle, context)
}
