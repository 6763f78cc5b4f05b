//! What may be done for one user: the transition that leads from its record to what its document asks for.
//!
//! [`decide`] is asked when a plan is made; the engine then drives the transition that was approved, effect by effect,
//! with [`super::next`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{
    AdoptedSlot, Authentication, ClusterFacts, DeletionPolicy, DeliveryState, Facts, Phase, Record, Seen, SlotSeen,
    Slots, Version, Wanted, WantedAuthentication,
};
use crate::names::{ClusterId, ClusterName, DeliveryName, Generation, Mechanism, Scope};

/// What is to be done for a user, and what is not and why.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// In this order; empty when nothing is to be done.
    pub transitions: Vec<Transition>,
    /// What a person has to decide.
    pub blocked: Vec<Blocked>,
    /// What has to come back first.
    pub waiting: Vec<Waiting>,
}

/// A path through the phases, approved as a whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// Take note of a principal that somebody else authenticates. Ends in IDLE.
    Claim,
    /// First provisioning, a rotation from nothing. Ends in IDLE.
    Provision(Provision),
    /// Finish a first provisioning that was interrupted. Ends in IDLE.
    Resume(Generation),
    /// Keep a provisioned user as it should be; the phase stays IDLE.
    Maintain(Maintenance),
    /// Take everything away and leave a tombstone. Ends in DELETED.
    Delete,
    /// Destroy the material of a tombstone whose time for undo is over.
    Expire(Generation),
}

/// How a first credential comes to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Provision {
    /// The slot to be filled.
    pub mechanism: Mechanism,
    /// The generation whose password comes back; `None` for a new password.
    pub restores: Option<Generation>,
    /// Unknown credentials that are named in the record from now on.
    pub adopts: Vec<AdoptedSlot>,
    /// Whether an unknown credential is in the slot and is replaced.
    pub replaces: bool,
}

/// What is not as it should be with a provisioned user.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Maintenance {
    /// Clusters whose slot does not hold the active credential (R5).
    pub reassert: BTreeMap<ClusterName, Drift>,
    /// Clusters that have a new id: they were rebuilt.
    pub rebind: BTreeMap<ClusterName, ClusterId>,
    /// Unknown credentials that are named in the record from now on.
    pub adopts: Vec<AdoptedSlot>,
    /// The document is not as it was written.
    pub republish: bool,
    /// Deliveries to write, and why.
    pub deliver: BTreeMap<DeliveryName, Arc<str>>,
    /// Deliveries to remove.
    pub recall: BTreeSet<DeliveryName>,
    /// Clusters with ACLs to create or quotas to set.
    pub grant: BTreeSet<ClusterName>,
    /// Clusters with ACLs or quotas to take away.
    pub withdraw: BTreeSet<ClusterName>,
    /// Material that is due to be destroyed.
    pub destroy: BTreeSet<Generation>,
    /// The deletion policy changes to this.
    pub deletion_policy: Option<DeletionPolicy>,
}

impl Maintenance {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a slot came to differ from the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// The slot is empty: the credential was deleted, or Kafka was rebuilt.
    Missing,
    /// The slot holds a credential of somebody else.
    Changed,
}

