//! The picture of a comparison of two sets of documents.

use std::cmp::Reverse;

use super::access::{access_lines, quota_lines};
use super::plan::Change;
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
    /// In the same order as the documents.
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
        let mut differences =
            document.differences.iter().flat_map(|line| draw(line, kind, username)).collect::<Vec<_>>();
        differences.sort_by_key(|line| Reverse((line.widens.is_some(), line.destructive)));
        Self { kind, name, username: document.username.clone(), suspended: document.suspended, differences }
    }
}

/// The lines of one difference.
fn draw(difference: &Difference, kind: &'static str, username: Option<&UserName>) -> Vec<DifferenceView> {
    let line = |change, subject, text| DifferenceView {
        change,
        subject,
        clusters: difference.clusters.clone(),
        text,
        widens: difference.widens.map(|why| why.to_string()),
        destructive: difference.destructive,
        needs_rotation: difference.needs_rotation,
    };
    // The principal is said only where it is not the one in the heading.
    let whose = |principal: &UserName| match username {
        Some(username) if username == principal => String::new(),
        Some(_) | None => format!(" for User:{principal}"),
    };
    let rules = |change, principal: &UserName, rules: &[AclRule]| {
        let lines = access_lines(rules).into_iter();
        lines.map(|rule| line(change, "acl", rule.text + &whose(principal))).collect::<Vec<_>>()
    };
    match &difference.what {
        What::Added(about) => vec![line(Change::Add, kind, about.clone())],
        What::Removed => vec![line(Change::Remove, kind, "no document declares it any more".to_owned())],
        What::UserAdded { authentication, deletion_policy } => {
            let policy = policy_text(*deletion_policy);
            vec![line(Change::Add, "user", format!("declared, authentication {authentication}, {policy}"))]
        }
        What::UserRemoved { deletion_policy, deliveries } => {
            vec![line(Change::Remove, "user", removed_text(*deletion_policy, *deliveries))]
        }
        What::TakenFrom(other) => {
            vec![line(Change::Change, "user", format!("its Kafka user was declared by {other} before"))]
        }
        What::Credential(field) => {
            let (change, text) = field_text(field);
            vec![line(change, "credential", text)]
        }
        What::Setting(field) => {
            let (change, text) = field_text(field);
            vec![line(change, kind, text)]
        }
        What::RulesAdded(principal, added) => rules(Change::Add, principal, added),
        What::RulesRemoved(principal, removed) => rules(Change::Remove, principal, removed),
        What::RulesManaged(principal) => {
            let text = format!("declared from now on{}: others that exist are removed", whose(principal));
            vec![line(Change::Change, "acl", text)]
        }
        What::RulesUnmanaged(principal) => {
            let text = format!("not declared at all any more{}: what exists stays as it is", whose(principal));
            vec![line(Change::Change, "acl", text)]
        }
        What::Quotas { principal, from, to } => {
            let (change, text) = quota_text(*from, *to);
            vec![line(change, "quota", text + &whose(principal))]
        }
        What::Delivery { name, from, to } => {
            let change = FieldChange { field: "", from: from.clone(), to: to.clone() };
            let (change, text) = field_text(&change);
            vec![line(change, "delivery", format!("{name}{text}"))]
        }
    }
}

const fn policy_text(policy: DeletionPolicy) -> &'static str {
    match policy {
        DeletionPolicy::Delete => "deletion policy Delete",
        DeletionPolicy::Retain => "deletion policy Retain",
    }
}

fn removed_text(policy: DeletionPolicy, deliveries: usize) -> String {
    match policy {
        DeletionPolicy::Retain => {
            "no document declares it any more; it is left as it is (deletion policy Retain)".to_owned()
        }
        DeletionPolicy::Delete => {
            let published = match deliveries {
                0 => String::new(),
                1 => " and 1 delivery".to_owned(),
                count => format!(" and {count} deliveries"),
            };
            format!(
                "no document declares it any more: a pass that prunes deletes it, with its credential, ACLs, quotas{published}"
            )
        }
    }
}

fn field_text(change: &FieldChange) -> (Change, String) {
    let field = change.field;
    match (&change.from, &change.to) {
        (Some(from), Some(to)) => (Change::Change, format!("{field}: {from} → {to}")),
        (None, Some(to)) => (Change::Add, format!("{field}: {to}")),
        (Some(from), None) => (Change::Remove, format!("{field}: {from}")),
        (None, None) => (Change::Change, field.to_owned()),
    }
}

fn quota_text(from: Option<UserQuotas>, to: Option<UserQuotas>) -> (Change, String) {
    let list = |quotas: UserQuotas| match quotas.is_empty() {
        true => "none".to_owned(),
        false => quota_lines(&quotas).join(", "),
    };
    match (from, to) {
        (_, None) => (Change::Change, "not declared at all any more: what exists stays as it is".to_owned()),
        (None, Some(to)) => {
            (Change::Change, format!("{}; declared from now on: others that exist are removed", list(to)))
        }
        (Some(from), Some(to)) if from.is_empty() => (Change::Add, list(to)),
        (Some(from), Some(to)) if to.is_empty() => (Change::Remove, list(from)),
        (Some(from), Some(to)) => (Change::Change, format!("{} → {}", list(from), list(to))),
    }
}
