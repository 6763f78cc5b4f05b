//! A store that was restored from an older snapshot, at any moment of a rotation, and the ways out of it.

use super::rotation::*;
use super::*;

#[test]
fn a_store_restored_from_before_a_rotation_is_frozen_until_it_is_recovered() {
    let wanted = rotating(Strategy::MechanismFlip, Some(0), Confirm::None);
    let mut world = provisioned_as(&wanted);
    let (record, material, document) = (world.record.clone(), world.material.clone(), world.document);
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Settled);
    (world.record, world.material, world.document) = (record, material, document);
    world.seconds += 2 * HOUR;
    world.effects.clear();
    world.drifted = true;
    assert_eq!(world.run(Some(&wanted), None), End::Blocked);
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    for at in 0..20 {
        let mut world = world.clone();
        let crash = Some(Crash { at, after: true });
        let newest = world.slots()[&SHA_256].clone();
        let _ = world.run_asked(Some(&wanted), Some(&Ask::Recover), crash);
        let is_kept = world.delivered != Some(Generation(2)) || world.slots().get(&SHA_256) == Some(&newest);
        assert!(is_kept, "at {at}: what applications have was overwritten before they have anything else");
        assert!(!holds_generation(&world, 1), "at {at}: what was retired is back");
        let ask = (world.record.as_ref().unwrap().allotted == Generation(1)).then_some(Ask::Recover);
        for at in 0..5 {
            let mut again = world.clone();
            let _ = again.run_asked(Some(&wanted), ask.as_ref(), Some(Crash { at, after: true }));
            assert!(!holds_generation(&again, 1), "at {at}: what was retired is back");
        }
        assert_eq!(world.run_asked(Some(&wanted), ask.as_ref(), None), End::Settled, "at {at}");
        assert_eq!(world.run(Some(&wanted), None), End::Settled, "at {at}");
        assert_eq!(world.delivered, Some(Generation(3)), "at {at}: above everything that was seen");
        assert_eq!((phase(&world), all_slots(&world)), (Phase::Idle, 1), "at {at}: {:?}", world.effects);
    }
}

/// A world whose store is from before the last rotation, which is published beside the credential before it.
fn restored(wanted: &Wanted, from: impl Fn(&mut World)) -> World {
    let mut world = provisioned_as(wanted);
    from(&mut world);
    let (record, material, document) = (world.record.clone(), world.material.clone(), world.document);
    assert_eq!(world.run_asked(Some(wanted), Some(&Ask::Rotate), None), End::Settled);
    (world.record, world.material, world.document) = (record, material, document);
    world.seconds += 2 * HOUR;
    world.effects.clear();
    world.drifted = true;
    world
}

#[test]
fn what_is_delivered_is_the_truth_where_a_person_says_so_and_nobody_notices() {
    for strategy in [Strategy::MechanismFlip, Strategy::DualUser] {
        let wanted = rotating(strategy, Some(0), Confirm::None);
        let world = restored(&wanted, |_| {});
        for at in 0..8 {
            let mut world = world.clone();
            let kafka = world.kafka.clone();
            let _ = world.run_asked(Some(&wanted), Some(&Ask::Import), Some(Crash { at, after: true }));
            assert_eq!(world.kafka, kafka, "{strategy} at {at}: nothing is sent to Kafka");
            let ask = (world.record.as_ref().unwrap().allotted == Generation(1)).then_some(Ask::Import);
            assert_eq!(world.run_asked(Some(&wanted), ask.as_ref(), None), End::Settled, "{strategy} at {at}");
            assert_eq!(world.document, Some((Generation(2), 2)), "{strategy} at {at}");
            assert_eq!(world.run(Some(&wanted), None), End::Settled, "{strategy} at {at}");
            assert_eq!((phase(&world), all_slots(&world)), (Phase::Idle, 1), "{strategy} at {at}: {:?}", world.effects);
            assert_eq!((world.published(), world.delivered), (Some(Generation(2)), Some(Generation(2))));
            assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Settled, "{strategy} at {at}");
            assert_eq!(world.published(), Some(Generation(3)), "{strategy} at {at}");
        }
    }
}

