//! Rotation: each strategy, each phase, a crash before and after every effect.

use super::*;
use crate::names::{ClusterId, ClusterName};

pub(super) const HOUR: u64 = 3_600;
const DAY: i64 = 86_400;

pub(super) fn rotating(strategy: Strategy, overlap: Option<u64>, confirm: Confirm) -> Wanted {
    let users = (strategy == Strategy::DualUser)
        .then(|| ["payments.a", "payments.b"].map(|name| UserName::parse(name).unwrap()));
    let overlap = overlap.map(Duration::from_secs);
    let rotation = RotationSpec { every: None, strategy, users, overlap, confirm };
    Wanted { rotation: Some(rotation), ..wanted() }
}

/// Provisioned under a document, and the permits of that are long over.
pub(super) fn provisioned_as(wanted: &Wanted) -> World {
    let mut world = World::new();
    assert_eq!(world.run(Some(wanted), None), End::Settled);
    world.seconds += 2 * HOUR;
    world.effects.clear();
    world.record_writes = 0;
    world
}

pub(super) fn phase(world: &World) -> Phase {
    world.record.as_ref().unwrap().phase
}

pub(super) fn holds_generation(world: &World, generation: u64) -> bool {
    let salt = slot_of(Generation(generation), SHA_512).salt;
    world.kafka.values().any(|slots| slots.values().any(|slot| slot.salt.as_ref() == Some(&salt)))
}

pub(super) fn all_slots(world: &World) -> usize {
    world.kafka.values().map(Slots::len).sum()
}

#[test]
fn a_flip_keeps_both_valid_for_the_overlap_and_writes_the_record_five_times() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::None);
    let mut world = provisioned_as(&wanted);
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Settled);
    let expected = [
        "material",
        "record-prepared",
        "look",
        "upsert",
        "login",
        "record-verified",
        "document",
        "deliver",
        "record-published",
    ];
    assert_eq!(world.effects, expected);
    assert_eq!((phase(&world), world.slots().len()), (Phase::Published, 2));
    assert_eq!(world.document, Some((Generation(2), 2)));
    world.effects.clear();
    assert_eq!(world.run(Some(&wanted), None), End::Settled);
    assert!(world.effects.is_empty(), "the overlap is not over: {:?}", world.effects);
    world.seconds += HOUR;
    assert_eq!(world.run(Some(&wanted), None), End::Settled);
    assert_eq!(world.effects, ["login", "record-retiring", "look", "empty", "destroy", "record-idle"]);
    assert_eq!((phase(&world), world.slots().len()), (Phase::Idle, 1));
    assert!(!world.material.contains_key(&Generation(1)), "what is retired is destroyed");
    assert_eq!(world.record_writes, 5);
}

#[test]
fn without_overlap_the_old_credential_goes_in_the_same_pass() {
    let wanted = rotating(Strategy::MechanismFlip, Some(0), Confirm::None);
    let mut world = provisioned_as(&wanted);
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Settled);
    assert_eq!((phase(&world), world.slots().len(), world.record_writes), (Phase::Idle, 1, 5));
    // The next one goes back to the first slot, behind the fence of its deletion.
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Settled);
    assert_eq!(world.document, Some((Generation(3), 3)));
    assert!(world.slots().contains_key(&SHA_512));
}

#[test]
fn an_acknowledgement_retires_the_old_credential_when_the_overlap_is_over_as_well() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::Acknowledgement);
    let mut world = provisioned_as(&wanted);
    world.run_asked(Some(&wanted), Some(&Ask::Rotate), None);
    world.seconds += 2 * HOUR;
    world.run(Some(&wanted), None);
    assert_eq!(phase(&world), Phase::Published, "nobody said that the consumers have moved");
    let wrong = Ask::Acknowledge(Some(Generation(1)));
    assert_eq!(world.run_asked(Some(&wanted), Some(&wrong), None), End::Blocked);
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Acknowledge(None)), None), End::Settled);
    assert_eq!((phase(&world), world.slots().len()), (Phase::Idle, 1));
}

#[test]
fn an_early_acknowledgement_waits_for_the_overlap() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::Acknowledgement);
    let mut world = provisioned_as(&wanted);
    world.run_asked(Some(&wanted), Some(&Ask::Rotate), None);
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Acknowledge(None)), None), End::Settled);
    assert_eq!(phase(&world), Phase::Confirmed);
    world.seconds += HOUR;
    assert_eq!(world.run(Some(&wanted), None), End::Settled);
    assert_eq!(phase(&world), Phase::Idle);
}

