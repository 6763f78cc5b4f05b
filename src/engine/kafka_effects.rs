//! Effects on Kafka: looks, access, credentials. Each group becomes a few large requests per cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::connect::{ClusterLink, Links};
use super::look::look_at_slots;
use super::run::{Failure, Job, Performed, by_account, by_cluster, link_of};
use super::store_effects::load_material;
use crate::credential::{Account, Content, Effect, Outcome, PermitId, Place, Seen};
use crate::diagnostic::Disposition;
use crate::kafka::{self, AclDeletion, AclScope, QuotaChange, ScramAlteration, ScramChange, Unsent};
use crate::names::{AclRule, BootInstant, ClusterName, Mechanism, Permission, Principal};
use crate::state::AccessChange;

/// The blank results of a group, to be filled cluster by cluster.
fn blank(jobs: &[Job<'_>]) -> Vec<Performed> {
    jobs.iter().map(|_| Performed::default()).collect()
}

/// What a write's outcome means for the user it belongs to; `None` where it succeeded.
fn failure_of(effect: &'static str, cluster: &ClusterName, outcome: &kafka::Outcome) -> Option<Failure> {
    let disposition = outcome.disposition()?;
    Some(Failure::new(effect, format!("{cluster}: {outcome}"), disposition).hint(outcome.hint()))
}

/// Keeps the worst failure of a user: one that a person has to mend hides one that may pass.
fn fail(performed: &mut Performed, failure: Failure) {
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
        let mut seen = look_at_slots(link, &users).await;
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

/// One cluster's part of a group about access: each user with the change its plan lists there.
struct AccessBatch<'a> {
    cluster: &'a ClusterName,
    link: &'a ClusterLink,
    changes: Vec<(usize, &'a Account, &'a AccessChange)>,
}

/// Splits a group about access by cluster; users whose cluster cannot be asked fail here.
fn access_batches<'a>(
    links: &'a Links,
    effect: &'static str,
    jobs: &'a [Job<'a>],
    performed: &mut [Performed],
) -> Vec<AccessBatch<'a>> {
    let grouped = by_account(jobs, |effect| match effect {
        Effect::Grant(accounts) | Effect::Withdraw(accounts) => accounts.iter().collect(),
        _ => unreachable!("grouped by kind"),
    });
    let mut batches = Vec::new();
    for (cluster, accounts) in grouped {
        match link_of(links, effect, cluster) {
            Ok(link) => {
                let changes = accounts.into_iter().filter_map(|(position, account)| {
                    Some((position, account, jobs[position].run.plan.access.get(account)?))
                });
                batches.push(AccessBatch { cluster, link, changes: changes.collect() });
            }
            Err(failure) => {
                accounts.into_iter().for_each(|(position, _)| fail(&mut performed[position], failure.clone()));
            }
        }
    }
    batches
}

const GRANT: &str = "grant";

/// Creates ACLs, denials before permissions, and sets quotas.
pub(super) async fn grant<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let mut performed = blank(&jobs);
    for batch in access_batches(links, GRANT, &jobs, &mut performed) {
        let AccessBatch { cluster, link, changes } = batch;
        for permission in [Permission::Deny, Permission::Allow] {
            let mut owners = Vec::new();
            let mut acls: Vec<(Principal, AclRule)> = Vec::new();
            for (position, account, change) in &changes {
                // A permission that belongs to a denial that failed is not given.
                if performed[*position].failure.is_some() {
                    continue;
                }
                for rule in change.create.iter().filter(|rule| rule.permission == permission) {
                    owners.push(*position);
                    acls.push((Principal::of_user(&account.username), rule.clone()));
                }
            }
            for (position, outcome) in owners.into_iter().zip(link.admin.create_acls(acls).await) {
                if let Some(failure) = failure_of(GRANT, cluster, &outcome) {
                    fail(&mut performed[position], failure);
                }
            }
        }
        let quotas = changes.iter().filter(|(_, _, change)| change.quotas.is_some_and(|quotas| quotas.sets()));
        change_quotas(GRANT, cluster, link, quotas.copied().collect(), &mut performed).await;
        for (position, account, _) in changes {
            if performed[position].failure.is_none() {
                performed[position].outcomes.push(Outcome::Granted(account.clone()));
            }
        }
    }
    performed
}

async fn change_quotas(
    effect: &'static str,
    cluster: &ClusterName,
    link: &ClusterLink,
    changes: Vec<(usize, &Account, &AccessChange)>,
    performed: &mut [Performed],
) {
    let requests = changes.iter().filter_map(|(_, account, change)| {
        let quotas = change.quotas?;
        Some((account.username.clone(), QuotaChange::between(&quotas.from, &quotas.to)))
    });
    let outcomes = link.admin.alter_user_quotas(requests.collect()).await;
    for ((position, ..), outcome) in changes.iter().zip(outcomes) {
        if let Some(failure) = failure_of(effect, cluster, &outcome) {
            fail(&mut performed[*position], failure);
        }
    }
}

