//! Effects on credential documents: what applications read in the store.

use std::sync::Arc;

use super::connect::Links;
use super::run::{Failure, Job, Performed, UserRun};
use super::store_effects::{live_credential, load_material, per_store, store_failure};
use crate::credential::{CredentialDocument, Effect, Outcome, Version, Versioned};
use crate::diagnostic::Disposition;
use crate::names::NamespacedName;
use crate::state::Desired;
use crate::store::{CredentialWrite, Store, StoreError};

const DOCUMENT: &str = "document";

/// Writes credential documents (R3): read first, never over a higher generation, conditional on that read.
pub(super) async fn publish<'a>(links: &'a Links, desired: &'a Desired, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let slots = jobs.iter().map(|job| match &job.effect {
        Effect::Document(slot) => slot,
        _ => unreachable!("grouped by kind"),
    });
    let slots = slots.collect::<Vec<_>>();
    let generations = slots.iter().map(|slot| slot.generation).collect::<Vec<_>>();
    let material = load_material(links, DOCUMENT, &jobs, &generations).await;
    let (jobs, material, slots) = (&jobs, &material, &slots);
    per_store(links, DOCUMENT, jobs, |store, positions| async move {
        let wanted = positions.iter().map(|&position| {
            let run = jobs[position].run;
            let document = material[position].as_ref().map_err(Clone::clone).map(|material| {
                CredentialDocument::Live(Box::new(live_credential(run, desired, slots[position], material)))
            });
            Publication::of(run, document)
        });
        write_documents(&*store, DOCUMENT, wanted.collect(), Outcome::Document).await
    })
    .await
}

const BURY: &str = "bury";

/// Turns documents into tombstones.
pub(super) async fn bury<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let jobs = &jobs;
    per_store(links, BURY, jobs, |store, positions| async move {
        let wanted = positions.iter().map(|&position| {
            let Effect::Bury(generation) = jobs[position].effect else { unreachable!("grouped by kind") };
            let tombstone = CredentialDocument::Tombstone { generation, deleted_at: super::now().wall };
            Publication::of(jobs[position].run, Ok(tombstone))
        });
        write_documents(&*store, BURY, wanted.collect(), Outcome::Buried).await
    })
    .await
}

/// A document that is to be there.
struct Publication {
    user: NamespacedName,
    document: Result<CredentialDocument, Failure>,
    /// Whether the record knows of one.
    is_known: bool,
}

impl Publication {
    fn of(run: &UserRun, document: Result<CredentialDocument, Failure>) -> Self {
        let is_known = run.record.as_ref().is_none_or(|record| record.value.document.is_some());
        Self { user: run.user.clone(), document, is_known }
    }
}

/// Writes documents (R3). Where the record knows of none, one is created, which happens only where there is none: nothing
/// has to be read for that. Any other is read first, and written on the version of that read.
async fn write_documents(
    store: &dyn Store,
    effect: &'static str,
    wanted: Vec<Publication>,
    outcome: impl Fn(Version) -> Outcome,
) -> Vec<Performed> {
    let ended = |written: Result<Version, StoreError>| match written {
        Ok(version) => Performed::outcome(outcome(version)),
        Err(error) => Performed::failed(store_failure(effect, &error)),
    };
    let mut performed = wanted.iter().map(|_| Performed::default()).collect::<Vec<_>>();
    let (mut unknown, mut known) = (Vec::new(), Vec::new());
    for (position, Publication { user, document, is_known }) in wanted.into_iter().enumerate() {
        match document {
            Err(failure) => performed[position] = Performed::failed(failure),
            Ok(document) => {
                let queue = if is_known { &mut known } else { &mut unknown };
                queue.push((position, user, Arc::new(document)));
            }
        }
    }
    let writes = unknown.iter().map(|(_, user, document)| CredentialWrite {
        user: user.clone(),
        document: document.clone(),
        expected: None,
    });
    let written = store.write_credentials(writes.collect()).await;
    for (item, written) in unknown.into_iter().zip(written) {
        match written {
            // Somebody wrote one meanwhile, or we did in a pass that did not live to record it.
            Err(StoreError::Conflict { .. }) => known.push(item),
            written => performed[item.0] = ended(written),
        }
    }
    let users = known.iter().map(|(_, user, _)| user.clone()).collect::<Vec<_>>();
    let found = store.read_credentials(&users).await;
    let mut writes = Vec::new();
    for ((position, user, document), found) in known.into_iter().zip(found) {
        let step = match found {
            Ok(found) => compare_document(effect, &document, found),
            Err(error) => Err(store_failure(effect, &error)),
        };
        match step {
            Err(failure) => performed[position] = Performed::failed(failure),
            Ok(DocumentStep::InPlace(version)) => performed[position] = ended(Ok(version)),
            Ok(DocumentStep::Write { expected }) => {
                writes.push((position, CredentialWrite { user, document, expected }));
            }
        }
    }
    let (positions, writes): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
    for (position, written) in positions.into_iter().zip(store.write_credentials(writes).await) {
        performed[position] = ended(written);
    }
    performed
}

enum DocumentStep {
    /// It says what it should already.
    InPlace(Version),
    Write {
        expected: Option<Version>,
    },
}

/// R3: the same generation and rotation is ours, and written again only where its content differs; one of the same or a
/// higher generation that is not ours stops everything.
fn compare_document(
    effect: &'static str,
    wanted: &CredentialDocument,
    found: Option<Versioned<CredentialDocument>>,
) -> Result<DocumentStep, Failure> {
    let Some(found) = found else { return Ok(DocumentStep::Write { expected: None }) };
    let is_lower = found.value.generation() < wanted.generation();
    let same = match (wanted, &found.value) {
        (CredentialDocument::Live(wanted), CredentialDocument::Live(found)) => {
            let is_ours = wanted.generation == found.generation && wanted.rotation_id == found.rotation_id;
            is_ours.then(|| wanted.says_the_same(found))
        }
        (CredentialDocument::Tombstone { generation, .. }, CredentialDocument::Tombstone { generation: found, .. }) => {
            (generation == found).then_some(true)
        }
        (CredentialDocument::Live(_) | CredentialDocument::Tombstone { .. }, _) => None,
    };
    match same {
        Some(true) => Ok(DocumentStep::InPlace(found.version)),
        Some(false) => Ok(DocumentStep::Write { expected: Some(found.version) }),
        None if is_lower => Ok(DocumentStep::Write { expected: Some(found.version) }),
        None => {
            let why = format!(
                "the credential document carries generation {}, which the record does not know; the store may have been restored from an older snapshot",
                found.value.generation()
            );
            Err(Failure::new(effect, why, Disposition::Stall))
        }
    }
}
