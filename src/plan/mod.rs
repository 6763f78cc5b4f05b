//! The plan: what leads from observed to desired, decided user by user, and a report of everything that is not done and
//! why. Pure, synchronous, silent.

mod against;
mod limits;
mod report;

pub use against::{Comparison, Difference, DocumentDifferences, DocumentId, FieldChange, What, Widening, compare};
pub use limits::Refusal;
pub use report::{Report, Reported};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::credential::{Account, Ask, Decision, Facts, Record, Seen, Transition, Versioned, Wanted, decide};
use crate::names::{ClusterName, NamespacedName, StoreName, UserName};
use crate::state::{AccessChange, Claims, Desired, DesiredDelivery, DesiredUser, Observed, RecordObserved, facts_of};

/// What a pass may do, beyond what the documents say.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// Whether users whose document is gone are deleted.
    pub prune: bool,
    /// The most users, ACLs and quotas that may go in one pass.
    pub max_deletes: usize,
    /// Whether every user of the scope may be deleted.
    pub allow_empty: bool,
    /// How long a deletion can be undone.
    pub undo_for: Duration,
    /// What a person asks for by name; the pass then does nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

/// What is asked for, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// What.
    pub what: Ask,
    /// For these users, and no other.
    pub users: BTreeSet<NamespacedName>,
}

impl Default for Options {
    fn default() -> Self {
        let undo_for = Duration::from_secs(7 * 24 * 3600);
        Self { prune: false, max_deletes: 10, allow_empty: false, undo_for, asked: None }
    }
}

/// Everything a pass would do.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// When it was made, UTC.
    pub at: Timestamp,
    /// Users for whom something is to be done.
    pub users: BTreeMap<NamespacedName, UserPlan>,
    /// What is not done, and why; sorted.
    pub reports: Vec<Report>,
    /// Why the pass as a whole may not run; empty when it may.
    pub refusals: Vec<Refusal>,
    /// How many users the documents declare.
    pub declared: usize,
    /// How many of them are exactly as declared.
    pub in_step: usize,
    /// What counts against the limit: users, ACLs and quotas that go.
    pub deletes: usize,
    /// The limit they are counted against.
    pub max_deletes: usize,
}

/// What is to be done for one user, with everything the engine needs to do it.
#[derive(Debug, Clone)]
pub struct UserPlan {
    /// Its name in Kafka.
    pub username: UserName,
    /// The store of its record.
    pub store: StoreName,
    /// Its record as it was read; the engine starts from this version.
    pub record: Option<Versioned<Record>>,
    /// What the document asks; `None` when it is gone.
    pub wanted: Option<Arc<Wanted>>,
    /// In this order.
    pub transitions: Vec<Transition>,
    /// What was known when this was decided.
    pub facts: Facts,
    /// ACLs and quotas to change, by account. Not all of them are due in this pass: [`UserPlan::access_due`].
    pub access: BTreeMap<Account, AccessChange>,
    /// Deliveries that are declared.
    pub deliveries: BTreeMap<crate::names::DeliveryName, DesiredDelivery>,
    /// Clusters in the document's order, else the record's.
    pub clusters: Vec<ClusterName>,
}

impl UserPlan {
    /// The ACLs and quotas that the transitions of this plan change.
    pub fn access_due(&self) -> impl Iterator<Item = (&Account, &AccessChange)> {
        self.access.iter().filter(|(account, _)| self.transitions.iter().any(|one| self.touches(one, account)))
    }

    fn touches(&self, transition: &Transition, account: &Account) -> bool {
        let is_asked_for = self.wanted.as_ref().is_some_and(|wanted| wanted.names().contains(&account.username));
        let record = self.record.as_ref().map(|record| &record.value);
        let active = record.and_then(|record| record.active.as_ref()).map(|slot| &slot.username);
        match transition {
            Transition::Claim | Transition::Provision(_) | Transition::Delete => true,
            Transition::Resume(_) => record.is_some_and(Record::is_first),
            Transition::Rotate(_) => is_asked_for && active != Some(&account.username),
            Transition::Retire => !is_asked_for && active != Some(&account.username),
            Transition::Abort => !is_asked_for && active != Some(&account.username),
            Transition::Maintain(todo) => todo.grant.contains(account) || todo.withdraw.contains(account),
            Transition::Pay(clusters) => clusters.contains(&account.cluster),
            // What a revocation cuts is said in its own line.
            Transition::Revoke(_)
            | Transition::Acknowledge(_)
            | Transition::Restarted
            | Transition::Recover(_)
            | Transition::Import(_)
            | Transition::Leave(_)
            | Transition::Expire(_)
            | Transition::Move(_) => false,
        }
    }

