//! The record: durable, secret-free state of one user; the write-ahead log of everything done for it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Permit, Phase, Place, Version};
use crate::names::{
    AclRule, ClusterId, ClusterName, DeliveryName, Generation, Mechanism, NamespacedName, RotationId, Scope, SmallMap,
    StoreName, UserName,
};
use crate::secret::Salt;
pub use crate::spec::DeletionPolicy;

/// The schema number of records this program writes; a record with a higher one is refused, never guessed at.
pub const RECORD_SCHEMA: u32 = 1;

/// State of one user in the store (design.md §5, formats.md B5). Holds no secret; changed only by compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Record {
    /// [`RECORD_SCHEMA`].
    pub schema: u32,
    /// The document it belongs to.
    pub user: NamespacedName,
    /// The set of documents that may change or prune it.
    pub scope: Scope,
    /// The name in Kafka, as the document last gave it.
    pub username: UserName,
    /// Further names the user has, or had, in Kafka and that may have access there: the two of `dual-user`, and a name that
    /// was changed (I8).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub further_names: BTreeSet<UserName>,
    /// Who authenticates the user.
    pub authentication: Authentication,
    /// Where the user lives, with the id each cluster had when it was claimed.
    pub clusters: SmallMap<ClusterName, ClusterId>,
    /// Clusters that are no longer the user's and may still hold something of it (R12).
    #[serde(default, skip_serializing_if = "SmallMap::is_empty")]
    pub owed: SmallMap<ClusterName, Owed>,
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
    pub pending: Option<Box<Slot>>,
    /// Where the given password of `pending` was read; `None` for a generated one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_source: Option<Box<GivenSource>>,
    /// The slot that was published before and is still valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Box<Slot>>,
    /// Since when an old credential is valid beside the active one, UTC: `overlap` counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_from: Option<Timestamp>,
    /// When it was said that all consumers of the active credential have moved, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// Set in REVOKING.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Box<Revocation>>,
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
    pub deletion: Option<Box<Deletion>>,
    /// When the active credential was published, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// The store that the user goes to, or went to: the record there counts as soon as there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving_to: Option<Box<StoreName>>,
}

/// Who checks the user's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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
    /// The name in Kafka.
    pub username: UserName,
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
    /// Under which name.
    pub username: UserName,
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Deletion {
    /// When DELETING was entered, UTC.
    pub at: Timestamp,
    /// Until when the same password can come back, UTC.
    pub undo_until: Timestamp,
    /// The generation whose material is kept for that; `None` where there was no credential, or it is destroyed.
    pub kept: Option<Generation>,
}

/// What a cluster that is no longer the user's may still hold of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Owed {
    /// The cluster's own id; another cluster under the same name owes nothing.
    pub id: ClusterId,
    /// The credentials it may hold.
    pub slots: Vec<Slot>,
    /// The unknown ones that were adopted there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopted: Vec<AdoptedSlot>,
}

/// A revocation under way (rotation.md D2): what is revoked, and how far each cluster has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Revocation {
    /// When it was asked for, UTC.
    pub at: Timestamp,
    /// The credentials that are revoked: named, and never asserted again (R5).
    pub slots: Vec<Slot>,
    /// The clusters on which the user had them.
    pub cuts: SmallMap<ClusterName, Cut>,
    /// When a person said that the brokers were restarted, so that no connection of before can exist, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Timestamp>,
}

/// How far a revocation has come on one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Cut {
    /// The ACLs that were there, written down before they are taken away; `None` before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<BTreeMap<UserName, std::sync::Arc<[AclRule]>>>,
    /// When access and credentials were gone, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
    /// Whether access was given back to the names that were revoked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_back: bool,
}

impl Slot {
    /// The place it takes in Kafka.
    pub fn place(&self) -> Place {
        Place { username: self.username.clone(), mechanism: self.mechanism }
    }

    /// Whether it takes the same place as another.
    pub fn shares_place(&self, other: &Self) -> bool {
        self.mechanism == other.mechanism && self.username == other.username
    }
}

impl AdoptedSlot {
    /// The place it takes in Kafka.
    pub fn place(&self) -> Place {
        Place { username: self.username.clone(), mechanism: self.mechanism }
    }
}

