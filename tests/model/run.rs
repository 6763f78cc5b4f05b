//! Runs a scenario to its end, and reports how large it was.

use std::io::Write as _;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model as _};

use crate::action::Action;
use crate::scenario::Scenario;

/// Explores everything; every invariant holds, and what should be possible is.
pub fn assert_safe(scenario: Scenario) {
    let name = scenario.name;
    let bounds = scenario.bounds();
    let begun = Instant::now();
    let checker = scenario.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    report(name, &bounds, &checker, begun);
    for (property, path) in checker.discoveries() {
        let is_failure = checker.model().property(property).expectation.discovery_is_failure();
        let rest = checker.model().explain(path.last_state());
        assert!(!is_failure, "{name}: {property} is violated by\n{}{rest}", story(path));
    }
    checker.assert_properties();
}

/// Stories beyond this many states are not looked at again for a shorter one.
const STATES_LOOKED_AT_AGAIN: usize = 50_000;

/// Finds a violation of one of the invariants that begin with `expected`, in a story that is as short as they get.
pub fn assert_found(scenario: Scenario, expected: &str) {
    let name = scenario.name;
    let mut found = None;
    let mut depth_max = usize::MAX;
    // The checker notes the last violation of a block of states; the first is found by looking again above it.
    while let Some((property, actions, states)) = violation(&scenario, depth_max) {
        depth_max = if states > STATES_LOOKED_AT_AGAIN { 0 } else { actions.len() };
        found = Some((property, actions));
    }
    let (property, actions) = found.unwrap_or_else(|| panic!("{name}: no violation was found"));
    let story = actions.iter().map(|action| format!("  {action:?}\n")).collect::<String>();
    assert!(property.starts_with(expected), "{name}: {property} was found, and not {expected}, by\n{story}");
    let _ = writeln!(std::io::stderr(), "model: {name}: {property}, found in {} actions", actions.len());
}

/// The shortest violation that was noted, of fewer actions than this.
fn violation(scenario: &Scenario, actions_max: usize) -> Option<(&'static str, Vec<Action>, usize)> {
    if actions_max == 0 {
        return None;
    }
    let checker = scenario
        .clone()
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .target_max_depth(actions_max.saturating_add(1));
    let checker = checker.spawn_bfs().join();
    let failures = checker
        .discoveries()
        .into_iter()
        .filter(|(property, _)| checker.model().property(property).expectation.discovery_is_failure());
    let (property, path) = failures.min_by_key(|(property, path)| (path.clone().into_actions().len(), *property))?;
    Some((property, path.into_actions(), checker.unique_state_count()))
}

fn story(path: stateright::Path<crate::world::State, crate::action::Action>) -> String {
    path.into_actions().iter().map(|action| format!("  {action:?}\n")).collect()
}

fn report(name: &str, bounds: &str, checker: &impl Checker<Scenario>, begun: Instant) {
    let line = format!(
        "model: {name} ({bounds}): {} states, {} transitions, depth {}, {:.1} s\n",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f64(),
    );
    // Not through the test's captured output: these are the numbers people ask for.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