#[test]
fn a_dual_user_changes_its_name_and_both_names_have_access() {
    let wanted = rotating(Strategy::DualUser, Some(0), Confirm::None);
    let mut world = provisioned_as(&wanted);
    assert_eq!(world.access.iter().map(UserName::as_str).collect::<Vec<_>>(), ["payments.a", "payments.b"]);
    for (generation, name) in [(2, "payments.b"), (3, "payments.a")] {
        assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Settled);
        let active = world.record.as_ref().unwrap().active.clone().unwrap();
        assert_eq!((active.generation, active.username.as_str()), (Generation(generation), name));
        assert_eq!(all_slots(&world), 1);
        assert_eq!(world.access.len(), 2);
    }
}

#[test]
fn in_place_overwrites_and_publishes_at_once_and_is_never_aborted() {
    let wanted = rotating(Strategy::InPlace, None, Confirm::Acknowledgement);
    let mut world = provisioned_as(&wanted);
    let mut crashed = world.clone();
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Settled);
    let expected = [
        "material",
        "record-prepared",
        "look",
        "upsert",
        "login",
        "document",
        "deliver",
        "record-idle",
        "destroy",
        "record-idle",
    ];
    assert_eq!(world.effects, expected);
    assert_eq!((world.slots().len(), world.document), (1, Some((Generation(2), 2))));
    crashed.run_asked(Some(&wanted), Some(&Ask::Rotate), Some(Crash { at: 3, after: true }));
    assert_eq!(crashed.run_asked(Some(&wanted), Some(&Ask::Abort), None), End::Blocked);
    assert_eq!(crashed.run(Some(&wanted), None), End::Settled);
    assert_eq!(crashed.document, Some((Generation(2), 2)));
}

#[test]
fn an_abort_takes_the_pending_credential_back_behind_its_fence_and_burns_the_number() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::None);
    let mut world = provisioned_as(&wanted);
    world.run_asked(Some(&wanted), Some(&Ask::Rotate), Some(Crash { at: 3, after: true }));
    assert_eq!((phase(&world), world.slots().len()), (Phase::Prepared, 2));
    let before = world.seconds;
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Abort), None), End::Settled);
    assert!(world.seconds - before >= 90, "a late upsert would bring it back");
    assert_eq!((phase(&world), world.slots().len(), world.document), (Phase::Idle, 1, Some((Generation(1), 1))));
    assert!(!world.material.contains_key(&Generation(2)));
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Settled);
    assert_eq!(world.document.unwrap().0, Generation(3), "an aborted number is never used again");
}

#[test]
fn from_verified_on_a_rotation_only_goes_forward() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::None);
    for at in 5..9 {
        let mut world = provisioned_as(&wanted);
        world.run_asked(Some(&wanted), Some(&Ask::Rotate), Some(Crash { at, after: true }));
        assert_ne!(phase(&world), Phase::Prepared);
        assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Abort), None), End::Blocked, "after a crash at {at}");
    }
}

#[test]
fn a_rotation_does_not_begin_while_the_last_ones_old_credential_is_valid() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::None);
    let mut world = provisioned_as(&wanted);
    world.run_asked(Some(&wanted), Some(&Ask::Rotate), None);
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Blocked);
    world.seconds += HOUR;
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Settled);
    assert_eq!(world.document, Some((Generation(3), 3)));
}

#[test]
fn what_is_due_by_its_age_begins_by_itself() {
    let mut wanted = rotating(Strategy::MechanismFlip, Some(0), Confirm::None);
    wanted.rotation.as_mut().unwrap().every = Some(Duration::from_secs(24 * HOUR));
    let mut world = provisioned_as(&wanted);
    assert_eq!(world.run(Some(&wanted), None), End::Settled);
    assert!(world.effects.is_empty());
    world.seconds += 24 * HOUR;
    assert_eq!(world.run(Some(&wanted), None), End::Settled);
    assert_eq!(world.document, Some((Generation(2), 2)));
}

