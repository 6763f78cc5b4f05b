//! The picture of what is: generation, phase, age, deliveries of each user, as the records tell.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::number::minute;
use crate::credential::{DeliveryState, Owed, Record, Revocation, Rollout, Wanted, due_at, standing};
use crate::names::{ClusterName, NamespacedName};

/// The state of users. Holds no secret, and needs no right to read one.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// `kastellan.io/status/v1alpha1`.
    pub schema: &'static str,
    /// Sorted.
    pub users: Vec<UserStatus>,
    /// Stores that could not be read, and why: of their users nothing is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stores_unknown: BTreeMap<String, String>,
}

/// The state of one user.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserStatus {
    /// The user.
    pub user: NamespacedName,
    /// Its name in Kafka, as its document last gave it.
    pub username: String,
    /// Scope of its documents.
    pub scope: String,
    /// Where it lives.
    pub clusters: Vec<String>,
    /// Store of its credential.
    pub store: String,
    /// Where the machine stands, e.g. `IDLE`.
    pub phase: &'static str,
    /// What is waited for: `nothing`, `nextPass`, `instant`, `acknowledgement`, `rollout` or `lastConnection`.
    pub awaits: &'static str,
    /// Until when, UTC; absent where nobody can tell, or nothing is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// One sentence: where it stands, what it waits for and until when.
    pub says: String,
    /// Published generation; 0 before the first.
    pub generation: u64,
    /// Its mechanism.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<&'static str>,
    /// Credentials that are valid or soon will be: the active one, the pending one, the one before.
    pub credentials: Vec<CredentialView>,
    /// When the active one was published, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// Since when an older one is valid beside it, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_at: Option<Timestamp>,
    /// When somebody said that every consumer has moved to it, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// How it rotates: `mechanism-flip`, `dual-user` or `in-place`; absent where no document says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<&'static str>,
    /// When it is due to rotate, UTC; absent where no document states a period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<Timestamp>,
    /// Whether clients may be locked out at this moment: a password is being replaced in its very place.
    pub downtime_possible: bool,
    /// Whether a login on every broker proved it; `false`: the cluster's document says `verifyLogins: false`.
    pub proven: bool,
    /// Unknown credentials that were adopted and are still valid.
    pub adopted: Vec<String>,
    /// A revocation under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation: Option<RevocationView>,
    /// Clusters that are no longer the user's and may still hold something of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<OwedView>,
    /// Deliveries, by name.
    pub deliveries: Vec<DeliveryView>,
}

/// One credential of a user, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialView {
    /// `active`, `pending`, `previous` or `revoked`.
    pub role: &'static str,
    /// Its number.
    pub generation: u64,
    /// Its name in Kafka.
    pub username: String,
    /// Its mechanism.
    pub mechanism: &'static str,
}

/// A revocation under way.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RevocationView {
    /// When it was asked for, UTC.
    pub at: Timestamp,
    /// When somebody said that the brokers were restarted, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Timestamp>,
    /// How far each cluster has come, sorted.
    pub clusters: Vec<CutView>,
}

/// How far a revocation has come on one cluster.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CutView {
    /// The cluster.
    pub cluster: String,
    /// When ACLs and credentials were gone, UTC; absent before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_at: Option<Timestamp>,
    /// Whether the ACLs are back.
    pub given_back: bool,
}

/// What a cluster that is no longer the user's may still hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedView {
    /// The cluster.
    pub cluster: String,
    /// Numbers of the credentials.
    pub generations: Vec<u64>,
}

/// The state of one delivery.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// Its name.
    pub name: String,
    /// Where it is, as far as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `inStep`, `pending`, `refused`, `surplus` or `unknown`.
    pub state: &'static str,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl UserStatus {
    /// Draws one user; `wanted` is `None` when no document names it, `rollout` where nothing waits for one.
    pub fn new(
        record: &Record,
        wanted: Option<&Wanted>,
        rollout: Option<&Rollout>,
        store: &str,
        proven: bool,
        now: Timestamp,
    ) -> Self {
        let standing = standing(record, wanted, rollout, now);
        let rotation = wanted.and_then(|wanted| wanted.rotation.as_ref());
        let is_live = record.claims_username();
        Self {
            user: record.user.clone(),
            username: record.username.to_string(),
            scope: record.scope.to_string(),
            clusters: record.clusters.keys().map(ToString::to_string).collect(),
            store: store.to_owned(),
            phase: record.phase.as_str(),
            awaits: standing.awaits.as_str(),
            until: standing.until,
            says: standing.says,
            generation: record.generation.0,
            mechanism: record.active.as_ref().filter(|_| is_live).map(|slot| slot.mechanism.as_str()),
            credentials: if is_live { credentials(record) } else { Vec::new() },
            published_at: record.published_at,
            replaced_at: record.overlap_from,
            confirmed_at: record.confirmed_at,
            strategy: rotation.map(|rotation| rotation.strategy.as_str()),
            next_rotation: wanted.filter(|_| is_live).and_then(|wanted| due_at(record, wanted)),
            downtime_possible: record.downtime_possible(),
            proven,
            adopted: record.adopted.iter().map(|slot| format!("{} on {}", slot.mechanism, slot.cluster)).collect(),
            revocation: record.revocation.as_deref().map(RevocationView::new),
            owed: record.owed.iter().map(|(cluster, owed)| OwedView::new(cluster, owed)).collect(),
            deliveries: record
                .deliveries
                .iter()
                .map(|(name, delivery)| DeliveryView {
                    name: name.to_string(),
                    target: Some(delivery.target.clone()),
                    state: "inStep",
                    why: None,
                })
                .collect(),
        }
    }

    /// Takes note of how a delivery stands.
    pub fn note_delivery(&mut self, name: &str, state: &DeliveryState) {
        let (state, why) = match state {
            DeliveryState::InStep => ("inStep", None),
            DeliveryState::Pending { why, .. } => ("pending", Some(why.to_string())),
            DeliveryState::Surplus => ("surplus", Some("not declared any more".to_owned())),
            DeliveryState::Refused { why, .. } => ("refused", Some(why.to_string())),
            DeliveryState::Ahead(generation) => ("ahead", Some(format!("it carries generation {generation}"))),
            DeliveryState::Unknown { why, .. } => ("unknown", Some(why.to_string())),
        };
        match self.deliveries.iter_mut().find(|delivery| delivery.name == name) {
            Some(delivery) => (delivery.state, delivery.why) = (state, why),
            None => self.deliveries.push(DeliveryView { name: name.to_owned(), target: None, state, why }),
        }
    }
}