/// A change that only a rotation, or a planned move, can carry out on a live user.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Clusters were added.
    ClustersAdded(Vec<ClusterName>),
    /// Clusters were removed.
    ClustersRemoved(Vec<ClusterName>),
    /// Another user name, or another kind of authentication.
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
    /// An adopted credential is to be retired.
    AdoptedCredential(Mechanism),
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |names: &[ClusterName]| names.iter().map(ClusterName::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::Mechanism(used) => write!(f, "the mechanism in use, {used}, is not among those allowed any more"),
            Self::Iterations { from, to } => write!(f, "iterations change from {from} to {to}"),
            Self::Password => f.write_str("the given password changed at its source"),
            Self::ClustersAdded(names) => write!(f, "cluster {} is added to `clusters`", list(names)),
            Self::ClustersRemoved(names) => write!(f, "cluster {} is removed from `clusters`", list(names)),
            Self::Username { from, to } => write!(f, "the user name changes from `{from}` to `{to}`"),
            Self::AuthenticationType => f.write_str("the authentication type changes between scram and external"),
            Self::Moved(from) => write!(f, "the document was moved from `{from}`"),
            Self::AdoptedCredential(mechanism) => {
                write!(f, "the adopted credential in {mechanism} is still valid and waits to be retired")
            }
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
    /// Only a rotation or a planned move can carry out this change.
    NeedsRotation(Change),
    /// The record belongs to another set of documents.
    OtherScope(Scope),
    /// Another document or store claims the name.
    Claimed(Arc<str>),
    /// A given password is not there.
    NoGivenPassword(String),
    /// A delivery would not be written.
    Delivery {
        /// Which.
        name: DeliveryName,
        /// What stands in the way.
        why: Arc<str>,
        /// What to do about it.
        hint: Option<Arc<str>>,
    },
    /// The record is in a phase that this version does not drive.
    UnderWay(Phase),
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
            Self::NeedsRotation(change) => {
                write!(f, "{change}: on a live user only a rotation carries this out, and rotation is not built yet")
            }
            Self::OtherScope(scope) => write!(f, "its record belongs to scope `{scope}`"),
            Self::Claimed(by) => write!(f, "the user name is claimed by {by}"),
            Self::NoGivenPassword(path) => write!(f, "the store holds no password at `{path}`"),
            Self::Delivery { name, why, .. } => write!(f, "delivery `{name}`: {why}"),
            Self::UnderWay(phase) => write!(f, "its record is in phase {phase}, which this version cannot drive"),
        }
    }
}

impl Blocked {
    /// Stable identifier for JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unowned { .. } => "unowned",
            Self::ForeignCredential { .. } => "foreign-credential",
            Self::NeedsRotation(_) => "needs-rotation",
            Self::OtherScope(_) => "other-scope",
            Self::Claimed(_) => "claimed",
            Self::NoGivenPassword(_) => "no-given-password",
            Self::Delivery { .. } => "delivery",
            Self::UnderWay(_) => "under-way",
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
            Self::NeedsRotation(Change::Moved(_)) => "keep the old name for now",
            Self::Delivery { hint, .. } => return hint.as_ref().map(ToString::to_string),
            Self::NeedsRotation(_) | Self::Claimed(_) | Self::UnderWay(_) => return None,
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
}

/// How a credential seen in Kafka relates to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinship {
    /// A generation the record names, or one it adopted.
    Named,
    /// A stranger in the slot that the record calls active, or previous: drift (R6).
    Drifted,
    /// A stranger.
    Foreign,
}

/// Compares one credential with what the record names (R6). Without a salt, mechanism and iterations have to do.
pub(super) fn kinship(record: &Record, cluster: &ClusterName, mechanism: Mechanism, seen: &SlotSeen) -> Kinship {
    let same_salt = |salt: Option<&crate::secret::Salt>| match (&seen.salt, salt) {
        (Some(seen), Some(named)) => seen == named,
        (None, _) | (_, None) => true,
    };
    let of_ours = record
        .slots()
        .any(|slot| slot.mechanism == mechanism && slot.iterations == seen.iterations && same_salt(Some(&slot.salt)));
    let of_adopted = record.adopted.iter().any(|slot| {
        slot.cluster == *cluster
            && slot.mechanism == mechanism
            && slot.iterations == seen.iterations
            && same_salt(slot.salt.as_ref())
    });
    let in_use = matches!(record.phase, Phase::Idle | Phase::Deleting)
        && [&record.active, &record.previous].into_iter().flatten().any(|slot| slot.mechanism == mechanism);
    if of_ours || of_adopted {
        Kinship::Named
    } else if in_use {
        Kinship::Drifted
    } else {
        Kinship::Foreign
    }
}