#[test]
fn changes_that_only_a_rotation_carries_out_begin_one() {
    let base = rotating(Strategy::MechanismFlip, Some(0), Confirm::None);
    let scram = |mechanisms: Vec<Mechanism>, iterations: u32, given: bool| WantedAuthentication::Scram {
        mechanisms,
        iterations: Iterations::try_from(iterations).unwrap(),
        length: PasswordLength::default(),
        given: given.then(|| ("p".to_owned(), "k".to_owned())),
    };
    let both = || vec![SHA_512, SHA_256];
    let mut dual = rotating(Strategy::DualUser, Some(0), Confirm::None);
    dual.authentication = base.authentication.clone();
    let changes = [
        ("iterations", Wanted { authentication: scram(both(), 8192, false), ..base.clone() }),
        ("mechanism", Wanted { authentication: scram(vec![SHA_256], 4096, false), ..base.clone() }),
        ("password", Wanted { authentication: scram(both(), 4096, true), ..base.clone() }),
        ("name", Wanted { username: UserName::parse("payments2").unwrap(), ..base.clone() }),
        ("strategy", dual),
    ];
    for (what, changed) in changes {
        let mut world = provisioned_as(&base);
        world.given = Some(77);
        assert_eq!(world.run(Some(&changed), None), End::Settled, "{what}");
        let record = world.record.clone().unwrap();
        assert_eq!((record.phase, record.generation), (Phase::Idle, Generation(2)), "{what}");
        assert_eq!(all_slots(&world), 1, "{what}");
        let access = world.access.iter().cloned().collect::<Vec<_>>();
        assert_eq!(access, changed.names(), "{what}: access follows the name");
        world.effects.clear();
        assert_eq!(world.run(Some(&changed), None), End::Settled);
        assert!(world.effects.is_empty(), "{what}: {:?}", world.effects);
        assert_eq!(world.run(Some(&base), None), End::Settled, "{what}, and back");
        assert_eq!((phase(&world), all_slots(&world)), (Phase::Idle, 1), "{what}, and back");
    }
}

#[test]
fn an_adopted_credential_is_retired_as_the_first_old_one() {
    let wanted = Wanted { adopt: true, ..rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::None) };
    let mut world = World::new();
    let stranger = SlotSeen { iterations: 8192, salt: Some(Salt::observed([99; 16])), everywhere: true };
    world.slots_mut().insert(SHA_512, stranger);
    assert_eq!(world.run(Some(&wanted), None), End::Settled);
    assert_eq!((phase(&world), world.slots().len()), (Phase::Published, 2));
    world.seconds += 2 * HOUR;
    assert_eq!(world.run(Some(&wanted), None), End::Settled);
    assert_eq!((phase(&world), world.slots().len()), (Phase::Idle, 1));
    assert!(world.slots().contains_key(&SHA_256));
}

#[test]
fn a_revoked_credential_is_gone_at_once_and_access_comes_back_when_somebody_says_it_is_safe() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::None);
    let mut world = provisioned_as(&wanted);
    let end = world.run_asked(Some(&wanted), Some(&Ask::Revoke { new_name: false }), None);
    assert_eq!(end, End::Waits);
    assert_eq!((phase(&world), world.slots().len()), (Phase::Revoking, 1));
    assert!(world.access.is_empty(), "a connection of before would come back to life");
    assert_eq!(world.document, Some((Generation(2), 2)));
    assert_eq!(world.run(Some(&wanted), None), End::Waits);
    assert!(world.access.is_empty());
    world.access.insert(username());
    assert_eq!(world.run(Some(&wanted), None), End::Waits);
    assert!(world.access.is_empty(), "somebody who planned before the revocation gave it, and it goes again");
    world.effects.clear();
    let end = world.run_asked(Some(&wanted), Some(&Ask::Acknowledge(None)), None);
    assert_eq!(end, End::Settled, "{:?} {}", world.effects, world.waits_for);
    assert_eq!((phase(&world), world.access.len()), (Phase::Idle, 1));
    assert!(!world.material.contains_key(&Generation(1)));
}

#[test]
fn a_revocation_to_another_name_needs_no_waiting() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::None);
    let mut world = provisioned_as(&wanted);
    let ask = Ask::Revoke { new_name: true };
    assert_eq!(world.run_asked(Some(&wanted), Some(&ask), None), End::Blocked, "there is no other name");
    let renamed = Wanted { username: UserName::parse("payments2").unwrap(), ..wanted };
    assert_eq!(world.run_asked(Some(&renamed), Some(&ask), None), End::Settled);
    assert_eq!((phase(&world), world.slots().len()), (Phase::Idle, 0));
    assert_eq!(world.access.iter().map(UserName::as_str).collect::<Vec<_>>(), ["payments2"]);
}

#[test]
fn a_name_is_not_struck_off_before_its_access_was_seen() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::None);
    let mut world = provisioned_as(&wanted);
    let renamed = Wanted { username: UserName::parse("payments2").unwrap(), ..wanted };
    assert_eq!(world.run_asked(Some(&renamed), Some(&Ask::Rotate), None), End::Settled);
    assert_eq!((phase(&world), world.access.len()), (Phase::Published, 2));
    world.seconds += 2 * HOUR;
    world.shows_access = false;
    assert_eq!(world.run(Some(&renamed), None), End::Waits);
    assert!(world.waits_for.contains("could not be seen"), "{}", world.waits_for);
    world.shows_access = true;
    assert_eq!(world.run(Some(&renamed), None), End::Settled);
    assert_eq!(phase(&world), Phase::Idle);
    assert_eq!(world.access.iter().map(UserName::as_str).collect::<Vec<_>>(), ["payments2"]);
}

