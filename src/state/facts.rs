//! Brings desired and observed together: the facts of one user, and who claims which name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{AccessChange, ClusterObserved, Desired, DesiredUser, Observed, compare_access, cut_all, withdraw_all};
use crate::credential::{
    AccessFact, Account, AccountFacts, Authentication, ClusterFacts, Facts, Record, Seen, Slots, WantedAuthentication,
};
use crate::names::{AclRule, ClusterId, ClusterName, NamespacedName, UserName, UserQuotas};

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
                    for name in record.names() {
                        claims.by_name.entry((id.clone(), name.clone())).or_insert_with(|| user.clone());
                    }
                }
            }
        }
        for (user, wanted) in &desired.users {
            for cluster in &wanted.wanted.clusters {
                if let Some(Seen::Known(seen)) = observed.clusters.get(cluster) {
                    for name in wanted.wanted.names() {
                        let key = (seen.id.clone(), name.clone());
                        claims.by_name.entry(key).or_insert_with(|| user.clone());
                    }
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
            let holder_of = |name: &UserName| self.by_name.get(&(seen.id.clone(), name.clone()));
            let holder = wanted.wanted.names().iter().filter_map(holder_of).find(|holder| *holder != user)?;
            let gone = !desired.users.contains_key(holder);
            let hint = if gone { ", whose document is gone: if it was renamed, keep the old name for now, or delete the old user first with `--prune`" } else { "" };
            Some(format!("`{holder}` on cluster {cluster}{hint}").into())
        })
    }
}

/// The facts of one user, and what has to change of its access on each cluster that can be seen.
///
/// `wanted` is `None` when the user's document is gone: then all access of an exclusive principal has to go. `revokes` tells
/// whether a revocation is asked for: then all access is told, so that it can be written down before it is cut.
pub fn facts_of(
    user: &NamespacedName,
    wanted: Option<&DesiredUser>,
    record: Option<&Record>,
    revokes: bool,
    claims: &Claims,
    desired: &Desired,
    observed: &Observed,
) -> (Facts, BTreeMap<Account, AccessChange>) {
    let mut access = BTreeMap::new();
    let mut clusters = BTreeMap::new();
    let of_document = wanted.into_iter().flat_map(|wanted| wanted.wanted.clusters.iter());
    let of_record = record.into_iter().flat_map(|record| record.clusters.keys().chain(record.owed.keys()));
    let person = Person { wanted, record, revokes };
    for name in of_document.chain(of_record) {
        if clusters.contains_key(name) {
            continue;
        }
        let seen = person.on_cluster(name, desired, observed, &mut access);
        clusters.insert(name.clone(), seen);
    }
    let facts = Facts {
        clusters,
        document: observed.documents.get(user).cloned().unwrap_or(Seen::Known(None)),
        connections: wanted.map(|wanted| connections(wanted, desired)),
        deliveries: observed.deliveries.get(user).cloned().unwrap_or_default(),
        source: observed.sources.get(user).cloned().unwrap_or(Seen::Known(None)),
        rollout: observed.rollouts.get(user).cloned(),
        claimed_by: wanted.and_then(|wanted| claims.other(user, wanted, desired, observed)),
    };
    (facts, access)
}

/// What the credential document has to tell of how to connect.
fn connections(wanted: &DesiredUser, desired: &Desired) -> Vec<(ClusterName, Arc<str>)> {
    let told = wanted.wanted.clusters.iter().filter_map(|name| {
        let cluster = desired.clusters.get(name)?;
        Some((name.clone(), cluster.connection_digest.clone()))
    });
    told.collect()
}

/// One user: what its document says, and what its record says.
struct Person<'a> {
    wanted: Option<&'a DesiredUser>,
    record: Option<&'a Record>,
    revokes: bool,
}

