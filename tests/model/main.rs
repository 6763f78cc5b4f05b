//! Explores every order of effects, crashes, late requests and lagging brokers that small worlds allow, with the very
//! functions that the engine calls: `kastellan::credential::{decide, next}`.
//!
//! * [`scenario`] says what a small world may do, [`world`] what it is, [`observe`], [`process`] and [`effects`] how processes
//!   see and change it, [`model`] what may happen next, [`invariants`] what must be true then.
//! * [`strategies`], [`bad_days`] and [`together`] are explored to their ends; [`left_out`] finds every rule that is left out,
//!   and has a mistake for every invariant. I9, silence, is not modelled: states hold no secrets.
//!
//! Crashes, passes, ticks, and how often a late request takes effect are not bounded, because time is relative and states that
//! cannot be told apart are one. Bounded are the numbers (six), what people and strangers do (a scenario's budget), the
//! processes (two), and the requests that are late at the same time (one or two). Each scenario prints its bounds and how many
//! states it has; all that run by default have two million together.
//!
//! What is taken for granted:
//! * A look is as good as its moment: nobody can help what appears in a slot between it and the request, and nobody gives access
//!   on a cluster that was rebuilt within the same pass.
//! * No permit covers ACLs. Access that a process gives by a plan of before a revocation is no crime; that the next pass takes
//!   it away again is tested beside the machine.
//! * A store that is restored has no process at work, and nothing on its way (R9); a copy has no second writer (R10).
//! * No listener asks connections for a new login: a revocation waits for a restart of the brokers.
//! * In place, what a restored store does not know of may overwrite what applications have.
//!
//! Two processes that both put back, delete or revoke while something else happens take minutes, and are left to
//! `cargo test --test model -- --ignored`: a re-assertion in a rotation (406,000 states), a revocation (327,000), a deletion and
//! its undo.

mod action;
mod bad_days;
mod crimes;
mod durable;
mod effects;
mod invariants;
mod kept;
mod left_out;
mod model;
mod observe;
mod process;
mod run;
mod scenario;
mod strategies;
mod together;
mod world;