    fn deletes(&self) -> usize {
        self.access_due().map(|(_, change)| change.deletes()).sum()
    }
}

impl Plan {
    /// Whether there is anything to do.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether anything waits or is blocked.
    pub fn is_held_up(&self) -> bool {
        self.reports.iter().any(|report| report.what.is_held_up())
    }
}

/// Makes the plan.
pub fn plan(desired: &Desired, observed: &Observed, options: &Options, now: Timestamp) -> Plan {
    let claims = Claims::collect(desired, observed);
    let mut plan = Plan { at: now, declared: desired.users.len(), max_deletes: options.max_deletes, ..Plan::default() };
    report_stores(desired, observed, &mut plan);
    let asked = options.asked.as_ref();
    let is_meant = |user: &NamespacedName| asked.is_none_or(|asked| asked.users.contains(user));
    for (user, wanted) in desired.users.iter().filter(|(user, _)| is_meant(user)) {
        plan_declared(user, wanted, &claims, desired, observed, options, now, &mut plan);
    }
    if asked.is_some() {
        plan.refusals.extend(limits::refusals(&plan, desired, observed, options, 0));
        plan.reports.sort();
        return plan;
    }
    let mut gone = 0;
    for (user, seen) in &observed.records {
        if desired.users.contains_key(user) {
            continue;
        }
        match seen {
            Seen::Known(found) if found.record.value.scope == desired.scope => {
                gone += usize::from(plan_undeclared(user, found, &claims, desired, observed, options, now, &mut plan));
            }
            Seen::Known(_) => {}
            Seen::Unknown(why) => plan.report(user, Reported::waiting(why.clone())),
        }
    }
    plan.refusals.extend(limits::refusals(&plan, desired, observed, options, gone));
    plan.reports.sort();
    plan
}

impl Plan {
    fn report(&mut self, user: &NamespacedName, what: Reported) {
        self.reports.push(Report { user: Some(user.clone()), what });
    }
}

/// A store that cannot be listed holds up its users; said once, not once for each of them.
fn report_stores(desired: &Desired, observed: &Observed, plan: &mut Plan) {
    for (store, why) in &observed.stores_unknown {
        let users = desired.users.values().filter(|user| user.store == *store).count();
        let why = format!("store {store}: {why}; {users} of its users wait").into();
        plan.reports.push(Report { user: None, what: Reported::waiting(why) });
    }
}

#[expect(clippy::too_many_arguments, reason = "the nouns of one pass; a struct for one call would only rename them")]
fn plan_declared(
    user: &NamespacedName,
    wanted: &DesiredUser,
    claims: &Claims,
    desired: &Desired,
    observed: &Observed,
    options: &Options,
    now: Timestamp,
    plan: &mut Plan,
) {
    if wanted.suspend {
        return plan.report(user, Reported::Suspended);
    }
    if observed.stores_unknown.contains_key(&wanted.store) {
        return;
    }
    if let Some(refusal) = limits::protected(user, wanted, desired, observed) {
        return plan.refusals.push(refusal);
    }
    let found = match observed.records.get(user) {
        None => None,
        Some(Seen::Known(found)) => Some(found),
        Some(Seen::Unknown(why)) => return plan.report(user, Reported::waiting(why.clone())),
    };
    if let Some(second) = found.and_then(|found| found.also_in.clone()) {
        return plan.report(user, Reported::TwoRecords { stores: [wanted.store.clone(), second] });
    }
    if let Some(to) = found.and_then(|found| destination(found, Some(&wanted.store))) {
        return plan_move(
            user,
            found.expect("it goes from somewhere"),
            to,
            Some(wanted),
            claims,
            desired,
            observed,
            options,
            plan,
        );
    }
    let record = found.map(|found| &found.record);
    let ask = options.asked.as_ref().map(|asked| &asked.what);
    let revokes = matches!(ask, Some(Ask::Revoke { .. }));
    let value = record.map(|record| &record.value);
    let (facts, access) = facts_of(user, Some(wanted), value, revokes, claims, desired, observed);
    let decision = decide(value, Some(&wanted.wanted), &facts, ask, now);
    let is_still = decision.blocked.is_empty() && decision.waiting.is_empty() && decision.transitions.is_empty();
    plan.in_step += usize::from(is_still);
    let transitions = plan.take_notes(user, decision);
    if transitions.is_empty() {
        return;
    }
    let user_plan = UserPlan {
        username: wanted.wanted.username.clone(),
        store: wanted.store.clone(),
        record: record.cloned(),
        wanted: Some(wanted.wanted.clone()),
        transitions,
        facts,
        access,
        deliveries: wanted.deliveries.clone(),
        clusters: wanted.wanted.clusters.clone(),
    };
    plan.deletes += user_plan.deletes();
    plan.users.insert(user.clone(), user_plan);
}

