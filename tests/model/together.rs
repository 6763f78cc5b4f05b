//! Several things at once: two processes in what is no plain flip, what other programs do to the other strategies, and what
//! is read late while something is taken away.

use kastellan::credential::{Confirm, Strategy};

use crate::bad_days::flip;
use crate::run::assert_safe;
use crate::scenario::{Budget, Paused, Scenario, rotating};

fn of(name: &'static str, strategy: Strategy, budget: Budget) -> Scenario {
    let wanted = rotating(strategy, 1, Some(2), Confirm::None);
    Scenario { budget, ..Scenario::new(name, vec![wanted]) }
}

fn none() -> Budget {
    Budget::default()
}

#[test]
fn two_processes_with_two_users() {
    let dual = of("dual-user, two processes", Strategy::DualUser, Budget { rotate: 1, ..none() });
    assert_safe(Scenario { controllers: 2, flights: 0, ..dual });
}

#[test]
fn two_processes_before_a_broker_that_lags() {
    let flip = flip("flip, two processes, lag", Budget { rotate: 1, ..none() });
    assert_safe(Scenario { controllers: 2, flights: 0, lag: true, ..flip });
}

#[test]
#[ignore = "minutes; see the list in main.rs"]
fn two_processes_that_delete() {
    let deletion = flip("deletion and undo, two processes", Budget { remove: 2, ..none() });
    assert_safe(Scenario { controllers: 2, flights: 0, ..deletion });
}

#[test]
#[ignore = "minutes; see the list in main.rs"]
fn two_processes_that_revoke() {
    let revocation = flip("revocation, two processes", Budget { revoke: 1, ..none() });
    assert_safe(Scenario { controllers: 2, flights: 0, ..revocation });
}

#[test]
#[ignore = "minutes; see the list in main.rs"]
fn two_processes_that_assert_again() {
    let drift = flip("re-assertion, two processes", Budget { rotate: 1, drift: 1, ..none() });
    assert_safe(Scenario { controllers: 2, flights: 0, ..drift });
}

/// The other one may rotate, and retire what is about to be put back.
#[test]
fn a_paused_re_assertion_meets_a_rotation() {
    let paused = flip("paused re-assertion, rotation", Budget { rotate: 1, ..none() });
    assert_safe(Scenario { controllers: 2, flights: 0, paused: Some(Paused::AssertingAgain), ..paused });
}

#[test]
fn a_paused_re_assertion_meets_a_revocation() {
    let paused = flip("paused re-assertion, revocation", Budget { revoke: 1, ..none() });
    assert_safe(Scenario { controllers: 2, flights: 0, paused: Some(Paused::AssertingAgain), ..paused });
}

#[test]
fn two_processes_and_a_kafka_that_is_rebuilt() {
    let rebuilt = flip("rebuilt Kafka, two processes", Budget { rebuild: 1, ..none() });
    assert_safe(Scenario { controllers: 2, ..rebuilt });
}

#[test]
fn a_revocation_whose_record_is_read_late() {
    let late = flip("revocation, stale reads", Budget { rotate: 1, revoke: 1, ..none() });
    assert_safe(Scenario { flights: 0, stale_reads: true, ..late });
}

#[test]
fn a_deletion_whose_record_is_read_late() {
    let late = flip("deletion and undo, stale reads", Budget { remove: 2, ..none() });
    assert_safe(Scenario { stale_reads: true, ..late });
}

#[test]
fn two_users_that_drift() {
    let drift = of("dual-user, re-assertion", Strategy::DualUser, Budget { rotate: 1, drift: 1, ..none() });
    assert_safe(Scenario { flights: 1, ..drift });
}

#[test]
fn two_users_that_are_deleted() {
    let deletion = of("dual-user, deletion", Strategy::DualUser, Budget { rotate: 1, remove: 1, ..none() });
    assert_safe(Scenario { flights: 1, ..deletion });
}

#[test]
fn two_users_and_a_store_that_is_restored() {
    let restored = of("dual-user, restored store", Strategy::DualUser, Budget { rotate: 1, restore: 1, ..none() });
    assert_safe(Scenario { flights: 1, ..restored });
}

#[test]
fn drift_in_place() {
    let drift = of("in-place, re-assertion", Strategy::InPlace, Budget { rotate: 1, drift: 1, ..none() });
    assert_safe(Scenario { flights: 1, ..drift });
}

#[test]
fn a_revocation_in_place() {
    let revocation = of("in-place, revocation", Strategy::InPlace, Budget { rotate: 1, revoke: 1, ..none() });
    assert_safe(Scenario { flights: 1, ..revocation });
}

#[test]
fn a_deletion_in_place() {
    let deletion = of("in-place, deletion and undo", Strategy::InPlace, Budget { rotate: 1, remove: 2, ..none() });
    assert_safe(Scenario { flights: 1, ..deletion });
}

#[test]
fn a_store_that_is_restored_in_place() {
    let restored = of("in-place, restored store", Strategy::InPlace, Budget { rotate: 1, restore: 1, ..none() });
    assert_safe(Scenario { flights: 1, ..restored });
}

#[test]
fn a_kafka_that_is_rebuilt_in_a_revocation() {
    let budget = Budget { revoke: 1, rebuild: 1, ..none() };
    assert_safe(Scenario { flights: 0, ..flip("rebuilt Kafka during a revocation", budget) });
}

#[test]
fn a_kafka_that_is_rebuilt_in_a_deletion() {
    let budget = Budget { remove: 1, rebuild: 1, ..none() };
    assert_safe(Scenario { flights: 0, ..flip("rebuilt Kafka during a deletion", budget) });
}
