//! Drives the machine against a small world: one user, one cluster, a store; with a crash before and after any effect.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

mod rotation;

use super::*;
use crate::names::{
    BootInstant, ClusterId, ClusterName, DeliveryName, Generation, Mechanism, NamespacedName, Now, RotationId, Scope,
    UserName,
};
use crate::secret::{Iterations, PasswordLength, Salt};

const FENCE: Duration = Duration::from_secs(60);
const SHA_512: Mechanism = Mechanism::ScramSha512;
const SHA_256: Mechanism = Mechanism::ScramSha256;

/// Everything outside the machine.
#[derive(Clone)]
struct World {
    /// Slots by name in Kafka.
    kafka: BTreeMap<UserName, Slots>,
    /// Names that have access.
    access: BTreeSet<UserName>,
    record: Option<Record>,
    /// Material by generation: what it holds, and which password.
    material: BTreeMap<Generation, (Slot, u64)>,
    passwords_drawn: u64,
    /// Generation and password of the document; password 0 is a tombstone.
    document: Option<(Generation, u64)>,
    /// The generation that is delivered.
    delivered: Option<Generation>,
    /// What it is, with its password.
    delivered_as: Option<(Slot, u64)>,
    /// The version of a given password, and which it is.
    given: Option<u64>,
    /// What the documents say of how to connect.
    connection: &'static str,
    seconds: u64,
    /// By how much the wall clock is ahead of that, in seconds.
    wall_ahead: i64,
    watch: Watch,
    permit_ids: u64,
    record_writes: usize,
    /// Somebody changed Kafka behind our back.
    drifted: bool,
    /// What the last run waited for.
    waits_for: String,
    effects: Vec<&'static str>,
}

/// When the process dies.
#[derive(Clone, Copy)]
struct Crash {
    at: usize,
    after: bool,
}

#[derive(Debug, PartialEq)]
enum End {
    Settled,
    Crashed,
    Blocked,
    Waits,
}

fn cluster() -> ClusterName {
    ClusterName::parse("prod").unwrap()
}

fn username() -> UserName {
    UserName::parse("payments").unwrap()
}

fn wanted() -> Wanted {
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
        adopt: false,
        deletion_policy: DeletionPolicy::Delete,
        moved_from: None,
    }
}

fn slot_of(generation: Generation, mechanism: Mechanism) -> Slot {
    slot_at(&username(), generation, mechanism, Iterations::default())
}