/// The store that a user has to go to before anything else, if it is not the one it is in.
fn destination(found: &RecordObserved, wanted: Option<&StoreName>) -> Option<StoreName> {
    let begun = found.record.value.moving_to.as_deref();
    begun.or(wanted).filter(|to| **to != found.store).cloned()
}

#[expect(clippy::too_many_arguments, reason = "the nouns of one pass; a struct for one call would only rename them")]
fn plan_move(
    user: &NamespacedName,
    found: &RecordObserved,
    to: StoreName,
    wanted: Option<&DesiredUser>,
    claims: &Claims,
    desired: &Desired,
    observed: &Observed,
    options: &Options,
    plan: &mut Plan,
) {
    let from = &found.store;
    if options.asked.is_some() {
        let why = format!("it goes from store `{from}` to `{to}` first: run `kastellan apply`");
        return plan.report(user, Reported::waiting(why.into()));
    }
    if observed.stores_unknown.contains_key(&to) {
        return;
    }
    let record = &found.record.value;
    let (facts, access) = facts_of(user, wanted, Some(record), false, claims, desired, observed);
    let user_plan = UserPlan {
        username: record.username.clone(),
        store: found.store.clone(),
        record: Some(found.record.clone()),
        wanted: wanted.map(|wanted| wanted.wanted.clone()),
        transitions: vec![Transition::Move(to)],
        facts,
        access,
        deliveries: BTreeMap::new(),
        clusters: record.clusters.keys().cloned().collect(),
    };
    plan.users.insert(user.clone(), user_plan);
}

impl Plan {
    /// Moves what is blocked and waits into the report; hands back what is to be done.
    fn take_notes(&mut self, user: &NamespacedName, decision: Decision) -> Vec<Transition> {
        for blocked in decision.blocked {
            self.report(user, Reported::Blocked(blocked));
        }
        for waiting in decision.waiting {
            let why = match waiting.cluster {
                Some(cluster) => format!("{cluster}: {}", waiting.why).into(),
                None => waiting.why,
            };
            self.report(user, Reported::Waiting { why, hint: waiting.hint });
        }
        for note in decision.notes {
            self.report(user, Reported::UnderWay(note.into()));
        }
        decision.transitions
    }
}

/// Plans a user whose document is gone; answers whether it is deleted in this pass.
#[expect(clippy::too_many_arguments, reason = "the nouns of one pass; a struct for one call would only rename them")]
fn plan_undeclared(
    user: &NamespacedName,
    found: &RecordObserved,
    claims: &Claims,
    desired: &Desired,
    observed: &Observed,
    options: &Options,
    now: Timestamp,
    plan: &mut Plan,
) -> bool {
    if let Some(to) = destination(found, None) {
        plan_move(user, found, to, None, claims, desired, observed, options, plan);
        return false;
    }
    let record = &found.record.value;
    let (facts, access) = facts_of(user, None, Some(record), false, claims, desired, observed);
    let decision = decide(Some(record), None, &facts, None, now);
    let begins = decision.transitions == [Transition::Delete] && record.phase != crate::credential::Phase::Deleting;
    if record.claims_username() && !begins && decision.transitions.is_empty() && decision.blocked.is_empty() {
        plan.report(user, Reported::Retained);
        return false;
    }
    if begins && !options.prune {
        plan.report(user, Reported::Undeclared);
        return false;
    }
    let transitions = plan.take_notes(user, decision);
    if transitions.is_empty() {
        return false;
    }
    let deletes = transitions.contains(&Transition::Delete);
    let user_plan = UserPlan {
        username: record.username.clone(),
        store: found.store.clone(),
        record: Some(found.record.clone()),
        wanted: None,
        transitions,
        facts,
        access,
        deliveries: BTreeMap::new(),
        clusters: record.clusters.keys().cloned().collect(),
    };
    plan.deletes += usize::from(deletes) + user_plan.deletes();
    plan.users.insert(user.clone(), user_plan);
    begins
}