#[test]
fn a_user_deleted_in_the_middle_of_a_rotation_leaves_nothing_and_comes_back() {
    for strategy in [Strategy::MechanismFlip, Strategy::DualUser, Strategy::InPlace] {
        let wanted = rotating(strategy, Some(HOUR), Confirm::Acknowledgement);
        for at in 0..9 {
            let mut world = provisioned_as(&wanted);
            world.run_asked(Some(&wanted), Some(&Ask::Rotate), Some(Crash { at, after: true }));
            assert_eq!(world.run(None, None), End::Settled, "{strategy:?} at {at}");
            assert_eq!((phase(&world), all_slots(&world)), (Phase::Deleted, 0), "{strategy:?} at {at}");
            assert!(world.access.is_empty() && world.delivered.is_none());
            assert_eq!(world.run(Some(&wanted), None), End::Settled, "{strategy:?} at {at}, back");
            assert_eq!((phase(&world), all_slots(&world)), (Phase::Idle, 1), "{strategy:?} at {at}, back");
            assert!(world.password().is_some_and(|password| password <= 2), "no third password");
        }
    }
}

#[test]
fn a_crash_anywhere_in_a_rotation_is_finished_by_the_next_run() {
    let flip = rotating(Strategy::MechanismFlip, Some(0), Confirm::None);
    let dual = rotating(Strategy::DualUser, Some(0), Confirm::None);
    let in_place = rotating(Strategy::InPlace, Some(0), Confirm::None);
    let renamed = Wanted { username: UserName::parse("payments2").unwrap(), ..flip.clone() };
    let revoke = Ask::Revoke { new_name: true };
    let stories = [
        ("flip", &flip, &flip, Ask::Rotate, 14),
        ("dual-user", &dual, &dual, Ask::Rotate, 14),
        ("in-place", &in_place, &in_place, Ask::Rotate, 9),
        ("rename", &flip, &renamed, Ask::Rotate, 15),
        ("revocation", &flip, &renamed, revoke, 10),
    ];
    for (name, before, wanted, ask, at_least) in stories {
        for after in [false, true] {
            for at in 0.. {
                let mut world = provisioned_as(before);
                let crash = Crash { at, after };
                if world.run_asked(Some(wanted), Some(&ask), Some(crash)) != End::Crashed {
                    assert!(at >= at_least, "{name} has only {at} effects");
                    break;
                }
                world.seconds += 5;
                let story = format!("{name}: crash at {at}, after: {after}, {:?}", world.effects);
                // Before the first record write nothing has happened, and nobody asks again.
                let begun = world.record.as_ref().unwrap().phase != Phase::Idle
                    || world.record.as_ref().unwrap().generation != Generation(1);
                let again = (!begun).then_some(&ask);
                assert_eq!(world.run_asked(Some(wanted), again, None), End::Settled, "{story}: {}", world.waits_for);
                assert_eq!(world.run(Some(wanted), None), End::Settled, "{story}");
                assert_eq!((phase(&world), all_slots(&world)), (Phase::Idle, 1), "{story}: {:?}", world.effects);
                assert_eq!(world.document.unwrap().0, world.delivered.unwrap(), "{story}");
                assert_eq!(world.document.unwrap().0, Generation(2), "{story}: one rotation, one number");
                assert_eq!(world.access.iter().cloned().collect::<Vec<_>>(), wanted.names(), "{story}");
                assert_eq!(world.material.len(), 1, "{story}: {:?}", world.material.keys());
                world.effects.clear();
                assert_eq!(world.run(Some(wanted), None), End::Settled);
                assert!(world.effects.is_empty(), "{story}: not settled: {:?}", world.effects);
            }
        }
    }
}

#[test]
fn a_document_that_changes_its_mind_in_the_middle_takes_the_pending_credential_back() {
    let flip = rotating(Strategy::MechanismFlip, Some(0), Confirm::None);
    let dual = rotating(Strategy::DualUser, Some(0), Confirm::None);
    for at in 0..14 {
        let mut world = provisioned_as(&flip);
        world.run(Some(&dual), Some(Crash { at, after: true }));
        assert_eq!(world.run(Some(&flip), None), End::Settled, "at {at}");
        assert_eq!(world.run(Some(&flip), None), End::Settled, "at {at}");
        let active = world.record.as_ref().unwrap().active.clone().unwrap();
        assert_eq!((phase(&world), all_slots(&world)), (Phase::Idle, 1), "at {at}");
        assert!(world.access.contains(&active.username), "at {at}: whoever logs in has access");
        assert_eq!(world.access.iter().cloned().collect::<Vec<_>>(), flip.names(), "at {at}");
    }
}

