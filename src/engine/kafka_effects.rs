//! Effects on credentials in Kafka, and the looks before them. Each group becomes a few large requests per cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::connect::Links;
use super::look::look_at_slots;
use super::run::{Failure, Job, Performed, by_account, by_cluster, link_of};
use super::store_effects::load_material;
use crate::credential::{Account, Content, Effect, KnownPlaces, Outcome, PermitId, Place, Seen};
use crate::diagnostic::Disposition;
use crate::kafka::{self, ScramAlteration, ScramChange, Unsent};
use crate::names::{BootInstant, ClusterName, Mechanism};

/// The blank results of a group, to be filled cluster by cluster.
pub(super) fn blank(jobs: &[Job<'_>]) -> Vec<Performed> {
    jobs.iter().map(|_| Performed::default()).collect()
}

/// What a write's outcome means for the user it belongs to; `None` where it succeeded.
pub(super) fn failure_of(effect: &'static str, cluster: &ClusterName, outcome: &kafka::Outcome) -> Option<Failure> {
    let disposition = outcome.disposition()?;
    Some(Failure::new(effect, format!("{cluster}: {outcome}"), disposition).hint(outcome.hint()))
}

/// Keeps the worst failure of a user: one that a person has to mend hides one that may pass.
pub(super) fn fail(performed: &mut Performed, failure: Failure) {
    let is_worse = match (&performed.failure, failure.disposition) {
        (None, _) => true,
        (Some(known), Disposition::Stall) => known.disposition != Disposition::Stall,
        (Some(_), Disposition::Retry | Disposition::Wait) => false,
    };
    if is_worse {
        performed.failure = Some(failure);
    }
}

const LOOK: &str = "look";

/// Looks at all slots of all accounts (R6).
pub(super) async fn look<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let mut performed = blank(&jobs);
    let grouped = by_account(&jobs, |effect| match effect {
        Effect::Look(accounts) => accounts.iter().collect(),
        _ => unreachable!("grouped by kind"),
    });
    for (cluster, accounts) in grouped {
        let link = match link_of(links, LOOK, cluster) {
            Ok(link) => link,
            Err(failure) => {
                accounts.into_iter().for_each(|(position, _)| fail(&mut performed[position], failure.clone()));
                continue;
            }
        };
        let users = accounts.iter().map(|(_, account)| account.username.clone()).collect::<Vec<_>>();
        let mut known_places = KnownPlaces::default();
        known_places.extend(accounts.iter().map(|(position, _)| jobs[*position].run.known_places()));
        let mut seen = look_at_slots(link, &users, &known_places).await;
        for (position, account) in accounts {
            match seen.remove(&account.username) {
                Some(Seen::Known(slots)) => performed[position].outcomes.push(Outcome::Looked(account.clone(), slots)),
                Some(Seen::Unknown(why)) => {
                    fail(&mut performed[position], Failure::new(LOOK, format!("{cluster}: {why}"), Disposition::Wait));
                }
                None => fail(
                    &mut performed[position],
                    Failure::new(LOOK, format!("{cluster}: not answered"), Disposition::Retry),
                ),
            }
        }
    }
    performed
}

/// When a job's permit ends; a job whose permit is over already gets an instant that has passed.
fn not_after(job: &Job<'_>, id: PermitId, content: Content) -> BootInstant {
    let permits = job.run.record.as_ref().map_or(&[][..], |record| &record.value.permits);
    let own = permits.iter().find(|permit| permit.id == id && permit.content == content);
    own.and_then(|permit| job.run.watch.not_after(permit, id, super::now()))
        .unwrap_or(BootInstant(std::time::Duration::ZERO))
}

const UPSERT: &str = "upsert";

