//! The world that the machine is driven against: one user, a cluster, a store, and a crash before or after any effect.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::credential::*;
use crate::names::{
    BootInstant, ClusterId, ClusterName, DeliveryName, Generation, Mechanism, NamespacedName, Now, RotationId, Scope,
    UserName,
};
use crate::secret::{Iterations, PasswordLength, Salt};

pub(super) const FENCE: Duration = Duration::from_secs(60);
pub(super) const SHA_512: Mechanism = Mechanism::ScramSha512;
pub(super) const SHA_256: Mechanism = Mechanism::ScramSha256;

/// Everything outside the machine.
#[derive(Clone)]
pub(super) struct World {
    /// Slots by name in Kafka.
    pub(super) kafka: BTreeMap<UserName, Slots>,
    /// Names that have access.
    pub(super) access: BTreeSet<UserName>,
    /// Whether access can be seen.
    pub(super) shows_access: bool,
    pub(super) record: Option<Record>,
    /// Material by generation: what it holds, and which password.
    pub(super) material: BTreeMap<Generation, (Slot, u64)>,
    pub(super) passwords_drawn: u64,
    /// Generation and password of the document; password 0 is a tombstone.
    pub(super) document: Option<(Generation, u64)>,
    /// The generation that is delivered.
    pub(super) delivered: Option<Generation>,
    /// What it is, with its password.
    pub(super) delivered_as: Option<(Slot, u64)>,
    /// The version of a given password, and which it is.
    pub(super) given: Option<u64>,
    /// What the documents say of how to connect.
    pub(super) connection: &'static str,
    /// How often workloads were told to restart.
    pub(super) restarts: usize,
    /// What is seen of them.
    pub(super) rollout: Option<std::sync::Arc<Rollout>>,
    pub(super) seconds: u64,
    /// By how much the wall clock is ahead of that, in seconds.
    pub(super) wall_ahead: i64,
    pub(super) watch: Watch,
    pub(super) permit_ids: u64,
    pub(super) record_writes: usize,
    /// Somebody changed Kafka behind our back.
    pub(super) drifted: bool,
    /// What the last run waited for.
    pub(super) waits_for: String,
    pub(super) effects: Vec<&'static str>,
}

