//! What people, other programs and broken machines do to a rotation: each is safe with the rules in place.

use kastellan::credential::{Confirm, Strategy, Wanted, WantedAuthentication};

use crate::run::assert_safe;
use crate::scenario::{Budget, Scenario, Start, rotating};

pub fn flip(name: &'static str, budget: Budget) -> Scenario {
    let wanted = rotating(Strategy::MechanismFlip, 1, Some(2), Confirm::None);
    Scenario { budget, flights: 1, ..Scenario::new(name, vec![wanted]) }
}

pub fn on_two_clusters(name: &'static str, budget: Budget) -> Scenario {
    let wanted = rotating(Strategy::MechanismFlip, 2, Some(2), Confirm::None);
    Scenario { budget, ..Scenario::new(name, vec![wanted]) }
}

pub fn given() -> Wanted {
    let mut wanted = rotating(Strategy::MechanismFlip, 1, Some(2), Confirm::None);
    let WantedAuthentication::Scram { given, .. } = &mut wanted.authentication else { unreachable!("it rotates") };
    *given = Some(("p".to_owned(), "k".to_owned()));
    wanted
}

const NONE: Budget = Budget {
    rotate: 0,
    abort: 0,
    revoke: 0,
    remove: 0,
    change: 0,
    drift: 0,
    stranger: 0,
    rebuild: 0,
    outage: 0,
    restore: 0,
    give: 0,
};

#[test]
fn a_credential_that_somebody_makes_by_hand() {
    let budget = Budget { rotate: 1, stranger: 1, ..NONE };
    assert_safe(flip("a stranger's credential", budget));
}

#[test]
fn an_adoption() {
    let wanted = Wanted { adopt: true, ..rotating(Strategy::MechanismFlip, 1, Some(2), Confirm::None) };
    let adoption = Scenario::new("adoption", vec![wanted]);
    assert_safe(Scenario { start: Start::Stranger, budget: NONE, flights: 1, ..adoption });
}

#[test]
fn a_cluster_that_goes_away_and_comes_back() {
    let budget = Budget { rotate: 1, outage: 2, ..NONE };
    assert_safe(on_two_clusters("outage of one of two clusters", budget));
}

#[test]
fn a_given_password_that_changes_at_any_moment() {
    let scenario = Scenario::new("given password", vec![given()]);
    assert_safe(Scenario { budget: Budget { give: 2, ..NONE }, flights: 1, ..scenario });
}
