//! What a pass sees before it decides: the same facts that the engine gathers.

use std::collections::{BTreeMap, BTreeSet};

use kastellan::credential::{
    AccessFact, AccountFacts, Afterlife, ClusterFacts, DeliveryRecord, DeliveryState, Facts, Record, Seen, Slot,
    SlotSeen, Slots, Wanted,
};
use kastellan::names::{ClusterId, ClusterName, Generation, RotationId, UserName};

use crate::scenario::{MECHANISMS, Scenario};
use crate::world::{Cluster, Salt, State, generation_of};

/// Iterations of every credential of the model.
const ITERATIONS: u32 = 4096;

pub fn cluster_id(index: usize, cluster: &Cluster) -> ClusterId {
    ClusterId::parse(format!("id-{index}-{}", cluster.incarnation)).expect("a valid id")
}

/// A salt's bytes.
pub fn salt_bytes(salt: Salt) -> kastellan::secret::Salt {
    kastellan::secret::Salt::observed([salt; 16])
}

/// The salt of the model behind a record's.
pub fn salt_in(slot: &Slot) -> Salt {
    slot.salt.bytes()[0]
}

/// What the record says of a credential.
pub fn slot(scenario: &Scenario, place: u8, salt: Salt) -> Slot {
    let (username, mechanism) = scenario.place_name(usize::from(place));
    Slot {
        username: username.clone(),
        generation: Generation(generation_of(salt)),
        rotation_id: RotationId::parse(format!("r{salt}")).expect("a valid id"),
        mechanism,
        salt: salt_bytes(salt),
        iterations: ITERATIONS,
    }
}

/// Which broker answers the question for a salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broker {
    Leading,
    Lagging,
}

/// The slots of a name as a look finds them: what any broker shows, with the salt that one of those tells.
pub fn look(scenario: &Scenario, cluster: &Cluster, username: &UserName, broker: Broker) -> Slots {
    let mut slots = Slots::new();
    for mechanism in MECHANISMS {
        let place = scenario.place(username, mechanism);
        let (leading, lagging) = (cluster.slots[place], cluster.lagging[place]);
        let (first, second) = match broker {
            Broker::Leading => (leading, lagging),
            Broker::Lagging => (lagging, leading),
        };
        let salt = if first == 0 { second } else { first };
        if salt != 0 {
            let everywhere = leading != 0 && lagging != 0;
            let seen = SlotSeen { iterations: ITERATIONS, salt: Some(salt_bytes(salt)), everywhere };
            slots.insert(mechanism, seen);
        }
    }
    slots
}

pub fn delivered(salt: Salt) -> DeliveryRecord {
    DeliveryRecord {
        kind: "file".to_owned(),
        target: "/x".to_owned(),
        digest: format!("of-{salt}"),
        written: BTreeMap::new(),
    }
}

fn delivery(scenario: &Scenario, state: &State, record: Option<&Record>) -> DeliveryState {
    let pending =
        |why: &str| DeliveryState::Pending { why: why.into(), kind: "file", target: "/x".into(), taken_from: None };
    let published = record.filter(|record| record.claims_username()).and_then(Record::newest_published);
    let newest = published.map_or(1, |slot| slot.generation.0);
    let Some((_, salt)) = state.file else { return pending("missing") };
    if generation_of(salt) > newest {
        return DeliveryState::Ahead(Generation(generation_of(salt)));
    }
    let recorded = record.and_then(|record| record.deliveries.get(&scenario.delivery));
    let is_in_date = published.is_some_and(|slot| {
        salt_in(slot) == salt && recorded.is_none_or(|recorded| recorded.digest == delivered(salt).digest)
    });
    // A file that nobody recorded is read and written again.
    if is_in_date && recorded.is_some() { DeliveryState::InStep } else { pending("outdated") }
}

/// The names of the user on a cluster, as far as documents and record tell.
fn names<'a>(wanted: Option<&'a Wanted>, record: Option<&'a Record>, cluster: &ClusterName) -> BTreeSet<&'a UserName> {
    let record = record.filter(|record| record.claims_username() || record.owed.contains_key(cluster));
    let of_document = wanted.into_iter().flat_map(|wanted| wanted.names());
    of_document.chain(record.into_iter().flat_map(Record::names)).collect()
}

