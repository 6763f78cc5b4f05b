//! The machine: the next effect of a transition, from the record, what has been done in this pass, and the facts.
//!
//! ```text
//!            Provision, Resume                                          Delete
//!   none ─── material ─── record-prepared              IDLE, PREPARED ─── record-deleting
//!  DELETED      │                                                          │
//!            look ─ grant ─ [permit ─ fence ─ look ─ upsert] ─ login    withdraw, recall, bury
//!               │                                                       [permit ─ fence ─ look ─ empty]
//!            document ─ deliver                                            │
//!               │                                                       record-deleted
//!            record-idle ─ withdraw ─ destroy
//! ```
//!
//! Each effect states what the *stored* record has to say before it may be executed; where the record does not say it
//! yet, writing it is the next effect. So nothing leaves the process that the record does not name (I1), and a crash
//! anywhere is met by running the same function again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::kinship::{Kinship, holds, kinship};
use super::{
    Authentication, Blocked, Content, Deletion, DeliveryRecord, DeliveryState, Effect, Facts, Maintenance,
    MaterialOrder, Origin, Permit, PermitId, Phase, Progress, Provision, RECORD_SCHEMA, Record, Seen, Slot, Step,
    Transition, Wanted, WantedAuthentication, Watch, fence_remaining, keep_live,
};
use crate::names::{ClusterName, Generation, Mechanism, NamespacedName, Now};

/// What the machine may look at besides the user itself.
pub struct Context<'a> {
    /// Both clocks.
    pub now: Now,
    /// Permits this process has watched.
    pub watch: &'a Watch,
    /// The longest fence of the user's clusters.
    pub fence: Duration,
    /// How long a deletion can be undone.
    pub undo_for: Duration,
    /// Ids for the permits that this step may issue, one per mechanism; random.
    pub permit_ids: [PermitId; 2],
}

/// One user in one pass.
pub struct Subject<'a> {
    /// Whose.
    pub user: &'a NamespacedName,
    /// As it is stored now; `None` before the first write.
    pub record: Option<&'a Record>,
    /// What the document asks; `None` when it is gone.
    pub wanted: Option<&'a Wanted>,
    /// As they were when the plan was made.
    pub facts: &'a Facts,
    /// What this pass has done already.
    pub progress: &'a Progress,
}

/// The next step of an approved transition.
pub fn next(subject: &Subject<'_>, transition: &Transition, context: &Context<'_>) -> Step {
    match transition {
        Transition::Claim => claim(subject, context),
        Transition::Provision(provision) => match subject.record {
            Some(record) if record.phase == Phase::Prepared => fill(subject, record, context),
            Some(record) if record.phase == Phase::Idle => settle(subject, record, context),
            record => prepare(subject, record, provision, context),
        },
        Transition::Resume(_) => match subject.record {
            Some(record) if record.phase == Phase::Prepared => fill(subject, record, context),
            Some(record) => settle(subject, record, context),
            None => Step::Settled,
        },
        Transition::Maintain(todo) => {
            subject.record.map_or(Step::Settled, |record| maintain(subject, record, todo, context))
        }
        Transition::Delete => subject.record.map_or(Step::Settled, |record| delete(subject, record, context)),
        Transition::Expire(generation) => {
            subject.record.map_or(Step::Settled, |record| expire(subject, record, *generation, context))
        }
    }
}

/// A record write as the next step: permits whose fence has passed leave the list with it.
fn write(mut record: Record, context: &Context<'_>) -> Step {
    record.permits = keep_live(&record.permits, context.watch, context.fence, context.now);
    Step::Act(Effect::Record(Box::new(record)))
}

