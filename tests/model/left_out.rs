//! Each rule that is left out, and each mistake that is put in, is found.

use kastellan::credential::{Confirm, Strategy};

use crate::bad_days::{flip, given};
use crate::run::assert_found;
use crate::scenario::{Budget, Paused, Plant, Scenario, rotating};

fn none() -> Budget {
    Budget::default()
}

fn rotate() -> Budget {
    Budget { rotate: 1, ..none() }
}

#[test]
fn retiring_early() {
    assert_found(Scenario { plant: Plant::RetireEarly, ..flip("retire early", rotate()) }, "I4");
}

#[test]
fn retiring_early_locks_people_out() {
    let early = Scenario { plant: Plant::RetireEarly, ..flip("retire early, clients", rotate()) };
    assert_found(Scenario { checks: Some("I2 nobody"), ..early }, "I2 nobody");
}

#[test]
fn probing_one_broker() {
    assert_found(Scenario { lag: true, plant: Plant::ProbeOneBroker, ..flip("probe one broker", rotate()) }, "I2");
}

#[test]
fn publishing_before_the_proof() {
    assert_found(
        Scenario { lag: true, plant: Plant::PublishBeforeVerify, ..flip("publish before verify", rotate()) },
        "I2",
    );
}

#[test]
fn recording_after_the_effect() {
    assert_found(Scenario { plant: Plant::RecordAfterEffect, ..flip("record after effect", rotate()) }, "I1");
}

#[test]
fn numbering_from_the_active_one() {
    let budget = Budget { rotate: 2, abort: 1, ..none() };
    assert_found(Scenario { plant: Plant::NumberFromActive, ..flip("R8: number = active + 1", budget) }, "I6 I7");
}

#[test]
fn numbering_from_the_active_one_after_a_deletion() {
    let budget = Budget { remove: 2, ..none() };
    assert_found(
        Scenario { plant: Plant::NumberFromActive, ..flip("R8: number = active + 1, deletion and undo", budget) },
        "a fresh process",
    );
}

#[test]
fn waiting_for_no_fence() {
    let budget = Budget { rotate: 1, abort: 1, ..none() };
    assert_found(Scenario { plant: Plant::NoFence, ..flip("R1: no fence before a deletion", budget) }, "I10");
}

#[test]
fn waiting_for_no_fence_overwrites_what_is_in_use() {
    let budget = Budget { rotate: 2, abort: 1, ..none() };
    let straggler = flip("R1: no fence, and the slot is used again", budget);
    assert_found(Scenario { plant: Plant::NoFence, checks: Some("I3"), ..straggler }, "I3");
}

#[test]
fn writing_records_unconditionally() {
    let two = Scenario { controllers: 2, flights: 0, ..flip("record written unconditionally", rotate()) };
    assert_found(Scenario { plant: Plant::RecordUnconditionally, checks: Some("I5"), ..two }, "I5");
}

#[test]
fn aborting_from_verified() {
    let budget = Budget { rotate: 1, abort: 1, ..none() };
    let aborted = flip("R2: abort from VERIFIED", budget);
    assert_found(Scenario { controllers: 2, flights: 0, plant: Plant::AbortFromVerified, ..aborted }, "I2");
}

#[test]
fn writing_documents_unconditionally() {
    let budget = Budget { rotate: 2, ..none() };
    let paused = flip("R3: document written unconditionally", budget);
    assert_found(
        Scenario {
            controllers: 2,
            flights: 0,
            paused: Some(Paused::Rotating("document")),
            plant: Plant::DocumentUnconditionally,
            ..paused
        },
        "I7",
    );
}

#[test]
fn delivering_unconditionally() {
    let budget = Budget { rotate: 2, ..none() };
    let paused = flip("R4: delivered unconditionally", budget);
    assert_found(
        Scenario {
            controllers: 2,
            flights: 0,
            paused: Some(Paused::Rotating("deliver")),
            plant: Plant::DeliverUnconditionally,
            ..paused
        },
        "I7",
    );
}

#[test]
fn asserting_again_without_a_record_write() {
    let wanted = rotating(Strategy::MechanismFlip, 1, Some(1), Confirm::None);
    let drifted = Scenario::new("R5: re-assertion without a record write", vec![wanted]);
    let budget = Budget { rotate: 1, drift: 1, ..none() };
    assert_found(Scenario { budget, flights: 1, plant: Plant::ReassertWithoutRecord, ..drifted }, "I10");
}

#[test]
fn healing_what_is_revoked() {
    let budget = Budget { revoke: 1, drift: 1, ..none() };
    let healed = Scenario { controllers: 2, flights: 0, ..flip("R5: self-healing against a revocation", budget) };
    assert_found(Scenario { plant: Plant::ReassertWithoutRecord, checks: Some("R5"), ..healed }, "R5");
}

#[test]
fn giving_access_back_at_once() {
    let budget = Budget { revoke: 1, ..none() };
    let revoked = flip("K5: access given back at once", budget);
    assert_found(Scenario { plant: Plant::GiveBackAtOnce, ..revoked }, "K5");
}

#[test]
fn altering_without_a_look() {
    let budget = Budget { rotate: 1, stranger: 1, ..none() };
    assert_found(Scenario { plant: Plant::NoLook, ..flip("R6: no look", budget) }, "R6");
}

#[test]
fn deleting_without_a_tombstone() {
    let budget = Budget { remove: 2, ..none() };
    assert_found(Scenario { plant: Plant::NoTombstone, ..flip("R7: no tombstone", budget) }, "I10");
}

#[test]
fn using_material_whatever_it_holds() {
    let scenario = Scenario::new("R8: left-over material used whatever it holds", vec![given()]);
    assert_found(
        Scenario { budget: Budget { give: 2, ..none() }, plant: Plant::ReuseMaterial, ..scenario },
        "a fresh process",
    );
}

#[test]
fn restoring_a_store_under_its_processes() {
    let budget = Budget { rotate: 1, restore: 1, ..none() };
    assert_found(Scenario { plant: Plant::RestoreAtOnce, ..flip("R9: restored under a pending upsert", budget) }, "I1");
}

#[test]
fn working_on_two_copies() {
    let wanted = rotating(Strategy::MechanismFlip, 1, Some(2), Confirm::None);
    let copies = Scenario::new("R10: two copies of a store", vec![wanted]);
    assert_found(
        Scenario { controllers: 2, budget: Budget { rotate: 2, ..none() }, plant: Plant::TwoCopies, ..copies },
        "I8",
    );
}

#[test]
fn forgetting_what_is_to_be_destroyed() {
    let forgotten = flip("R11: nothing is kept for destruction", rotate());
    assert_found(Scenario { plant: Plant::ForgetDestruction, ..forgotten }, "a fresh process");
}

#[test]
fn forgetting_what_a_cluster_is_owed() {
    let budget = Budget { remove: 1, outage: 1, ..none() };
    let forgotten = flip("R12: nothing is owed", budget);
    assert_found(Scenario { plant: Plant::ForgetOwed, ..forgotten }, "I8");
}
