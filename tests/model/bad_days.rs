//! What people, other programs and broken machines do to a rotation: each is safe with the rules in place.

use kastellan::credential::{Confirm, Strategy, Wanted, WantedAuthentication};
use kastellan::names::UserName;

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
fn an_abort_against_a_late_publisher() {
    let budget = Budget { rotate: 1, abort: 1, ..NONE };
    assert_safe(Scenario { controllers: 2, ..flip("abort against a late publisher", budget) });
}

#[test]
fn a_paused_publisher_two_generations_behind() {
    let budget = Budget { rotate: 2, ..NONE };
    assert_safe(Scenario { controllers: 2, flights: 0, ..flip("paused publisher, two rotations", budget) });
}

#[test]
fn records_that_are_read_late() {
    let budget = Budget { rotate: 1, ..NONE };
    assert_safe(Scenario { controllers: 2, stale_reads: true, flights: 0, ..flip("stale reads", budget) });
}

#[test]
fn a_re_assertion_against_a_retirement() {
    let wanted = rotating(Strategy::MechanismFlip, 1, Some(1), Confirm::None);
    let drifted = Scenario::new("re-assertion against retirement", vec![wanted]);
    let budget = Budget { rotate: 1, drift: 1, ..NONE };
    assert_safe(Scenario { budget, flights: 1, ..drifted });
}

#[test]
fn a_revocation_against_a_re_assertion() {
    let budget = Budget { revoke: 1, drift: 1, ..NONE };
    assert_safe(flip("revocation against re-assertion", budget));
}

#[test]
fn a_revocation_in_the_middle_of_a_rotation() {
    let budget = Budget { rotate: 1, revoke: 1, ..NONE };
    assert_safe(flip("revocation during a rotation", budget));
}

#[test]
fn a_deletion_in_the_middle_of_a_rotation() {
    let budget = Budget { rotate: 1, remove: 1, ..NONE };
    assert_safe(flip("deletion during a rotation", budget));
}

#[test]
fn a_deletion_and_its_undo_at_any_moment() {
    let budget = Budget { remove: 2, ..NONE };
    assert_safe(Scenario { flights: 0, ..flip("deletion and undo", budget) });
}

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
fn a_kafka_that_is_rebuilt() {
    let budget = Budget { rotate: 1, rebuild: 1, ..NONE };
    assert_safe(flip("rebuilt Kafka", budget));
}

#[test]
fn a_cluster_that_goes_away_and_comes_back() {
    let budget = Budget { rotate: 1, outage: 2, ..NONE };
    assert_safe(on_two_clusters("outage of one of two clusters", budget));
}

#[test]
fn a_store_that_is_restored() {
    let budget = Budget { rotate: 1, restore: 1, ..NONE };
    assert_safe(flip("restored store", budget));
}

#[test]
fn a_store_that_is_restored_and_an_abort() {
    let budget = Budget { rotate: 1, restore: 1, abort: 1, ..NONE };
    assert_safe(flip("restored store, and an abort", budget));
}

#[test]
fn a_given_password_that_changes_at_any_moment() {
    let scenario = Scenario::new("given password", vec![given()]);
    assert_safe(Scenario { budget: Budget { give: 2, ..NONE }, flights: 1, ..scenario });
}

/// A document that rotates, under this name and on so many clusters.
fn named(username: &str, clusters: usize) -> Wanted {
    let username = UserName::parse(username).expect("a valid name");
    Wanted { username, ..rotating(Strategy::MechanismFlip, clusters, Some(2), Confirm::None) }
}

fn changing(name: &'static str, variants: Vec<Wanted>, budget: Budget) -> Scenario {
    Scenario { budget, flights: 1, ..Scenario::new(name, variants) }
}

#[test]
fn a_user_that_is_renamed() {
    let budget = Budget { change: 2, ..NONE };
    let back = vec![named("payments", 1), named("accounts", 1), named("payments", 1)];
    assert_safe(changing("renamed, and back", back, budget));
}

#[test]
fn a_strategy_that_changes_in_the_middle() {
    let budget = Budget { rotate: 1, change: 1, ..NONE };
    let dual = rotating(Strategy::DualUser, 1, Some(2), Confirm::None);
    assert_safe(changing("from a flip to dual-user", vec![named("payments", 1), dual], budget));
}

#[test]
fn a_cluster_that_is_left_while_it_is_away() {
    let budget = Budget { change: 1, outage: 2, ..NONE };
    let left = Scenario::new("a cluster is left", vec![named("payments", 2), named("payments", 1)]);
    assert_safe(Scenario { budget, ..left });
}

#[test]
fn a_cluster_that_is_left_and_whose_name_another_one_takes() {
    let budget = Budget { change: 2, outage: 2, rebuild: 1, ..NONE };
    let variants = vec![named("payments", 2), named("payments", 1), named("payments", 2)];
    let left = Scenario::new("a cluster is left, and another one joined", variants);
    assert_safe(Scenario { budget, ..left });
}

#[test]
fn a_cluster_that_is_added() {
    let budget = Budget { rotate: 1, change: 1, outage: 1, ..NONE };
    let added = Scenario::new("a cluster is added", vec![named("payments", 1), named("payments", 2)]);
    assert_safe(Scenario { budget, ..added });
}

#[test]
fn a_revocation_that_does_not_reach_every_cluster() {
    let budget = Budget { revoke: 1, outage: 1, ..NONE };
    assert_safe(on_two_clusters("revocation during an outage", budget));
}

#[test]
fn a_revocation_to_another_name() {
    let budget = Budget { rotate: 1, revoke: 1, ..NONE };
    let dual = rotating(Strategy::DualUser, 1, Some(2), Confirm::None);
    assert_safe(Scenario { revokes_to_new_name: true, ..changing("revocation to another name", vec![dual], budget) });
}

#[test]
fn a_deletion_that_does_not_reach_its_cluster() {
    let budget = Budget { remove: 2, outage: 2, ..NONE };
    assert_safe(Scenario { flights: 0, ..flip("deletion and undo during an outage", budget) });
}

#[test]
fn two_processes_in_place() {
    let in_place = rotating(Strategy::InPlace, 1, Some(2), Confirm::None);
    let budget = Budget { rotate: 1, ..NONE };
    assert_safe(Scenario { controllers: 2, ..changing("in-place, two processes", vec![in_place], budget) });
}

#[test]
fn an_adoption_by_two_processes() {
    let wanted = Wanted { adopt: true, ..rotating(Strategy::MechanismFlip, 1, Some(2), Confirm::None) };
    let adoption = Scenario::new("adoption, two processes", vec![wanted]);
    assert_safe(Scenario { start: Start::Stranger, budget: NONE, controllers: 2, ..adoption });
}