/// Puts credentials into their slots, under their permits (R1).
pub(super) async fn upsert<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let mut performed = blank(&jobs);
    let slots = jobs.iter().map(|job| match &job.effect {
        Effect::Upsert { slot, permit, .. } => (slot, *permit),
        _ => unreachable!("grouped by kind"),
    });
    let slots = slots.collect::<Vec<_>>();
    let generations = slots.iter().map(|(slot, _)| slot.generation).collect::<Vec<_>>();
    let material = load_material(links, UPSERT, &jobs, &generations).await;
    let grouped = by_cluster(&jobs, |effect| match effect {
        Effect::Upsert { clusters, .. } => clusters.iter().collect(),
        _ => unreachable!("grouped by kind"),
    });
    for (cluster, positions) in grouped {
        let mut owners = Vec::new();
        let mut alterations = Vec::new();
        for position in positions {
            match &material[position] {
                Err(failure) => fail(&mut performed[position], failure.clone()),
                Ok(material) => {
                    let (slot, permit) = slots[position];
                    owners.push((position, Account::new(cluster, &slot.username)));
                    alterations.push(ScramAlteration {
                        user: slot.username.clone(),
                        change: ScramChange::Upsert {
                            mechanism: material.scram.mechanism,
                            iterations: material.scram.iterations,
                            salt: material.scram.salt.clone(),
                            salted_password: Arc::new(material.scram.keys.salted_password.duplicate()),
                        },
                        not_after: Some(not_after(&jobs[position], permit, Content::Generation(slot.generation))),
                    });
                }
            }
        }
        let outcome = |position: usize, account: Account| Outcome::Upserted(account, slots[position].0.generation);
        alter(links, UPSERT, cluster, owners, alterations, outcome, &mut performed).await;
    }
    performed
}

const EMPTY: &str = "empty";

/// Deletes credentials, under their permits (R1).
pub(super) async fn empty<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let mut performed = blank(&jobs);
    let grouped = by_account(&jobs, |effect| match effect {
        Effect::Empty { slots, .. } => slots.keys().collect(),
        _ => unreachable!("grouped by kind"),
    });
    for (cluster, accounts) in grouped {
        let mut owners = Vec::new();
        let mut alterations = Vec::new();
        for (position, account) in accounts {
            let Effect::Empty { slots, permits } = &jobs[position].effect else { unreachable!("grouped by kind") };
            let found: &BTreeSet<Mechanism> = &slots[account];
            if found.is_empty() {
                performed[position].outcomes.push(Outcome::Emptied(account.clone()));
            }
            for &mechanism in found {
                let place = Place { username: account.username.clone(), mechanism };
                owners.push((position, account.clone()));
                alterations.push(ScramAlteration {
                    user: account.username.clone(),
                    change: ScramChange::Delete { mechanism },
                    not_after: Some(not_after(&jobs[position], permits[&place], Content::None)),
                });
            }
        }
        let outcome = |_, account: Account| Outcome::Emptied(account);
        alter(links, EMPTY, cluster, owners, alterations, outcome, &mut performed).await;
    }
    performed
}

/// Sends alterations to one cluster. An account's part is done when all of its alterations are.
async fn alter(
    links: &Links,
    effect: &'static str,
    cluster: &ClusterName,
    owners: Vec<(usize, Account)>,
    alterations: Vec<ScramAlteration>,
    outcome: impl Fn(usize, Account) -> Outcome,
    performed: &mut [Performed],
) {
    let link = match link_of(links, effect, cluster) {
        Ok(link) => link,
        Err(failure) => {
            owners.into_iter().for_each(|(position, _)| fail(&mut performed[position], failure.clone()));
            return;
        }
    };
    let mut failed: BTreeMap<&(usize, Account), Failure> = BTreeMap::new();
    for (index, outcome) in link.admin.alter_scram(alterations).await {
        let is_expired = matches!(outcome, kafka::Outcome::NotSent { why: Unsent::PermitExpired });
        if let Some(mut failure) = failure_of(effect, cluster, &outcome) {
            // A permit that ran out is renewed by the machine; that is no trouble of the cluster.
            failure.disposition = if is_expired { Disposition::Retry } else { failure.disposition };
            failed.insert(&owners[index], failure);
        }
    }
    for owner in owners.iter().collect::<BTreeSet<_>>() {
        let (position, account) = owner;
        match failed.remove(owner) {
            Some(failure) => fail(&mut performed[*position], failure),
            None => performed[*position].outcomes.push(outcome(*position, account.clone())),
        }
    }
}