/// Whether the slot holds exactly the credential it should.
pub(super) fn holds(slots: &Slots, slot: &super::Slot) -> bool {
    slots.get(&slot.mechanism).is_some_and(|seen| {
        seen.iterations == slot.iterations && seen.salt.as_ref().is_none_or(|salt| *salt == slot.salt)
    })
}

/// Decides what leads from the record to what is wanted. `wanted` is `None` when no document names the user any more:
/// the transition then is a deletion, which the plan drops unless the pass prunes.
pub fn decide(record: Option<&Record>, wanted: Option<&Wanted>, facts: &Facts, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    match (record, wanted) {
        (None, None) => {}
        (Some(record), None) => decide_deletion(record, facts, now, &mut decision),
        (record, Some(wanted)) => {
            if let Some(by) = &facts.claimed_by {
                decision.blocked.push(Blocked::Claimed(by.clone()));
            } else if let Some(record) = record.filter(|record| record.scope != wanted.scope) {
                decision.blocked.push(Blocked::OtherScope(record.scope.clone()));
            } else {
                decide_wanted(record, wanted, facts, now, &mut decision);
            }
        }
    }
    decision
}

fn decide_wanted(record: Option<&Record>, wanted: &Wanted, facts: &Facts, now: Timestamp, decision: &mut Decision) {
    match record.map(|record| (record, record.phase)) {
        None => decide_provision(None, wanted, facts, now, decision),
        Some((record, Phase::Deleted)) => decide_provision(Some(record), wanted, facts, now, decision),
        Some((record, Phase::Deleting)) => {
            decision.transitions.push(Transition::Delete);
            // What the deletion leaves behind is known: a tombstone, and nothing in Kafka.
            decide_provision_after_deletion(record, wanted, facts, decision);
        }
        Some((record, Phase::Prepared)) => {
            decision.transitions.push(Transition::Resume(record.allotted));
            list_unreachable(&wanted.clusters, facts, decision);
        }
        Some((record, Phase::Idle)) => decide_maintenance(record, wanted, facts, decision),
        Some((
            _,
            phase @ (Phase::Verified
            | Phase::Published
            | Phase::Confirmed
            | Phase::Retiring
            | Phase::Aborting
            | Phase::Revoking),
        )) => decision.blocked.push(Blocked::UnderWay(phase)),
    }
}

/// Notes every cluster that cannot be reached.
fn list_unreachable(clusters: &[ClusterName], facts: &Facts, decision: &mut Decision) {
    for cluster in clusters {
        if let Seen::Unknown(why) = facts.cluster(cluster) {
            decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why });
        }
    }
}

/// Notes every delivery that cannot be written.
fn list_unwritable(facts: &Facts, decision: &mut Decision) {
    for (name, state) in &facts.deliveries {
        match state {
            DeliveryState::InStep | DeliveryState::Pending(_) | DeliveryState::Surplus => {}
            DeliveryState::Refused { why, hint } => {
                decision.blocked.push(Blocked::Delivery { name: name.clone(), why: why.clone(), hint: hint.clone() })
            }
            DeliveryState::Unknown(why) => {
                let why = format!("delivery `{name}`: {why}").into();
                decision.waiting.push(Waiting { cluster: None, why });
            }
        }
    }
}

/// What exists in Kafka under the name and is not ours; the clusters where that could not be seen are noted.
fn list_foreign<'a>(
    tombstone: Option<&Record>,
    wanted: &'a Wanted,
    facts: &'a Facts,
    decision: &mut Decision,
) -> Vec<(&'a ClusterName, Foreign, Option<&'a SlotSeen>)> {
    let mut found = Vec::new();
    for cluster in &wanted.clusters {
        let seen = match facts.cluster(cluster) {
            Seen::Known(seen) => seen,
            Seen::Unknown(why) => {
                decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why });
                continue;
            }
        };
        match (&seen.slots, &seen.access) {
            (Seen::Known(slots), Seen::Known(access)) => {
                let foreign = slots.iter().filter(|(mechanism, slot)| {
                    tombstone.is_none_or(|record| kinship(record, cluster, **mechanism, slot) != Kinship::Named)
                });
                found.extend(foreign.map(|(&mechanism, slot)| (cluster, Foreign::Credential(mechanism), Some(slot))));
                if access.present {
                    found.push((cluster, Foreign::Access, None));
                }
            }
            (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => {
                decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why: why.clone() });
            }
        }
    }
    found
}

