//! Explores every order of effects, crashes, late requests and lagging brokers that small worlds allow, with the very
//! functions that the engine calls: `kastellan::credential::{decide, next}`.
//!
//! Every scenario is explored to its end. Two processes at once are explored here only where a planted mistake has to be found:
//! without one, their orders are too many for an ordinary test run, and the simulation in `tests/suite` samples them.

mod bad_days;
mod effects;
mod kept;
mod left_out;
mod model;
mod observe;
mod process;
mod run;
mod scenario;
mod strategies;
mod world;
