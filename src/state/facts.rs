//! Brings desired and observed together: the facts of one user, and who claims which name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AccessChange, Desired, DesiredUser, Observed, compare_access, withdraw_all};
use crate::credential::{AccessFact, Authentication, ClusterFacts, Facts, Record, Seen, Slots, WantedAuthentication};
use crate::names::{AclRule, ClusterId, ClusterName, NamespacedName, UserName};

/// Who claims a user name on a cluster: `(cluster id, user name)` belongs to one record, or one document (design.md §5).
#[derive(Debug, Default)]
pub struct Claims {
    by_name: BTreeMap<(ClusterId, UserName), NamespacedName>,
}

impl Claims {
    /// Collects the claims of records first, then those of documents that have no record yet.
    pub fn collect(desired: &Desired, observed: &Observed) -> Self {
        let mut claims = Self::default();
        for (user, seen) in &observed.records {
            let Seen::Known(found) = seen else { continue };
            let record = &found.record.value;
            if record.claims_username() {
                for id in record.clusters.values() {
                    claims.by_name.entry((id.clone(), record.username.clone())).or_insert_with(|| user.clone());
                }
            }
        }
        for (user, wanted) in &desired.users {
            for cluster in &wanted.wanted.clusters {
                if let Some(Seen::Known(seen)) = observed.clusters.get(cluster) {
                    let key = (seen.id.clone(), wanted.wanted.username.clone());
                    claims.by_name.entry(key).or_insert_with(|| user.clone());
                }
            }
        }
        claims
    }

    /// Somebody else who claims a name of `user`, described for people.
    fn other(
        &self,
        user: &NamespacedName,
        wanted: &DesiredUser,
        desired: &Desired,
        observed: &Observed,
    ) -> Option<Arc<str>> {
        wanted.wanted.clusters.iter().find_map(|cluster| {
            let Some(Seen::Known(seen)) = observed.clusters.get(cluster) else { return None };
            let holder = self.by_name.get(&(seen.id.clone(), wanted.wanted.username.clone()))?;
            if holder == user {
                return None;
            }
            let gone = !desired.users.contains_key(holder);
            let hint = if gone { ", whose document is gone: if it was renamed, keep the old name for now, or delete the old user first with `--prune`" } else { "" };
            Some(format!("`{holder}` on cluster {cluster}{hint}").into())
        })
    }
}

/// The facts of one user, and what has to change of its access on each cluster that can be seen.
///
/// `wanted` is `None` when the user's document is gone: then all access of an exclusive principal has to go.
pub fn facts_of(
    user: &NamespacedName,
    wanted: Option<&DesiredUser>,
    record: Option<&Record>,
    claims: &Claims,
    desired: &Desired,
    observed: &Observed,
) -> (Facts, BTreeMap<ClusterName, AccessChange>) {
    let mut clusters = BTreeMap::new();
    let mut access = BTreeMap::new();
    let of_document = wanted.iter().flat_map(|wanted| wanted.wanted.clusters.iter());
    let of_record = record.iter().flat_map(|record| record.clusters.keys());
    for name in of_document.chain(of_record) {
        if clusters.contains_key(name) {
            continue;
        }
        let seen = cluster_facts(name, wanted, record, desired, observed, &mut access);
        clusters.insert(name.clone(), seen);
    }
    let facts = Facts {
        clusters,
        document: observed.documents.get(user).cloned().unwrap_or(Seen::Known(None)),
        document_inputs: wanted.and_then(|wanted| document_inputs(wanted, record, desired)),
        deliveries: observed.deliveries.get(user).cloned().unwrap_or_default(),
        source: observed.sources.get(user).cloned().unwrap_or(Seen::Known(None)),
        claimed_by: wanted.and_then(|wanted| claims.other(user, wanted, desired, observed)),
    };
    (facts, access)
}

/// What the credential document has to tell of how to connect. Where clusters were added to the user or removed from it,
/// what it tells already: the credential is not there yet, or still is, until that is carried out.
fn document_inputs(wanted: &DesiredUser, record: Option<&Record>, desired: &Desired) -> Option<Arc<str>> {
    let clusters = &wanted.wanted.clusters;
    let live = record.filter(|record| record.claims_username());
    if let Some(live) = live
        && !(live.clusters.len() == clusters.len() && clusters.iter().all(|name| live.clusters.contains_key(name)))
    {
        return live.document_inputs.clone();
    }
    let inputs = clusters.iter().filter_map(|name| {
        let cluster = desired.clusters.get(name)?;
        Some(format!("{name}={}", cluster.connection_digest))
    });
    Some(inputs.collect::<Vec<_>>().join(",").into())
}

/// Whether somebody else authenticates the user, by its document and by its record: then nobody looks for credentials,
/// because none is ours.
fn is_external(wanted: Option<&DesiredUser>, record: Option<&Record>) -> bool {
    let record = record.filter(|record| record.claims_username());
    wanted.is_none_or(|wanted| wanted.wanted.authentication == WantedAuthentication::External)
        && record.is_none_or(|record| record.authentication == Authentication::External)
}

fn cluster_facts(
    name: &ClusterName,
    wanted: Option<&DesiredUser>,
    record: Option<&Record>,
    desired: &Desired,
    observed: &Observed,
    access: &mut BTreeMap<ClusterName, AccessChange>,
) -> Seen<ClusterFacts> {
    match desired.clusters.get(name) {
        None => return Seen::unknown("no document declares this cluster"),
        Some(cluster) if cluster.suspend => return Seen::unknown("the cluster is suspended"),
        Some(_) => {}
    }
    let seen = match observed.clusters.get(name) {
        Some(Seen::Known(seen)) => seen,
        Some(Seen::Unknown(why)) => return Seen::Unknown(why.clone()),
        None => return Seen::unknown("not observed"),
    };
    let username = match wanted {
        Some(wanted) => Some(wanted.wanted.username_now(record)),
        None => record.map(|record| &record.username),
    };
    let Some(username) = username else { return Seen::unknown("the user has no name") };
    let slots = match seen.slots.get(username) {
        Some(slots) => slots.clone(),
        None if is_external(wanted, record) => Seen::Known(Slots::new()),
        None => Seen::unknown("not observed"),
    };
    let access_fact = match (&seen.acls, &seen.quotas) {
        (Seen::Known(acls), Seen::Known(quotas)) => {
            let existing: &[AclRule] = acls.get(username).map_or(&[], Vec::as_slice);
            let existing_quotas = quotas.get(username).copied().unwrap_or_default();
            let change = match wanted {
                Some(wanted) => {
                    compare_access(wanted.rules.as_deref(), wanted.quotas.as_ref(), existing, existing_quotas)
                }
                None => withdraw_all(existing, existing_quotas),
            };
            let fact = AccessFact {
                grants: change.grants(),
                withdrawals: change.withdrawals(),
                present: !existing.is_empty() || !existing_quotas.is_empty(),
            };
            if !change.is_empty() {
                access.insert(name.clone(), change);
            }
            Seen::Known(fact)
        }
        (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => Seen::Unknown(why.clone()),
    };
    Seen::Known(ClusterFacts { id: seen.id.clone(), slots, access: access_fact })
}
