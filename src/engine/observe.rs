//! One look at everything: stores, clusters, deliveries. Reads only, and no secret.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};

use super::connect::{ClusterLink, Links};
use super::deliveries;
use super::look::look_at_slots;
use crate::credential::{Afterlife, KnownPlaces, Record, Seen, WantedAuthentication, Watch};
use crate::diagnostic::Chain;
use crate::kafka::{self, AclScope, KafkaError};
use crate::names::{AclRule, ClusterName, NamespacedName, StoreName, UserName};
use crate::state::{ClusterObserved, Desired, Observed, RecordObserved};

/// Inputs of stores that are looked at side by side.
pub(super) const INPUTS_AT_ONCE: usize = 16;

/// Whom an observation is about.
#[derive(Debug, Clone, Copy)]
pub enum Whom<'a> {
    /// Every user that documents or records name.
    Everybody,
    /// These. Records, ACLs and quotas are everybody's all the same: they are one list.
    Only(&'a BTreeSet<NamespacedName>),
}

impl Whom<'_> {
    /// Whether a user is meant.
    pub(super) fn includes(self, user: &NamespacedName) -> bool {
        match self {
            Self::Everybody => true,
            Self::Only(users) => users.contains(user),
        }
    }
}

/// Observes everything that `desired` and the stores' records name of some users.
pub async fn observe(links: &Links, desired: &Desired, whom: Whom<'_>) -> Observed {
    let (mut observed, access) = tokio::join!(observe_records(links), observe_access(links));
    let names = names_by_cluster(desired, &observed, whom);
    observed.clusters = observe_slots(links, access, &names, &known_places(&observed)).await;
    let (documents, sources) =
        tokio::join!(observe_documents(links, &observed, whom), observe_sources(links, desired, whom));
    observed.documents = documents;
    observed.sources = sources;
    let (seen, rollouts) = tokio::join!(
        deliveries::observe(links, desired, &observed, whom),
        deliveries::observe_rollouts(links, desired, &observed, whom),
    );
    (observed.deliveries, observed.rollouts) = (seen, rollouts);
    observed
}

/// The records of all stores, by user; a damaged one is unknown. Stores that cannot be listed are left out.
pub async fn list_records(links: &Links) -> BTreeMap<NamespacedName, Seen<Box<RecordObserved>>> {
    observe_records(links).await.records
}

/// An observation of records alone.
async fn observe_records(links: &Links) -> Observed {
    let mut observed = Observed::default();
    for (store, listed) in list_stores(links).await {
        match listed {
            Ok(listed) => note_records(&store, listed, &mut observed),
            Err(why) => drop(observed.stores_unknown.insert(store, why)),
        }
    }
    observed
}

type Listed = Result<Vec<crate::store::ListedRecord>, Arc<str>>;

async fn list_stores(links: &Links) -> Vec<(StoreName, Listed)> {
    let lists = links.stores.iter().map(|(name, link)| async move {
        let listed = match link {
            Seen::Known(link) => link.reader.list_records().await.map_err(|error| Chain(&error).to_string().into()),
            Seen::Unknown(why) => Err(why.clone()),
        };
        (name.clone(), listed)
    });
    join_all(lists).await
}

fn note_records(store: &StoreName, listed: Vec<crate::store::ListedRecord>, observed: &mut Observed) {
    let seen = listed.into_iter().map(|(user, record)| {
        let seen = match record {
            Ok(record) => Seen::Known(Box::new(RecordObserved { store: store.clone(), record, also_in: None })),
            Err(error) => Seen::unknown(Chain(&error)),
        };
        (user, seen)
    });
    if observed.records.is_empty() {
        // A map that is made of a sorted whole has full nodes; one that grows has them half empty.
        observed.records = seen.collect();
        return;
    }
    for (user, seen) in seen {
        match observed.records.get_mut(&user) {
            None => drop(observed.records.insert(user, seen)),
            // A record that was left, or a tombstone, beside a live one is the trace of a move, and no second claim.
            Some(Seen::Known(first)) => match seen {
                Seen::Known(second) if !is_in_use(&first.record.value) => *first = second,
                Seen::Known(second) if is_in_use(&second.record.value) => first.also_in = Some(second.store),
                Seen::Known(_) => {}
                Seen::Unknown(why) => drop(observed.records.insert(user, Seen::Unknown(why))),
            },
            Some(Seen::Unknown(_)) => {}
        }
    }
}

