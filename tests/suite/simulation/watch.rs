//! The one who looks from outside: what was published, who still uses what, and whether that works everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kastellan::credential::{CredentialDocument, Phase, Record};
use kastellan::names::{
    AclRule, BrokerId, ClusterName, Generation, Mechanism, NamespacedName, Principal, RotationId, UserName,
};
use kastellan::secret::{Material, Secret};

use super::super::support::broker::{InProcessCluster, StoredCredential};
use super::dice::Dice;

/// Applications that use one credential, each with a rhythm of its own.
const CONSUMERS: usize = 2;
/// For so long another process may still believe in a slot that was emptied: a frozen one, above all.
const EMPTIED_FOR: Duration = Duration::from_secs(30);
/// When every broker has applied a change, however much it lags.
const KNOWN_AFTER: Duration = Duration::from_secs(3);

/// What is known of one run.
pub struct Watch {
    users: BTreeMap<NamespacedName, UserWatch>,
    /// Every password by its bytes, and whose it is.
    passwords: BTreeMap<Vec<u8>, NamespacedName>,
    /// Salts that the run itself put into Kafka.
    planted: BTreeSet<Vec<u8>>,
    /// Passwords that people chose.
    given: BTreeSet<Vec<u8>>,
    dice: Dice,
    /// The longest time an application takes to read a new credential.
    pub reload_within: Duration,
    violation: Option<String>,
    has_changed: bool,
    /// All access that there is, and since when.
    access: BTreeMap<(ClusterName, Access), Duration>,
    /// Names that are being deleted, or were, and since when.
    deleted: BTreeMap<UserName, Duration>,
    /// Names of which Kastellan empties a slot, or did lately, with the time until when that counts.
    emptied: BTreeMap<UserName, Duration>,
}

/// Something that a name may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    Acl(Principal, AclRule),
    Quota(UserName, String),
}

#[derive(Default)]
struct UserWatch {
    materials: BTreeMap<Generation, Known>,
    newest: Option<Published>,
    /// The document before anything else of its number may be told again, never below.
    highest: Option<(Generation, Option<RotationId>)>,
    was_released: bool,
    is_revoking: bool,
    revoked: BTreeMap<(ClusterName, Generation), Revoked>,
    consumers: [Consumer; CONSUMERS],
}

/// A stolen credential.
struct Revoked {
    place: (UserName, Mechanism),
    is_gone: bool,
}

/// A generation's material, as a broker keeps it.
struct Known {
    mechanism: Mechanism,
    stored: StoredCredential,
    password: Secret,
}

/// A credential that somebody may use.
#[derive(Debug, Clone)]
struct Published {
    generation: Generation,
    username: UserName,
    mechanism: Mechanism,
    clusters: Vec<ClusterName>,
    duty: Duty,
}

/// Whether a published credential has to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// On every broker, now.
    Due,
    /// Somebody else broke it: again once it was mended, and every broker knows.
    Suspended { mended_at: Option<Duration> },
    /// Not any more: its user is being deleted.
    Void,
}

#[derive(Default)]
struct Consumer {
    holds: Option<Published>,
    reloads_at: Option<Duration>,
}

/// A credential to log in with, as an application holds it.
pub struct Login {
    pub cluster: ClusterName,
    pub username: UserName,
    pub mechanism: Mechanism,
    pub password: Secret,
}

impl Watch {
    pub fn new(dice: Dice, reload_within: Duration) -> Self {
        Self {
            users: BTreeMap::new(),
            passwords: BTreeMap::new(),
            planted: BTreeSet::new(),
            given: BTreeSet::new(),
            dice,
            reload_within,
            violation: None,
            has_changed: true,
            emptied: BTreeMap::new(),
            access: BTreeMap::new(),
            deleted: BTreeMap::new(),
        }
    }

    /// What was found wrong first.
    pub fn violation(&self) -> Option<&String> {
        self.violation.as_ref()
    }