impl Record {
    /// A record in IDLE that names nothing but the user.
    pub fn blank(user: NamespacedName, scope: Scope, username: UserName, authentication: Authentication) -> Self {
        Self {
            schema: RECORD_SCHEMA,
            user,
            scope,
            username,
            further_names: BTreeSet::new(),
            authentication,
            clusters: SmallMap::new(),
            owed: SmallMap::new(),
            phase: Phase::Idle,
            generation: Generation::NONE,
            allotted: Generation::NONE,
            active: None,
            pending: None,
            pending_source: None,
            previous: None,
            overlap_from: None,
            confirmed_at: None,
            revocation: None,
            adopted: Vec::new(),
            permits: Vec::new(),
            destroy: BTreeSet::new(),
            exclusive: true,
            source: None,
            document: None,
            document_inputs: None,
            deliveries: BTreeMap::new(),
            deletion_policy: DeletionPolicy::Delete,
            deletion: None,
            published_at: None,
            moving_to: None,
        }
    }

    /// Every slot whose credential the record names as ours, on the clusters of the user.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        let live = [self.active.as_ref(), self.pending.as_deref(), self.previous.as_deref()];
        let revoked = self.revocation.iter().flat_map(|revocation| &revocation.slots);
        live.into_iter().flatten().chain(revoked)
    }

    /// The slots that are named on one cluster, what it is owed included.
    pub fn slots_on<'a>(&'a self, cluster: &ClusterName) -> impl Iterator<Item = &'a Slot> + use<'a> {
        self.slots().chain(self.owed.get(cluster).into_iter().flat_map(|owed| &owed.slots))
    }

    /// The adopted credentials that are named on one cluster, what it is owed included.
    pub fn adopted_on<'a>(&'a self, cluster: &'a ClusterName) -> impl Iterator<Item = &'a AdoptedSlot> {
        let owed = self.owed.get(cluster).into_iter().flat_map(|owed| &owed.adopted);
        self.adopted.iter().filter(|slot| slot.cluster == *cluster).chain(owed)
    }

    /// Every name the user has in Kafka as far as the record knows, sorted.
    pub fn names(&self) -> BTreeSet<&UserName> {
        let owed = self.owed.values().flat_map(|owed| &owed.slots);
        let of_slots = self.slots().chain(owed).map(|slot| &slot.username);
        std::iter::once(&self.username).chain(&self.further_names).chain(of_slots).collect()
    }

    /// Clusters that the user has come to and that the document does not tell applications of yet.
    pub fn joining(&self) -> impl Iterator<Item = &ClusterName> {
        let told = self.document_inputs.as_deref();
        let is_told = move |name: &ClusterName| {
            told.is_none_or(|told| {
                told.split(',').any(|item| item.split_once('=').map(|(told, _)| told) == Some(name.as_str()))
            })
        };
        self.clusters.keys().filter(move |name| !is_told(name))
    }

    /// Every place that holds, or may hold, a credential that the record names.
    pub fn places(&self) -> BTreeSet<Place> {
        self.slots().map(Slot::place).chain(self.adopted.iter().map(AdoptedSlot::place)).collect()
    }

    /// The places of what has to go before a rotation is over: the previous credential, and adopted ones.
    pub fn old_places(&self) -> BTreeSet<Place> {
        let old = self.previous.iter().map(|slot| slot.place()).chain(self.adopted.iter().map(AdoptedSlot::place));
        old.filter(|place| self.active.as_ref().is_none_or(|active| active.place() != *place)).collect()
    }

    /// The highest generation the record knows of, published or not.
    pub fn newest(&self) -> Generation {
        self.slots().map(|slot| slot.generation).fold(self.generation, Generation::max)
    }

    /// Whether the record still claims its user name in Kafka; a tombstone does not.
    pub fn claims_username(&self) -> bool {
        self.phase != Phase::Deleted
    }

    /// Whether no credential was ever published: the rotation under way is one from nothing.
    pub fn is_first(&self) -> bool {
        self.published_at.is_none()
    }

    /// Whether the pending credential takes the place of the active one: `in-place`, where the newest published credential
    /// does not work between the two effects (rotation.md D2).
    pub fn overwrites(&self) -> bool {
        match (&self.active, &self.pending) {
            (Some(active), Some(pending)) => !self.is_first() && active.shares_place(pending),
            (None, _) | (_, None) => false,
        }
    }

    /// The slot of the newest credential that may be found published. One that is being published for the first time may have
    /// been delivered already; what a user that comes back calls active is from before its deletion.
    pub fn newest_published(&self) -> Option<&Slot> {
        let may_be_out = match self.phase {
            Phase::Verified | Phase::Revoking => true,
            Phase::Prepared => self.is_first() || self.overwrites(),
            Phase::Idle
            | Phase::Published
            | Phase::Confirmed
            | Phase::Retiring
            | Phase::Aborting
            | Phase::Deleting
            | Phase::Deleted => false,
        };
        self.pending.as_deref().filter(|_| may_be_out).or(self.active.as_ref())
    }
}
