//! When a rotation begins, when the old credential goes, and what a user waits for meanwhile.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

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
}

/// When what is old in a record may go, by the table of design.md §3. The documents of now decide, not those of the
/// rotation's beginning; without any word about rotation the old credential waits for an acknowledgement.
pub fn retirement(record: &Record, wanted: Option<&Wanted>, now: Timestamp) -> Retirement {
    let is_published = matches!(record.phase, Phase::Published | Phase::Confirmed);
    if !is_published || (record.previous.is_none() && record.adopted.is_empty()) {
        return Retirement::Nothing;
    }
    let rotation = wanted.and_then(|wanted| wanted.rotation.as_ref());
    let overlap = rotation.and_then(|rotation| rotation.overlap);
    let earliest = overlap.zip(record.overlap_from).map(|(overlap, from)| after(from, overlap));
    let is_early = earliest.filter(|&at| now < at);
    let asks = rotation.is_none_or(|rotation| rotation.confirm == Confirm::Acknowledgement);
    match (asks && record.confirmed_at.is_none(), is_early) {
        (true, early) => Retirement::Acknowledgement(early),
        (false, Some(at)) => Retirement::At(at),
        (false, None) => Retirement::Due,
    }
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
        }
    }
}