    /// Notes what must not be; the first time counts.
    pub fn fail(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// Whether anybody uses something else than when this was asked last.
    pub fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Takes note of a credential that the run itself puts into Kafka.
    pub fn planted(&mut self, credential: &StoredCredential) {
        self.planted.insert(credential.salt.clone());
    }

    /// Takes note of a password that somebody chose.
    pub fn given(&mut self, password: &Secret) {
        self.given.insert(password.expose().to_vec());
    }

    /// Material was created: no password is used twice, except where a deletion is undone, or it is given.
    pub fn material(&mut self, user: &NamespacedName, material: &Material) {
        let scram = &material.scram;
        let iterations = i32::try_from(scram.iterations.count()).expect("at most 16384");
        let salted = scram.keys.salted_password.expose();
        let stored = StoredCredential::from_salted(scram.mechanism, scram.salt.bytes(), iterations, salted);
        let known = Known { mechanism: scram.mechanism, stored, password: scram.password.duplicate() };
        let entry = self.users.entry(user.clone()).or_default();
        let owner = self.passwords.insert(scram.password.expose().to_vec(), user.clone());
        let may_be_used_again = entry.was_released || self.given.contains(scram.password.expose());
        if let Some(owner) = owner.filter(|owner| owner != user || !may_be_used_again) {
            self.violation.get_or_insert(format!("{user} {} has a password of {owner}", material.generation));
        }
        entry.materials.insert(material.generation, known);
    }

    /// A record was written: what it lets happen is no surprise.
    pub fn record(&mut self, record: &Record, now: Duration) {
        for name in record.names() {
            match record.phase {
                Phase::Deleting => drop(self.deleted.entry(name.clone()).or_insert(now)),
                Phase::Deleted => {}
                _ => drop(self.deleted.remove(name)),
            }
        }
        let is_emptying = match record.phase {
            Phase::Retiring | Phase::Aborting | Phase::Revoking | Phase::Deleting | Phase::Deleted => true,
            Phase::Idle | Phase::Prepared | Phase::Verified | Phase::Published | Phase::Confirmed => false,
        };
        if is_emptying {
            let until = now + EMPTIED_FOR;
            self.emptied.extend(record.names().into_iter().map(|name| (name.clone(), until)));
        }
        let Some(user) = self.users.get_mut(&record.user) else { return };
        user.is_revoking = record.phase == Phase::Revoking;
        // In place, what was published works no more from now on; a stolen credential must not.
        let is_over = record.overwrites() || (record.phase == Phase::Revoking && record.active.is_none());
        if is_over {
            user.each_published(|published| published.duty = Duty::Void);
        }
        for slot in record.revocation.iter().flat_map(|revocation| &revocation.slots) {
            for cluster in record.clusters.keys() {
                let key = (cluster.clone(), slot.generation);
                let place = (slot.username.clone(), slot.mechanism);
                user.revoked.entry(key).or_insert(Revoked { place, is_gone: false });
            }
        }
    }

    /// A document was written: its number never falls (I7), and it tells what its material says.
    pub fn document(&mut self, user: &NamespacedName, document: &CredentialDocument, now: Duration) {
        let generation = document.generation();
        self.has_changed = true;
        let entry = self.users.entry(user.clone()).or_default();
        let (rotation, published) = match document {
            CredentialDocument::Tombstone { .. } => (None, None),
            CredentialDocument::Live(live) => {
                let matches = entry
                    .materials
                    .get(&generation)
                    .is_some_and(|known| known.mechanism == live.mechanism && known.password.ct_eq(&live.password));
                if !matches {
                    self.violation.get_or_insert(format!("{user}: document {generation} is not its material"));
                }
                let clusters = live.connections.iter().map(|(name, _)| name.clone()).collect();
                let (username, mechanism) = (live.username.clone(), live.mechanism);
                // A revocation does not wait for a cluster that cannot be reached: the fresh credential works there later.
                let duty = if entry.is_revoking { Duty::Suspended { mended_at: None } } else { Duty::Due };
                let published = Published { generation, username, mechanism, clusters, duty };
                (Some(live.rotation_id.clone()), Some(published))
            }
        };
        let is_behind = entry
            .highest
            .as_ref()
            .is_some_and(|(highest, known)| generation < *highest || (generation == *highest && *known != rotation));
        if is_behind {
            self.violation.get_or_insert(format!("{user}: document {generation} after {:?}", entry.highest));
        }
        entry.highest = Some((generation, rotation));
        let is_same = |old: &Published, new: &Published| old.generation == new.generation;
        let mut published = published;
        if let (Some(old), Some(new)) = (&entry.newest, &mut published)
            && is_same(old, new)
        {
            new.duty = old.duty;
        }
        entry.newest = published;
        for consumer in &mut entry.consumers {
            match (&consumer.holds, &entry.newest) {
                (_, None) => *consumer = Consumer::default(),
                (None, Some(newest)) => consumer.holds = Some(newest.clone()),
                (Some(_), Some(_)) => {
                    let within = usize::try_from(self.reload_within.as_millis()).expect("less than a year");
                    let reloads_at = now + self.dice.millis(0, within);
                    consumer.reloads_at.get_or_insert(reloads_at);
                }
            }
        }
    }

    /// Applications read their credential again when it is their time.
    pub fn pass_time(&mut self, now: Duration) {
        for user in self.users.values_mut() {
            for consumer in &mut user.consumers {
                if consumer.reloads_at.is_some_and(|at| at <= now) {
                    consumer.holds = user.newest.clone();
                    consumer.reloads_at = None;
                    self.has_changed = true;
                }
            }
        }
    }

    /// A user is being deleted, or may be: what it has need not work any more.
    pub fn release(&mut self, user: &NamespacedName) {
        if let Some(user) = self.users.get_mut(user) {
            user.was_released = true;
            user.each_published(|published| published.duty = Duty::Void);
            user.consumers = Default::default();
        }
    }

    /// A cluster may leave a user: what works there need not any more.
    pub fn leave(&mut self, user: &NamespacedName, cluster: &ClusterName) {
        if let Some(user) = self.users.get_mut(user) {
            user.each_published(|published| published.clusters.retain(|name| name != cluster));
        }
    }

    /// Everybody reads the newest credential, as they do before somebody says so.
    pub fn reload(&mut self, user: &NamespacedName) {
        if let Some(user) = self.users.get_mut(user) {
            for consumer in &mut user.consumers {
                consumer.holds = user.newest.clone();
                consumer.reloads_at = None;
            }
        }
    }

    /// Somebody else broke what a user has in Kafka.
    pub fn suspend(&mut self, user: &NamespacedName) {
        if let Some(user) = self.users.get_mut(user) {
            user.each_published(|published| {
                if published.duty == Duty::Due {
                    published.duty = Duty::Suspended { mended_at: None };
                }
            });
        }
    }

    /// Everything that somebody may use works on every broker (I2, I4).
    pub fn look(&mut self, clusters: &BTreeMap<ClusterName, InProcessCluster>, brokers: &[BrokerId], now: Duration) {
        for (name, user) in &mut self.users {
            let UserWatch { materials, newest, consumers, .. } = user;
            let held = consumers.iter_mut().filter_map(|consumer| consumer.holds.as_mut());
            for published in newest.iter_mut().chain(held) {
                let Some(known) = materials.get(&published.generation) else { continue };
                let slot = (published.username.clone(), published.mechanism);
                match published.duty {
                    Duty::Void => {}
                    Duty::Suspended { mended_at } => {
                        let is_there = |cluster| {
                            let cluster: &InProcessCluster = &clusters[cluster];
                            cluster.look(|state| state.credentials.get(&slot) == Some(&known.stored))
                        };
                        let mended_at = published.clusters.iter().all(is_there).then(|| mended_at.unwrap_or(now));
                        let is_known = mended_at.is_some_and(|at| at + KNOWN_AFTER <= now);
                        published.duty = if is_known { Duty::Due } else { Duty::Suspended { mended_at } };
                    }
                    Duty::Due => {
                        let refusing = published.clusters.iter().find_map(|cluster| {
                            let refuses = |broker: &&BrokerId| {
                                !clusters[cluster].logs_in(**broker, &slot.0, slot.1, &known.stored)
                            };
                            brokers.iter().find(refuses).map(|broker| (cluster, broker))
                        });
                        if let Some((cluster, broker)) = refusing {
                            let generation = published.generation;
                            let what = format!("{name}: generation {generation} does not log in on {cluster} {broker}");
                            self.violation.get_or_insert(what);
                        }
                    }
                }
            }
        }
    }

    /// Every credential in Kafka was made of material that the store has (I1).
    pub fn look_at_salts(&mut self, cluster: &ClusterName, in_kafka: &InProcessCluster) {
        let stranger = in_kafka.look(|state| {
            let mut ours = state.credentials.iter().filter(|((user, _), _)| user.as_str() != "kastellan");
            let is_known = |salt: &Vec<u8>| {
                let materials = self.users.values().flat_map(|user| user.materials.values());
                self.planted.contains(salt) || materials.into_iter().any(|known| known.stored.salt == *salt)
            };
            ours.find(|(_, credential)| !is_known(&credential.salt))
                .map(|((user, mechanism), _)| (user.clone(), *mechanism))
        });
        for (name, user) in &mut self.users {
            for ((of, generation), revoked) in user.revoked.iter_mut().filter(|((of, _), _)| of == cluster) {
                let Some(known) = user.materials.get(generation) else { continue };
                let is_there = in_kafka.look(|state| state.credentials.get(&revoked.place) == Some(&known.stored));
                if is_there && revoked.is_gone {
                    let what = format!("{name}: revoked generation {generation} is back on {of}");
                    self.violation.get_or_insert(what);
                }
                revoked.is_gone |= !is_there;
            }
        }
        if let Some((user, mechanism)) = stranger {
            self.fail(format!("{cluster}: {user} {mechanism} was sent before its material was stored"));
        }
    }

    /// Takes note of all access on a cluster.
    pub fn look_at_access(&mut self, name: &ClusterName, cluster: &InProcessCluster, now: Duration) {
        let found = cluster.look(|state| {
            let acls = state.acls.iter().map(|(principal, rule)| Access::Acl(principal.clone(), rule.clone()));
            let quotas = state
                .quotas
                .iter()
                .flat_map(|(user, keys)| keys.keys().map(|key| Access::Quota(user.clone(), key.clone())));
            acls.chain(quotas).map(|access| (name.clone(), access)).collect::<BTreeSet<_>>()
        });
        self.access.retain(|key, _| key.0 != *name || found.contains(key));
        for key in found {
            self.access.entry(key).or_insert(now);
        }
    }

    /// Access that somebody gave to a name after its deletion had begun: a process that did not know of that, and stopped
    /// between its last look at the record and its request. No permit keeps it from that.
    pub fn given_late(&self) -> Vec<(ClusterName, Access)> {
        let is_late = |access: &Access, since: Duration| {
            let of = match access {
                Access::Acl(principal, _) => principal.user(),
                Access::Quota(user, _) => Some(user.clone()),
            };
            of.and_then(|user| self.deleted.get(&user)).is_some_and(|&deleted| deleted < since)
        };
        self.access.iter().filter(|((_, access), since)| is_late(access, **since)).map(|(key, _)| key.clone()).collect()
    }

    /// Whether a slot of one of these names was just emptied.
    pub fn was_just_emptied(&self, named: impl Fn(&UserName) -> bool, now: Duration) -> bool {
        self.emptied.iter().any(|(name, &until)| now <= until && named(name))
    }

    /// What is stored of a generation's credential.
    pub fn stored(&self, user: &NamespacedName, generation: Generation) -> Option<&StoredCredential> {
        Some(&self.users.get(user)?.materials.get(&generation)?.stored)
    }

    /// One credential that an application holds and that has to work.
    pub fn pick_login(&mut self) -> Option<Login> {
        let users = self.users.values().filter_map(|user| {
            let held = user.consumers[self.dice.below(CONSUMERS)].holds.as_ref()?;
            let known = user.materials.get(&held.generation)?;
            (held.duty == Duty::Due).then_some((held, known))
        });
        let users = users.collect::<Vec<_>>();
        let (held, known) = users.get(Dice::below(&mut self.dice.clone(), users.len()))?;
        Some(Login {
            cluster: held.clusters.first()?.clone(),
            username: held.username.clone(),
            mechanism: held.mechanism,
            password: known.password.duplicate(),
        })
    }
}

impl UserWatch {
    fn each_published(&mut self, mut note: impl FnMut(&mut Published)) {
        let held = self.consumers.iter_mut().filter_map(|consumer| consumer.holds.as_mut());
        self.newest.iter_mut().chain(held).for_each(&mut note);
    }
}