/// Whether a record is one to go on from where another store has one of the same user.
fn is_in_use(record: &Record) -> bool {
    record.claims_username() && record.moving_to.is_none()
}

/// Everything of a cluster but its credentials.
async fn observe_access(links: &Links) -> BTreeMap<ClusterName, Seen<ClusterObserved>> {
    let looks = links.clusters.iter().map(|(name, link)| async move {
        let seen = match link {
            Seen::Known(link) => look_at_access(link).await,
            Seen::Unknown(why) => Seen::Unknown(why.clone()),
        };
        (name.clone(), seen)
    });
    join_all(looks).await.into_iter().collect()
}

pub(super) async fn look_at_access(link: &ClusterLink) -> Seen<ClusterObserved> {
    let (acls, quotas, super_users, afterlife) = tokio::join!(
        link.admin.list_acls(AclScope::All),
        link.admin.list_user_quotas(),
        link.admin.super_users(),
        link.admin.afterlife(),
    );
    let cluster = link.admin.cluster();
    let acls = match acls {
        Ok(listing) => {
            let mut by_user: BTreeMap<UserName, Vec<AclRule>> = BTreeMap::new();
            for (principal, rule) in listing.rules {
                if let Some(user) = principal.user() {
                    by_user.entry(user).or_default().push(rule);
                }
            }
            by_user.values_mut().for_each(|rules| rules.sort());
            Seen::Known(by_user)
        }
        Err(error) => unknown(&error),
    };
    let super_users = match super_users {
        Ok(Some(users)) => Seen::Known(users.iter().filter_map(|principal| principal.user()).collect()),
        Ok(None) => Seen::unknown("Kastellan may not read the brokers' configuration"),
        Err(error) => unknown(&error),
    };
    Seen::Known(ClusterObserved {
        id: cluster.id.clone(),
        brokers: cluster.brokers.iter().map(|(&id, address)| (id, address.to_string())).collect(),
        acls,
        quotas: quotas.map_or_else(|error| unknown(&error), Seen::Known),
        slots: BTreeMap::new(),
        afterlife: afterlife_of(afterlife),
        super_users,
    })
}

fn afterlife_of(seen: Result<kafka::Afterlife, KafkaError>) -> Afterlife {
    match seen {
        Ok(kafka::Afterlife { tokens: true, .. }) => Afterlife::Token,
        Ok(kafka::Afterlife { reauthentication: Some(after), .. }) => Afterlife::Ends(after),
        Ok(kafka::Afterlife { reauthentication: None, .. }) | Err(_) => Afterlife::Connection,
    }
}

fn unknown<T>(error: &KafkaError) -> Seen<T> {
    Seen::unknown(Chain(error))
}

/// The user names whose credentials are looked for on each cluster: those of documents, and those of records. Whom
/// somebody else authenticates may have credentials of somebody else, and these are none of our business.
fn names_by_cluster(
    desired: &Desired,
    observed: &Observed,
    whom: Whom<'_>,
) -> BTreeMap<ClusterName, BTreeSet<UserName>> {
    let mut names: BTreeMap<ClusterName, BTreeSet<UserName>> = BTreeMap::new();
    let declared = desired.users.iter().filter(|(user, _)| whom.includes(user)).map(|(_, user)| user);
    for user in declared.filter(|user| user.wanted.authentication != WantedAuthentication::External) {
        for cluster in &user.wanted.clusters {
            names.entry(cluster.clone()).or_default().extend(user.wanted.names().iter().cloned());
        }
    }
    let recorded = observed.records.iter().filter(|(user, _)| whom.includes(user));
    for (user, found) in recorded.filter_map(|(user, seen)| Some((user, seen.known()?))) {
        let record = &found.record.value;
        if record.authentication != crate::credential::Authentication::Scram || record.scope != desired.scope {
            continue;
        }
        // On a cluster that is new to the user, whoever has one of its names there is looked for too.
        let joining = desired.users.get(user).into_iter().flat_map(|wanted| &wanted.wanted.clusters);
        let live = record.clusters.keys().chain(joining).filter(|_| record.claims_username());
        for cluster in live.chain(record.owed.keys()) {
            names.entry(cluster.clone()).or_default().extend(record.names().into_iter().cloned());
        }
    }
    names
}

