//! Effects on ACLs and quotas. Each group becomes a few large requests per cluster.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};

use super::connect::{ClusterLink, Links};
use super::kafka_effects::{blank, fail, failure_of};
use super::run::{Failure, Job, Performed, by_account, link_of};
use super::store_effects::store_failure;
use crate::credential::{Account, Effect, Outcome, Seen};
use crate::diagnostic::{Chain, Disposition};
use crate::kafka::{AclDeletion, AclScope, QuotaChange};
use crate::names::{AclRule, ClusterName, Permission, Principal, StoreName};
use crate::state::AccessChange;

/// One cluster's part of a group about access: each user with the change its plan lists there.
struct AccessBatch<'a> {
    cluster: &'a ClusterName,
    link: &'a ClusterLink,
    changes: Vec<(usize, &'a Account, &'a AccessChange)>,
}

/// What the plan lists for an account of which it saw nothing.
static NOTHING: AccessChange =
    AccessChange { create: Vec::new(), delete: Vec::new(), delete_is_whole: false, quotas: None };

/// Fails users whose record is not the one that their plan was made of. Maintenance writes no record before it changes
/// access, and a plan may have waited for a person's approval, or its process stood still, while another pass deleted the user.
///
/// A process that stops right after this check can still give access to a name that nobody has any more, as can a request that
/// is executed late. A permit would keep it from that, at the price of two record writes and a fence for every change of an ACL.
/// Nobody can use such a name: its credentials are under permits.
async fn check_records(links: &Links, effect: &'static str, jobs: &[Job<'_>], performed: &mut [Performed]) {
    let mut by_store: BTreeMap<&StoreName, Vec<usize>> = BTreeMap::new();
    for (position, job) in jobs.iter().enumerate().filter(|(_, job)| !job.run.has_written) {
        by_store.entry(&job.run.plan.store).or_default().push(position);
    }
    for (store, positions) in by_store {
        let users = positions.iter().map(|&position| jobs[position].run.user.clone()).collect::<Vec<_>>();
        let read = match links.stores.get(store) {
            Some(Seen::Known(link)) => link.reader.read_records(&users).await,
            // Without its store there would be no plan for a user.
            Some(Seen::Unknown(_)) | None => continue,
        };
        for (position, read) in positions.into_iter().zip(read) {
            let planned = jobs[position].run.record.as_ref().map(|record| &record.version);
            let failure = match read {
                Ok(found) if found.as_ref().map(|found| &found.version) == planned => continue,
                Ok(_) => Failure::new(effect, "its record has changed since the plan was made", Disposition::Wait)
                    .hint(Some("another Kastellan works on this user; run again".to_owned())),
                Err(error) => store_failure(effect, &error),
            };
            fail(&mut performed[position], failure);
        }
    }
}

