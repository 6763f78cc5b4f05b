//! A user goes to another store as it is: same generation, same password, nobody notices.
//!
//! ```text
//!   copy (material, given passwords, document) ── the record here says where it goes ── move (the record, there)
//! ```
//!
//! From the mark on, whoever works from the record here fails at its next write, and the copy there goes on with what was permitted
//! here (R1). So there is one writer at any time, and one way on: a move is finished, never taken back.

use super::{Context, Subject, write};
use crate::credential::{Effect, Record, Step};
use crate::names::StoreName;

pub(super) fn relocate(subject: &Subject<'_>, record: &Record, to: &StoreName, context: &Context<'_>) -> Step {
    if record.moving_to.is_some() {
        return if subject.progress.moved { Step::Settled } else { Step::Act(Effect::Move(to.clone())) };
    }
    if !subject.progress.copied {
        return Step::Act(Effect::Copy(to.clone()));
    }
    let mut marked = record.clone();
    marked.moving_to = Some(Box::new(to.clone()));
    write(marked, context)
}
