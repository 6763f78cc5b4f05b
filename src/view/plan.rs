//! The picture of a plan.

use std::collections::BTreeMap;

use super::access::{access_lines, quota_lines};
use super::number::counted;
use crate::credential::{Drift, Maintenance, Provision, Record, Transition};
use crate::names::{ClusterName, NamespacedName, UserName};
use crate::plan::{Options, Plan, UserPlan};
use crate::state::{AccessChange, Desired, Observed};

/// The picture of a plan: what would change, and what would not and why. Holds no secret.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// `kastellan.io/plan/v1alpha1`.
    pub schema: &'static str,
    /// The scope of the documents.
    pub scope: String,
    /// Clusters of the documents, sorted.
    pub clusters: Vec<String>,
    /// Stores that users refer to, sorted.
    pub stores: Vec<String>,
    /// Users the documents declare.
    pub declared: usize,
    /// Users that are exactly as declared.
    pub in_step: usize,
    /// Users with something to do, sorted.
    pub users: Vec<UserView>,
    /// What is not done, and why.
    pub reports: Vec<ReportView>,
    /// Why the plan as a whole may not be applied; empty when it may.
    pub refusals: Vec<ReportView>,
    /// Counts.
    pub summary: Summary,
    /// SHA-256 over what would be done and from which state, in hex: equal for two plans that do the same.
    pub digest: String,
}

/// What would be done for one user.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// Its document.
    pub user: NamespacedName,
    /// Its name in Kafka.
    pub username: UserName,
    /// In the order they are read, not executed.
    pub actions: Vec<ActionView>,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionView {
    /// How it changes things.
    pub change: Change,
    /// What it changes.
    pub subject: Subject,
    /// Where; empty for what is not on a cluster.
    pub clusters: Vec<ClusterName>,
    /// What it does.
    pub text: String,
    /// Why, where that is not plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it takes something away that somebody may be using.
    pub destructive: bool,
}

/// How a line changes things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Something comes.
    Add,
    /// Something becomes different.
    Change,
    /// Something goes.
    Remove,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// The user as a whole.
    User,
    /// Its credential.
    Credential,
    /// Its ACLs.
    Acl,
    /// Its quotas.
    Quota,
    /// The document applications read.
    Document,
    /// A delivery.
    Delivery,
    /// What is kept about it.
    Record,
}

impl Subject {
    /// The word in texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Credential => "credential",
            Self::Acl => "acl",
            Self::Quota => "quota",
            Self::Document => "document",
            Self::Delivery => "delivery",
            Self::Record => "record",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportView {
    /// `waiting`, `blocked`, `undeclared`, `suspended` or `refused`.
    pub kind: &'static str,
    /// Whom it is about; absent: the pass as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<NamespacedName>,
    /// What is said.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Counts of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Lines that add.
    pub add: usize,
    /// Lines that change.
    pub change: usize,
    /// Lines that remove.
    pub remove: usize,
    /// Lines that are destructive.
    pub destructive: usize,
    /// Users, ACLs and quotas that go.
    pub deletes: usize,
    /// The most that may go.
    pub max_deletes: usize,
}

impl PlanView {
    /// Draws a plan.
    pub fn new(plan: &Plan, desired: &Desired, observed: &Observed, options: &Options) -> Self {
        let users = plan.users.iter().map(|(user, plan)| UserView {
            user: user.clone(),
            username: plan.username.clone(),
            actions: actions(plan, observed, options),
        });
        let users = users.collect::<Vec<_>>();
        let reports = plan.reports.iter().map(|report| ReportView {
            kind: report.what.heading(),
            user: report.user.clone(),
            text: report.what.to_string(),
            hint: report.what.hint(),
        });
        let refusals = plan.refusals.iter().map(|refusal| ReportView {
            kind: "refused",
            user: None,
            text: refusal.to_string(),
            hint: Some(refusal.hint()),
        });
        let mut view = Self {
            schema: "kastellan.io/plan/v1alpha1",
            scope: desired.scope.to_string(),
            clusters: desired.clusters.keys().map(ToString::to_string).collect(),
            stores: desired.stores().into_iter().map(ToString::to_string).collect(),
            declared: plan.declared,
            in_step: plan.in_step,
            summary: summarise(&users, plan),
            users,
            reports: reports.collect(),
            refusals: refusals.collect(),
            digest: String::new(),
        };
        view.digest = view.digest_with(plan);
        view
    }

