//! The picture of a comparison of two sets of documents.

use std::cmp::Reverse;

use super::access::{access_lines, quota_lines};
use super::action::Change;
use crate::names::{AclRule, ClusterName, UserName, UserQuotas};
use crate::plan::{Comparison, Difference, DocumentDifferences, DocumentId, FieldChange, What};
use crate::spec::{DeletionPolicy, Documents};

/// The picture of what a change of documents means. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonView {
    /// `kastellan.io/comparison/v1alpha1`.
    pub schema: &'static str,
    /// Where the older documents come from, e.g. `main`.
    pub before: String,
    /// Where the newer documents come from, e.g. `kastellan`.
    pub after: String,
    /// Users that the older documents declare.
    pub users_before: usize,
    /// Users that the newer documents declare.
    pub users_after: usize,
    /// Documents that differ: those that widen access first, then those that take something away.
    pub documents: Vec<DocumentView>,
    /// Counts.
    pub summary: ComparisonSummary,
    /// Whether there is more than one cluster to tell apart.
    #[serde(skip)]
    pub(super) names_clusters: bool,
}

/// How one document differs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentView {
    /// `user`, `cluster` or `store`.
    pub kind: &'static str,
    /// Its name; of a user `namespace/name`.
    pub name: String,
    /// The user's name in Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<UserName>,
    /// Whether nothing is carried out for now.
    pub suspended: bool,
    /// What is about the document as a whole first, then in the order of the documents.
    pub differences: Vec<DifferenceView>,
}

/// One line of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceView {
    /// How it differs.
    pub change: Change,
    /// `user`, `credential`, `acl`, `quota`, `delivery`, `cluster` or `store`.
    pub subject: &'static str,
    /// Where; empty for what is about the document as a whole.
    pub clusters: Vec<ClusterName>,
    /// What it is.
    pub text: String,
    /// How it is meant, or what follows from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why it may open more than it seems to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widens: Option<String>,
    /// Whether it takes something away that somebody may be using.
    pub destructive: bool,
    /// Whether only a rotation can carry it out on a live user.
    pub needs_rotation: bool,
}

/// Counts of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonSummary {
    /// Lines that add.
    pub add: usize,
    /// Lines that change.
    pub change: usize,
    /// Lines that remove.
    pub remove: usize,
    /// Lines that widen access.
    pub widens: usize,
    /// Lines that are destructive.
    pub destructive: usize,
    /// Lines that need a rotation on a live user.
    pub needs_rotation: usize,
}

impl ComparisonView {
    /// Draws a comparison of two sets of documents, each with the name people know it by.
    pub fn new(comparison: &Comparison, before: (&str, &Documents), after: (&str, &Documents)) -> Self {
        let mut documents =
            comparison.documents.iter().map(|(id, document)| DocumentView::new(id, document)).collect::<Vec<_>>();
        documents.sort_by_key(|document| {
            let has = |is: fn(&DifferenceView) -> bool| document.differences.iter().any(is);
            Reverse((has(|line| line.widens.is_some()), has(|line| line.destructive)))
        });
        let ((before, old), (after, new)) = (before, after);
        let names = old.clusters.keys().chain(new.clusters.keys()).collect::<std::collections::BTreeSet<_>>();
        Self {
            schema: "kastellan.io/comparison/v1alpha1",
            before: before.to_owned(),
            after: after.to_owned(),
            users_before: old.users.len(),
            users_after: new.users.len(),
            summary: summarise(&documents),
            documents,
            names_clusters: names.len() > 1,
        }
    }
}

fn summarise(documents: &[DocumentView]) -> ComparisonSummary {
    let mut summary = ComparisonSummary::default();
    for line in documents.iter().flat_map(|document| &document.differences) {
        match line.change {
            Change::Add => summary.add += 1,
            Change::Change => summary.change += 1,
            Change::Remove => summary.remove += 1,
        }
        summary.widens += usize::from(line.widens.is_some());
        summary.destructive += usize::from(line.destructive);
        summary.needs_rotation += usize::from(line.needs_rotation);
    }
    summary
}

impl DocumentView {
    fn new(id: &DocumentId, document: &DocumentDifferences) -> Self {
        let (kind, name) = match id {
            DocumentId::Store(name) => ("store", name.to_string()),
            DocumentId::Cluster(name) => ("cluster", name.to_string()),
            DocumentId::User(user) => ("user", user.to_string()),
        };
        let username = document.username.as_ref();
        let mut differences = document.differences.iter().collect::<Vec<_>>();
        differences.sort_by_key(|line| Reverse((line.what.is_whole(), line.widens.is_some(), line.destructive)));
        let differences = differences.into_iter().flat_map(|line| draw(line, kind, username)).collect();
        Self { kind, name, username: document.username.clone(), suspended: document.suspended, differences }
    }
}

/// What one line says, before it is known where and how risky it is.
struct Line {
    change: Change,
    subject: &'static str,
    text: String,
    detail: Option<String>,
}

impl Line {
    fn new(change: Change, subject: &'static str, text: impl Into<String>) -> Self {
        Self { change, subject, text: text.into(), detail: None }
    }

    fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// A field that came, went or changed; `of` is what it belongs to.
    fn field(subject: &'static str, of: &str, field: &FieldChange) -> Self {
        let name = format!("{of}{}", field.field);
        match (&field.from, &field.to) {
            (Some(from), Some(to)) => Self::new(Change::Change, subject, format!("{name}: {from} → {to}")),
            (None, Some(to)) => Self::new(Change::Add, subject, format!("{name}: {to}")),
            (Some(from), None) => Self::new(Change::Remove, subject, format!("{name}: {from}")),
            (None, None) => Self::new(Change::Change, subject, name),
        }
    }
}

/// The lines of one difference, with what they have in common.
fn draw(difference: &Difference, kind: &'static str, username: Option<&UserName>) -> Vec<DifferenceView> {
    let lines = lines(&difference.what, kind, username).into_iter().map(|line| DifferenceView {
        change: line.change,
        subject: line.subject,
        clusters: difference.clusters.clone(),
        text: line.text,
        detail: line.detail,
        widens: difference.widens.map(|why| why.to_string()),
        destructive: difference.destructive,
        needs_rotation: difference.needs_rotation,
    });
    lines.collect()
}

const STAYS: &str = "what exists stays as it is";
const OTHERS_GO: &str = "others that exist are removed";

fn lines(what: &What, kind: &'static str, username: Option<&UserName>) -> Vec<Line> {
    // The principal is said only where it is not the one in the heading.
    let whose = |principal: &UserName| match username {
        Some(username) if username == principal => String::new(),
        Some(_) | None => format!(" for User:{principal}"),
    };
    let rules = |change, principal: &UserName, rules: &[AclRule]| {
        let lines = access_lines(rules).into_iter();
        lines.map(|rule| Line::new(change, "acl", rule.text + &whose(principal))).collect::<Vec<_>>()
    };
    vec![match what {
        What::RulesAdded(principal, added) => return rules(Change::Add, principal, added),
        What::RulesRemoved(principal, removed) => return rules(Change::Remove, principal, removed),
        What::Added(about) => Line::new(Change::Add, kind, about),
        What::Removed => Line::new(Change::Remove, kind, "not declared any more"),
        What::UserAdded { authentication, deletion_policy } => {
            let policy = policy_name(*deletion_policy);
            let detail = format!("authentication {authentication}, deletion policy {policy}");
            Line::new(Change::Add, "user", "declared").detail(detail)
        }
        What::UserRemoved { deletion_policy, deliveries } => removed_user(*deletion_policy, *deliveries),
        What::TakenFrom(other) => {
            Line::new(Change::Change, "user", format!("its Kafka user was declared by {other} before"))
        }
        What::Credential(field) => Line::field("credential", "", field),
        What::Setting(field) => Line::field(kind, "", field),
        What::RulesManaged(principal) => {
            Line::new(Change::Change, "acl", format!("declared from now on{}", whose(principal))).detail(OTHERS_GO)
        }
        What::RulesUnmanaged(principal) => {
            Line::new(Change::Change, "acl", format!("not declared at all any more{}", whose(principal))).detail(STAYS)
        }
        What::Quotas { principal, from, to } => quotas(*from, *to, &whose(principal)),
        What::DeliveryAdded(name, text) => Line::new(Change::Add, "delivery", format!("{name}: {text}")),
        What::DeliveryRemoved(name, text) => Line::new(Change::Remove, "delivery", format!("{name}: {text}")),
        What::DeliveryChanged(name, field) => Line::field("delivery", &format!("{name}: "), field),
    }]
}

const fn policy_name(policy: DeletionPolicy) -> &'static str {
    match policy {
        DeletionPolicy::Delete => "Delete",
        DeletionPolicy::Retain => "Retain",
    }
}

fn removed_user(policy: DeletionPolicy, deliveries: usize) -> Line {
    let line = Line::new(Change::Remove, "user", "not declared any more");
    let published = match deliveries {
        0 => String::new(),
        1 => ", 1 delivery".to_owned(),
        count => format!(", {count} deliveries"),
    };
    line.detail(match policy {
        DeletionPolicy::Retain => "it is left as it is (deletion policy Retain)".to_owned(),
        DeletionPolicy::Delete => {
            format!("a pass that prunes deletes it with everything it has: credential, ACLs, quotas{published}")
        }
    })
}

fn quotas(from: Option<UserQuotas>, to: Option<UserQuotas>, whose: &str) -> Line {
    let list = |quotas: UserQuotas| match quotas.is_empty() {
        true => format!("none{whose}"),
        false => format!("{}{whose}", quota_lines(&quotas).join(", ")),
    };
    let line = |change, text| Line::new(change, "quota", text);
    match (from, to) {
        (_, None) => line(Change::Change, format!("not declared at all any more{whose}")).detail(STAYS),
        (None, Some(to)) => line(Change::Change, format!("declared from now on: {}", list(to))).detail(OTHERS_GO),
        (Some(from), Some(to)) if from.is_empty() => line(Change::Add, list(to)),
        (Some(from), Some(to)) if to.is_empty() => line(Change::Remove, list(from)),
        (Some(from), Some(to)) => line(Change::Change, format!("{} → {}", list(from), list(to))),
    }
}