/// Splits a group about access by cluster; users whose record has changed, and those whose cluster cannot be asked, fail here.
async fn access_batches<'a>(
    links: &'a Links,
    effect: &'static str,
    jobs: &'a [Job<'a>],
    performed: &mut [Performed],
) -> Vec<AccessBatch<'a>> {
    check_records(links, effect, jobs, performed).await;
    let grouped = by_account(jobs, |effect| match effect {
        Effect::Grant(accounts) | Effect::Withdraw(accounts) => accounts.iter().collect(),
        _ => unreachable!("grouped by kind"),
    });
    let mut batches = Vec::new();
    for (cluster, accounts) in grouped {
        let accounts = accounts.into_iter().filter(|(position, _)| performed[*position].failure.is_none());
        let accounts = accounts.collect::<Vec<_>>();
        match link_of(links, effect, cluster) {
            Ok(link) => {
                let changes = accounts.into_iter().map(|(position, account)| {
                    (position, account, jobs[position].run.plan.access.get(account).unwrap_or(&NOTHING))
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
    for batch in access_batches(links, GRANT, &jobs, &mut performed).await {
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
        let quotas = changes.iter().filter_map(|&(position, account, change)| {
            let quotas = change.quotas.filter(|quotas| quotas.sets())?;
            Some((position, account, QuotaChange::between(&quotas.from, &quotas.to)))
        });
        change_quotas(GRANT, cluster, link, quotas.collect(), &mut performed).await;
        for (position, account, _) in changes {
            if performed[position].failure.is_none() {
                performed[position].outcomes.push(Outcome::Granted(account.clone()));
            }
        }
    }
    performed
}

/// Changes the quotas of each job's account.
async fn change_quotas(
    effect: &'static str,
    cluster: &ClusterName,
    link: &ClusterLink,
    changes: Vec<(usize, &Account, QuotaChange)>,
    performed: &mut [Performed],
) {
    let requests = changes.iter().map(|(_, account, change)| (account.username.clone(), *change));
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
    for batch in access_batches(links, WITHDRAW, &jobs, &mut performed).await {
        let AccessBatch { cluster, link, changes } = batch;
        let deletions = plan_deletions(cluster, link, &jobs, &changes, &mut performed).await;
        let requests = deletions.iter().map(|(.., deletion)| deletion.clone()).collect();
        for ((position, planned, deletion), answer) in deletions.into_iter().zip(link.admin.delete_acls(requests).await)
        {
            match answer {
                Err(outcome) => {
                    if let Some(failure) = failure_of(WITHDRAW, cluster, &outcome) {
                        fail(&mut performed[position], failure);
                    }
                }
                Ok(removed) => {
                    put_back(cluster, link, planned, removed.rules, &deletion, &mut performed[position]).await;
                }
            }
        }
        let quotas = changes.iter().filter_map(|&(position, account, change)| {
            if leaves(&jobs[position], account) {
                return Some((position, account, QuotaChange::NONE_LEFT));
            }
            let quotas = change.quotas.filter(|quotas| !quotas.sets() && quotas.removed() > 0)?;
            Some((position, account, QuotaChange::between(&quotas.from, &quotas.to)))
        });
        change_quotas(WITHDRAW, cluster, link, quotas.collect(), &mut performed).await;
        for (position, account, _) in changes {
            if performed[position].failure.is_none() {
                performed[position].outcomes.push(Outcome::Withdrawn(account.clone()));
            }
        }
    }
    performed
}

/// Whether the user goes from this cluster for good, so that nothing of it may be left there.
fn leaves(job: &Job<'_>, account: &Account) -> bool {
    let is_owed = job.run.record.as_ref().is_some_and(|record| record.value.owed.contains_key(&account.cluster));
    is_owed || job.run.plan.wanted.as_ref().is_none_or(|wanted| !wanted.clusters.contains(&account.cluster))
}

/// Principals whose ACLs are counted side by side: each look scans every ACL on one broker (kafka.md §2).
const PRINCIPALS_AT_ONCE: usize = 8;

/// ACLs that one filter may match; beyond that the whole request fails (kafka.md §2).
const MATCHES_MAX: usize = 10_000;

/// One filter for a whole principal where the whole principal goes and has no ACL that the plan does not list; else one
/// for each ACL, because a filter takes what was added meanwhile with it (design.md §6).
///
/// Where the user goes from the cluster for good, there is a filter even if the plan lists nothing: the controller's answer
/// tells what there was, and a broker that lags does not. What nobody has approved stays until the next pass, and the user
/// with it.
async fn plan_deletions<'a>(
    cluster: &ClusterName,
    link: &ClusterLink,
    jobs: &[Job<'_>],
    changes: &[(usize, &'a Account, &'a AccessChange)],
    performed: &mut [Performed],
) -> Vec<(usize, &'a [AclRule], AclDeletion)> {
    let goes_whole = &|position: usize, account: &Account, change: &AccessChange| {
        let wanted = jobs[position].run.plan.wanted.as_ref();
        let stays = wanted.is_some_and(|wanted| wanted.names().contains(&account.username));
        !stays && change.delete_is_whole && change.delete.len() > 1
    };
    let looks = changes.iter().map(|&(position, account, change)| async move {
        let principal = Principal::of_user(&account.username);
        let leaves = leaves(&jobs[position], account);
        let listed = match leaves || goes_whole(position, account, change) {
            true => Some(link.admin.list_acls(AclScope::Principal(principal.clone())).await),
            false => None,
        };
        (position, leaves, principal, change, listed)
    });
    let looked = stream::iter(looks.collect::<Vec<_>>()).buffered(PRINCIPALS_AT_ONCE).collect::<Vec<_>>().await;
    let mut deletions = Vec::new();
    for (position, leaves, principal, change, listed) in looked {
        let planned = &*change.delete;
        let is_planned = listed.as_ref().is_some_and(|listed| {
            listed.as_ref().is_ok_and(|listed| {
                let known = planned.iter().collect::<BTreeSet<_>>();
                listed.unknown == 0 && listed.rules.iter().all(|(_, rule)| known.contains(rule))
            })
        });
        if is_planned && planned.len() <= MATCHES_MAX {
            deletions.push((position, planned, AclDeletion::WholePrincipal(principal)));
            continue;
        }
        if leaves && !is_planned {
            let why = match listed {
                Some(Err(error)) => format!("{cluster}: {}", Chain(&error)),
                Some(Ok(_)) | None => format!("{cluster}: it has an ACL that the plan does not list"),
            };
            fail(&mut performed[position], Failure::new(WITHDRAW, why, Disposition::Wait));
        }
        let exact = planned.iter().map(|rule| AclDeletion::Exact(principal.clone(), rule.clone()));
        deletions.extend(exact.map(|deletion| (position, planned, deletion)));
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