impl Person<'_> {
    /// Whether somebody else authenticates the user, by its document and by its record: then nobody looks for credentials,
    /// because none is ours.
    fn is_external(&self) -> bool {
        let record = self.record.filter(|record| record.claims_username());
        self.wanted.is_none_or(|wanted| wanted.wanted.authentication == WantedAuthentication::External)
            && record.is_none_or(|record| record.authentication == Authentication::External)
    }

    /// Every name the user has, had, or is to have on a cluster.
    fn names(&self, cluster: &ClusterName) -> BTreeSet<&UserName> {
        // A tombstone's names are nobody's, but where its cluster is still owed something.
        let record = self.record.filter(|record| record.claims_username() || record.owed.contains_key(cluster));
        let of_document = self.wanted.into_iter().flat_map(|wanted| wanted.wanted.names());
        of_document.chain(record.into_iter().flat_map(Record::names)).collect()
    }

    fn on_cluster(
        &self,
        name: &ClusterName,
        desired: &Desired,
        observed: &Observed,
        access: &mut BTreeMap<Account, AccessChange>,
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
        let accounts = self.names(name).into_iter().map(|username| {
            let account = Account::new(name, username);
            let facts = self.on_account(&account, seen, access);
            (username.clone(), facts)
        });
        let accounts = accounts.collect();
        Seen::Known(ClusterFacts { id: seen.id.clone(), accounts, afterlife: seen.afterlife })
    }

    fn on_account(
        &self,
        account: &Account,
        seen: &ClusterObserved,
        access: &mut BTreeMap<Account, AccessChange>,
    ) -> AccountFacts {
        let slots = match seen.slots.get(&account.username) {
            Some(slots) => slots.clone(),
            None if self.is_external() => Seen::Known(Slots::new()),
            None => Seen::unknown("not observed"),
        };
        let (Seen::Known(acls), Seen::Known(quotas)) = (&seen.acls, &seen.quotas) else {
            let why = [seen.acls.unknown_because(), seen.quotas.unknown_because()].into_iter().flatten().next();
            return AccountFacts { slots, access: Seen::Unknown(why.expect("one of them is unknown").clone()) };
        };
        let existing: &[AclRule] = acls.get(&account.username).map_or(&[], Vec::as_slice);
        let existing_quotas = quotas.get(&account.username).copied().unwrap_or_default();
        let change = match self.record.is_some_and(|record| is_owed(record, account, &seen.id)) {
            true => withdraw_all(existing, existing_quotas),
            false => self.change_of(account, existing, existing_quotas),
        };
        let is_unmanaged = |wanted: &DesiredUser| {
            wanted.rules.is_none() && !existing.is_empty() || wanted.quotas.is_none() && !existing_quotas.is_empty()
        };
        let is_revoked = self.revokes || self.record.is_some_and(|record| record.revocation.is_some());
        let fact = AccessFact {
            grants: change.grants(),
            withdrawals: change.withdrawals(),
            present: !existing.is_empty() || !existing_quotas.is_empty(),
            unmanaged: self.wanted.is_some_and(is_unmanaged),
            rules: is_revoked.then(|| existing.into()),
        };
        if !change.is_empty() {
            access.insert(account.clone(), change);
        }
        AccountFacts { slots, access: Seen::Known(fact) }
    }

    /// The way to what is declared, for a name that is asked for on a cluster that is asked for; else the way to nothing. A
    /// name whose credential is revoked loses everything, and is given everything that is declared, or was there, again:
    /// the machine says when.
    fn change_of(&self, account: &Account, existing: &[AclRule], quotas: UserQuotas) -> AccessChange {
        let Some(wanted) = self.wanted else { return withdraw_all(existing, quotas) };
        let is_bound = self.record.is_some_and(|record| wanted.wanted.is_bound_to(&account.username, record));
        let is_asked_for = is_bound || wanted.wanted.names().contains(&account.username);
        let is_wanted = is_asked_for && wanted.wanted.clusters.contains(&account.cluster);
        let cut = self.record.and_then(|record| cut_access(record, account));
        let is_cut = cut.is_some()
            || self.revokes
                && self.record.is_some_and(|record| record.slots().any(|slot| slot.username == account.username));
        if is_cut {
            let before = cut.flatten();
            let rules = wanted.rules.as_deref().or(before).unwrap_or(existing);
            let back = if is_wanted { rules } else { &[] };
            return cut_all(existing, back);
        }
        if is_wanted {
            return compare_access(wanted.rules.as_deref(), wanted.quotas.as_ref(), existing, quotas);
        }
        // What no document manages is nobody's to take, as long as the user itself stays.
        let none = UserQuotas::default();
        let stays_on_cluster = wanted.wanted.clusters.contains(&account.cluster);
        match stays_on_cluster {
            true => {
                compare_access(wanted.rules.as_ref().map(|_| &[][..]), wanted.quotas.map(|_| &none), existing, quotas)
            }
            false => withdraw_all(existing, quotas),
        }
    }
}

/// Whether the cluster that was seen is one that the user left, or lost, and that still holds something under this name (R12).
/// All of it goes before the user comes back to it, also where its document asks for the same again: what stayed would be
/// nobody's. Another cluster that took its name owes nothing, and whoever comes to it gets access at once.
fn is_owed(record: &Record, account: &Account, seen: &ClusterId) -> bool {
    record.owed.get(&account.cluster).is_some_and(|owed| owed.id == *seen) && record.names().contains(&account.username)
}

/// What a name had before a revocation cut it off on a cluster: `None` where it is not cut, or has it back.
fn cut_access<'a>(record: &'a Record, account: &Account) -> Option<Option<&'a [AclRule]>> {
    let revocation = record.revocation.as_ref()?;
    let is_revoked = revocation.slots.iter().any(|slot| slot.username == account.username);
    let cut = revocation.cuts.get(&account.cluster).filter(|cut| is_revoked && !cut.given_back)?;
    let before = cut.access.as_ref().and_then(|access| access.get(&account.username));
    Some(before.map(|rules| &**rules))
}