/// A blank record of a user, in IDLE.
fn blank(subject: &Subject<'_>, wanted: &Wanted) -> Record {
    let clusters = wanted
        .clusters
        .iter()
        .filter_map(|name| Some((name.clone(), subject.facts.clusters.get(name)?.known()?.id.clone())));
    Record {
        schema: RECORD_SCHEMA,
        user: subject.user.clone(),
        scope: wanted.scope.clone(),
        username: wanted.username.clone(),
        authentication: match wanted.authentication {
            WantedAuthentication::External => Authentication::External,
            WantedAuthentication::Scram { .. } => Authentication::Scram,
        },
        clusters: clusters.collect(),
        phase: Phase::Idle,
        generation: Generation::NONE,
        allotted: Generation::NONE,
        active: None,
        pending: None,
        previous: None,
        adopted: Vec::new(),
        permits: Vec::new(),
        destroy: BTreeSet::new(),
        exclusive: true,
        source: None,
        document: None,
        document_inputs: None,
        deliveries: BTreeMap::new(),
        deletion_policy: wanted.deletion_policy,
        deletion: None,
        published_at: None,
    }
}

/// The blank record that follows a tombstone: numbers never go back (R7, R8), material still owed destruction stays owed.
fn blank_after(subject: &Subject<'_>, wanted: &Wanted, tombstone: Option<&Record>) -> Record {
    let mut record = blank(subject, wanted);
    if let Some(tombstone) = tombstone {
        record.allotted = tombstone.allotted;
        record.generation = tombstone.generation;
        record.document.clone_from(&tombstone.document);
        record.destroy.clone_from(&tombstone.destroy);
        if wanted.continues(tombstone) {
            // The old slots stay named until IDLE, so that what a straggler left is not taken for a stranger (R6).
            record.active.clone_from(&tombstone.active);
            record.permits.clone_from(&tombstone.permits);
            record.deletion.clone_from(&tombstone.deletion);
        } else {
            record.destroy.extend(tombstone.deletion.as_ref().and_then(|deletion| deletion.kept));
        }
    }
    record
}

fn claim(subject: &Subject<'_>, context: &Context<'_>) -> Step {
    let Some(wanted) = subject.wanted else { return Step::Settled };
    match subject.record {
        Some(record) if record.phase == Phase::Idle => settle(subject, record, context),
        tombstone => {
            let mut record = blank_after(subject, wanted, tombstone);
            record.deletion = None;
            write(record, context)
        }
    }
}

/// Material first, then PREPARED with the permit that the first request needs.
fn prepare(subject: &Subject<'_>, tombstone: Option<&Record>, provision: &Provision, context: &Context<'_>) -> Step {
    let Some(wanted) = subject.wanted else { return Step::Settled };
    let WantedAuthentication::Scram { mechanisms, iterations, length, given } = &wanted.authentication else {
        return Step::Settled;
    };
    let mut record = blank_after(subject, wanted, tombstone);
    let Some((pending, source)) = &subject.progress.material else {
        let mut generation = record.allotted.next();
        while subject.progress.unusable.contains(&generation) {
            generation = generation.next();
        }
        let origin = match (given, provision.restores) {
            (Some((path, key)), _) => Origin::Given { path: path.clone(), key: key.clone() },
            (None, Some(kept)) => Origin::SameAs(kept),
            (None, None) => Origin::Generated(*length),
        };
        let mechanism = unfenced(&record, mechanisms, provision.mechanism, context);
        let order = MaterialOrder { generation, mechanism, iterations: *iterations, origin };
        return Step::Act(Effect::Material(order));
    };
    record.phase = Phase::Prepared;
    record.allotted = pending.generation;
    record.pending = Some(pending.clone());
    record.source.clone_from(source);
    record.adopted.clone_from(&provision.adopts);
    announce_deliveries(subject, &mut record);
    add_permit(&mut record, pending.mechanism, Content::Generation(pending.generation), context);
    write(record, context)
}

/// The slot for a credential that comes back: one that need not wait for the fence of its own deletion, if there is one.
fn unfenced(record: &Record, mechanisms: &[Mechanism], preferred: Mechanism, context: &Context<'_>) -> Mechanism {
    let waits = |mechanism: Mechanism| {
        !fence_remaining(
            &record.permits,
            mechanism,
            Content::Generation(record.allotted.next()),
            context.watch,
            context.fence,
            context.now,
        )
        .is_zero()
    };
    if !waits(preferred) {
        return preferred;
    }
    mechanisms.iter().copied().find(|&mechanism| !waits(mechanism)).unwrap_or(preferred)
}