fn credentials(record: &Record) -> Vec<CredentialView> {
    let revoked = record.revocation.iter().flat_map(|revocation| &revocation.slots).map(|slot| ("revoked", slot));
    let drawn = record.roles().chain(revoked).map(|(role, slot)| CredentialView {
        role,
        generation: slot.generation.0,
        username: slot.username.to_string(),
        mechanism: slot.mechanism.as_str(),
    });
    drawn.collect()
}

impl RevocationView {
    fn new(revocation: &Revocation) -> Self {
        let clusters = revocation.cuts.iter().map(|(cluster, cut)| CutView {
            cluster: cluster.to_string(),
            cut_at: cut.done_at,
            given_back: cut.given_back,
        });
        Self { at: revocation.at, restarted_at: revocation.restarted_at, clusters: clusters.collect() }
    }
}

impl OwedView {
    fn new(cluster: &ClusterName, owed: &Owed) -> Self {
        let generations = owed.slots.iter().map(|slot| slot.generation.0).collect();
        Self { cluster: cluster.to_string(), generations }
    }
}

/// Status for a terminal.
pub fn status_text(view: &StatusView, now: Timestamp) -> String {
    let mut text = String::new();
    if view.users.is_empty() && view.stores_unknown.is_empty() {
        text.push_str("No users yet.\n");
    }
    for (store, why) in &view.stores_unknown {
        let _ = writeln!(text, "store {store}  UNKNOWN\n    {why}");
    }
    view.users.iter().for_each(|user| write_user(user, now, &mut text));
    text
}

fn write_user(user: &UserStatus, now: Timestamp, text: &mut String) {
    let age = user.published_at.map(|at| format!(", {} old", age(at, now))).unwrap_or_default();
    let credential = match user.mechanism {
        Some(mechanism) => format!("generation {} ({mechanism}{age})", user.generation),
        None => "no credential".to_owned(),
    };
    let _ = writeln!(text, "{}  {}  {credential} on {}", user.user, user.phase, user.clusters.join(", "));
    let _ = writeln!(text, "    {}", user.says);
    if user.downtime_possible {
        let _ = writeln!(text, "    CLIENTS MAY BE LOCKED OUT at this moment: run `kastellan apply`");
    }
    // The active credential stands in the first line already, unless its name is another.
    let is_told = |one: &CredentialView| one.role == "active" && one.username == user.username;
    for one in user.credentials.iter().filter(|one| !is_told(one)) {
        let name = if one.username == user.username { String::new() } else { format!("`{}`, ", one.username) };
        let _ = writeln!(text, "    {:<8}  generation {} ({name}{})", one.role, one.generation, one.mechanism);
    }
    for adopted in &user.adopted {
        let _ = writeln!(text, "    adopted   a credential in {adopted} is still valid");
    }
    if !user.proven && user.mechanism.is_some() {
        let _ = writeln!(text, "    unproven: `verifyLogins` is off, nobody logged in with it");
    }
    for cut in user.revocation.iter().flat_map(|revocation| &revocation.clusters) {
        let how = match (cut.cut_at, cut.given_back) {
            (_, true) => "cut off, and its ACLs are back".to_owned(),
            (Some(at), false) => format!("cut off at {}; its ACLs are not back yet", minute(at)),
            (None, false) => "not cut off yet".to_owned(),
        };
        let _ = writeln!(text, "    {}: {how}", cut.cluster);
    }
    for owed in &user.owed {
        let numbers = owed.generations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let what = if numbers.is_empty() { "something of it".to_owned() } else { format!("generation {numbers}") };
        let _ =
            writeln!(text, "    {}: left, and may still hold {what}; it goes when the cluster is back", owed.cluster);
    }
    for delivery in &user.deliveries {
        let target = delivery.target.as_deref().unwrap_or("not written yet");
        let why = delivery.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let state = if delivery.state == "inStep" { "in step" } else { delivery.state };
        let _ = writeln!(text, "    {}  {state}  {target}{why}", delivery.name);
    }
}

/// An age in its largest whole unit.
fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("min", 60)] {
        if seconds >= size {
            return format!("{} {unit}", seconds / size);
        }
    }
    format!("{seconds} s")
}
