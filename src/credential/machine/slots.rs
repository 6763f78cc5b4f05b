//! What every change of a slot needs first: a look, a permit, a fence; and what proves it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Context, Subject, write};
use crate::credential::kinship::{Kinship, holds, kinship};
use crate::credential::{
    AccessFact, Account, Blocked, Content, Effect, Permit, PermitId, Place, Progress, Record, Seen, Slot, Step,
    Witnesses, fence_remaining,
};
use crate::names::{ClusterName, Generation, UserName};

/// Adds a permit with an id that no permit of the record has.
pub(super) fn add_permit(record: &mut Record, place: &Place, content: Content, context: &Context<'_>) {
    let is_fresh = |id: &&PermitId| record.permits.iter().all(|permit| permit.id != **id);
    let id = *context.permit_ids.iter().find(is_fresh).expect("as many fresh ids as a user has places");
    record.permits.push(Permit::new(id, place, content, context.fence, context.now));
}

/// Adds the permits to empty some places, as far as no fence is in the way: behind one, a permit would be over before it
/// could be used; it is issued when the fence has passed.
pub(super) fn add_clear_permits(record: &mut Record, places: &BTreeSet<Place>, context: &Context<'_>) {
    for place in places {
        if remaining(record, place, Content::None, context).is_zero() {
            add_permit(record, place, Content::None, context);
        }
    }
}

/// How long a place has to wait before it may get this content.
pub(super) fn remaining(
    record: &Record,
    place: &Place,
    content: Content,
    context: &Context<'_>,
) -> std::time::Duration {
    fence_remaining(&record.permits, place, content, context.watch, context.fence, context.now)
}

/// The permit of this process for `content`, if it lasts long enough to be worth starting under.
fn own_permit(
    record: &Record,
    place: &Place,
    content: Content,
    progress: &Progress,
    context: &Context<'_>,
) -> Option<PermitId> {
    let own = *progress.own_permits.get(place)?;
    let permit = record.permits.iter().find(|permit| permit.id == own && permit.content == content)?;
    context.watch.not_after(permit, own, context.now).map(|_| own)
}

/// Permit, fence, look, for one content of one place. `Err` is the step that has to come first.
pub(super) fn clear_the_way(
    subject: &Subject<'_>,
    record: &Record,
    place: &Place,
    content: Content,
    clusters: &BTreeSet<ClusterName>,
    context: &Context<'_>,
) -> Result<PermitId, Box<Step>> {
    let wait = remaining(record, place, content, context);
    if !wait.is_zero() {
        return Err(Box::new(Step::Fence(wait)));
    }
    let Some(permit) = own_permit(record, place, content, subject.progress, context) else {
        let mut renewed = record.clone();
        add_permit(&mut renewed, place, content, context);
        return Err(Box::new(write(renewed, context)));
    };
    look(subject, record, clusters).map_or(Ok(permit), |step| Err(Box::new(step)))
}

/// The accounts of every name the record knows, on some clusters.
pub(super) fn accounts_on(record: &Record, clusters: &BTreeSet<ClusterName>) -> BTreeSet<Account> {
    let names = record.names();
    clusters.iter().flat_map(|cluster| names.iter().map(move |name| Account::new(cluster, name))).collect()
}

/// The look at every slot on some clusters (R6): what has to be done for it, or that it found a stranger; `None` when it
/// was done in this pass and found none.
pub(super) fn look(subject: &Subject<'_>, record: &Record, clusters: &BTreeSet<ClusterName>) -> Option<Step> {
    let accounts = accounts_on(record, clusters);
    let unseen = accounts.iter().filter(|account| !subject.progress.looked.contains_key(*account)).cloned();
    let unseen = unseen.collect::<BTreeSet<_>>();
    if !unseen.is_empty() {
        return Some(Step::Act(Effect::Look(unseen)));
    }
    let seen = accounts.iter().flat_map(|account| {
        subject.progress.looked[account].iter().map(move |(&mechanism, slot)| (account, mechanism, slot))
    });
    let mut strangers =
        seen.filter(|(account, mechanism, slot)| kinship(record, account, *mechanism, slot) == Kinship::Foreign);
    strangers.next().map(|(account, mechanism, _)| {
        Step::Blocked(Blocked::ForeignCredential { cluster: account.cluster.clone(), mechanism })
    })
}