fn decide_provision(
    tombstone: Option<&Record>,
    wanted: &Wanted,
    facts: &Facts,
    now: Timestamp,
    decision: &mut Decision,
) {
    if let Some(from) = &wanted.moved_from {
        decision.blocked.push(Blocked::NeedsRotation(Change::Moved(from.clone())));
        return;
    }
    let tombstone = tombstone.filter(|record| wanted.continues(record));
    let foreign = list_foreign(tombstone, wanted, facts, decision);
    // A stranger blocks also where another cluster cannot be seen; a cluster that cannot be seen holds the start,
    // because a credential that nobody has yet keeps nobody waiting, and a stranger may live there.
    if !foreign.is_empty() && !wanted.adopt {
        let first = &foreign[0];
        decision.blocked.push(Blocked::Unowned { cluster: first.0.clone(), found: first.1 });
        return;
    }
    // A credential that could not be delivered is of no use to anybody; before there is one nothing is lost by waiting.
    list_unwritable(facts, decision);
    if !decision.waiting.is_empty() || !decision.blocked.is_empty() {
        return;
    }
    match &wanted.authentication {
        WantedAuthentication::External => decision.transitions.push(Transition::Claim),
        WantedAuthentication::Scram { mechanisms, given, .. } => {
            if let Some((path, key)) = given
                && !given_is_there(path, key, facts, decision)
            {
                return;
            }
            let restores = tombstone
                .and_then(|record| record.deletion.as_ref())
                .filter(|deletion| now < deletion.undo_until && given.is_none())
                .and_then(|deletion| deletion.kept);
            let adopts = adopted_slots(&foreign);
            let (mechanism, replaces) = free_mechanism(mechanisms, &adopts);
            decision.transitions.push(Transition::Provision(Provision { mechanism, restores, adopts, replaces }));
        }
    }
}

/// The provisioning that follows a deletion under way whose document is back: the plan shows both.
fn decide_provision_after_deletion(record: &Record, wanted: &Wanted, facts: &Facts, decision: &mut Decision) {
    let adopts = Vec::new();
    match &wanted.authentication {
        WantedAuthentication::External => decision.transitions.push(Transition::Claim),
        WantedAuthentication::Scram { mechanisms, given, .. } => {
            if let Some((path, key)) = given
                && !given_is_there(path, key, facts, decision)
            {
                return;
            }
            let kept = record.deletion.as_ref().and_then(|deletion| deletion.kept);
            let restores = kept.filter(|_| wanted.continues(record) && given.is_none());
            let (mechanism, replaces) = free_mechanism(mechanisms, &adopts);
            decision.transitions.push(Transition::Provision(Provision { mechanism, restores, adopts, replaces }));
        }
    }
}

fn given_is_there(path: &str, key: &str, facts: &Facts, decision: &mut Decision) -> bool {
    match &facts.source {
        Seen::Known(Some(_)) => true,
        Seen::Known(None) => {
            decision.blocked.push(Blocked::NoGivenPassword(format!("{path}#{key}")));
            false
        }
        Seen::Unknown(why) => {
            decision.waiting.push(Waiting { cluster: None, why: why.clone() });
            false
        }
    }
}

fn adopted_slots(foreign: &[(&ClusterName, Foreign, Option<&SlotSeen>)]) -> Vec<AdoptedSlot> {
    foreign
        .iter()
        .filter_map(|(cluster, found, seen)| match (found, seen) {
            (Foreign::Credential(mechanism), Some(seen)) => Some(AdoptedSlot {
                cluster: (*cluster).clone(),
                mechanism: *mechanism,
                salt: seen.salt.clone(),
                iterations: seen.iterations,
            }),
            (Foreign::Credential(_) | Foreign::Access, _) => None,
        })
        .collect()
}

