//! Effects on ACLs and quotas. Each group becomes a few large requests per cluster.

use futures_util::stream::{self, StreamExt as _};

use super::connect::{ClusterLink, Links};
use super::kafka_effects::{blank, fail, failure_of};
use super::run::{Failure, Job, Performed, by_account, link_of};
use crate::credential::{Account, Effect, Outcome};
use crate::diagnostic::Disposition;
use crate::kafka::{AclDeletion, AclScope, QuotaChange};
use crate::names::{AclRule, ClusterName, Permission, Principal};
use crate::state::AccessChange;

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