/// The clusters of the record that can be reached, and the first that cannot.
pub(super) fn reachable(subject: &Subject<'_>, record: &Record) -> (BTreeSet<ClusterName>, Option<String>) {
    let mut reached = BTreeSet::new();
    let mut missing = None;
    for cluster in record.clusters.keys() {
        match subject.facts.cluster(cluster) {
            Seen::Known(_) => drop(reached.insert(cluster.clone())),
            Seen::Unknown(why) => missing = missing.or_else(|| Some(format!("{cluster}: {why}"))),
        }
    }
    (reached, missing)
}

/// `Grant` for the accounts that still need it.
pub(super) fn grant(subject: &Subject<'_>, accounts: impl IntoIterator<Item = Account>) -> Option<Step> {
    let needs = |account: &Account| {
        !subject.progress.granted.contains(account)
            && subject.facts.access(account).is_some_and(|access: &AccessFact| access.grants)
    };
    let accounts = accounts.into_iter().filter(needs).collect::<BTreeSet<_>>();
    (!accounts.is_empty()).then_some(Step::Act(Effect::Grant(accounts)))
}

/// `Withdraw` for the accounts that still need it.
pub(super) fn withdraw(subject: &Subject<'_>, accounts: impl IntoIterator<Item = Account>) -> Option<Step> {
    let needs = |account: &Account| {
        !subject.progress.withdrawn.contains(account)
            && subject.facts.access(account).is_some_and(|access: &AccessFact| access.withdrawals)
    };
    let accounts = accounts.into_iter().filter(needs).collect::<BTreeSet<_>>();
    (!accounts.is_empty()).then_some(Step::Act(Effect::Withdraw(accounts)))
}

/// `Withdraw` for accounts that lose everything, whatever the plan saw there: a broker that lags does not list what another
/// process gave a moment ago, and a list that could not be read says nothing.
pub(super) fn withdraw_everything(subject: &Subject<'_>, accounts: BTreeSet<Account>) -> Option<Step> {
    let left = accounts.difference(&subject.progress.withdrawn).cloned().collect::<BTreeSet<_>>();
    (!left.is_empty()).then_some(Step::Act(Effect::Withdraw(left)))
}

/// The accounts of the names that the document asks for.
pub(super) fn wanted_accounts(subject: &Subject<'_>, clusters: &BTreeSet<ClusterName>) -> BTreeSet<Account> {
    let names = subject.wanted.map_or(&[][..], |wanted| wanted.names());
    clusters.iter().flat_map(|cluster| names.iter().map(move |name| Account::new(cluster, name))).collect()
}

/// `Withdraw` for names that nobody asks for and that hold no credential in `after`, the record as it will be: their access
/// goes with their credential. Waits where that could not be seen: nobody looks for it once the name is struck off.
pub(super) fn withdraw_surplus(
    subject: &Subject<'_>,
    record: &Record,
    after: &Record,
    clusters: &BTreeSet<ClusterName>,
) -> Option<Step> {
    let wanted = subject.wanted?;
    let is_surplus =
        |name: &&UserName| !wanted.names().contains(*name) && !after.slots().any(|slot| slot.username == **name);
    let names = record.names().into_iter().filter(is_surplus).collect::<Vec<_>>();
    let accounts = clusters.iter().flat_map(|cluster| names.iter().map(|name| Account::new(cluster, name)));
    let accounts = accounts.collect::<Vec<_>>();
    let is_unseen =
        |account: &&Account| !subject.progress.withdrawn.contains(account) && subject.facts.is_access_unseen(account);
    if let Some(Account { cluster, username }) = accounts.iter().find(is_unseen) {
        return Some(Step::Wait(format!("what `{username}` may do on {cluster} could not be seen")));
    }
    withdraw(subject, accounts)
}

/// Strikes off the names that are neither used nor asked for, and takes the document's name. As long as a cluster is owed,
/// they all stay: any of them may have access there.
pub(super) fn prune_names(subject: &Subject<'_>, record: &mut Record) {
    let Some(wanted) = subject.wanted else { return };
    let used = match record.owed.is_empty() {
        true => record.slots().map(|slot| slot.username.clone()).collect::<BTreeSet<_>>(),
        false => record.names().into_iter().cloned().collect(),
    };
    record.username = wanted.username.clone();
    record.further_names = used.into_iter().chain(wanted.names().iter().cloned()).collect();
    record.further_names.remove(&record.username);
}

