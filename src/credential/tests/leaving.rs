//! What a cluster is owed that is no longer the user's.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::names::{ClusterId, ClusterName};

const NAMES: [&str; 2] = ["payments.a", "payments.b"];

fn dr() -> ClusterName {
    ClusterName::parse("dr").unwrap()
}

fn rotating(strategy: Strategy) -> Wanted {
    let users = (strategy == Strategy::DualUser).then(|| NAMES.map(|name| UserName::parse(name).unwrap()));
    let overlap = Some(Duration::ZERO);
    Wanted {
        rotation: Some(RotationSpec { every: None, strategy, users, overlap, confirm: Confirm::None }),
        ..wanted()
    }
}

fn names(record: &Record) -> Vec<&str> {
    record.names().into_iter().map(UserName::as_str).collect()
}

/// A dual user whose second cluster was left and cannot be reached.
fn owing() -> World {
    let mut world = World::new();
    assert_eq!(world.run(Some(&rotating(Strategy::DualUser)), None), End::Settled);
    world.seconds += 2 * 3600;
    let record = world.record.as_mut().unwrap();
    let slots = record.slots().cloned().collect();
    record.owed.insert(dr(), Owed { id: ClusterId::parse("dr-id").unwrap(), slots, adopted: Vec::new() });
    world
}

#[test]
fn a_cluster_that_is_owed_something_keeps_every_name_in_the_record() {
    let mut world = owing();
    let flip = rotating(Strategy::MechanismFlip);
    assert_eq!(world.run(Some(&flip), None), End::Settled);
    let record = world.record.clone().unwrap();
    assert_eq!((record.phase, record.active.as_ref().unwrap().username.as_str()), (Phase::Idle, "payments"));
    assert_eq!(names(&record), ["payments", "payments.a", "payments.b"], "both had access there");
    // What was owed is gone: so are the names, unless the other cluster cannot be seen.
    let facts = world.facts(Some(&flip), None);
    assert_eq!(names(&paid(&world, &flip, &facts)), ["payments"]);
    let unseen = Facts { clusters: BTreeMap::new(), ..facts };
    assert_eq!(names(&paid(&world, &flip, &unseen)), ["payments", "payments.a", "payments.b"]);
}

/// The record when everything is gone that was owed.
fn paid(world: &World, wanted: &Wanted, facts: &Facts) -> Record {
    let record = world.record.clone().unwrap();
    let accounts = record.names().into_iter().map(|name| Account::new(&dr(), name)).collect::<BTreeSet<_>>();
    let progress = Progress { withdrawn: accounts.clone(), emptied: accounts, ..Progress::default() };
    let user = "payments/payments".parse().unwrap();
    let subject = Subject { user: &user, record: Some(&record), wanted: Some(wanted), facts, progress: &progress };
    let context = Context {
        now: world.now(),
        watch: &world.watch,
        fence: FENCE,
        undo_for: Duration::ZERO,
        permit_ids: std::array::from_fn(|index| PermitId(1_000 + index as u64)),
    };
    let step = next(&subject, &Transition::Pay(BTreeSet::from([dr()])), &context);
    let Step::Act(Effect::Record(paid)) = step else { panic!("{step:?}") };
    assert!(paid.owed.is_empty());
    *paid
}

#[test]
fn a_user_that_comes_back_keeps_the_names_of_what_is_still_owed() {
    let mut world = owing();
    assert_eq!(world.run(None, None), End::Settled);
    assert_eq!(world.record.as_ref().unwrap().phase, Phase::Deleted);
    world.seconds += 2 * 3600;
    assert_eq!(world.run(Some(&rotating(Strategy::MechanismFlip)), None), End::Settled);
    let record = world.record.unwrap();
    assert_eq!((record.phase, names(&record)), (Phase::Idle, vec!["payments", "payments.a", "payments.b"]));
}

#[test]
fn a_new_cluster_gives_access_to_no_name_that_the_record_does_not_know() {
    let mut world = World::new();
    let flip = rotating(Strategy::MechanismFlip);
    assert_eq!(world.run(Some(&flip), None), End::Settled);
    let both = Wanted { clusters: vec![cluster(), dr()], ..rotating(Strategy::DualUser) };
    let mut facts = world.facts(Some(&both), None);
    let access = AccessFact { grants: true, ..AccessFact::default() };
    let account = AccountFacts { slots: Seen::Known(Slots::new()), access: Seen::Known(access) };
    let names = ["payments", "payments.a", "payments.b"].map(|name| UserName::parse(name).unwrap());
    let seen = ClusterFacts {
        id: ClusterId::parse("dr-id").unwrap(),
        accounts: names.into_iter().map(|name| (name, account.clone())).collect(),
        afterlife: Afterlife::Connection,
    };
    facts.clusters.insert(dr(), Seen::Known(seen));
    let decision = decide(world.record.as_ref(), Some(&both), &facts, None, world.now().wall);
    let [Transition::Maintain(todo), Transition::Rotate(_)] = &decision.transitions[..] else { panic!("{decision:?}") };
    assert!(todo.rebind.contains_key(&dr()) && todo.grant.is_empty(), "the rotation to them gives it: {todo:?}");
}

#[test]
fn what_was_adopted_on_a_cluster_is_owed_with_the_rest() {
    let mut world = World::new();
    assert_eq!(world.run(Some(&rotating(Strategy::MechanismFlip)), None), End::Settled);
    world.seconds += 2 * 3600;
    let seen = SlotSeen { iterations: 4096, salt: Some(Salt::observed([9; 16])), everywhere: true };
    let record = world.record.as_mut().unwrap();
    record.clusters.insert(dr(), ClusterId::parse("dr-id").unwrap());
    record.phase = Phase::Published;
    record.adopted.push(AdoptedSlot {
        cluster: dr(),
        username: username(),
        mechanism: SHA_256,
        salt: seen.salt.clone(),
        iterations: seen.iterations,
    });
    // Its document goes while the cluster cannot be reached.
    assert_eq!(world.run(None, None), End::Settled);
    let record = world.record.unwrap();
    assert_eq!((record.phase, record.owed.len(), record.adopted.len()), (Phase::Deleted, 1, 0));
    let named = kinship::kinship(&record, &Account::new(&dr(), &username()), SHA_256, &seen);
    assert_eq!(named, kinship::Kinship::Named, "else it would be in the way for ever");
}
