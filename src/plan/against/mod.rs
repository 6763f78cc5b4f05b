//! What a change of documents means for who can do what, told from the documents alone: nothing is observed, and what is
//! live is not known. It is what a pull request is reviewed with.
//!
//! Access is compared by principal and cluster, not by document: a document that only moved changes nobody's rights.

mod access;
mod fields;
mod platform;
mod user;

use std::collections::BTreeMap;

use crate::names::{AclRule, ClusterName, DeliveryName, NamespacedName, StoreName, UserName, UserQuotas};
use crate::spec::{DeletionPolicy, Documents};
use crate::state::{Selection, resolve};

/// Everything that differs between two sets of documents; what is equal does not appear.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// By document.
    pub documents: BTreeMap<DocumentId, DocumentDifferences>,
}

impl Comparison {
    /// Whether both sets ask for the same.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }
}

/// Which document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentId {
    /// A `CredentialStore`.
    Store(StoreName),
    /// A `KafkaCluster`.
    Cluster(ClusterName),
    /// A `KafkaUser`.
    User(NamespacedName),
}

/// How one document differs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DocumentDifferences {
    /// Name in Kafka, of a user; the newer one where it changed.
    pub username: Option<UserName>,
    /// Whether nothing is carried out for now: the newer document says `suspend: true`.
    pub suspended: bool,
    /// Never empty.
    pub differences: Vec<Difference>,
}

/// One difference, and what a reviewer should know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What it is.
    pub what: What,
    /// Clusters it holds on, sorted; empty where it is about the document as a whole.
    pub clusters: Vec<ClusterName>,
    /// Why it may open more than it seems to; `None` for what is plain.
    pub widens: Option<Widening>,
    /// Whether it takes something away that somebody may be using.
    pub destructive: bool,
    /// Whether only a rotation can carry it out on a user that is live; until then it is reported as blocked.
    pub needs_rotation: bool,
}

/// The kinds of difference.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A store's or cluster's document is new.
    Added(String),
    /// A store's or cluster's document is gone.
    Removed,
    /// A user's document is new.
    UserAdded {
        /// How it authenticates, as documents write it.
        authentication: &'static str,
        /// What is to happen once it goes again.
        deletion_policy: DeletionPolicy,
    },
    /// A user's document is gone.
    UserRemoved {
        /// What happens now.
        deletion_policy: DeletionPolicy,
        /// How many places its credential is published to.
        deliveries: usize,
    },
    /// A user's document is new, but its Kafka user was declared before, by a document that is gone.
    TakenFrom(NamespacedName),
    /// A field of a document that is about the credential.
    Credential(FieldChange),
    /// Another field.
    Setting(FieldChange),
    /// ACLs that are declared now, sorted: denials first.
    RulesAdded(UserName, Vec<AclRule>),
    /// ACLs that are not declared any more, sorted likewise.
    RulesRemoved(UserName, Vec<AclRule>),
    /// ACLs are declared at all now: others that exist are removed.
    RulesManaged(UserName),
    /// ACLs are not declared at all any more: they stay as they are.
    RulesUnmanaged(UserName),
    /// Quotas; `None`: not declared at all.
    Quotas {
        /// Whose; another than the document's where that changed its name.
        principal: UserName,
        /// As they were.
        from: Option<UserQuotas>,
        /// As they are.
        to: Option<UserQuotas>,
    },
    /// A place where the credential is published is new.
    DeliveryAdded(DeliveryName, String),
    /// A place where the credential was published is gone.
    DeliveryRemoved(DeliveryName, String),
    /// A place where the credential is published is another, or reads otherwise.
    DeliveryChanged(DeliveryName, FieldChange),
}

