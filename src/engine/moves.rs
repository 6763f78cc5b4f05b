//! Effects that carry users from one store to another.

use std::collections::BTreeMap;

use super::connect::Links;
use super::run::{Failure, Job, Performed};
use super::store_effects::{opened, store_failure};
use crate::credential::{Effect, Outcome};
use crate::diagnostic::Disposition;
use crate::names::StoreName;
use crate::store::{CopyError, Extent, copy_users};

/// Copies everything of users but their records; where the other store has a record of its own, nothing may begin.
pub(super) async fn copy<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    carry(links, "copy", &jobs, Extent::AllButRecords, &Outcome::Copied).await
}

/// Copies what is new since, and writes the records there.
pub(super) async fn relocate<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    carry(links, "move", &jobs, Extent::Everything, &Outcome::Moved).await
}

async fn carry(
    links: &Links,
    effect: &'static str,
    jobs: &[Job<'_>],
    extent: Extent,
    outcome: &Outcome,
) -> Vec<Performed> {
    let mut ways: BTreeMap<(&StoreName, &StoreName), Vec<usize>> = BTreeMap::new();
    for (position, job) in jobs.iter().enumerate() {
        let (Effect::Copy(to) | Effect::Move(to)) = &job.effect else { unreachable!("grouped by kind") };
        ways.entry((&job.run.plan.store, to)).or_default().push(position);
    }
    let mut performed = (0..jobs.len()).map(|_| Performed::default()).collect::<Vec<_>>();
    for ((from, to), positions) in ways {
        let (from, to) = match (opened(links, effect, from), opened(links, effect, to)) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(failure), _) | (_, Err(failure)) => {
                positions.into_iter().for_each(|position| performed[position] = Performed::failed(failure.clone()));
                continue;
            }
        };
        let users = positions.iter().filter_map(|&position| {
            let run = jobs[position].run;
            Some((run.user.clone(), run.record.as_ref()?.value.clone()))
        });
        let copies = copy_users(&*from, &*to, &users.collect::<Vec<_>>(), extent).await;
        for position in positions {
            performed[position] = match copies.get(&jobs[position].run.user) {
                Some(Ok(_)) => Performed::outcome(outcome.clone()),
                Some(Err(CopyError::Store(error))) => Performed::failed(store_failure(effect, error)),
                Some(Err(error)) => Performed::failed(Failure::new(effect, error, Disposition::Stall)),
                None => Performed::failed(Failure::new(effect, "it has no record", Disposition::Stall)),
            };
        }
    }
    performed
}
