//! Drives the machine through a user's life without a rotation, with a crash before and after any effect.

mod leaving;
mod restored;
mod rollout;
mod rotation;
mod world;

use std::time::Duration;

use self::world::*;
use super::*;
use crate::names::{Generation, Mechanism, UserName};
use crate::secret::{Iterations, PasswordLength, Salt};

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

/// A late request of before may have landed between that look and the end of its fence.
#[test]
fn a_look_of_before_the_end_of_a_fence_is_taken_again() {
    let world = provisioned();
    let place = slot_of(Generation(1), SHA_512).place();
    let mut progress = Progress::default();
    for name in [&username(), &UserName::parse("another").unwrap()] {
        progress.advance(Outcome::Looked(Account::new(&cluster(), name), Slots::new()));
    }
    let permits = |ids: &[u64]| {
        let permits = ids.iter().map(|id| Permit::new(PermitId(*id), &place, Content::None, FENCE, world.now()));
        Record { permits: permits.collect(), ..world.record.clone().unwrap() }
    };
    progress.note_permits(Some(&permits(&[1])), &permits(&[1, 9]));
    assert_eq!((progress.own_permits[&place], progress.looked.len()), (PermitId(9), 2), "the fence is not over");
    progress.note_permits(Some(&permits(&[1, 9])), &permits(&[1]));
    assert_eq!(progress.looked.len(), 2, "its own is over, and its requests are answered");
    progress.note_permits(Some(&permits(&[1])), &permits(&[9]));
    assert_eq!(progress.looked.keys().map(|account| account.username.as_str()).collect::<Vec<_>>(), ["another"]);
}
