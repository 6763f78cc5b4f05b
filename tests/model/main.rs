//! Explores every order of effects, crashes, late requests and lagging brokers that small worlds allow, with the very
//! functions that the engine calls: `kastellan::credential::{decide, next}`.
//!
//! * [`scenario`] says what a small world may do, [`world`] what it is, [`observe`], [`process`] and [`effects`] how processes
//!   see and change it, [`model`] what may happen next, [`invariants`] what must be true then.
//! * [`strategies`] and [`bad_days`] are explored to their ends; [`left_out`] finds every rule that is left out.
//!
//! Crashes, passes, ticks, and how often a late request takes effect are not bounded, because time is relative and states that
//! cannot be told apart are one. Bounded are the numbers (six), what people and strangers do (a scenario's budget), the
//! processes (two), and the requests that are late at the same time (one). A look is taken to be as good as its moment: nobody
//! can help what appears in a slot between it and the request.

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