fn add_permit(record: &mut Record, mechanism: Mechanism, content: Content, context: &Context<'_>) {
    let id = context.permit_ids[usize::from(mechanism == Mechanism::ScramSha512)];
    record.permits.push(Permit::new(id, mechanism, content, context.fence, context.now));
}

/// The permit of this process for `content`, if it lasts long enough to be worth starting under.
fn own_permit(
    record: &Record,
    mechanism: Mechanism,
    content: Content,
    progress: &Progress,
    context: &Context<'_>,
) -> Option<PermitId> {
    let own = *progress.own_permits.get(&mechanism)?;
    let permit = record.permits.iter().find(|permit| permit.id == own && permit.content == content)?;
    context.watch.not_after(permit, own, context.now).map(|_| own)
}

/// Permit, fence, look, for one content of one slot. `Err` is the step that has to come first.
fn clear_the_way(
    subject: &Subject<'_>,
    record: &Record,
    mechanism: Mechanism,
    content: Content,
    clusters: &BTreeSet<ClusterName>,
    context: &Context<'_>,
) -> Result<PermitId, Box<Step>> {
    let wait = fence_remaining(&record.permits, mechanism, content, context.watch, context.fence, context.now);
    if !wait.is_zero() {
        return Err(Box::new(Step::Fence(wait)));
    }
    let Some(permit) = own_permit(record, mechanism, content, subject.progress, context) else {
        let mut renewed = record.clone();
        add_permit(&mut renewed, mechanism, content, context);
        return Err(Box::new(write(renewed, context)));
    };
    look(subject, record, clusters).map_or(Ok(permit), |step| Err(Box::new(step)))
}

/// The look at every slot on some clusters (R6): what has to be done for it, or that it found a stranger; `None` when it
/// was done in this pass and found none.
fn look(subject: &Subject<'_>, record: &Record, clusters: &BTreeSet<ClusterName>) -> Option<Step> {
    let unseen = clusters.iter().filter(|name| !subject.progress.looked.contains_key(*name)).cloned();
    let unseen = unseen.collect::<BTreeSet<_>>();
    if !unseen.is_empty() {
        return Some(Step::Act(Effect::Look { clusters: unseen }));
    }
    let seen = clusters.iter().flat_map(|cluster| {
        subject.progress.looked[cluster].iter().map(move |(&mechanism, slot)| (cluster, mechanism, slot))
    });
    let mut strangers =
        seen.filter(|(cluster, mechanism, slot)| kinship(record, cluster, *mechanism, slot) == Kinship::Foreign);
    strangers.next().map(|(cluster, mechanism, _)| {
        Step::Blocked(Blocked::ForeignCredential { cluster: cluster.clone(), mechanism })
    })
}

