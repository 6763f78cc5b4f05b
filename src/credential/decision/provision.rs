//! A first provisioning: a rotation from nothing, also after a deletion.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Decision, Provision, Transition, adopted, given_is_there, list_strangers, list_unwritable};
use crate::credential::{AdoptedSlot, Blocked, Change, Facts, Record, Seen, Wanted, WantedAuthentication};
use crate::names::{Mechanism, UserName};

pub(super) fn decide(
    tombstone: Option<&Record>,
    wanted: &Wanted,
    facts: &Facts,
    now: Timestamp,
    decision: &mut Decision,
) {
    if let Some(from) = &wanted.moved_from {
        return decision.block(Blocked::Unsupported(Change::Moved(from.clone())));
    }
    let continued = tombstone.filter(|record| wanted.continues(record));
    let names = wanted.names().iter().collect::<BTreeSet<_>>();
    let mut strangers = Vec::new();
    for cluster in &wanted.clusters {
        match facts.cluster(cluster) {
            Seen::Known(seen) => {
                // What a cluster is still owed is named, whatever the tombstone was of (R12).
                let named = continued.or(tombstone.filter(|record| record.owed.contains_key(cluster)));
                strangers.extend(list_strangers(&names, named, cluster, seen, decision));
            }
            Seen::Unknown(why) => decision.wait(Some(cluster), why),
        }
    }
    // A stranger blocks also where another cluster cannot be seen; a cluster that cannot be seen holds the start,
    // because a credential that nobody has yet keeps nobody waiting, and a stranger may live there.
    if let Some(first) = strangers.first().filter(|_| !wanted.adopt) {
        let (cluster, found) = (first.account.cluster.clone(), first.found);
        return decision.block(Blocked::Unowned { cluster, found });
    }
    // A credential that could not be delivered is of no use to anybody; before there is one nothing is lost by waiting.
    list_unwritable(facts, decision);
    if decision.is_held_up() {
        return;
    }
    let adopts = strangers.iter().filter_map(adopted).collect();
    let kept = continued
        .and_then(|record| record.deletion.as_ref())
        .filter(|deletion| now < deletion.undo_until)
        .and_then(|deletion| deletion.kept);
    push(wanted, facts, kept, adopts, decision);
}

/// The provisioning that follows a deletion under way whose document is back: the plan shows both.
pub(super) fn decide_after_deletion(record: &Record, wanted: &Wanted, facts: &Facts, decision: &mut Decision) {
    let kept = record.deletion.as_ref().and_then(|deletion| deletion.kept).filter(|_| wanted.continues(record));
    push(wanted, facts, kept, Vec::new(), decision);
}

fn push(
    wanted: &Wanted,
    facts: &Facts,
    kept: Option<crate::names::Generation>,
    adopts: Vec<AdoptedSlot>,
    decision: &mut Decision,
) {
    match &wanted.authentication {
        WantedAuthentication::External => decision.transitions.push(Transition::Claim),
        WantedAuthentication::Scram { mechanisms, given, .. } => {
            if let Some((path, key)) = given
                && !given_is_there(path, key, facts, decision)
            {
                return;
            }
            let username = &wanted.names()[0];
            let restores = kept.filter(|_| given.is_none());
            let (mechanism, replaces) = free_mechanism(username, mechanisms, &adopts);
            let username = username.clone();
            let provision = Provision { username, mechanism, restores, adopts, replaces };
            decision.transitions.push(Transition::Provision(provision));
        }
    }
}

/// The slot for our credential: the first that is free on every cluster; else the one that stands later, replacing.
fn free_mechanism(username: &UserName, mechanisms: &[Mechanism], taken: &[AdoptedSlot]) -> (Mechanism, bool) {
    let is_free =
        |mechanism: &&Mechanism| taken.iter().all(|slot| slot.mechanism != **mechanism || slot.username != *username);
    match mechanisms.iter().find(is_free) {
        Some(&mechanism) => (mechanism, false),
        None => (*mechanisms.last().expect("a document allows at least one mechanism"), true),
    }
}
