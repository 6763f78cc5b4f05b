//! The machine: the next effect of a transition, from the record, what has been done in this pass, and the facts.
//!
//! ```text
//!   none, DELETED ── material ── record-prepared        IDLE ── material ── record-prepared
//!                                                                               │
//!        PREPARED    look ─ grant ─ [permit ─ fence ─ look ─ upsert] ─ login ───┤
//!            │            (a first credential, or one in place: straight on)  record-verified
//!        VERIFIED    document ─ deliver ───────────────────────────────────── record-published
//!                                                                               │  overlap, acknowledgement
//!       PUBLISHED, CONFIRMED    login with the active one again ───────────── record-retiring
//!        RETIRING    login ─ [permit ─ fence ─ look ─ empty] ─ withdraw ─ destroy ── record-idle
//!
//!        PREPARED ── record-aborting ── [permit ─ fence ─ look ─ empty] ─ destroy ── record-idle
//!        anything ── record-revoking ── withdraw ─ [… empty] ─ a fresh one as above ─ grant ── record-idle
//!        restored ── record-idle, and a rotation above what was seen;  or  import ─ login ─ document ── record-published
//!        anything ── record-deleting ── withdraw ─ recall ─ bury ─ [… empty] ── record-deleted
//!        anything ── copy ── record-… ── move                  the record of the other store counts from there on
//!        DELETING, its document back ── the same ── material ── record-prepared
//! ```
//!
//! Each effect states what the *stored* record has to say before it may be executed; where the record does not say it
//! yet, writing it is the next effect. So nothing leaves the process that the record does not name (I1), and a crash
//! anywhere is met by running the same function again.

mod delete;
mod leave;
mod maintain;
mod pending;
mod provision;
mod publish;
mod recover;
mod relocate;
mod revoke;
mod rotate;
mod slots;

pub use revoke::REAUTHENTICATION_MARGIN;

use std::time::Duration;

use super::{Effect, Facts, PermitId, Phase, Progress, Record, Step, Transition, Wanted, Watch, keep_live};
use crate::names::{NamespacedName, Now};

/// Permits that one step may issue at most: two mechanisms under each of three names.
pub const PERMITS_MAX: usize = 6;

/// What the machine may look at besides the user itself.
pub struct Context<'a> {
    /// Both clocks.
    pub now: Now,
    /// Permits this process has watched.
    pub watch: &'a Watch,
    /// The longest fence of the user's clusters.
    pub fence: Duration,
    /// How long a deletion can be undone.
    pub undo_for: Duration,
    /// Ids for the permits that this step may issue; random.
    pub permit_ids: [PermitId; PERMITS_MAX],
}

/// One user in one pass.
pub struct Subject<'a> {
    /// Whose.
    pub user: &'a NamespacedName,
    /// As it is stored now; `None` before the first write.
    pub record: Option<&'a Record>,
    /// What the document asks; `None` when it is gone.
    pub wanted: Option<&'a Wanted>,
    /// As they were when the plan was made.
    pub facts: &'a Facts,
    /// What this pass has done already.
    pub progress: &'a Progress,
}

/// The next step of an approved transition.
pub fn next(subject: &Subject<'_>, transition: &Transition, context: &Context<'_>) -> Step {
    let Some(record) = subject.record else {
        return match transition {
            Transition::Claim => provision::claim(subject, None, context),
            Transition::Provision(provision) => provision::prepare(subject, None, provision, context),
            _ => Step::Settled,
        };
    };
    match transition {
        Transition::Claim if record.phase == Phase::Deleted => provision::claim(subject, Some(record), context),
        Transition::Claim if record.phase == Phase::Deleting => {
            provision::claim(subject, Some(&delete::tombstone(subject, record)), context)
        }
        Transition::Provision(provision) if record.phase == Phase::Deleted => {
            provision::prepare(subject, Some(record), provision, context)
        }
        Transition::Provision(provision) if record.phase == Phase::Deleting => {
            provision::prepare(subject, Some(&delete::tombstone(subject, record)), provision, context)
        }
        Transition::Rotate(rotate) if record.phase == Phase::Idle && !rotate::is_done(subject, record) => {
            rotate::prepare(subject, record, rotate, context)
        }
        Transition::Claim
        | Transition::Provision(_)
        | Transition::Resume(_)
        | Transition::Rotate(_)
        | Transition::Retire => rotate::advance(subject, record, context),
        Transition::Acknowledge(_) => rotate::acknowledge(record, context),
        Transition::Restarted => revoke::note_restart(record, context),
        Transition::Abort => rotate::abort(subject, record, context),
        Transition::Revoke(asked) => revoke::revoke(subject, record, asked, context),
        Transition::Recover(recovery) => recover::recover(record, recovery, context),
        Transition::Import(import) => recover::import(subject, record, import, context),
        Transition::Leave(clusters) => leave::leave(record, clusters, context),
        Transition::Pay(clusters) => leave::pay(subject, record, clusters, context),
        Transition::Maintain(todo) => maintain::maintain(subject, record, todo, context),
        Transition::Delete => delete::delete(subject, record, context),
        Transition::Expire(generation) => delete::expire(subject, record, *generation, context),
        Transition::Move(to) => relocate::relocate(subject, record, to, context),
    }
}

/// A record write as the next step: permits whose fence has passed leave the list with it.
fn write(mut record: Record, context: &Context<'_>) -> Step {
    record.permits = keep_live(&record.permits, context.watch, context.fence, context.now);
    Step::Act(Effect::Record(Box::new(record)))
}

/// A record write, if there is anything to write.
fn write_changes(record: &Record, changed: Record, context: &Context<'_>) -> Step {
    if changed == *record { Step::Settled } else { write(changed, context) }
}