/// The clusters of the record that can be reached, and the first that cannot.
fn reachable(subject: &Subject<'_>, record: &Record) -> (BTreeSet<ClusterName>, Option<String>) {
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

/// `Grant` for the clusters that still need it.
fn grant(subject: &Subject<'_>, clusters: &BTreeSet<ClusterName>) -> Option<Step> {
    let needs = |name: &&ClusterName| {
        !subject.progress.granted.contains(*name) && access(subject, name).is_some_and(|access| access.grants)
    };
    let clusters = clusters.iter().filter(needs).cloned().collect::<BTreeSet<_>>();
    (!clusters.is_empty()).then_some(Step::Act(Effect::Grant { clusters }))
}

/// `Withdraw` for the clusters that still need it.
fn withdraw(subject: &Subject<'_>, clusters: &BTreeSet<ClusterName>) -> Option<Step> {
    let needs = |name: &&ClusterName| {
        !subject.progress.withdrawn.contains(*name) && access(subject, name).is_some_and(|access| access.withdrawals)
    };
    let clusters = clusters.iter().filter(needs).cloned().collect::<BTreeSet<_>>();
    (!clusters.is_empty()).then_some(Step::Act(Effect::Withdraw { clusters }))
}

fn access(subject: &Subject<'_>, cluster: &ClusterName) -> Option<super::AccessFact> {
    subject.facts.clusters.get(cluster)?.known()?.access.known().copied()
}

/// The part both a provisioning and a re-assertion have: make `slot` hold its credential on `clusters`, proven by logins.
fn assert_slot(
    subject: &Subject<'_>,
    record: &Record,
    slot: &Slot,
    clusters: &BTreeSet<ClusterName>,
    context: &Context<'_>,
) -> Option<Step> {
    let content = Content::Generation(slot.generation);
    let empty = clusters.iter().filter(|name| !subject.progress.upserted.contains(*name)).cloned();
    let empty = empty.collect::<BTreeSet<_>>();
    if !empty.is_empty() {
        let permit = match clear_the_way(subject, record, slot.mechanism, content, &empty, context) {
            Ok(permit) => permit,
            Err(step) => return Some(*step),
        };
        // Where an earlier attempt put it already there is nothing to send, only to prove.
        let missing = empty.iter().filter(|name| !holds(&subject.progress.looked[*name], slot)).cloned();
        let missing = missing.collect::<BTreeSet<_>>();
        if !missing.is_empty() {
            return Some(Step::Act(Effect::Upsert { clusters: missing, slot: slot.clone(), permit }));
        }
    }
    let unproven = clusters.iter().filter(|name| !subject.progress.logged_in.contains(*name)).cloned();
    let unproven = unproven.collect::<BTreeSet<_>>();
    (!unproven.is_empty()).then(|| Step::Act(Effect::Login { clusters: unproven, slot: slot.clone() }))
}

/// PREPARED of a first provisioning: access, credential, proof, document, deliveries, IDLE.
fn fill(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    let Some(pending) = &record.pending else { return Step::Blocked(Blocked::UnderWay(record.phase)) };
    let (clusters, missing) = reachable(subject, record);
    // Whoever holds a credential of this name would gain what is granted, so strangers are looked for before that.
    if let Some(step) = look(subject, record, &clusters).or_else(|| grant(subject, &clusters)) {
        return step;
    }
    if let Some(step) = assert_slot(subject, record, pending, &clusters, context) {
        return step;
    }
    if let Some(why) = missing {
        return Step::Wait(why);
    }
    let Some(document) = &subject.progress.document else {
        return Step::Act(Effect::Document(pending.clone()));
    };
    let undelivered = undelivered(subject);
    if !undelivered.is_empty() {
        let mut announced = record.clone();
        announce_deliveries(subject, &mut announced);
        if announced != *record {
            return write(announced, context);
        }
        return Step::Act(Effect::Deliver { names: undelivered, slot: pending.clone() });
    }
    let mut idle = record.clone();
    idle.phase = Phase::Idle;
    idle.generation = pending.generation;
    idle.pending = None;
    idle.active = Some(pending.clone());
    idle.document = Some(document.clone());
    idle.document_inputs.clone_from(&subject.facts.document_inputs);
    idle.published_at = Some(context.now.wall);
    // An unknown credential in the slot of ours is gone: it was replaced.
    idle.adopted.retain(|slot| slot.mechanism != pending.mechanism);
    if let Some(deletion) = idle.deletion.take() {
        idle.destroy.extend(deletion.kept);
    }
    note_deliveries(subject, &mut idle);
    write(idle, context)
}

/// What a first provisioning has to deliver. One that was in step when the plan was made is of the same user before its
/// deletion, which is finished by the time of this question, and took the delivery with it.
fn undelivered(subject: &Subject<'_>) -> BTreeSet<crate::names::DeliveryName> {
    let is_due = |state: &DeliveryState| match state {
        DeliveryState::Pending { .. } | DeliveryState::InStep => true,
        DeliveryState::Surplus | DeliveryState::Refused { .. } | DeliveryState::Unknown(_) => false,
    };
    let due = subject.facts.deliveries.iter().filter(|(_, state)| is_due(state));
    let due = due.map(|(name, _)| name).filter(|name| !subject.progress.delivered.contains_key(*name));
    due.cloned().collect()
}

/// Names in the record what is about to be delivered for the first time, so that a file with a password in it is found
/// again whatever happens to this process and to the document (I8). What is recorded stays: it may have to be removed.
fn announce_deliveries(subject: &Subject<'_>, record: &mut Record) {
    for (name, state) in &subject.facts.deliveries {
        let DeliveryState::Pending { kind, target, .. } = state else { continue };
        let announced = || DeliveryRecord::announced(kind, target);
        record.deliveries.entry(name.clone()).or_insert_with(announced);
    }
}

fn note_deliveries(subject: &Subject<'_>, record: &mut Record) {
    record.deliveries.extend(subject.progress.delivered.clone());
    record.deliveries.retain(|name, _| !subject.progress.recalled.contains(name));
}

/// What follows a first IDLE in the same pass: superfluous access, and material that is not needed any more.
fn settle(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    let (clusters, _) = reachable(subject, record);
    if let Some(step) = grant(subject, &clusters).or_else(|| withdraw(subject, &clusters)) {
        return step;
    }
    destroy_owed(subject, record, &record.destroy, context)
}

/// Destroys material and then strikes it off the record (R11).
fn destroy_owed(subject: &Subject<'_>, record: &Record, due: &BTreeSet<Generation>, context: &Context<'_>) -> Step {
    let owed = due.difference(&subject.progress.destroyed).copied().collect::<BTreeSet<_>>();
    if !owed.is_empty() {
        return Step::Act(Effect::Destroy(owed));
    }
    let mut struck = record.clone();
    struck.destroy.retain(|generation| !subject.progress.destroyed.contains(generation));
    if struck == *record { Step::Settled } else { write(struck, context) }
}

/// IDLE: drift is healed in the order of least harm, then everything done is noted in one record write.
fn maintain(subject: &Subject<'_>, record: &Record, todo: &Maintenance, context: &Context<'_>) -> Step {
    let mut noted = record.clone();
    noted.adopted.extend(todo.adopts.iter().filter(|slot| !record.adopted.contains(slot)).cloned());
    noted.clusters.extend(todo.rebind.clone());
    announce_deliveries(subject, &mut noted);
    if noted != *record {
        return write(noted, context);
    }
    if let Some(step) = grant(subject, &todo.grant) {
        return step;
    }
    if let Some(active) = &record.active {
        let clusters = todo.reassert.keys().cloned().collect::<BTreeSet<_>>();
        if let Some(step) = assert_slot(subject, record, active, &clusters, context) {
            return step;
        }
        if todo.republish.is_some() && subject.progress.document.is_none() {
            return Step::Act(Effect::Document(active.clone()));
        }
        let names = todo.deliver.keys().filter(|name| !subject.progress.delivered.contains_key(*name)).cloned();
        let names = names.collect::<BTreeSet<_>>();
        if !names.is_empty() {
            return Step::Act(Effect::Deliver { names, slot: active.clone() });
        }
    }
    if let Some(step) = recall(subject, &todo.recall).or_else(|| withdraw(subject, &todo.withdraw)) {
        return step;
    }
    let owed = todo.destroy.difference(&subject.progress.destroyed).copied().collect::<BTreeSet<_>>();
    if !owed.is_empty() {
        return Step::Act(Effect::Destroy(owed));
    }
    note_deliveries(subject, &mut noted);
    if let Some(document) = &subject.progress.document {
        noted.document = Some(document.clone());
        noted.document_inputs.clone_from(&subject.facts.document_inputs);
    }
    noted.deletion_policy = todo.deletion_policy.unwrap_or(noted.deletion_policy);
    noted.destroy.retain(|generation| !subject.progress.destroyed.contains(generation));
    if noted == *record { Step::Settled } else { write(noted, context) }
}

fn recall(subject: &Subject<'_>, names: &BTreeSet<crate::names::DeliveryName>) -> Option<Step> {
    let left = names.difference(&subject.progress.recalled).cloned().collect::<BTreeSet<_>>();
    (!left.is_empty()).then_some(Step::Act(Effect::Recall { names: left }))
}

/// DELETING: access goes first, because it cuts open connections too (K5); the tombstone is last.
fn delete(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    match record.phase {
        Phase::Deleted => return destroy_owed(subject, record, &record.destroy, context),
        Phase::Deleting => {}
        _ => return enter_deleting(record, context),
    }
    let (clusters, missing) = reachable(subject, record);
    if let Some(step) = withdraw(subject, &clusters) {
        return step;
    }
    let deliveries = record.deliveries.keys().cloned().collect();
    if let Some(step) = recall(subject, &deliveries) {
        return step;
    }
    if record.authentication == Authentication::Scram {
        if subject.progress.buried.is_none() {
            return Step::Act(Effect::Bury(record.allotted));
        }
        if let Some(step) = empty(subject, record, &clusters, context) {
            return step;
        }
    }
    if let Some(why) = missing {
        return Step::Wait(why);
    }
    let mut tombstone = record.clone();
    tombstone.phase = Phase::Deleted;
    tombstone.document = subject.progress.buried.clone().or(tombstone.document);
    tombstone.deliveries.clear();
    tombstone.adopted.clear();
    write(tombstone, context)
}

fn enter_deleting(record: &Record, context: &Context<'_>) -> Step {
    let mut deleting = record.clone();
    deleting.phase = Phase::Deleting;
    // The deletion takes a number of its own, so that its tombstone orders after every document before it (R7).
    deleting.allotted = record.allotted.next();
    let at = context.now.wall;
    let kept = record.active.as_ref().map(|slot| slot.generation);
    deleting.deletion = Some(Deletion { at, undo_until: saturating_add(at, context.undo_for), kept });
    // A credential that was never published is nobody's; its material need not wait for an undo.
    deleting.destroy.extend(record.pending.as_ref().map(|slot| slot.generation));
    let mechanisms = record.slots().map(|slot| slot.mechanism).chain(record.adopted.iter().map(|slot| slot.mechanism));
    for mechanism in mechanisms.collect::<BTreeSet<_>>() {
        let fenced =
            fence_remaining(&record.permits, mechanism, Content::None, context.watch, context.fence, context.now);
        // Behind a fence a permit would be over before it could be used; it is issued when the fence has passed.
        if fenced.is_zero() {
            add_permit(&mut deleting, mechanism, Content::None, context);
        }
    }
    write(deleting, context)
}

fn saturating_add(at: Timestamp, duration: Duration) -> Timestamp {
    at.saturating_add(jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX))
        .unwrap_or(Timestamp::MAX)
}