impl What {
    /// Whether it is about the document as a whole, which is read first.
    pub const fn is_whole(&self) -> bool {
        match self {
            Self::Added(_) | Self::Removed | Self::UserAdded { .. } | Self::UserRemoved { .. } | Self::TakenFrom(_) => {
                true
            }
            Self::Credential(_)
            | Self::Setting(_)
            | Self::RulesAdded(..)
            | Self::RulesRemoved(..)
            | Self::RulesManaged(_)
            | Self::RulesUnmanaged(_)
            | Self::Quotas { .. }
            | Self::DeliveryAdded(..)
            | Self::DeliveryRemoved(..)
            | Self::DeliveryChanged(..) => false,
        }
    }
}

/// One field that changed; of a list each item that came or went is one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Its path below `spec`, e.g. `clients.bootstrapServers`.
    pub field: &'static str,
    /// As it was; `None`: not there.
    pub from: Option<String>,
    /// As it is; `None`: not there any more.
    pub to: Option<String>,
}

/// Why a difference opens more than it seems to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Widening {
    /// An ACL that holds for every principal.
    Everyone,
    /// Rights over the cluster itself.
    Administration,
    /// Tokens in the name of others (KIP-373).
    Impersonation,
    /// A right on every resource of a type.
    EveryResource,
    /// A denial goes.
    DenialGone,
    /// What exists under the name in Kafka may be taken over.
    Adoption,
    /// Documents may name users that were protected.
    Unprotected,
    /// Documents may read passwords at one more place.
    MoreInputs,
    /// One more identity opens the store.
    MoreRecipients,
    /// TLS goes.
    Plaintext,
    /// Somebody else reads the credential.
    OtherOwner,
}

impl std::fmt::Display for Widening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Everyone => "holds for every user, also those that no document names",
            Self::Administration => "administers the cluster itself",
            Self::Impersonation => "makes or sees tokens in the name of others",
            Self::EveryResource => "holds for every resource of the type, also those to come",
            Self::DenialGone => "what it denied is allowed if another ACL allows it",
            Self::Adoption => "what exists in Kafka under this name is taken over",
            Self::Unprotected => "documents may name such users now",
            Self::MoreInputs => "documents may take passwords from there",
            Self::MoreRecipients => "opens every secret that is written from now on",
            Self::Plaintext => "without TLS everybody on the way reads along",
            Self::OtherOwner => "somebody else reads the credential",
        })
    }
}

impl Difference {
    fn new(what: What) -> Self {
        Self { what, clusters: Vec::new(), widens: None, destructive: false, needs_rotation: false }
    }

    fn destructive(self, destructive: bool) -> Self {
        Self { destructive, ..self }
    }

    fn widens(self, widens: Option<Widening>) -> Self {
        Self { widens, ..self }
    }

    fn needs_rotation(self, needs_rotation: bool) -> Self {
        Self { needs_rotation, ..self }
    }

    fn on(self, clusters: Vec<ClusterName>) -> Self {
        Self { clusters, ..self }
    }
}

/// Compares two sets of documents that were checked.
///
/// Order of documents and of lists without a meaning to it makes no difference, nor does the file a document stands in,
/// except where a relative path then leads elsewhere.
pub fn compare(before: &Documents, after: &Documents) -> Comparison {
    let selection = Selection::default();
    let side = |documents| user::Side { documents, desired: resolve(documents, &selection, &BTreeMap::new()) };
    let (old, new) = (side(before), side(after));
    let mut comparison = Comparison::default();
    platform::compare_stores(before, after, &mut comparison);
    platform::compare_clusters(before, after, &mut comparison);
    user::compare_users(&old, &new, &mut comparison);
    access::compare_access(before, after, &mut comparison);
    for (id, document) in &mut comparison.documents {
        let DocumentId::User(user) = id else { continue };
        let newer = after.users.get(user);
        document.username = newer.or(before.users.get(user)).map(|spec| spec.username.clone());
        document.suspended = newer.is_some_and(|spec| spec.suspend);
    }
    comparison
}

impl Comparison {
    fn note(&mut self, id: DocumentId, differences: impl IntoIterator<Item = Difference>) {
        let mut differences = differences.into_iter().peekable();
        if differences.peek().is_some() {
            self.documents.entry(id).or_default().differences.extend(differences);
        }
    }
}

#[cfg(test)]
mod tests;
