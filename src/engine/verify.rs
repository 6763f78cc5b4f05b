//! Logs in with published credentials on every broker.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::connect::Links;
use super::login::prove_on;
use crate::credential::{Record, Seen};
use crate::diagnostic::{Chain, Hint};
use crate::names::{ClusterName, Generation, NamespacedName, StoreName};
use crate::secret::Material;

/// What verifying one user on one cluster showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The user.
    pub user: NamespacedName,
    /// The cluster.
    pub cluster: ClusterName,
    /// The credential's generation.
    pub generation: Generation,
    /// How many brokers it was tried on; 0 where the cluster cannot be reached.
    pub brokers: usize,
    /// Whether the clients' listener was asked; else only the brokers' view.
    pub by_login: bool,
    /// Why it does not work; `None` when it does, everywhere.
    pub failure: Option<String>,
    /// What to do about that.
    pub hint: Option<Hint>,
}

/// What to do where brokers do not take a published credential.
const NOT_TAKEN: &str = "`kastellan plan` shows whether somebody changed it, and `kastellan apply` asserts it again";

/// Verifies the active credential of each record on each of its clusters; records without one are left out.
pub async fn verify(links: &Links, records: &BTreeMap<NamespacedName, (StoreName, Record)>) -> Vec<Verified> {
    let material = read_material(links, records).await;
    let mut by_cluster: BTreeMap<&ClusterName, Vec<(&NamespacedName, &Record)>> = BTreeMap::new();
    for (user, (_, record)) in records {
        if record.active.is_some() {
            for cluster in record.clusters.keys() {
                by_cluster.entry(cluster).or_default().push((user, record));
            }
        }
    }
    let work = by_cluster.into_iter().map(|(cluster, users)| verify_on(links, cluster, users, &material));
    let mut verified = join_all(work).await.into_iter().flatten().collect::<Vec<_>>();
    verified.sort_by(|left, right| (&left.user, &left.cluster).cmp(&(&right.user, &right.cluster)));
    verified
}

type Materials<'a> = BTreeMap<&'a NamespacedName, Result<Material, (String, Option<Hint>)>>;

async fn read_material<'a>(links: &Links, records: &'a BTreeMap<NamespacedName, (StoreName, Record)>) -> Materials<'a> {
    let mut by_store: BTreeMap<&StoreName, Vec<(&NamespacedName, Generation)>> = BTreeMap::new();
    for (user, (store, record)) in records {
        if let Some(active) = &record.active {
            by_store.entry(store).or_default().push((user, active.generation));
        }
    }
    let mut material = Materials::new();
    for (name, users) in by_store {
        let store = match links.stores.get(name) {
            Some(Seen::Known(link)) => link.secrets.as_ref(),
            Some(Seen::Unknown(_)) | None => None,
        };
        let Some(store) = store else {
            let hint = links.hints.get(name.as_str());
            let closed = || Err((format!("store {name} is not open"), hint.cloned()));
            material.extend(users.into_iter().map(|(user, _)| (user, closed())));
            continue;
        };
        let keys = users.iter().map(|(user, generation)| ((*user).clone(), *generation)).collect::<Vec<_>>();
        for ((user, generation), read) in users.into_iter().zip(store.read_materials(&keys).await) {
            let read = match read {
                Ok(Some(read)) => Ok(read),
                Ok(None) => {
                    let hint = format!("find it in a backup of the store, or `kastellan rotate {user}`");
                    Err((format!("the material of generation {generation} is gone"), Some(hint)))
                }
                Err(error) => Err((Chain(&error).to_string(), error.hint())),
            };
            material.insert(user, read);
        }
    }
    material
}

async fn verify_on(
    links: &Links,
    cluster: &ClusterName,
    users: Vec<(&NamespacedName, &Record)>,
    material: &Materials<'_>,
) -> Vec<Verified> {
    let blank = |user: &NamespacedName, record: &Record| Verified {
        user: user.clone(),
        cluster: cluster.clone(),
        generation: record.generation,
        brokers: 0,
        by_login: false,
        failure: None,
        hint: None,
    };
    let mut verified = Vec::with_capacity(users.len());
    let mut wanted = Vec::new();
    let link = match links.clusters.get(cluster) {
        Some(Seen::Known(link)) => Ok(link),
        Some(Seen::Unknown(why)) => Err(why.to_string()),
        None => Err("no document declares this cluster".to_owned()),
    };
    for (user, record) in users {
        let mut entry = blank(user, record);
        match (&link, &material[user]) {
            (Err(why), _) => {
                entry.failure = Some(why.clone());
                entry.hint = links.hints.get(cluster.as_str()).cloned();
            }
            (Ok(_), Err((why, hint))) => (entry.failure, entry.hint) = (Some(why.clone()), hint.clone()),
            (Ok(_), Ok(material)) => {
                let username = record.active.as_ref().map_or(&record.username, |active| &active.username);
                wanted.push((verified.len(), username, &material.scram));
            }
        }
        verified.push(entry);
    }
    let Ok(link) = link else { return verified };
    let credentials = wanted.iter().map(|(_, user, scram)| (*user, *scram)).collect::<Vec<_>>();
    let (_, proofs) = prove_on(link, &credentials).await;
    let brokers = link.admin.cluster().brokers.len();
    for ((index, ..), proof) in wanted.into_iter().zip(proofs) {
        verified[index].brokers = brokers;
        verified[index].by_login = link.logins.is_some();
        if let Err(unproven) = proof {
            verified[index].failure = Some(unproven.why);
            verified[index].hint = Some(NOT_TAKEN.into());
        }
    }
    verified
}