const WITHDRAW: &str = "withdraw";

/// Deletes ACLs, permissions before denials, and removes quotas.
pub(super) async fn withdraw<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let mut performed = blank(&jobs);
    for batch in access_batches(links, WITHDRAW, &jobs, &mut performed) {
        let AccessBatch { cluster, link, changes } = batch;
        let deletions = plan_deletions(link, &jobs, &changes).await;
        let requests = deletions.iter().map(|(_, _, deletion)| deletion.clone()).collect();
        for ((position, account, deletion), answer) in deletions.into_iter().zip(link.admin.delete_acls(requests).await)
        {
            match answer {
                Err(outcome) => {
                    if let Some(failure) = failure_of(WITHDRAW, cluster, &outcome) {
                        fail(&mut performed[position], failure);
                    }
                }
                Ok(removed) => {
                    let planned = &jobs[position].run.plan.access[account].delete;
                    put_back(cluster, link, planned, removed.rules, &deletion, &mut performed[position]).await;
                }
            }
        }
        let quotas = changes
            .iter()
            .filter(|(_, _, change)| change.quotas.is_some_and(|quotas| !quotas.sets() && quotas.removed() > 0));
        change_quotas(WITHDRAW, cluster, link, quotas.copied().collect(), &mut performed).await;
        for (position, account, _) in changes {
            if performed[position].failure.is_none() {
                performed[position].outcomes.push(Outcome::Withdrawn(account.clone()));
            }
        }
    }
    performed
}

/// Principals whose ACLs are counted side by side: each look scans every ACL on one broker (kafka.md §2).
const PRINCIPALS_AT_ONCE: usize = 8;

/// One filter for a whole principal where the whole principal goes and still has as many ACLs as the plan lists; else one
/// for each ACL, because a filter takes what was added meanwhile with it (design.md §6).
async fn plan_deletions<'a>(
    link: &ClusterLink,
    jobs: &[Job<'_>],
    changes: &[(usize, &'a Account, &AccessChange)],
) -> Vec<(usize, &'a Account, AclDeletion)> {
    let goes_whole = &|position: usize, account: &Account, change: &AccessChange| {
        let wanted = jobs[position].run.plan.wanted.as_ref();
        let stays = wanted.is_some_and(|wanted| wanted.names().contains(&account.username));
        !stays && change.delete_is_whole && change.delete.len() > 1
    };
    let looks = changes.iter().map(|&(position, account, change)| async move {
        let principal = Principal::of_user(&account.username);
        let still_whole = goes_whole(position, account, change)
            && match link.admin.list_acls(AclScope::Principal(principal.clone())).await {
                Ok(listing) => listing.rules.len() == change.delete.len() && listing.unknown == 0,
                Err(_) => false,
            };
        (position, account, principal, change, still_whole)
    });
    let looked = stream::iter(looks.collect::<Vec<_>>()).buffered(PRINCIPALS_AT_ONCE).collect::<Vec<_>>().await;
    let mut deletions = Vec::new();
    for (position, account, principal, change, still_whole) in looked {
        if still_whole {
            deletions.push((position, account, AclDeletion::WholePrincipal(principal)));
        } else {
            let exact = change.delete.iter().map(|rule| AclDeletion::Exact(principal.clone(), rule.clone()));
            deletions.extend(exact.map(|deletion| (position, account, deletion)));
        }
    }
    deletions
}

/// An ACL that a whole-principal filter removed although no plan listed it is created again, and reported.
async fn put_back(
    cluster: &ClusterName,
    link: &ClusterLink,
    planned: &[AclRule],
    removed: Vec<(Principal, AclRule)>,
    deletion: &AclDeletion,
    performed: &mut Performed,
) {
    if matches!(deletion, AclDeletion::Exact(..)) {
        return;
    }
    let surplus = removed.into_iter().filter(|(_, rule)| !planned.contains(rule)).collect::<Vec<_>>();
    if surplus.is_empty() {
        return;
    }
    let names = surplus.iter().map(|(_, rule)| rule.to_string()).collect::<Vec<_>>().join("; ");
    let failed =
        link.admin.create_acls(surplus).await.into_iter().find_map(|outcome| failure_of(WITHDRAW, cluster, &outcome));
    let why = match failed {
        None => format!("{cluster}: an ACL appeared while the user was being deleted and was put back: {names}"),
        Some(failure) => format!(
            "{cluster}: an ACL appeared while the user was being deleted, was removed with the others and could not be put back ({}): {names}",
            failure.why
        ),
    };
    tracing::warn!(%cluster, "{why}");
    fail(performed, Failure::new(WITHDRAW, why, Disposition::Stall));
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
