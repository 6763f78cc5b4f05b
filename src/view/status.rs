//! The picture of what is: generation, phase, age, deliveries of each user, as the records tell.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::number::minute;
use crate::credential::{DeliveryState, Phase, Record};
use crate::names::NamespacedName;

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
    /// Its name in Kafka.
    pub username: String,
    /// Scope of its documents.
    pub scope: String,
    /// Where it lives.
    pub clusters: Vec<String>,
    /// Store of its credential.
    pub store: String,
    /// Where the machine stands, e.g. `IDLE`.
    pub phase: &'static str,
    /// One sentence: what that means.
    pub says: String,
    /// Published generation; 0 before the first.
    pub generation: u64,
    /// Its mechanism.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<&'static str>,
    /// When it was published, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// Whether a login on every broker proved it; `false`: the cluster's document says `verifyLogins: false`.
    pub proven: bool,
    /// Unknown credentials that were adopted and are still valid.
    pub adopted: Vec<String>,
    /// Deliveries, by name.
    pub deliveries: Vec<DeliveryView>,
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
    /// Draws one user.
    pub fn new(record: &Record, store: &str, proven: bool, now: Timestamp) -> Self {
        Self {
            user: record.user.clone(),
            username: record.username.to_string(),
            scope: record.scope.to_string(),
            clusters: record.clusters.keys().map(ToString::to_string).collect(),
            store: store.to_owned(),
            phase: record.phase.as_str(),
            says: says(record, now),
            generation: record.generation.0,
            mechanism: record.active.as_ref().filter(|_| record.claims_username()).map(|slot| slot.mechanism.as_str()),
            published_at: record.published_at,
            proven,
            adopted: record.adopted.iter().map(|slot| format!("{} on {}", slot.mechanism, slot.cluster)).collect(),
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
            DeliveryState::Unknown(why) => ("unknown", Some(why.to_string())),
        };
        match self.deliveries.iter_mut().find(|delivery| delivery.name == name) {
            Some(delivery) => (delivery.state, delivery.why) = (state, why),
            None => self.deliveries.push(DeliveryView { name: name.to_owned(), target: None, state, why }),
        }
    }
}

/// What a record's phase means, in one sentence.
fn says(record: &Record, now: Timestamp) -> String {
    match (record.phase, &record.deletion) {
        (Phase::Idle, _) if record.active.is_none() => "somebody else authenticates it; access is managed".to_owned(),
        (Phase::Idle, _) => "published and at rest".to_owned(),
        (Phase::Prepared, _) => {
            format!(
                "generation {} is being put in place; nothing of it is published yet; `apply` goes on",
                record.allotted
            )
        }
        (Phase::Deleting, _) => "being deleted; `apply` goes on".to_owned(),
        (Phase::Deleted, Some(deletion)) if deletion.kept.is_some() && now < deletion.undo_until => {
            format!(
                "deleted; putting the document back before {} brings the same password back",
                minute(deletion.undo_until)
            )
        }
        (Phase::Deleted, _) => "deleted".to_owned(),
        (phase, _) => format!("in phase {phase}, which this version does not drive"),
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
    for user in &view.users {
        let age = user.published_at.map(|at| format!(", {} old", age(at, now))).unwrap_or_default();
        let credential = match user.mechanism {
            Some(mechanism) => format!("generation {} ({mechanism}{age})", user.generation),
            None => "no credential".to_owned(),
        };
        let clusters = user.clusters.join(", ");
        let _ = writeln!(text, "{}  {}  {credential} on {clusters}", user.user, user.phase);
        let _ = writeln!(text, "    {}", user.says);
        if !user.proven && user.mechanism.is_some() {
            let _ = writeln!(text, "    unproven: `verifyLogins` is off, nobody logged in with it");
        }
        for adopted in &user.adopted {
            let _ = writeln!(text, "    adopted credential in {adopted} is still valid");
        }
        for delivery in &user.deliveries {
            let target = delivery.target.as_deref().unwrap_or("not written yet");
            let why = delivery.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let state = if delivery.state == "inStep" { "in step" } else { delivery.state };
            let _ = writeln!(text, "    {}  {state}  {target}{why}", delivery.name);
        }
    }
    text
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