#[test]
fn a_clock_that_jumps_back_a_day_makes_an_overlap_longer_and_no_fence() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::None);
    for at in 0..9 {
        let mut world = provisioned_as(&wanted);
        world.run_asked(Some(&wanted), Some(&Ask::Rotate), Some(Crash { at, after: true }));
        world.wall_ahead = -DAY;
        let before = world.seconds;
        assert_eq!(world.run_asked(Some(&wanted), (at == 0).then_some(&Ask::Rotate), None), End::Settled, "at {at}");
        assert!(world.seconds - before <= 90, "at {at}: a fence is a matter of the boot clock");
        assert_eq!((phase(&world), world.slots().len()), (Phase::Published, 2), "at {at}");
        world.seconds += HOUR + DAY.unsigned_abs();
        assert_eq!(world.run(Some(&wanted), None), End::Settled, "at {at}");
        assert_eq!((phase(&world), world.slots().len()), (Phase::Idle, 1), "at {at}");
    }
}

#[test]
fn a_clock_that_jumps_ahead_ends_an_overlap_and_confirms_nothing() {
    let day = Some(DAY.unsigned_abs());
    for (confirm, expected) in [(Confirm::None, Phase::Idle), (Confirm::Acknowledgement, Phase::Published)] {
        let wanted = rotating(Strategy::MechanismFlip, day, confirm);
        for at in 5..9 {
            let mut world = provisioned_as(&wanted);
            world.run_asked(Some(&wanted), Some(&Ask::Rotate), Some(Crash { at, after: true }));
            assert_eq!(world.run(Some(&wanted), None), End::Settled, "at {at}");
            assert_eq!((phase(&world), world.slots().len()), (Phase::Published, 2), "at {at}");
            world.wall_ahead = DAY;
            assert_eq!(world.run(Some(&wanted), None), End::Settled, "at {at}");
            assert_eq!(phase(&world), expected, "at {at}");
            // Back in time: what was begun is finished, and what works goes on working.
            world.wall_ahead = 0;
            assert_eq!(world.run(Some(&wanted), None), End::Settled, "at {at}");
            assert_eq!(phase(&world), expected, "at {at}");
        }
    }
}

#[test]
fn a_given_password_that_was_never_used_is_destroyed() {
    let mut wanted = rotating(Strategy::MechanismFlip, Some(0), Confirm::None);
    let WantedAuthentication::Scram { given, .. } = &mut wanted.authentication else { unreachable!("it rotates") };
    *given = Some(("p".to_owned(), "k".to_owned()));
    let mut world = World::new();
    world.given = Some(1);
    assert_eq!(world.run(Some(&wanted), None), End::Settled);
    world.given = Some(2);
    assert_eq!(world.run(Some(&wanted), Some(Crash { at: 0, after: true })), End::Crashed);
    world.given = Some(3);
    assert_eq!(world.run(Some(&wanted), None), End::Settled);
    assert_eq!(world.document, Some((Generation(3), 3)), "the number of the other one is skipped");
    assert_eq!(world.material.keys().collect::<Vec<_>>(), [&Generation(3)]);
}

#[test]
fn a_rotation_that_is_asked_for_waits_until_a_new_cluster_is_ready() {
    let wanted = rotating(Strategy::MechanismFlip, Some(HOUR), Confirm::None);
    let world = provisioned_as(&wanted);
    let dr = ClusterName::parse("dr").unwrap();
    let both = Wanted { clusters: vec![cluster(), dr.clone()], ..wanted };
    let facts = world.facts(Some(&both), Some(&Ask::Rotate));
    let joining = Record {
        clusters: world.record.iter().flat_map(|record| record.clusters.clone()).chain([(dr, another_id())]).collect(),
        ..world.record.clone().unwrap()
    };
    let decision = decide(Some(&joining), Some(&both), &facts, Some(&Ask::Rotate), world.now().wall);
    assert!(matches!(&decision.blocked[..], [Blocked::Refused(why)] if why.contains("dr")), "{decision:?}");
    assert!(decision.transitions.is_empty());
}

fn another_id() -> ClusterId {
    ClusterId::parse("another").unwrap()
}