/// Whether a name's access is cut off on a cluster by a revocation.
fn is_cut(record: Option<&Record>, cluster: &ClusterName, name: &UserName, revokes: bool) -> bool {
    let Some(record) = record else { return false };
    let is_revoked = |revocation: &kastellan::credential::Revocation| {
        let is_open = revocation.cuts.get(cluster).is_some_and(|cut| !cut.given_back);
        is_open && revocation.slots.iter().any(|slot| slot.username == *name)
    };
    record.revocation.as_deref().is_some_and(is_revoked) || revokes && record.slots().any(|slot| slot.username == *name)
}

/// Everything known about the user.
pub fn facts(
    scenario: &Scenario,
    state: &State,
    record: Option<&Record>,
    wanted: Option<&Wanted>,
    revokes: bool,
) -> Facts {
    let of_record = record.into_iter().flat_map(|record| record.clusters.keys().chain(record.owed.keys()));
    let of_document = wanted.into_iter().flat_map(|wanted| &wanted.clusters);
    let asked = of_document.chain(of_record).collect::<BTreeSet<_>>();
    let mut clusters = BTreeMap::new();
    for (index, name) in scenario.clusters.iter().enumerate().filter(|(_, name)| asked.contains(name)) {
        let cluster = &state.clusters[index];
        if cluster.is_down {
            clusters.insert(name.clone(), Seen::unknown("down"));
            continue;
        }
        let accounts = names(wanted, record, name).into_iter().map(|username| {
            let bit = 1 << scenario.names.iter().position(|known| known == username).expect("a name of the scenario");
            let present = cluster.access & bit != 0;
            let is_wanted =
                wanted.is_some_and(|wanted| wanted.names().contains(username) && wanted.clusters.contains(name));
            let cut = is_cut(record, name, username, revokes);
            // What a cluster is owed goes wholly before the user comes back to it.
            let is_owed = record.is_some_and(|record| {
                record.owed.get(name).is_some_and(|owed| owed.id == cluster_id(index, cluster))
                    && record.names().contains(username)
            });
            let is_wanted = is_wanted && !is_owed;
            let is_noted = revokes || record.is_some_and(|record| record.revocation.is_some());
            let access = AccessFact {
                grants: is_wanted && (!present || cut),
                withdrawals: present && (!is_wanted || cut),
                present,
                unmanaged: false,
                rules: is_noted.then(|| Vec::new().into()),
            };
            let slots = look(scenario, cluster, username, Broker::Leading);
            (username.clone(), AccountFacts { slots: Seen::Known(slots), access: Seen::Known(access) })
        });
        let accounts = accounts.collect();
        let seen = ClusterFacts { id: cluster_id(index, cluster), accounts, afterlife: Afterlife::Connection };
        clusters.insert(name.clone(), Seen::Known(seen));
    }
    let document = record.filter(|record| record.document.is_some()).and(state.store.document);
    let mut deliveries = BTreeMap::new();
    if wanted.is_some() {
        deliveries.insert(scenario.delivery.clone(), delivery(scenario, state, record));
    } else if record.is_some_and(|record| !record.deliveries.is_empty()) {
        deliveries.insert(scenario.delivery.clone(), DeliveryState::Surplus);
    }
    Facts {
        clusters,
        document: Seen::Known(document.map(|document| document.version())),
        connections: wanted.map(|wanted| wanted.clusters.iter().map(|name| (name.clone(), "here".into())).collect()),
        deliveries,
        source: Seen::Known((state.given > 0).then(|| given_version(state.given))),
        rollout: None,
        claimed_by: None,
    }
}

pub fn given_version(given: u8) -> kastellan::credential::Version {
    kastellan::credential::Version(format!("given-{given}"))
}

/// Facts without what only decisions look at, so that passes that go on alike are alike.
pub fn without_slots(mut facts: Facts) -> Facts {
    for seen in facts.clusters.values_mut() {
        let Seen::Known(cluster) = seen else { continue };
        let blanked = cluster.accounts.iter().map(|(name, account)| {
            let access = account.access.clone();
            (name.clone(), AccountFacts { slots: Seen::Known(Slots::new()), access })
        });
        cluster.accounts = blanked.collect();
    }
    facts
}