    /// The digest covers what would be done and the version of each record it starts from.
    fn digest_with(&self, plan: &Plan) -> String {
        let versions = plan
            .users
            .iter()
            .map(|(user, plan)| (user.to_string(), plan.record.as_ref().map(|record| record.version.0.clone())));
        let versions = versions.collect::<BTreeMap<_, _>>();
        let text = serde_json::to_vec(&(&self.scope, &self.users, &self.refusals, versions))
            .expect("a plan is made of texts and numbers");
        let digest = ring::digest::digest(&ring::digest::SHA256, &text);
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn summarise(users: &[UserView], plan: &Plan) -> Summary {
    let mut summary = Summary { deletes: plan.deletes, max_deletes: plan.max_deletes, ..Summary::default() };
    for action in users.iter().flat_map(|user| &user.actions) {
        match action.change {
            Change::Add => summary.add += 1,
            Change::Change => summary.change += 1,
            Change::Remove => summary.remove += 1,
        }
        summary.destructive += usize::from(action.destructive);
    }
    summary
}

fn action(change: Change, subject: Subject, text: impl Into<String>) -> ActionView {
    ActionView { change, subject, clusters: Vec::new(), text: text.into(), reason: None, destructive: false }
}

impl ActionView {
    fn on(mut self, clusters: impl IntoIterator<Item = ClusterName>) -> Self {
        self.clusters = clusters.into_iter().collect();
        self
    }

    fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    fn destructive(mut self) -> Self {
        self.destructive = true;
        self
    }
}

fn actions(plan: &UserPlan, observed: &Observed, options: &Options) -> Vec<ActionView> {
    let record = plan.record.as_ref().map(|record| &record.value);
    let mut actions = Vec::new();
    for transition in &plan.transitions {
        match transition {
            Transition::Claim => actions.push(
                action(Change::Add, Subject::User, "take note of it; somebody else authenticates it")
                    .on(plan.clusters.clone()),
            ),
            Transition::Provision(provision) => provision_actions(plan, provision, record, observed, &mut actions),
            Transition::Resume(generation) => actions.push(
                action(
                    Change::Add,
                    Subject::Credential,
                    format!("finish the first provisioning of generation {generation}"),
                )
                .on(plan.clusters.clone())
                .because("an earlier apply was interrupted"),
            ),
            Transition::Rotate(rotate) => actions.push(rotation_action(plan, rotate, record)),
            Transition::Retire => actions.push(action(
                Change::Remove,
                Subject::Credential,
                match record.and_then(|record| record.previous.as_ref()) {
                    Some(previous) => format!("retire generation {} ({})", previous.generation, previous.mechanism),
                    None => "retire what is old".to_owned(),
                },
            )),
            Transition::Acknowledge(generation) => actions.push(action(
                Change::Change,
                Subject::Record,
                format!("note that every consumer has moved to generation {generation}"),
            )),
            Transition::Restarted => {
                actions.push(action(Change::Change, Subject::Record, "note that the brokers were restarted"));
            }
            Transition::Abort => {
                actions.push(action(Change::Remove, Subject::Credential, "take the pending credential back"))
            }
            Transition::Revoke(revoke) => actions.push(
                action(
                    Change::Change,
                    Subject::Credential,
                    format!("revoke; a fresh one into {}", revoke.place.mechanism),
                )
                .on(plan.clusters.clone())
                .destructive(),
            ),
            Transition::Recover(recovery) => actions.push(action(
                Change::Change,
                Subject::Record,
                format!("note that generation {} was seen", recovery.seen),
            )),
            Transition::Leave(clusters) => actions.push(
                action(Change::Remove, Subject::User, "leaves the cluster").on(clusters.iter().cloned()).destructive(),
            ),
            Transition::Pay(clusters) => actions.push(
                action(Change::Remove, Subject::Credential, "what is left there goes").on(clusters.iter().cloned()),
            ),
            Transition::Maintain(todo) => maintenance_actions(todo, record, &mut actions),
            Transition::Delete => actions.push(deletion_action(plan, record, options)),
            Transition::Expire(generation) => actions.push(
                action(
                    Change::Remove,
                    Subject::Record,
                    format!("destroy the kept password of generation {generation}"),
                )
                .because("its time for undo is over"),
            ),
        }
    }
    let deletes = plan.transitions.contains(&Transition::Delete);
    if !deletes {
        access_actions(plan, &mut actions);
    }
    actions
}

fn rotation_action(plan: &UserPlan, rotate: &crate::credential::Rotate, record: Option<&Record>) -> ActionView {
    let text = match record.and_then(|record| Some((record.active.as_ref()?, record.allotted.next()))) {
        Some((active, next)) => {
            format!("rotate {} ({}) → {next} ({})", active.generation, active.mechanism, rotate.place.mechanism)
        }
        None => format!("a fresh credential in {}", rotate.place.mechanism),
    };
    let reasons = rotate.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    action(Change::Change, Subject::Credential, text).on(plan.clusters.clone()).because(reasons)
}

fn brokers(plan: &UserPlan, observed: &Observed) -> usize {
    let clusters = plan.clusters.iter().filter_map(|name| observed.clusters.get(name)?.known());
    clusters.map(|cluster| cluster.brokers.len()).sum()
}

fn provision_actions(
    plan: &UserPlan,
    provision: &Provision,
    record: Option<&Record>,
    observed: &Observed,
    actions: &mut Vec<ActionView>,
) {
    let generation = record.map_or(1, |record| record.allotted.0 + 1);
    let places = match plan.deliveries.len() {
        0 => "the store".to_owned(),
        count => format!("the store and {}", counted(count, "place")),
    };
    let text = format!(
        "generation {generation} into {}; login on {}; publish to {places}",
        provision.mechanism,
        counted(brokers(plan, observed), "broker"),
    );
    let mut line = action(Change::Add, Subject::Credential, text).on(plan.clusters.clone());
    if let Some(restored) = provision.restores {
        line = line.because(format!(
            "the user is back within its time for undo: the password of generation {restored} comes back, by the other \
             mechanism if that is allowed and the fence of the deletion still holds this one"
        ));
    }
    actions.push(line);
    for slot in &provision.adopts {
        let is_replaced = provision.replaces && slot.mechanism == provision.mechanism;
        let (text, change) = if is_replaced {
            (format!("the unknown {} credential is replaced", slot.mechanism), Change::Remove)
        } else {
            (
                format!("the unknown {} credential is adopted and stays valid until it is retired", slot.mechanism),
                Change::Change,
            )
        };
        let line = action(change, Subject::Credential, text).on([slot.cluster.clone()]).because("`adopt`");
        actions.push(if is_replaced { line.destructive() } else { line });
    }
}

fn maintenance_actions(todo: &Maintenance, record: Option<&Record>, actions: &mut Vec<ActionView>) {
    let slot = record.and_then(|record| record.active.as_ref());
    for (cluster, drift) in &todo.reassert {
        let Some(slot) = slot else { continue };
        let reason = match drift {
            Drift::Missing => "it is not there",
            Drift::Changed => "somebody changed it",
        };
        let text = format!("assert generation {} in {} again; no new password", slot.generation, slot.mechanism);
        actions.push(action(Change::Change, Subject::Credential, text).on([cluster.clone()]).because(reason));
    }
    for (cluster, id) in &todo.rebind {
        let text = format!("take note of the cluster's new id {id}");
        actions.push(action(Change::Change, Subject::Record, text).on([cluster.clone()]).because("it was rebuilt"));
    }
    for slot in &todo.adopts {
        let text = format!("the unknown {} credential is adopted and stays valid until it is retired", slot.mechanism);
        actions.push(action(Change::Change, Subject::Credential, text).on([slot.cluster.clone()]).because("`adopt`"));
    }
    if let Some(why) = &todo.republish {
        let text = "write the credential document again";
        actions.push(action(Change::Change, Subject::Document, text).because(&**why));
    }
    for (name, why) in &todo.deliver {
        actions.push(action(Change::Change, Subject::Delivery, format!("write `{name}`")).because(&**why));
    }
    for name in &todo.recall {
        let text = format!("remove `{name}`");
        actions
            .push(action(Change::Remove, Subject::Delivery, text).because("it is not declared any more").destructive());
    }
    if let Some(policy) = todo.deletion_policy {
        actions.push(action(Change::Change, Subject::Record, format!("deletion policy becomes {policy:?}")));
    }
    if !todo.destroy.is_empty() {
        let numbers = todo.destroy.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        actions.push(action(
            Change::Remove,
            Subject::Record,
            format!("destroy the retired password of generation {numbers}"),
        ));
    }
}

fn deletion_action(plan: &UserPlan, record: Option<&Record>, options: &Options) -> ActionView {
    let mut parts = Vec::new();
    let acls = plan.access.values().map(|change| change.delete.len()).sum::<usize>();
    let quotas = plan.access.values().filter_map(|change| change.quotas).map(|change| change.removed()).sum::<usize>();
    if let Some(slot) = record.and_then(|record| record.active.as_ref().or(record.pending.as_deref())) {
        parts.push(format!("its {} credential (generation {})", slot.mechanism, slot.generation));
    }
    parts.extend((acls > 0).then(|| counted(acls, "ACL")));
    parts.extend((quotas > 0).then(|| counted(quotas, "quota")));
    let deliveries = record.map_or(0, |record| record.deliveries.len());
    parts.extend(
        (deliveries > 0)
            .then(|| if deliveries == 1 { "1 delivery".to_owned() } else { format!("{deliveries} deliveries") }),
    );
    let what = if parts.is_empty() { String::new() } else { format!(" with {}", parts.join(", ")) };
    let is_under_way = record.is_some_and(|record| record.phase == crate::credential::Phase::Deleting);
    let days = options.undo_for.as_secs() / 86_400;
    let (text, reason) = if is_under_way {
        (format!("finish its deletion{what}"), "an earlier apply was interrupted".to_owned())
    } else {
        let undo = if days > 0 {
            counted(usize::try_from(days).unwrap_or(usize::MAX), "day")
        } else {
            format!("{} s", options.undo_for.as_secs())
        };
        (format!("deleted{what}; can be undone for {undo}"), "no document declares it".to_owned())
    };
    action(Change::Remove, Subject::User, text).on(plan.clusters.clone()).because(reason).destructive()
}

/// ACLs and quotas; clusters with the same change share their lines.
fn access_actions(plan: &UserPlan, actions: &mut Vec<ActionView>) {
    let mut grouped: Vec<(&AccessChange, Vec<ClusterName>)> = Vec::new();
    for (account, change) in plan.access_due() {
        match grouped.iter_mut().find(|(known, _)| *known == change) {
            Some((_, clusters)) => clusters.push(account.cluster.clone()),
            None => grouped.push((change, vec![account.cluster.clone()])),
        }
    }
    for (change, clusters) in grouped {
        for line in access_lines(&change.create) {
            actions.push(action(Change::Add, Subject::Acl, line.text).on(clusters.clone()));
        }
        for line in access_lines(&change.delete) {
            let removed = action(Change::Remove, Subject::Acl, line.text).on(clusters.clone()).because("not declared");
            actions.push(removed.destructive());
        }
        let Some(quotas) = change.quotas else { continue };
        if quotas.to.is_empty() {
            let text = quota_lines(&quotas.from).join(", ");
            let line = action(Change::Remove, Subject::Quota, text).on(clusters.clone()).because("not declared");
            actions.push(line.destructive());
        } else {
            let is_new = quotas.from.is_empty();
            let text = quota_lines(&quotas.to).join(", ");
            let line = action(if is_new { Change::Add } else { Change::Change }, Subject::Quota, text);
            let line = line.on(clusters.clone());
            actions.push(if is_new {
                line
            } else {
                line.because(format!("was {}", quota_lines(&quotas.from).join(", ")))
            });
        }
    }
}