/// The part a provisioning, a rotation and a re-assertion have in common: make `slot` hold its credential on `clusters`,
/// proven by logins.
pub(super) fn assert_slot(
    subject: &Subject<'_>,
    record: &Record,
    slot: &Slot,
    clusters: &BTreeSet<ClusterName>,
    witnesses: Witnesses,
    context: &Context<'_>,
) -> Option<Step> {
    let content = Content::Generation(slot.generation);
    let is_done = |name: &&ClusterName| subject.progress.upserted.contains(&((*name).clone(), slot.generation));
    let open = clusters.iter().filter(|name| !is_done(name)).cloned().collect::<BTreeSet<_>>();
    if !open.is_empty() {
        let permit = match clear_the_way(subject, record, &slot.place(), content, &open, context) {
            Ok(permit) => permit,
            Err(step) => return Some(*step),
        };
        // Where an earlier attempt put it already there is nothing to send, only to prove.
        let is_missing =
            |name: &&ClusterName| !holds(&subject.progress.looked[&Account::new(name, &slot.username)], slot);
        let missing = open.iter().filter(is_missing).cloned().collect::<BTreeSet<_>>();
        if !missing.is_empty() {
            return Some(Step::Act(Effect::Upsert { clusters: missing, slot: slot.clone(), permit }));
        }
    }
    log_in(subject, slot, clusters, witnesses)
}

/// `Login` on the clusters where it was not proven in this pass.
pub(super) fn log_in(
    subject: &Subject<'_>,
    slot: &Slot,
    clusters: &BTreeSet<ClusterName>,
    witnesses: Witnesses,
) -> Option<Step> {
    let is_proven = |name: &&ClusterName| subject.progress.logged_in.contains(&((*name).clone(), slot.generation));
    let unproven = clusters.iter().filter(|name| !is_proven(name)).cloned().collect::<BTreeSet<_>>();
    (!unproven.is_empty()).then(|| Step::Act(Effect::Login { clusters: unproven, slot: slot.clone(), witnesses }))
}

/// Empties some places on some clusters of whatever the look found there.
pub(super) fn empty(
    subject: &Subject<'_>,
    record: &Record,
    places: &BTreeSet<Place>,
    clusters: &BTreeSet<ClusterName>,
    context: &Context<'_>,
) -> Option<Step> {
    let names = places.iter().map(|place| &place.username).collect::<BTreeSet<_>>();
    let accounts = clusters.iter().flat_map(|cluster| names.iter().map(move |name| Account::new(cluster, name)));
    let open = accounts.filter(|account| !subject.progress.emptied.contains(account)).collect::<BTreeSet<_>>();
    if open.is_empty() {
        return None;
    }
    let open_clusters = open.iter().map(|account| account.cluster.clone()).collect::<BTreeSet<_>>();
    let mut permits = BTreeMap::new();
    for place in places {
        match clear_the_way(subject, record, place, Content::None, &open_clusters, context) {
            Ok(permit) => drop(permits.insert(place.clone(), permit)),
            Err(step) => return Some(*step),
        }
    }
    let slots = open.into_iter().map(|account| {
        let found = subject.progress.looked.get(&account).into_iter().flatten().map(|(&mechanism, _)| mechanism);
        let goes = |mechanism: &_| {
            places.iter().any(|place| place.username == account.username && place.mechanism == *mechanism)
        };
        let found = found.filter(goes).collect::<BTreeSet<_>>();
        (account, found)
    });
    Some(Step::Act(Effect::Empty { slots: slots.collect(), permits }))
}

/// Destroys material that the record lists (R11); `None` when all of it is destroyed.
pub(super) fn destroy(subject: &Subject<'_>, due: &BTreeSet<Generation>) -> Option<Step> {
    let owed = due.difference(&subject.progress.destroyed).copied().collect::<BTreeSet<_>>();
    (!owed.is_empty()).then_some(Step::Act(Effect::Destroy(owed)))
}

/// Destroys all material that the record lists and then strikes it off.
pub(super) fn destroy_and_strike(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    if let Some(step) = destroy(subject, &record.destroy) {
        return step;
    }
    let mut struck = record.clone();
    struck.destroy.retain(|generation| !subject.progress.destroyed.contains(generation));
    super::write_changes(record, struck, context)
}
