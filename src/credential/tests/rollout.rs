//! Workloads that are restarted by a rotation, and an old credential that waits for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rotation::{HOUR, phase, provisioned_as, rotating};
use super::*;
use crate::names::Segment;
use crate::spec::{Workload, WorkloadKind};

fn restarting(strategy: Strategy, overlap: Option<u64>, confirm: Confirm) -> Wanted {
    Wanted { restarts: true, ..rotating(strategy, overlap, confirm) }
}

fn workload(text: &str) -> Workload {
    let name = |text: &str| Segment::parse(text).unwrap();
    Workload { context: None, namespace: name("payments"), kind: WorkloadKind::Deployment, name: name(text) }
}

/// A workload of two replicas that is done for a marker.
fn done(marker: &str) -> Seen<Option<WorkloadSeen>> {
    let pods = BTreeMap::from([(Some(marker.to_owned()), 2)]);
    let marker = Some(marker.to_owned());
    Seen::Known(Some(WorkloadSeen {
        marker,
        is_observed: true,
        wanted: 2,
        total: 2,
        updated: 2,
        available: 2,
        stalled: None,
        pods,
    }))
}

fn rollout(marker: &str, workloads: &[(&str, Seen<Option<WorkloadSeen>>)]) -> Arc<Rollout> {
    let workloads = workloads.iter().map(|(name, seen)| (workload(name), seen.clone())).collect();
    Arc::new(Rollout { marker: marker.to_owned(), workloads })
}

fn active_marker(world: &World) -> String {
    world.record.as_ref().unwrap().active.as_ref().unwrap().marker()
}

/// What a plan would say: what waits, and what goes on by itself.
fn said(world: &World, wanted: &Wanted) -> (Vec<String>, Vec<String>) {
    let decision =
        decide(world.record.as_ref(), Some(wanted), &world.facts(Some(wanted), None), None, world.now().wall);
    assert!(decision.transitions.is_empty(), "{:?}", decision.transitions);
    (decision.waiting.iter().map(|waiting| waiting.why.to_string()).collect(), decision.notes)
}

#[test]
fn workloads_are_restarted_once_after_every_delivery_and_never_for_a_first_credential() {
    for strategy in Strategy::ALL {
        let wanted = restarting(strategy, Some(HOUR), Confirm::None);
        let mut world = provisioned_as(&wanted);
        assert_eq!(world.restarts, 0, "whatever starts then reads the first credential anyway");
        world.run_asked(Some(&wanted), Some(&Ask::Rotate), None);
        let position = |name: &str| world.effects.iter().position(|effect| *effect == name).expect(name);
        assert!(position("deliver") < position("restart"), "{strategy}: {:?}", world.effects);
        world.seconds += HOUR;
        world.run(Some(&wanted), None);
        assert_eq!((world.restarts, phase(&world)), (1, Phase::Idle), "{strategy}");
        world.run(Some(&wanted), None);
        assert_eq!(world.restarts, 1, "{strategy}");
    }
}

#[test]
fn a_crash_around_a_restart_ends_in_the_same_marker() {
    let wanted = restarting(Strategy::MechanismFlip, Some(HOUR), Confirm::None);
    for (at, after) in (0..11).flat_map(|at| [(at, false), (at, true)]) {
        let mut world = provisioned_as(&wanted);
        world.run_asked(Some(&wanted), Some(&Ask::Rotate), Some(Crash { at, after }));
        world.run(Some(&wanted), None);
        if phase(&world) == Phase::Idle {
            world.run_asked(Some(&wanted), Some(&Ask::Rotate), None);
        }
        assert_eq!(phase(&world), Phase::Published, "{at} {after}");
        // The effect itself looks first, so that the second time writes nothing.
        assert!((1..=2).contains(&world.restarts), "{at} {after}: {}", world.restarts);
        assert_eq!(world.delivered, Some(Generation(2)));
    }
}

#[test]
fn a_revocation_restarts_workloads_too() {
    let wanted = restarting(Strategy::MechanismFlip, Some(HOUR), Confirm::Rollout);
    let mut world = provisioned_as(&wanted);
    world.run_asked(Some(&wanted), Some(&Ask::Revoke { new_name: false }), None);
    assert_eq!((world.restarts, world.delivered), (1, Some(Generation(2))));
}