/// The snapshot was taken while an older rotation was within its overlap.
#[test]
fn a_store_restored_from_the_middle_of_a_rotation_has_both_ways_out() {
    let wanted = rotating(Strategy::MechanismFlip, None, Confirm::Acknowledgement);
    let acknowledge = Ask::Acknowledge(None);
    let in_overlap = |world: &mut World| {
        assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Settled);
        let snapshot = world.clone();
        assert_eq!(world.run_asked(Some(&wanted), Some(&acknowledge), None), End::Settled);
        let before = (snapshot.record, snapshot.material, snapshot.document);
        assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Settled);
        (world.record, world.material, world.document) = before;
        world.seconds += 2 * HOUR;
        world.drifted = true;
    };
    for (ask, newest) in [(Ask::Import, Generation(3)), (Ask::Recover, Generation(4))] {
        let mut world = provisioned_as(&wanted);
        in_overlap(&mut world);
        assert_eq!(phase(&world), Phase::Published, "by the restored store");
        assert_eq!(world.run(Some(&wanted), None), End::Blocked);
        assert_eq!(world.run_asked(Some(&wanted), Some(&ask), None), End::Settled, "{ask:?} {:?}", world.effects);
        assert_eq!((world.published(), world.delivered), (Some(newest), Some(newest)), "{ask:?}");
        assert_eq!(world.run(Some(&wanted), None), End::Settled, "{ask:?}");
        assert_eq!(world.run_asked(Some(&wanted), Some(&acknowledge), None), End::Settled, "{ask:?}");
        assert_eq!((phase(&world), all_slots(&world)), (Phase::Idle, 1), "{ask:?} {:?}", world.effects);
    }
}
#[test]
fn a_recovery_leaves_what_is_delivered_valid_until_its_overlap_is_over() {
    for strategy in [Strategy::MechanismFlip, Strategy::DualUser] {
        let wanted = rotating(strategy, Some(HOUR), Confirm::None);
        let mut world = restored(&wanted, |_| {});
        let delivered = world.delivered_as.clone().unwrap().0;
        assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Recover), None), End::Settled, "{:?}", world.effects);
        assert_eq!((world.published(), phase(&world)), (Some(Generation(3)), Phase::Published), "{strategy}");
        let slots = &world.kafka[&delivered.username];
        assert_eq!(slots[&delivered.mechanism].salt.as_ref(), Some(&delivered.salt), "{strategy}: clients have it");
        world.seconds += 2 * HOUR;
        assert_eq!(world.run(Some(&wanted), None), End::Settled, "{strategy}");
        assert_eq!((phase(&world), all_slots(&world)), (Phase::Idle, 1), "{strategy}");
    }
}

/// The rotation that the restored store does not know was cut off before anything of it was delivered.
#[test]
fn a_recovery_leaves_the_active_credential_alone_where_nothing_newer_is_delivered() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::None);
    let mut world = provisioned_as(&wanted);
    let (record, material, document) = (world.record.clone(), world.material.clone(), world.document);
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), Some(Crash { at: 3, after: true })), End::Crashed);
    let active = record.as_ref().unwrap().active.clone().unwrap();
    (world.record, world.material, world.document) = (record, material, document);
    world.seconds += 2 * HOUR;
    world.drifted = true;
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Recover), None), End::Settled, "{:?}", world.effects);
    assert_eq!(world.slots()[&active.mechanism].salt.as_ref(), Some(&active.salt), "clients have it");
    assert_eq!(phase(&world), Phase::Published);
}

#[test]
fn what_is_delivered_already_is_not_taken_back_by_a_store_from_the_middle_of_the_rotation() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::None);
    let prepared = |world: &mut World| {
        assert_eq!(
            world.run_asked(Some(&wanted), Some(&Ask::Rotate), Some(Crash { at: 3, after: true })),
            End::Crashed
        );
        assert_eq!(phase(world), Phase::Prepared);
    };
    let mut world = restored(&wanted, prepared);
    let kafka = world.kafka.clone();
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Abort), None), End::Blocked);
    assert_eq!(world.kafka, kafka);
    assert_eq!(
        world.run(Some(&wanted), None),
        End::Waits,
        "a pass that was planned before VERIFIED takes it for newer"
    );
    assert_eq!(world.run(Some(&wanted), None), End::Settled);
    assert_eq!((world.published(), world.delivered), (Some(Generation(2)), Some(Generation(2))));
}
