//! The record: durable, secret-free state of one user; the write-ahead log of everything done for it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Permit, Phase, Version};
use crate::names::{
    ClusterId, ClusterName, DeliveryName, Generation, Mechanism, NamespacedName, RotationId, Scope, SmallMap, UserName,
};
use crate::secret::Salt;
pub use crate::spec::DeletionPolicy;

/// The schema number of records this program writes; a record with a higher one is refused, never guessed at.
pub const RECORD_SCHEMA: u32 = 1;

/// State of one user in the store (design.md §5, formats.md B5). Holds no secret; changed only by compare-and-set.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Record {
    /// [`RECORD_SCHEMA`].
    pub schema: u32,
    /// The document it belongs to.
    pub user: NamespacedName,
    /// The set of documents that may change or prune it.
    pub scope: Scope,
    /// The name in Kafka.
    pub username: UserName,
    /// Who authenticates the user.
    pub authentication: Authentication,
    /// Where the user lives, with the id each cluster had when it was claimed.
    pub clusters: SmallMap<ClusterName, ClusterId>,
    /// Where the machine stands.
    pub phase: Phase,
    /// The newest published generation; 0 before the first.
    pub generation: Generation,
    /// The highest number ever prepared, aborted and deleted ones included (R8).
    pub allotted: Generation,
    /// The published credential's slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Slot>,
    /// The slot that is being filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Slot>,
    /// The slot that was published before and is still valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Slot>,
    /// Unknown credentials that were found and adopted: named, so that they are not taken for strangers (R6), until retired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopted: Vec<AdoptedSlot>,
    /// What may be sent to the slots, until when (R1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permits: Vec<Permit>,
    /// Material to be destroyed (R11).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub destroy: BTreeSet<Generation>,
    /// Whether ACLs and quotas that no document declares are drift: Kastellan made or adopted the principal.
    pub exclusive: bool,
    /// Where a given password came from; `None` for a generated one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<GivenSource>,
    /// The credential document as it was last written; `None` before the first publication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Version>,
    /// What that document tells of how to connect: each cluster with the digest of its connection, in the document's
    /// order, e.g. `prod=9f86d081…`. So a change is seen without the right to read the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_inputs: Option<std::sync::Arc<str>>,
    /// Deliveries with what was written where.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deliveries: BTreeMap<DeliveryName, DeliveryRecord>,
    /// What a pruning pass does with the user once its document is gone.
    pub deletion_policy: DeletionPolicy,
    /// Set from DELETING on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// When the active credential was published, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
}

/// Who checks the user's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// Kafka does, by a SCRAM credential of ours.
    Scram,
    /// Somebody else does; only ACLs and quotas are ours.
    External,
}

/// One credential's place in Kafka and what a broker tells of it; with the user name it is a slot (rotation.md D1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Slot {
    /// The generation it holds.
    pub generation: Generation,
    /// The rotation that made that generation (R9).
    pub rotation_id: RotationId,
    /// Mechanism.
    pub mechanism: Mechanism,
    /// Salt.
    pub salt: Salt,
    /// PBKDF2 iterations.
    pub iterations: u32,
}

/// An unknown credential that was adopted with its user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct AdoptedSlot {
    /// Where it was found.
    pub cluster: ClusterName,
    /// In which slot.
    pub mechanism: Mechanism,
    /// Its salt; `None` where no listener could tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
    /// Its iterations.
    pub iterations: u32,
}

/// Where a given password was read, and which version of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct GivenSource {
    /// Path below the store's `inputs`.
    pub path: String,
    /// Key in the document there.
    pub key: String,
    /// Version the store gave it.
    pub version: Version,
}

/// One delivery as it was last written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct DeliveryRecord {
    /// Kind of the delivery, e.g. `file`.
    pub kind: String,
    /// What it is written to, e.g. a path.
    pub target: String,
    /// SHA-256, in hex, over what determines its content (formats.md B9); no hash of a secret.
    pub digest: String,
    /// What was written, as the delivery's own kind describes it without reading it, e.g. size and modification time.
    pub written: BTreeMap<String, String>,
}

impl DeliveryRecord {
    /// A delivery that may be written from now on: enough to find what an interrupted write left.
    pub fn announced(kind: &str, target: &str) -> Self {
        Self { kind: kind.to_owned(), target: target.to_owned(), digest: String::new(), written: BTreeMap::new() }
    }
}

/// When a user was deleted, and for how long that can be undone.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Deletion {
    /// When DELETING was entered, UTC.
    pub at: Timestamp,
    /// Until when the same password can come back, UTC.
    pub undo_until: Timestamp,
    /// The generation whose material is kept for that; `None` where there was no credential, or it is destroyed.
    pub kept: Option<Generation>,
}

impl Record {
    /// Every slot whose credential the record names as ours.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        [&self.active, &self.pending, &self.previous].into_iter().flatten()
    }

    /// The highest generation the record knows of, published or not.
    pub fn newest(&self) -> Generation {
        self.slots().map(|slot| slot.generation).fold(self.generation, Generation::max)
    }

    /// Whether the record still claims its user name in Kafka; a tombstone does not.
    pub fn claims_username(&self) -> bool {
        self.phase != Phase::Deleted
    }
}
