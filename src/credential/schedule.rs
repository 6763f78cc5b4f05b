//! When a rotation begins, when the old credential goes, and what a user waits for meanwhile.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::rollout::{Outstanding, Rollout, outstanding};
use super::{Confirm, Phase, Record, Wanted};

/// What a rotation waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retirement {
    /// Nothing old is valid any more.
    Nothing,
    /// The old credential may go.
    Due,
    /// It may go at this instant.
    At(Timestamp),
    /// Somebody has to say that the consumers have moved; it stays valid at least until this instant, if there is one.
    Acknowledgement(Option<Timestamp>),
    /// The workloads that were restarted have to run with the new one.
    Rollout {
        /// It stays valid at least until this instant, if there is one.
        until: Option<Timestamp>,
        /// Which of them, and why.
        outstanding: Outstanding,
    },
}

/// When what is old in a record may go, by the table of design.md §3. The documents of now decide, not those of the
/// rotation's beginning; without any word about rotation the old credential waits for an acknowledgement. A person's word
/// that the consumers have moved stands for a rollout too.
pub fn retirement(record: &Record, wanted: Option<&Wanted>, rollout: Option<&Rollout>, now: Timestamp) -> Retirement {
    let is_published = matches!(record.phase, Phase::Published | Phase::Confirmed);
    if !is_published || (record.previous.is_none() && record.adopted.is_empty()) {
        return Retirement::Nothing;
    }
    let rotation = wanted.and_then(|wanted| wanted.rotation.as_ref());
    let overlap = rotation.and_then(|rotation| rotation.overlap);
    let earliest = overlap.zip(record.overlap_from).map(|(overlap, from)| after(from, overlap));
    let is_early = earliest.filter(|&at| now < at);
    let confirm = rotation.map_or(Confirm::Acknowledgement, |rotation| rotation.confirm);
    let rolling = || outstanding(rollout, record.active.as_ref()?);
    match (confirm, record.confirmed_at) {
        (Confirm::Acknowledgement, None) => return Retirement::Acknowledgement(is_early),
        (Confirm::Rollout, None) => {
            if let Some(outstanding) = rolling() {
                return Retirement::Rollout { until: is_early, outstanding };
            }
        }
        (Confirm::None, _) | (Confirm::Acknowledgement | Confirm::Rollout, Some(_)) => {}
    }
    is_early.map_or(Retirement::Due, Retirement::At)
}

/// When the active credential is due for rotation; `None` when the documents state no period, or nothing is published.
pub fn due_at(record: &Record, wanted: &Wanted) -> Option<Timestamp> {
    let every = wanted.rotation.as_ref()?.every?;
    Some(after(record.published_at.filter(|_| record.active.is_some())?, every))
}

/// An instant and a while, never past the end of time.
pub(super) fn after(at: Timestamp, duration: Duration) -> Timestamp {
    at.saturating_add(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

/// An instant to the minute, UTC.
pub(super) fn minute(at: Timestamp) -> String {
    format!("{} UTC", at.strftime("%Y-%m-%d %H:%M"))
}

/// What happens to the old credential, as the end of a sentence about it.
impl std::fmt::Display for Retirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("is not valid any more"),
            Self::Due => f.write_str("goes with the next `apply`"),
            Self::At(at) => write!(f, "stays valid until {}", minute(*at)),
            Self::Acknowledgement(None) => {
                f.write_str("stays valid until somebody says, by `kastellan ack`, that every consumer has moved")
            }
            Self::Acknowledgement(Some(at)) => write!(
                f,
                "stays valid until somebody says, by `kastellan ack`, that every consumer has moved, and at least until {}",
                minute(*at)
            ),
            Self::Rollout { until, outstanding } => {
                let least = until.map(|at| format!(", and at least until {}", minute(at))).unwrap_or_default();
                write!(f, "stays valid until what was restarted runs with the new one{least} ({})", outstanding.why)
            }
        }
    }
}