/// When the process dies.
#[derive(Clone, Copy)]
pub(super) struct Crash {
    pub(super) at: usize,
    pub(super) after: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum End {
    Settled,
    Crashed,
    Blocked,
    Waits,
}

pub(super) fn cluster() -> ClusterName {
    ClusterName::parse("prod").unwrap()
}

pub(super) fn username() -> UserName {
    UserName::parse("payments").unwrap()
}

pub(super) fn wanted() -> Wanted {
    Wanted {
        scope: Scope::default(),
        username: username(),
        clusters: vec![cluster()],
        authentication: WantedAuthentication::Scram {
            mechanisms: vec![SHA_512, SHA_256],
            iterations: Iterations::default(),
            length: PasswordLength::default(),
            given: None,
        },
        rotation: None,
        restarts: false,
        adopt: false,
        deletion_policy: DeletionPolicy::Delete,
        moved_from: None,
    }
}

pub(super) fn slot_of(generation: Generation, mechanism: Mechanism) -> Slot {
    slot_at(&username(), generation, mechanism, Iterations::default())
}

pub(super) fn slot_at(
    username: &UserName,
    generation: Generation,
    mechanism: Mechanism,
    iterations: Iterations,
) -> Slot {
    Slot {
        username: username.clone(),
        generation,
        rotation_id: RotationId::parse(format!("r{generation}")).unwrap(),
        mechanism,
        salt: Salt::observed([u8::try_from(generation.0).unwrap(); 16]),
        iterations: iterations.count(),
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            kafka: BTreeMap::new(),
            access: BTreeSet::new(),
            shows_access: true,
            record: None,
            material: BTreeMap::new(),
            passwords_drawn: 0,
            document: None,
            delivered: None,
            delivered_as: None,
            given: None,
            connection: "here",
            restarts: 0,
            rollout: None,
            seconds: 1_000_000,
            wall_ahead: 0,
            watch: Watch::default(),
            permit_ids: 0,
            record_writes: 0,
            drifted: false,
            waits_for: String::new(),
            effects: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        let boot = Duration::from_secs(self.seconds);
        let ahead = jiff::SignedDuration::from_secs(self.wall_ahead);
        Now { wall: Timestamp::UNIX_EPOCH + boot + ahead, boot: BootInstant(boot) }
    }

    /// The slots of the user's own name.
    pub(super) fn slots(&self) -> &Slots {
        static NONE: Slots = Slots::new();
        self.kafka.get(&username()).unwrap_or(&NONE)
    }

    pub(super) fn slots_mut(&mut self) -> &mut Slots {
        self.kafka.entry(username()).or_default()
    }

    pub(super) fn account_facts(&self, wanted: Option<&Wanted>, ask: Option<&Ask>, name: &UserName) -> AccountFacts {
        let present = self.access.contains(name);
        let is_wanted = wanted.is_some_and(|wanted| wanted.names().contains(name));
        let is_cut = self.record.as_ref().is_some_and(|record| {
            let is_ours = record.slots().any(|slot| slot.username == *name);
            let is_open = |now: &Revocation| now.cuts.values().any(|cut| !cut.given_back);
            is_ours && (matches!(ask, Some(Ask::Revoke { .. })) || record.revocation.as_deref().is_some_and(is_open))
        });
        let access = AccessFact {
            grants: is_wanted && (!present || is_cut),
            withdrawals: present && (!is_wanted || is_cut),
            present,
            unmanaged: false,
            rules: Some([].into()),
        };
        let slots = self.kafka.get(name).cloned().unwrap_or_default();
        let access = if self.shows_access { Seen::Known(access) } else { Seen::unknown("no answer") };
        AccountFacts { slots: Seen::Known(slots), access }
    }

    pub(super) fn facts(&self, wanted: Option<&Wanted>, ask: Option<&Ask>) -> Facts {
        let of_document = wanted.into_iter().flat_map(|wanted| wanted.names()).cloned();
        let live = self.record.as_ref().filter(|record| record.claims_username());
        let of_record = live.into_iter().flat_map(|record| record.names()).cloned();
        let names = of_document.chain(of_record).collect::<BTreeSet<_>>();
        let seen = ClusterFacts {
            id: ClusterId::parse("id").unwrap(),
            accounts: names.into_iter().map(|name| (name.clone(), self.account_facts(wanted, ask, &name))).collect(),
            afterlife: Afterlife::Connection,
        };
        let is_new = self.delivered.is_some() && self.delivered == self.published();
        let newest = self.record.as_ref().map_or(Generation::NONE, |record| match record.phase {
            Phase::Verified | Phase::Revoking => record.allotted,
            Phase::Prepared if record.overwrites() || record.is_first() => record.allotted,
            _ => record.generation,
        });
        let delivery = match wanted {
            Some(_) if self.delivered.is_some_and(|delivered| delivered > newest) => {
                DeliveryState::Ahead(self.delivered.unwrap())
            }
            Some(_) if is_new => DeliveryState::InStep,
            Some(_) => {
                DeliveryState::Pending { why: "missing".into(), kind: "file", target: "/x".into(), taken_from: None }
            }
            None => DeliveryState::Surplus,
        };
        Facts {
            clusters: BTreeMap::from([(cluster(), Seen::Known(seen))]),
            document: Seen::Known(self.document.map(|(generation, password)| version(generation, password))),
            connections: wanted.map(|_| vec![(cluster(), self.connection.into())]),
            deliveries: BTreeMap::from([(DeliveryName::parse("file").unwrap(), delivery)]),
            source: Seen::Known(self.given.map(|given| Version(given.to_string()))),
            rollout: self.rollout.clone(),
            claimed_by: None,
        }
    }

    pub(super) fn published(&self) -> Option<Generation> {
        self.record.as_ref().filter(|record| record.claims_username()).map(|record| record.generation)
    }

    /// One process: plans and drives until it settles, is blocked, or dies. A new process watches permits anew.
    pub(super) fn run(&mut self, wanted: Option<&Wanted>, crash: Option<Crash>) -> End {
        self.run_asked(wanted, None, crash)
    }

    /// The same, with what a person asks for.
    pub(super) fn run_asked(&mut self, wanted: Option<&Wanted>, ask: Option<&Ask>, crash: Option<Crash>) -> End {
        self.watch = Watch::default();
        if let Some(record) = &self.record {
            self.watch.see(record, self.now());
        }
        let facts = self.facts(wanted, ask);
        let decision = decide(self.record.as_ref(), wanted, &facts, ask, self.now().wall);
        if !decision.blocked.is_empty() {
            return End::Blocked;
        }
        let mut count = 0;
        for transition in decision.transitions {
            let mut progress = Progress::default();
            loop {
                self.permit_ids += PERMITS_MAX as u64;
                let context = Context {
                    now: self.now(),
                    watch: &self.watch,
                    fence: FENCE,
                    undo_for: Duration::from_secs(7 * 86_400),
                    permit_ids: std::array::from_fn(|index| PermitId(self.permit_ids + index as u64)),
                };
                let user: NamespacedName = "payments/payments".parse().unwrap();
                let subject =
                    Subject { user: &user, record: self.record.as_ref(), wanted, facts: &facts, progress: &progress };
                match next(&subject, &transition, &context) {
                    Step::Settled => break,
                    Step::Blocked(_) => return End::Blocked,
                    Step::Wait(why) => {
                        self.waits_for = why;
                        return End::Waits;
                    }
                    Step::Fence(wait) => {
                        self.seconds += wait.as_secs().max(1);
                        progress.looked.clear();
                    }
                    Step::Act(effect) => {
                        if crash.is_some_and(|crash| crash.at == count && !crash.after) {
                            return End::Crashed;
                        }
                        self.effects.push(effect.name());
                        self.execute(effect, &mut progress);
                        self.check();
                        if crash.is_some_and(|crash| crash.at == count) {
                            return End::Crashed;
                        }
                        count += 1;
                        assert!(count < 80, "no end: {:?}", self.effects);
                    }
                }
            }
        }
        End::Settled
    }

    pub(super) fn execute(&mut self, effect: Effect, progress: &mut Progress) {
        match effect {
            Effect::Material(order) => {
                let password = match order.origin {
                    Origin::Generated(_) => {
                        self.passwords_drawn += 1;
                        self.passwords_drawn
                    }
                    Origin::SameAs(kept) => self.material[&kept].1,
                    Origin::Given { .. } => self.given.expect("asked for only where there is one"),
                };
                let source = matches!(order.origin, Origin::Given { .. }).then(|| GivenSource {
                    path: "p".to_owned(),
                    key: "k".to_owned(),
                    version: Version(password.to_string()),
                });
                let made = (slot_at(&order.username, order.generation, order.mechanism, order.iterations), password);
                let (slot, there) = self.material.entry(order.generation).or_insert(made).clone();
                let usable = slot.mechanism == order.mechanism
                    && slot.iterations == order.iterations.count()
                    && (matches!(order.origin, Origin::Generated(_)) || there == password);
                progress.advance(if usable {
                    Outcome::Material { slot: Slot { username: order.username, ..slot }, source }
                } else {
                    Outcome::MaterialUnusable(order.generation)
                });
            }
            Effect::Import(import) => {
                let (slot, password) = self.delivered_as.clone().expect("delivered once");
                assert_eq!(slot.generation, import.generation);
                let there = self.material.entry(slot.generation).or_insert((slot.clone(), password)).1;
                progress.advance(match there == password {
                    true => Outcome::Material { slot, source: None },
                    false => Outcome::MaterialUnusable(slot.generation),
                });
            }
            Effect::Record(record) => self.write(*record, progress),
            Effect::Look(accounts) => {
                for account in accounts {
                    let slots = self.kafka.get(&account.username).cloned().unwrap_or_default();
                    progress.advance(Outcome::Looked(account, slots));
                }
            }
            Effect::Grant(accounts) => {
                for account in accounts {
                    let names = self.record.as_ref().map(Record::names).unwrap_or_default();
                    assert!(names.contains(&account.username), "I8: nothing is made in Kafka that no record names");
                    self.access.insert(account.username.clone());
                    progress.advance(Outcome::Granted(account));
                }
            }
            Effect::Upsert { slot, permit, .. } => {
                let record = self.record.as_ref().unwrap();
                assert!(self.material.contains_key(&slot.generation), "I1");
                assert!(record.slots().any(|named| *named == slot), "I1");
                assert!(record.permits.iter().any(|held| held.id == permit && held.is_about(&slot.place())), "R1");
                let seen = SlotSeen { iterations: slot.iterations, salt: Some(slot.salt.clone()), everywhere: true };
                self.kafka.entry(slot.username.clone()).or_default().insert(slot.mechanism, seen);
                progress.advance(Outcome::Upserted(Account::new(&cluster(), &slot.username), slot.generation));
            }
            Effect::Copy(_) => {
                assert!(self.record.as_ref().unwrap().moving_to.is_none(), "a move goes one way");
                progress.advance(Outcome::Copied);
            }
            Effect::Move(to) => {
                assert_eq!(self.record.as_ref().unwrap().moving_to.as_deref(), Some(&to), "no second writer");
                progress.advance(Outcome::Moved);
            }
            Effect::Login { slot, .. } => {
                assert!(self.holds(&slot), "a login that fails: {slot:?}");
                progress.advance(Outcome::LoggedIn(cluster(), slot.generation));
            }
            Effect::Document(slot) => {
                assert!(self.document.is_none_or(|(generation, _)| generation <= slot.generation), "I7");
                assert!(self.holds(&slot), "I2: {slot:?}");
                self.document = Some((slot.generation, self.material[&slot.generation].1));
                progress.advance(Outcome::Document(version(slot.generation, self.material[&slot.generation].1)));
            }
            Effect::Deliver { names, slot } => {
                assert!(self.delivered.is_none_or(|generation| generation <= slot.generation), "I7");
                self.delivered = Some(slot.generation);
                self.delivered_as = Some((slot.clone(), self.material[&slot.generation].1));
                names.into_iter().for_each(|name| progress.advance(Outcome::Delivered(name, delivery())));
            }
            Effect::Restart(slot) => {
                assert_eq!(self.delivered, Some(slot.generation), "restarted before it was delivered");
                self.restarts += 1;
                progress.advance(Outcome::Restarted(slot.generation));
            }
            Effect::Recall { names } => {
                self.delivered = None;
                names.into_iter().for_each(|name| progress.advance(Outcome::Recalled(name)));
            }
            Effect::Withdraw(accounts) => {
                for account in accounts {
                    self.access.remove(&account.username);
                    progress.advance(Outcome::Withdrawn(account));
                }
            }
            Effect::Empty { slots, permits } => {
                for (account, mechanisms) in slots {
                    for mechanism in mechanisms {
                        let place = Place { username: account.username.clone(), mechanism };
                        assert!(permits.contains_key(&place), "R1");
                        self.kafka.get_mut(&account.username).unwrap().remove(&mechanism);
                    }
                    progress.advance(Outcome::Emptied(account));
                }
            }
            Effect::Bury(generation) => {
                self.document = Some((generation, 0));
                progress.advance(Outcome::Buried(version(generation, 0)));
            }
            Effect::Destroy(generations) => {
                for generation in generations {
                    let record = self.record.as_ref().unwrap();
                    let in_use = record.active.as_ref().filter(|_| record.phase != Phase::Deleted);
                    let needed = in_use.map(|slot| slot.generation);
                    assert_ne!(needed, Some(generation), "the active credential's material stays");
                    self.material.remove(&generation);
                    progress.advance(Outcome::Destroyed(generation));
                }
            }
        }
    }

    pub(super) fn write(&mut self, record: Record, progress: &mut Progress) {
        let before = self.record.as_ref();
        assert!(before.is_none_or(|before| before.phase.may_become(record.phase)), "{before:?} to {record:?}");
        assert!(before.is_none_or(|before| before.allotted <= record.allotted), "R8");
        let known = before.map(|record| record.permits.clone()).unwrap_or_default();
        for permit in record.permits.iter().filter(|permit| !known.contains(permit)) {
            let boot = self.now().boot;
            self.watch.issue(permit, boot);
        }
        progress.note_permits(self.record.as_ref(), &record);
        self.record = Some(record);
        self.record_writes += 1;
    }

    pub(super) fn holds(&self, slot: &Slot) -> bool {
        self.kafka.get(&slot.username).is_some_and(|slots| kinship::holds(slots, slot))
    }

    /// I2, after every effect: what is published, by document or delivery, logs in; but for the moment that a rotation in
    /// place locks clients out.
    pub(super) fn check(&self) {
        let Some(record) = self.record.as_ref().filter(|record| {
            !matches!(record.phase, Phase::Deleting | Phase::Deleted | Phase::Revoking) && !record.overwrites()
        }) else {
            return;
        };
        let published = [self.document.map(|(generation, _)| generation), self.delivered];
        for slot in record.slots().filter(|slot| published.contains(&Some(slot.generation))) {
            assert!(self.holds(slot) || self.drifted, "I2: {slot:?} after {:?}", self.effects);
        }
    }

    pub(super) fn password(&self) -> Option<u64> {
        self.document.map(|(_, password)| password).filter(|password| *password != 0)
    }
}

pub(super) fn version(generation: Generation, password: u64) -> Version {
    Version(format!("{generation}-{password}"))
}

pub(super) fn delivery() -> DeliveryRecord {
    DeliveryRecord { kind: "file".into(), target: "/x".into(), digest: String::new(), written: BTreeMap::new() }
}

/// A world in which the user is provisioned, and the permits of that are long over.
pub(super) fn provisioned() -> World {
    let mut world = World::new();
    assert_eq!(world.run(Some(&wanted()), None), End::Settled);
    world.seconds += 2 * 3600;
    world.effects.clear();
    world
}