/// The slot for our credential: the first that is free on every cluster; else the one that stands later, replacing.
fn free_mechanism(mechanisms: &[Mechanism], taken: &[AdoptedSlot]) -> (Mechanism, bool) {
    let is_free = |mechanism: &&Mechanism| taken.iter().all(|slot| slot.mechanism != **mechanism);
    match mechanisms.iter().find(is_free) {
        Some(&mechanism) => (mechanism, false),
        None => (*mechanisms.last().expect("a document allows at least one mechanism"), true),
    }
}

fn decide_maintenance(record: &Record, wanted: &Wanted, facts: &Facts, decision: &mut Decision) {
    list_changes(record, wanted, facts, decision);
    let mut todo = Maintenance::default();
    for (cluster, id) in &record.clusters {
        if !wanted.clusters.contains(cluster) {
            continue;
        }
        match facts.cluster(cluster) {
            Seen::Known(seen) => maintain_cluster(record, wanted, cluster, id, seen, &mut todo, decision),
            Seen::Unknown(why) => decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why }),
        }
    }
    if record.authentication == Authentication::Scram {
        match &facts.document {
            Seen::Known(version) => todo.republish = document_differs(record, version.as_ref()),
            Seen::Unknown(why) => decision.waiting.push(Waiting { cluster: None, why: why.clone() }),
        }
        list_unwritable(facts, decision);
        for (name, state) in &facts.deliveries {
            match state {
                DeliveryState::InStep => {}
                DeliveryState::Pending(why) => drop(todo.deliver.insert(name.clone(), why.clone())),
                DeliveryState::Surplus => drop(todo.recall.insert(name.clone())),
                DeliveryState::Refused { .. } | DeliveryState::Unknown(_) => {}
            }
        }
    }
    todo.destroy.clone_from(&record.destroy);
    todo.deletion_policy =
        Some(wanted.deletion_policy).filter(|wanted_policy| *wanted_policy != record.deletion_policy);
    if !todo.is_empty() {
        decision.transitions.push(Transition::Maintain(todo));
    }
}

fn document_differs(record: &Record, found: Option<&Version>) -> bool {
    record.active.is_some() && (found.is_none() || found != record.document.as_ref())
}

fn maintain_cluster(
    record: &Record,
    wanted: &Wanted,
    cluster: &ClusterName,
    id: &ClusterId,
    seen: &ClusterFacts,
    todo: &mut Maintenance,
    decision: &mut Decision,
) {
    let rebuilt = seen.id != *id;
    if rebuilt && seen.access.known().is_some_and(|access| access.present) && !wanted.adopt {
        decision.blocked.push(Blocked::Unowned { cluster: cluster.clone(), found: Foreign::Access });
        return;
    }
    if rebuilt {
        todo.rebind.insert(cluster.clone(), seen.id.clone());
    }
    match &seen.access {
        Seen::Known(access) => {
            if access.grants {
                todo.grant.insert(cluster.clone());
            }
            if access.withdrawals {
                todo.withdraw.insert(cluster.clone());
            }
        }
        Seen::Unknown(why) => {
            decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why: why.clone() });
        }
    }
    let (Some(active), true) = (&record.active, record.authentication == Authentication::Scram) else { return };
    let slots = match &seen.slots {
        Seen::Known(slots) => slots,
        Seen::Unknown(why) => {
            decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why: why.clone() });
            return;
        }
    };
    for (&mechanism, slot) in slots {
        let stranger = match kinship(record, cluster, mechanism, slot) {
            Kinship::Named => false,
            Kinship::Drifted => rebuilt,
            Kinship::Foreign => true,
        };
        if stranger && wanted.adopt && mechanism != active.mechanism {
            todo.adopts.push(AdoptedSlot {
                cluster: cluster.clone(),
                mechanism,
                salt: slot.salt.clone(),
                iterations: slot.iterations,
            });
        } else if stranger {
            decision.blocked.push(Blocked::ForeignCredential { cluster: cluster.clone(), mechanism });
            return;
        }
    }
    if !holds(slots, active) {
        let drift = if slots.contains_key(&active.mechanism) { Drift::Changed } else { Drift::Missing };
        todo.reassert.insert(cluster.clone(), drift);
    }
}