fn slot_at(username: &UserName, generation: Generation, mechanism: Mechanism, iterations: Iterations) -> Slot {
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
    fn new() -> Self {
        Self {
            kafka: BTreeMap::new(),
            access: BTreeSet::new(),
            record: None,
            material: BTreeMap::new(),
            passwords_drawn: 0,
            document: None,
            delivered: None,
            delivered_as: None,
            given: None,
            connection: "here",
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

    fn now(&self) -> Now {
        let boot = Duration::from_secs(self.seconds);
        let ahead = jiff::SignedDuration::from_secs(self.wall_ahead);
        Now { wall: Timestamp::UNIX_EPOCH + boot + ahead, boot: BootInstant(boot) }
    }

    /// The slots of the user's own name.
    fn slots(&self) -> &Slots {
        static NONE: Slots = Slots::new();
        self.kafka.get(&username()).unwrap_or(&NONE)
    }

    fn slots_mut(&mut self) -> &mut Slots {
        self.kafka.entry(username()).or_default()
    }

    fn account_facts(&self, wanted: Option<&Wanted>, ask: Option<&Ask>, name: &UserName) -> AccountFacts {
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
        AccountFacts { slots: Seen::Known(slots), access: Seen::Known(access) }
    }

    fn facts(&self, wanted: Option<&Wanted>, ask: Option<&Ask>) -> Facts {
        let of_document = wanted.into_iter().flat_map(|wanted| wanted.names()).cloned();
        let live = self.record.as_ref().filter(|record| record.claims_username());
        let of_record = live.into_iter().flat_map(|record| record.names()).cloned();
        let names = of_document.chain(of_record).collect::<BTreeSet<_>>();
        let seen = ClusterFacts {
            id: ClusterId::parse("id").unwrap(),
            accounts: names.into_iter().map(|name| (name.clone(), self.account_facts(wanted, ask, &name))).collect(),
            reauthentication: None,
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
            Some(_) => DeliveryState::Pending { why: "missing".into(), kind: "file", target: "/x".into() },
            None => DeliveryState::Surplus,
        };
        Facts {
            clusters: BTreeMap::from([(cluster(), Seen::Known(seen))]),
            document: Seen::Known(self.document.map(|(generation, password)| version(generation, password))),
            connections: wanted.map(|_| vec![(cluster(), self.connection.into())]),
            deliveries: BTreeMap::from([(DeliveryName::parse("file").unwrap(), delivery)]),
            source: Seen::Known(self.given.map(|given| Version(given.to_string()))),
            claimed_by: None,
        }
    }

    fn published(&self) -> Option<Generation> {
        self.record.as_ref().filter(|record| record.claims_username()).map(|record| record.generation)
    }

    /// One process: plans and drives until it settles, is blocked, or dies. A new process watches permits anew.
    fn run(&mut self, wanted: Option<&Wanted>, crash: Option<Crash>) -> End {
        self.run_asked(wanted, None, crash)
    }

    /// The same, with what a person asks for.
    fn run_asked(&mut self, wanted: Option<&Wanted>, ask: Option<&Ask>, crash: Option<Crash>) -> End {
        self.watch = Watch::default();
        if let Some(record) = &self.record {
            self.watch.see(record, self.now().boot);
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

    fn execute(&mut self, effect: Effect, progress: &mut Progress) {
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

    fn write(&mut self, record: Record, progress: &mut Progress) {
        let before = self.record.as_ref();
        assert!(before.is_none_or(|before| before.phase.may_become(record.phase)), "{before:?} to {record:?}");
        assert!(before.is_none_or(|before| before.allotted <= record.allotted), "R8");
        let known = before.map(|record| record.permits.clone()).unwrap_or_default();
        for permit in record.permits.iter().filter(|permit| !known.contains(permit)) {
            let boot = self.now().boot;
            self.watch.issue(permit, boot);
            let place = Place { username: permit.username.clone(), mechanism: permit.mechanism };
            progress.own_permits.insert(place, permit.id);
        }
        self.record = Some(record);
        self.record_writes += 1;
    }

    fn holds(&self, slot: &Slot) -> bool {
        self.kafka.get(&slot.username).is_some_and(|slots| kinship::holds(slots, slot))
    }

    /// I2, after every effect: what is published, by document or delivery, logs in; but for the moment that a rotation in
    /// place locks clients out.
    fn check(&self) {
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

    fn password(&self) -> Option<u64> {
        self.document.map(|(_, password)| password).filter(|password| *password != 0)
    }
}

fn version(generation: Generation, password: u64) -> Version {
    Version(format!("{generation}-{password}"))
}

fn delivery() -> DeliveryRecord {
    DeliveryRecord { kind: "file".into(), target: "/x".into(), digest: String::new(), written: BTreeMap::new() }
}

/// A world in which the user is provisioned, and the permits of that are long over.
fn provisioned() -> World {
    let mut world = World::new();
    assert_eq!(world.run(Some(&wanted()), None), End::Settled);
    world.seconds += 2 * 3600;
    world.effects.clear();
    world
}

#[test]
fn a_first_provisioning_writes_the_record_twice_and_everything_else_once() {
    let mut world = World::new();
    assert_eq!(world.run(Some(&wanted()), None), End::Settled);
    let expected =
        ["material", "record-prepared", "look", "grant", "upsert", "login", "document", "deliver", "record-idle"];
    assert_eq!(world.effects, expected);
    let record = world.record.as_ref().unwrap();
    assert_eq!((record.phase, record.generation), (Phase::Idle, Generation(1)));
    assert_eq!(world.password(), Some(1));
}

#[test]
fn a_settled_user_has_nothing_to_do() {
    let mut world = provisioned();
    assert_eq!(world.run(Some(&wanted()), None), End::Settled);
    assert!(world.effects.is_empty());
}

#[test]
fn a_crash_at_any_effect_is_finished_by_the_next_run_with_one_password_per_generation() {
    type Story = (&'static str, fn() -> World, Option<Wanted>, Option<u64>);
    let stories: [Story; 3] = [
        ("first apply", World::new, Some(wanted()), Some(1)),
        ("deletion", provisioned, None, None),
        ("undo", deleted, Some(wanted()), Some(1)),
    ];
    for (name, begin, wanted, password) in stories {
        for after in [false, true] {
            for at in 0.. {
                let mut world = begin();
                let crash = Crash { at, after };
                if world.run(wanted.as_ref(), Some(crash)) != End::Crashed {
                    assert!(at > 4, "{name} has only {at} effects");
                    break;
                }
                world.seconds += 5;
                assert_eq!(world.run(wanted.as_ref(), None), End::Settled, "{name}: crash at {at}, after: {after}");
                assert_eq!(world.password(), password, "{name}: crash at {at}, after: {after}");
                assert_eq!(world.slots().len(), usize::from(password.is_some()), "{name}: crash at {at}");
                assert_eq!(world.access.contains(&username()), password.is_some(), "{name}: crash at {at}");
                assert_eq!(world.delivered.is_some(), password.is_some(), "{name}: crash at {at}");
                world.effects.clear();
                assert_eq!(world.run(wanted.as_ref(), None), End::Settled);
                assert!(world.effects.is_empty(), "{name}: not settled after a crash at {at}: {:?}", world.effects);
            }
        }
    }
}

fn deleted() -> World {
    let mut world = provisioned();
    assert_eq!(world.run(None, None), End::Settled);
    world.effects.clear();
    world
}

#[test]
fn a_deletion_takes_access_first_and_leaves_a_tombstone() {
    let mut world = provisioned();
    assert_eq!(world.run(None, None), End::Settled);
    let expected = ["record-deleting", "withdraw", "recall", "bury", "look", "empty", "record-deleted"];
    assert_eq!(world.effects, expected);
    let record = world.record.unwrap();
    assert_eq!((record.phase, record.allotted), (Phase::Deleted, Generation(2)));
    assert!(world.material.contains_key(&Generation(1)), "kept for the undo");
}

#[test]
fn a_deletion_right_after_a_change_waits_for_the_fence() {
    let mut world = World::new();
    world.run(Some(&wanted()), None);
    let before = world.seconds;
    assert_eq!(world.run(None, None), End::Settled);
    assert!(world.seconds - before >= 90, "waited {} s", world.seconds - before);
}

#[test]
fn an_undo_brings_the_same_password_back_as_the_next_number_without_waiting_for_the_fence() {
    let mut world = deleted();
    let before = world.seconds;
    assert_eq!(world.run(Some(&wanted()), None), End::Settled);
    assert_eq!(world.seconds, before, "the free slot needs no fence");
    assert_eq!(world.document, Some((Generation(3), 1)));
    assert!(!world.material.contains_key(&Generation(1)), "the old generation's material is destroyed");
}

#[test]
fn a_user_that_comes_back_during_its_deletion_has_everything_again_after_one_run() {
    for at in 0..7 {
        let mut world = provisioned();
        assert_eq!(world.run(None, Some(Crash { at, after: true })), End::Crashed);
        assert_eq!(world.run(Some(&wanted()), None), End::Settled);
        assert!(
            world.delivered.is_some() && world.access.contains(&username()),
            "after a crash at {at}: {:?}",
            world.effects
        );
        assert_eq!(world.document, Some((Generation(3), 1)), "after a crash at {at}");
    }
}

#[test]
fn a_user_that_comes_back_during_its_deletion_is_never_taken_for_a_stranger() {
    for at in 0..7 {
        for again in 0..14 {
            let mut world = provisioned();
            assert_eq!(world.run(None, Some(Crash { at, after: true })), End::Crashed);
            let _ = world.run(Some(&wanted()), Some(Crash { at: again, after: true }));
            let story = format!("after crashes at {at} and {again}: {:?}", world.effects);
            let claims = world.record.as_ref().unwrap().claims_username();
            assert!(claims || world.access.is_empty(), "nobody answers for its access {story}");
            assert_eq!(world.run(Some(&wanted()), None), End::Settled, "{story}");
            assert!(world.delivered.is_some() && world.access.contains(&username()), "{story}");
            assert_eq!(world.password(), Some(1), "{story}");
        }
    }
}

#[test]
fn after_the_undo_period_the_material_is_destroyed_and_a_new_user_gets_a_new_password() {
    let mut world = deleted();
    world.seconds += 8 * 86_400;
    assert_eq!(world.run(None, None), End::Settled);
    assert!(world.material.is_empty());
    assert_eq!(world.run(Some(&wanted()), None), End::Settled);
    assert_eq!(world.document, Some((Generation(3), 2)));
}

#[test]
fn a_credential_that_appears_between_plan_and_apply_stops_everything_before_kafka_is_touched() {
    let mut world = World::new();
    // The plan saw nothing; the crash leaves PREPARED, and then a stranger arrives in the other slot.
    assert_eq!(world.run(Some(&wanted()), Some(Crash { at: 1, after: true })), End::Crashed);
    let stranger = SlotSeen { iterations: 4096, salt: Some(Salt::observed([99; 16])), everywhere: true };
    world.slots_mut().insert(SHA_256, stranger.clone());
    assert_eq!(world.run(Some(&wanted()), None), End::Blocked);
    assert_eq!(*world.slots(), Slots::from([(SHA_256, stranger)]));
    assert!(!world.access.contains(&username()), "a stranger of this name gains nothing");
}

#[test]
fn a_name_that_exists_is_not_touched_without_adopt_and_ours_goes_into_the_free_slot_with_it() {
    let mut world = World::new();
    let stranger = SlotSeen { iterations: 8192, salt: Some(Salt::observed([99; 16])), everywhere: true };
    world.slots_mut().insert(SHA_512, stranger.clone());
    assert_eq!(world.run(Some(&wanted()), None), End::Blocked);
    let adopting = Wanted { adopt: true, ..wanted() };
    assert_eq!(world.run(Some(&adopting), None), End::Settled);
    assert_eq!(world.slots()[&SHA_512], stranger, "the unknown credential stays");
    assert_eq!(world.record.as_ref().unwrap().active.as_ref().unwrap().mechanism, SHA_256);
    assert_eq!(world.record.unwrap().adopted.len(), 1);
}

#[test]
fn with_both_slots_taken_adopting_replaces_the_later_mechanism() {
    let mut world = World::new();
    for (mechanism, salt) in [(SHA_512, 98), (SHA_256, 99)] {
        world
            .slots_mut()
            .insert(mechanism, SlotSeen { iterations: 4096, salt: Some(Salt::observed([salt; 16])), everywhere: true });
    }
    assert_eq!(world.run(Some(&Wanted { adopt: true, ..wanted() }), None), End::Settled);
    let record = world.record.unwrap();
    assert_eq!(record.active.unwrap().mechanism, SHA_256);
    assert_eq!(record.adopted.iter().map(|slot| slot.mechanism).collect::<Vec<_>>(), [SHA_512]);
}

#[test]
fn drift_is_healed_with_the_same_generation_and_no_second_password() {
    for drift in [None, Some(SlotSeen { iterations: 4096, salt: Some(Salt::observed([99; 16])), everywhere: true })] {
        let mut world = provisioned();
        world.drifted = true;
        match drift {
            None => drop(world.slots_mut().remove(&SHA_512)),
            Some(stranger) => drop(world.slots_mut().insert(SHA_512, stranger)),
        }
        assert_eq!(world.run(Some(&wanted()), None), End::Settled);
        assert_eq!(world.effects, ["record-idle", "look", "upsert", "login"]);
        assert_eq!(world.slots()[&SHA_512].salt, Some(slot_of(Generation(1), SHA_512).salt));
        assert_eq!(world.passwords_drawn, 1);
    }
}

#[test]
fn the_document_is_written_again_when_the_cluster_moves_and_not_again_after_that() {
    let mut world = provisioned();
    world.connection = "there";
    assert_eq!(world.run(Some(&wanted()), None), End::Settled);
    assert_eq!(world.effects, ["document", "record-idle"]);
    world.effects.clear();
    assert_eq!(world.run(Some(&wanted()), None), End::Settled);
    assert!(world.effects.is_empty(), "{:?}", world.effects);
}

#[test]
fn changes_that_need_a_rotation_are_blocked_where_no_strategy_is_stated() {
    let mut world = provisioned();
    let mut changed = wanted();
    changed.authentication = WantedAuthentication::Scram {
        mechanisms: vec![SHA_256],
        iterations: Iterations::try_from(8192).unwrap(),
        length: PasswordLength::default(),
        given: None,
    };
    let facts = world.facts(Some(&changed), None);
    let decision = decide(world.record.as_ref(), Some(&changed), &facts, None, world.now().wall);
    assert_eq!(decision.blocked, [Blocked::NoStrategy(Some(Change::Mechanism(SHA_512)))]);
    assert!(decision.transitions.is_empty());
    assert_eq!(world.run(Some(&changed), None), End::Blocked);
}

#[test]
fn what_cannot_be_seen_is_never_taken_for_absent() {
    let world = provisioned();
    let mut facts = world.facts(Some(&wanted()), None);
    facts.clusters.insert(cluster(), Seen::unknown("broker 3 unreachable"));
    let decision = decide(world.record.as_ref(), Some(&wanted()), &facts, None, world.now().wall);
    assert!(decision.transitions.is_empty(), "{decision:?}");
    assert_eq!(decision.waiting.len(), 1);
}

#[test]
fn what_one_broker_has_lost_is_written_again() {
    let mut world = provisioned();
    world.drifted = true;
    let lost = SlotSeen { everywhere: false, ..world.slots()[&SHA_512].clone() };
    world.slots_mut().insert(SHA_512, lost);
    assert_eq!(world.run(Some(&wanted()), None), End::Settled);
    assert_eq!(world.effects, ["record-idle", "look", "upsert", "login"]);
    assert!(world.slots()[&SHA_512].everywhere);
}