/// Deletes what the look found in the slots, on every cluster that is reached.
fn empty(
    subject: &Subject<'_>,
    record: &Record,
    clusters: &BTreeSet<ClusterName>,
    context: &Context<'_>,
) -> Option<Step> {
    let full = clusters.iter().filter(|name| !subject.progress.emptied.contains(*name)).cloned();
    let full = full.collect::<BTreeSet<_>>();
    if full.is_empty() {
        return None;
    }
    let mechanisms = record.slots().map(|slot| slot.mechanism).chain(record.adopted.iter().map(|slot| slot.mechanism));
    let mut permits = BTreeMap::new();
    for mechanism in mechanisms.collect::<BTreeSet<_>>() {
        match clear_the_way(subject, record, mechanism, Content::None, &full, context) {
            Ok(permit) => drop(permits.insert(mechanism, permit)),
            Err(step) => return Some(*step),
        }
    }
    let slots = full.iter().map(|cluster| {
        let found = subject.progress.looked.get(cluster).into_iter().flatten();
        let ours = found.map(|(&mechanism, _)| mechanism).filter(|mechanism| permits.contains_key(mechanism));
        (cluster.clone(), ours.collect::<BTreeSet<_>>())
    });
    Some(Step::Act(Effect::Empty { slots: slots.collect(), permits }))
}

/// The undo period is over: the material goes, the tombstone stays.
fn expire(subject: &Subject<'_>, record: &Record, generation: Generation, context: &Context<'_>) -> Step {
    if !subject.progress.destroyed.contains(&generation) {
        return Step::Act(Effect::Destroy(BTreeSet::from([generation])));
    }
    let mut expired = record.clone();
    if let Some(deletion) = &mut expired.deletion {
        deletion.kept = None;
    }
    expired.destroy.remove(&generation);
    if expired == *record { Step::Settled } else { write(expired, context) }
}