/// Lists the differences that only a rotation or a planned move can carry out.
fn list_changes(record: &Record, wanted: &Wanted, facts: &Facts, decision: &mut Decision) {
    let mut changes = Vec::new();
    if let Some(from) = &wanted.moved_from {
        changes.push(Change::Moved(from.clone()));
    }
    if wanted.username != record.username {
        let (from, to) = (record.username.to_string(), wanted.username.to_string());
        changes.push(Change::Username { from, to });
    } else if !wanted.continues(record) {
        changes.push(Change::AuthenticationType);
    }
    let added = wanted.clusters.iter().filter(|name| !record.clusters.contains_key(*name)).cloned().collect::<Vec<_>>();
    let removed = record.clusters.keys().filter(|name| !wanted.clusters.contains(name)).cloned().collect::<Vec<_>>();
    if !added.is_empty() {
        changes.push(Change::ClustersAdded(added));
    }
    if !removed.is_empty() {
        changes.push(Change::ClustersRemoved(removed));
    }
    if let (WantedAuthentication::Scram { mechanisms, iterations, given, .. }, Some(active)) =
        (&wanted.authentication, &record.active)
    {
        if !mechanisms.contains(&active.mechanism) {
            changes.push(Change::Mechanism(active.mechanism));
        }
        if iterations.count() != active.iterations {
            changes.push(Change::Iterations { from: active.iterations, to: iterations.count() });
        }
        if given_changed(record, given.as_ref(), facts) {
            changes.push(Change::Password);
        }
    }
    changes.extend(record.adopted.iter().map(|slot| Change::AdoptedCredential(slot.mechanism)));
    changes.dedup();
    decision.blocked.extend(changes.into_iter().map(Blocked::NeedsRotation));
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

fn decide_deletion(record: &Record, facts: &Facts, now: Timestamp, decision: &mut Decision) {
    match record.phase {
        Phase::Deleted => {
            let over = record.deletion.as_ref().filter(|deletion| now >= deletion.undo_until);
            decision.transitions.extend(over.and_then(|deletion| deletion.kept).map(Transition::Expire));
        }
        Phase::Deleting => {
            decision.transitions.push(Transition::Delete);
            list_unreachable(&record.clusters.keys().cloned().collect::<Vec<_>>(), facts, decision);
        }
        Phase::Idle | Phase::Prepared => {
            if record.deletion_policy == DeletionPolicy::Retain {
                return;
            }
            for cluster in record.clusters.keys() {
                block_deletion(record, cluster, facts, decision);
            }
            if decision.blocked.is_empty() {
                decision.transitions.push(Transition::Delete);
            }
        }
        phase @ (Phase::Verified
        | Phase::Published
        | Phase::Confirmed
        | Phase::Retiring
        | Phase::Aborting
        | Phase::Revoking) => decision.blocked.push(Blocked::UnderWay(phase)),
    }
}

/// A deletion is blocked by a stranger in a slot, and by a cluster that is not the one the record knows.
fn block_deletion(record: &Record, cluster: &ClusterName, facts: &Facts, decision: &mut Decision) {
    let seen = match facts.cluster(cluster) {
        Seen::Known(seen) => seen,
        Seen::Unknown(why) => {
            decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why });
            return;
        }
    };
    if record.clusters.get(cluster) != Some(&seen.id) && seen.access.known().is_none_or(|access| access.present) {
        decision.blocked.push(Blocked::Unowned { cluster: cluster.clone(), found: Foreign::Access });
    }
    let slots = seen.slots.known().into_iter().flatten();
    for (&mechanism, slot) in slots {
        if kinship(record, cluster, mechanism, slot) == Kinship::Foreign {
            decision.blocked.push(Blocked::ForeignCredential { cluster: cluster.clone(), mechanism });
        }
    }
}
