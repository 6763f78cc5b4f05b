//! What happened, and when: read when a login was refused.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// What is shown of the time before a refusal, and after it.
const BEFORE: Duration = Duration::from_secs(20);
const AFTER: Duration = Duration::from_secs(2);

/// Events in the order of their coming; several threads add to them.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Vec<Event>>);

/// One of them.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What, for people.
    pub what: String,
}

impl Journal {
    /// It happens now.
    pub fn note(&self, what: impl Into<String>) {
        let event = Event { at: Timestamp::now(), what: what.into() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Everything so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The events around some moments, in order.
pub fn around(mut events: Vec<Event>, moments: &[Timestamp]) -> Vec<Event> {
    events.retain(|event| moments.iter().any(|&moment| event.at >= moment - BEFORE && event.at <= moment + AFTER));
    events.sort_by_key(|event| event.at);
    events
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} {}", self.at, self.what)
    }
}
