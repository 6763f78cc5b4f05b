//! One line of a plan, and how it is put together.

use crate::names::{ClusterName, UserName};

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
    /// Names in Kafka that it is about, where that is not the user's own alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<UserName>,
    /// What it does.
    pub text: String,
    /// Why, where that is not plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What follows in time, as things stand now, e.g. until when an old credential stays valid; no part of the digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlook: Option<String>,
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

/// A line that says what it does; where, why and what follows are added to it.
pub(super) fn action(change: Change, subject: Subject, text: impl Into<String>) -> ActionView {
    ActionView {
        change,
        subject,
        clusters: Vec::new(),
        names: Vec::new(),
        text: text.into(),
        reason: None,
        outlook: None,
        destructive: false,
    }
}

impl ActionView {
    pub(super) fn on(mut self, clusters: impl IntoIterator<Item = ClusterName>) -> Self {
        self.clusters = clusters.into_iter().collect();
        self
    }

    pub(super) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// What follows in time; several parts are one sentence.
    pub(super) fn later(mut self, parts: impl IntoIterator<Item = String>) -> Self {
        let parts = parts.into_iter().collect::<Vec<_>>();
        self.outlook = (!parts.is_empty()).then(|| parts.join("; "));
        self
    }

    pub(super) fn destructive(mut self) -> Self {
        self.destructive = true;
        self
    }
}
