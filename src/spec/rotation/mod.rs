//! `rotation` of a user, and of a cluster's `defaults`: when a credential changes, and how nobody is locked out meanwhile.
//!
//! What a document and the defaults of its clusters *state* is merged field by field ([`merge`]), then held against the
//! user and its clusters and *resolved* into a [`RotationSpec`] ([`resolve`]). What each strategy needs, and asks of the
//! clients, stands in [`strategy`] alone.

mod merge;
mod read;
mod resolve;
mod strategy;
#[cfg(test)]
mod tests;

pub(super) use merge::merge;
pub(super) use read::{RotationDraft, read, read_defaults};
pub(super) use resolve::{Part, Rotated, resolve};
pub(super) use strategy::{Carries, Circumstances};

use std::time::Duration;

use super::grammar::{Choice, Field, Object, Shape, list_of};
use super::text::{ANY_TEXT, DURATION, USER_NAME};
use crate::names::UserName;

/// How a user's credential rotates: its document over its clusters' defaults, field by field.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationSpec {
    /// How often; `None`: only when somebody asks for it. Always `None` for a password that somebody else chose.
    pub every: Option<Duration>,
    /// How the next credential finds a place beside the old one.
    pub strategy: Strategy,
    /// The two user names of [`Strategy::DualUser`]; `None` for other strategies.
    pub users: Option<[UserName; 2]>,
    /// Least time for which old and new both work; `None`: no such least time. Never longer than `every`.
    pub overlap: Option<Duration>,
    /// What must be seen before the old one goes; never [`Confirm::None`] without an `overlap`.
    pub confirm: Confirm,
}

/// How the next credential finds a place beside the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Under the same name, in the slot of the other SCRAM mechanism.
    MechanismFlip,
    /// Under the other one of two user names.
    DualUser,
    /// In place of the old one: clients are locked out until they have the new one.
    InPlace,
}

/// What must be seen before the old credential goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confirm {
    /// Nothing: the overlap is enough.
    None,
    /// Every workload that the deliveries name has restarted, and nothing older is left of it.
    Rollout,
    /// A person, or a pipeline, says that every client has the new one.
    Acknowledgement,
}

/// What one mapping states of rotation; `None` for what it does not say.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatedRotation {
    /// How often.
    pub every: Option<Duration>,
    /// How the next credential finds a place.
    pub strategy: Option<Strategy>,
    /// Least time for which old and new both work.
    pub overlap: Option<Duration>,
    /// What must be seen before the old one goes.
    pub confirm: Option<Confirm>,
    /// Whether clients may be locked out for a moment.
    pub allow_downtime: Option<bool>,
    /// Whether clients take the mechanism from what is delivered.
    pub clients_read_mechanism: Option<bool>,
}

impl Strategy {
    /// All strategies, the one that asks least first.
    pub const ALL: [Self; 3] = [Self::MechanismFlip, Self::DualUser, Self::InPlace];

    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MechanismFlip => "mechanism-flip",
            Self::DualUser => "dual-user",
            Self::InPlace => "in-place",
        }
    }
}

impl std::fmt::Display for Strategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Confirm {
    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Rollout => "rollout",
            Self::Acknowledgement => "acknowledgement",
        }
    }
}

impl std::fmt::Display for Confirm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl StatedRotation {
    /// Whether the overlap is longer than the time between two rotations, so that a third credential would need a place.
    pub(super) fn overlaps_itself(&self) -> bool {
        matches!((self.every, self.overlap), (Some(every), Some(overlap)) if overlap > every)
    }
}

/// What this version has instead of a schedule of its own.
const NO_DAEMON: &str = "this version rotates when a command is run, and leaves timing to whoever runs it";

static STRATEGIES: [Choice; 3] = [
    Choice::now(Strategy::MechanismFlip.as_str()),
    Choice::now(Strategy::DualUser.as_str()),
    Choice::now(Strategy::InPlace.as_str()),
];

static CONFIRMATIONS: [Choice; 3] = [
    Choice::now(Confirm::None.as_str()),
    Choice::now(Confirm::Rollout.as_str()),
    Choice::now(Confirm::Acknowledgement.as_str()),
];

/// `rotation` of a user, and of `defaults` of a cluster.
pub(super) static ROTATION: Object = Object::new(
    "When and how the credential changes.",
    &[
        Field::optional("every", "How often, e.g. `30d`; only on request without it.", DURATION),
        Field::optional(
            "strategy",
            "How the next credential finds a place beside the old one; there is no default.",
            Shape::Choice(&STRATEGIES),
        ),
        Field::optional("overlap", "The least time for which old and new both work, e.g. `24h`.", DURATION),
        Field::optional(
            "confirm",
            "What must be seen before the old one goes; `acknowledgement` by default without an `overlap`.",
            Shape::Choice(&CONFIRMATIONS),
        ),
        Field::optional(
            "allowDowntime",
            "`true`: accepts that clients are locked out for a moment; `in-place` needs it.",
            Shape::Switch,
        ),
        Field::optional(
            "clientsReadMechanism",
            "Whether clients take `sasl.mechanism` from what is delivered; `false` for one that pins it.",
            Shape::Switch,
        ),
        Field::optional(
            "users",
            "The two user names of `dual-user`; `<username>.a` and `<username>.b` by default.",
            list_of(&USER_NAME),
        ),
        Field::optional("jitter", "Spreads rotations that are due together.", DURATION).later(NO_DAEMON),
        Field::optional("window", "When rotations may begin.", ANY_TEXT).later(NO_DAEMON),
        Field::optional("notBefore", "No rotation before this instant.", ANY_TEXT).later(NO_DAEMON),
    ],
);