#[test]
fn the_old_credential_goes_when_every_workload_runs_with_the_new_one() {
    for overlap in [None, Some(HOUR)] {
        let wanted = restarting(Strategy::MechanismFlip, overlap, Confirm::Rollout);
        let mut world = provisioned_as(&wanted);
        world.run_asked(Some(&wanted), Some(&Ask::Rotate), None);
        let marker = active_marker(&world);
        world.seconds += 2 * HOUR;
        let (waiting, notes) = said(&world, &wanted);
        assert!(waiting.is_empty() && notes[0].contains("were not looked at since"), "{waiting:?} {notes:?}");

        let rolling = Seen::Known(Some(WorkloadSeen { updated: 1, ..done(&marker).known().unwrap().clone().unwrap() }));
        world.rollout = Some(rollout(&marker, &[("api", done(&marker)), ("worker", rolling)]));
        let (waiting, notes) = said(&world, &wanted);
        let expected = "(Deployment `payments/worker`: 1 of 2 replicas are updated)";
        assert!(waiting.is_empty() && notes[0].ends_with(expected), "{waiting:?} {notes:?}");
        world.run(Some(&wanted), None);
        assert_eq!((phase(&world), world.slots().len()), (Phase::Published, 2));
        assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Blocked, "one at a time");

        world.rollout = Some(rollout(&marker, &[("api", done(&marker)), ("worker", done(&marker))]));
        assert_eq!(world.run(Some(&wanted), None), End::Settled);
        assert_eq!((phase(&world), world.slots().len()), (Phase::Idle, 1));
    }
}

#[test]
fn a_complete_rollout_still_waits_for_the_overlap() {
    let wanted = restarting(Strategy::MechanismFlip, Some(HOUR), Confirm::Rollout);
    let mut world = provisioned_as(&wanted);
    world.run_asked(Some(&wanted), Some(&Ask::Rotate), None);
    let marker = active_marker(&world);
    world.rollout = Some(rollout(&marker, &[("api", done(&marker))]));
    world.run(Some(&wanted), None);
    assert_eq!(phase(&world), Phase::Published);
    world.seconds += HOUR;
    world.run(Some(&wanted), None);
    assert_eq!(phase(&world), Phase::Idle);
}

#[test]
fn what_is_gone_or_unknown_waits_for_somebody_and_an_acknowledgement_stands_for_it() {
    let wanted = restarting(Strategy::MechanismFlip, None, Confirm::Rollout);
    for (seen, expected) in [
        (Seen::Known(None), "Deployment `payments/api`: it is not there; take it out of `restart`"),
        (Seen::unknown("no right"), "Deployment `payments/api`: no right"),
    ] {
        let mut world = provisioned_as(&wanted);
        world.run_asked(Some(&wanted), Some(&Ask::Rotate), None);
        world.rollout = Some(rollout(&active_marker(&world), &[("api", seen)]));
        let (waiting, notes) = said(&world, &wanted);
        assert!(notes.is_empty() && waiting[0].contains(expected), "{waiting:?} {notes:?}");
        world.run(Some(&wanted), None);
        assert_eq!((phase(&world), world.slots().len()), (Phase::Published, 2));
        world.run_asked(Some(&wanted), Some(&Ask::Acknowledge(None)), None);
        assert_eq!((phase(&world), world.slots().len()), (Phase::Idle, 1));
    }
}

#[test]
fn what_was_seen_of_an_earlier_credential_retires_nothing() {
    let wanted = restarting(Strategy::MechanismFlip, None, Confirm::Rollout);
    let mut world = provisioned_as(&wanted);
    world.run_asked(Some(&wanted), Some(&Ask::Rotate), None);
    // Scaled to zero now: whatever starts from here on reads the second credential, and not the third.
    let seen = rollout(&active_marker(&world), &[("api", Seen::Known(Some(WorkloadSeen::default())))]);
    world.rollout = Some(seen.clone());
    // The second one is retired, and the third begins, in one pass and on one look.
    assert_eq!(world.run_asked(Some(&wanted), Some(&Ask::Rotate), None), End::Settled);
    assert_eq!((world.delivered, phase(&world)), (Some(Generation(3)), Phase::Published));
    world.run(Some(&wanted), None);
    assert_eq!((phase(&world), world.slots().len()), (Phase::Published, 2));
    for stale in [None, Some(rollout(&active_marker(&world), &[]))] {
        world.rollout = stale;
        world.run(Some(&wanted), None);
        assert_eq!(phase(&world), Phase::Published);
    }
}