/// What records say of their places, as far as permits have not been over for long.
fn known_places(observed: &Observed) -> KnownPlaces {
    let (unwatched, none, now) = (Watch::default(), BTreeMap::new(), super::now());
    let records = observed.records.values().filter_map(Seen::known).map(|found| &found.record.value);
    let mut all = KnownPlaces::default();
    all.extend(records.map(|record| unwatched.known_places(record, &none, std::time::Duration::ZERO, now)));
    all
}

async fn observe_slots(
    links: &Links,
    clusters: BTreeMap<ClusterName, Seen<ClusterObserved>>,
    names: &BTreeMap<ClusterName, BTreeSet<UserName>>,
    known_places: &KnownPlaces,
) -> BTreeMap<ClusterName, Seen<ClusterObserved>> {
    let looks = clusters.into_iter().map(|(name, seen)| async move {
        let seen = match (seen, links.clusters.get(&name)) {
            (Seen::Known(mut cluster), Some(Seen::Known(link))) => {
                let users = names.get(&name).into_iter().flatten().cloned().collect::<Vec<_>>();
                cluster.slots = look_at_slots(link, &users, known_places).await;
                Seen::Known(cluster)
            }
            (seen, _) => seen,
        };
        (name, seen)
    });
    join_all(looks).await.into_iter().collect()
}

async fn observe_documents(
    links: &Links,
    observed: &Observed,
    whom: Whom<'_>,
) -> BTreeMap<NamespacedName, Seen<Option<crate::credential::Version>>> {
    let mut by_store: BTreeMap<&StoreName, Vec<NamespacedName>> = BTreeMap::new();
    for (user, seen) in &observed.records {
        if whom.includes(user)
            && let Seen::Known(found) = seen
            && found.record.value.document.is_some()
        {
            by_store.entry(&found.store).or_default().push(user.clone());
        }
    }
    let mut documents = BTreeMap::new();
    for (store, users) in by_store {
        let Some(Seen::Known(link)) = links.stores.get(store) else { continue };
        if !link.reader.watches_credentials() {
            let recorded = users.into_iter().filter_map(|user| {
                let version = observed.records.get(&user)?.known()?.record.value.document.clone();
                Some((user, Seen::Known(version)))
            });
            documents.extend(recorded);
            continue;
        }
        let stats = link.reader.stat_credentials(&users).await;
        let stats = users.into_iter().zip(stats.into_iter().map(seen_of));
        if documents.is_empty() {
            documents = stats.collect();
        } else {
            documents.extend(stats);
        }
    }
    documents
}

async fn observe_sources(
    links: &Links,
    desired: &Desired,
    whom: Whom<'_>,
) -> BTreeMap<NamespacedName, Seen<Option<crate::credential::Version>>> {
    let declared = desired.users.iter().filter(|(user, _)| whom.includes(user));
    let given = declared.filter_map(|(user, wanted)| match &wanted.wanted.authentication {
        WantedAuthentication::Scram { given: Some((path, key)), .. } => Some((user, &wanted.store, path, key)),
        WantedAuthentication::Scram { given: None, .. } | WantedAuthentication::External => None,
    });
    let looks = given.map(|(user, store, path, key)| async move {
        let seen = match links.stores.get(store) {
            Some(Seen::Known(link)) => seen_of(link.reader.stat_input(path, key).await),
            Some(Seen::Unknown(why)) => Seen::Unknown(why.clone()),
            None => Seen::unknown("no document declares its store"),
        };
        (user.clone(), seen)
    });
    stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(INPUTS_AT_ONCE).collect().await
}

fn seen_of<T>(result: Result<T, crate::store::StoreError>) -> Seen<T> {
    result.map_or_else(|error| Seen::unknown(Chain(&error)), Seen::Known)
}
