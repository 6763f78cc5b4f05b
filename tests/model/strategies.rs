//! Each strategy, with everything that can go wrong by itself: processes that die, requests that are late or lost, brokers
//! that lag, records that are read late.

use kastellan::credential::{Confirm, Strategy};

use crate::run::assert_safe;
use crate::scenario::{Budget, Scenario, Start, rotating};

fn of(name: &'static str, strategy: Strategy, clusters: usize) -> Scenario {
    Scenario::new(name, vec![rotating(strategy, clusters, Some(2), Confirm::None)])
}

#[test]
fn first_provisioning() {
    let none = Budget::default();
    let first = of("first provisioning", Strategy::MechanismFlip, 1);
    assert_safe(Scenario { start: Start::Nothing, budget: none, lag: true, controllers: 2, flights: 1, ..first });
}

#[test]
fn flip_with_one_process() {
    let one = of("flip, one process, late requests, lag", Strategy::MechanismFlip, 1);
    assert_safe(Scenario { lag: true, flights: 1, ..one });
}

#[test]
fn flip_with_two_processes() {
    let two = of("flip, two processes, late requests", Strategy::MechanismFlip, 1);
    assert_safe(Scenario { controllers: 2, flights: 1, ..two });
}

#[test]
fn flip_on_two_clusters() {
    let two = of("flip, two clusters, late and lost requests", Strategy::MechanismFlip, 2);
    assert_safe(Scenario { flights: 1, ..two });
}

#[test]
fn flip_with_an_acknowledgement() {
    let wanted = rotating(Strategy::MechanismFlip, 1, None, Confirm::Acknowledgement);
    let acknowledged = Scenario::new("flip, acknowledged, two processes", vec![wanted]);
    assert_safe(Scenario { controllers: 2, flights: 1, ..acknowledged });
}

#[test]
fn flip_twice() {
    let twice = of("flip twice, late requests", Strategy::MechanismFlip, 1);
    assert_safe(Scenario { budget: Budget { rotate: 2, ..Budget::default() }, flights: 1, ..twice });
}

#[test]
fn flip_with_an_abort() {
    let budget = Budget { rotate: 2, abort: 1, ..Budget::default() };
    let aborted = of("flip, abort, rotate again", Strategy::MechanismFlip, 1);
    assert_safe(Scenario { budget, flights: 1, ..aborted });
}

#[test]
fn dual_user() {
    let dual = of("dual-user, one process, late requests, lag", Strategy::DualUser, 1);
    assert_safe(Scenario { lag: true, flights: 1, ..dual });
}

#[test]
fn in_place() {
    let in_place = of("in-place, one process, late requests, lag", Strategy::InPlace, 1);
    assert_safe(Scenario { lag: true, flights: 1, ..in_place });
}

#[test]
fn flip_with_two_late_requests() {
    let budget = Budget { rotate: 2, abort: 1, ..Budget::default() };
    let late = of("flip, abort, rotate again, two late requests", Strategy::MechanismFlip, 1);
    assert_safe(Scenario { budget, flights: 2, ..late });
}

#[test]
fn flip_on_two_clusters_with_lag() {
    let two = of("flip, two clusters, late and lost requests, lag", Strategy::MechanismFlip, 2);
    assert_safe(Scenario { lag: true, flights: 1, ..two });
}

#[test]
fn dual_user_there_and_back() {
    let budget = Budget { rotate: 2, abort: 1, ..Budget::default() };
    let twice = of("dual-user, abort, rotate again", Strategy::DualUser, 1);
    assert_safe(Scenario { budget, flights: 1, ..twice });
}

#[test]
fn dual_user_on_two_clusters() {
    let two = of("dual-user, two clusters, late and lost requests", Strategy::DualUser, 2);
    assert_safe(Scenario { flights: 1, ..two });
}

/// It is never aborted, only rolled forward: whoever asks is refused.
#[test]
fn in_place_with_an_abort() {
    let budget = Budget { rotate: 2, abort: 1, ..Budget::default() };
    let twice = of("in-place, abort, rotate again", Strategy::InPlace, 1);
    assert_safe(Scenario { budget, lag: true, flights: 1, ..twice });
}
