//! Measures the limits of the design as ratios against a floor measured in the same run, and prints a table and JSON.
//!
//! `make bench`. `KASTELLAN_BENCH_USERS` changes the size of the applies (default 10,000); results are also written to
//! `target/limits.json`. The exit status is 1 when a bound is not held.

mod applies;
mod bench;
mod documents;
mod floor;
mod planning;
mod process;
mod report;
mod rotations;
mod vault_secrets;

#[path = "../../tests/stack/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the stack serves all tests; the bench needs a part of it")]
mod stack;

use std::process::ExitCode;

use report::Report;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let measured = match arguments.next().as_deref() {
        // Applies into Vault and Kubernetes alone.
        Some("vault") => measure_one(vault_secrets::measure),
        // Planning is measured in a process of its own, so that its memory is its own.
        Some("planning") => planning::measure_here(),
        _ => measure_all(),
    };
    match measured {
        Ok(held) if held => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            report::say(&format!("error: {}", kastellan::diagnostic::Chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

fn measure_one(measure: impl FnOnce(&mut Report) -> Outcome<()>) -> Outcome<bool> {
    let mut report = Report::default();
    measure(&mut report)?;
    report.finish()
}

fn measure_all() -> Outcome<bool> {
    let mut report = Report::default();
    planning::measure(&mut report)?;
    applies::measure(&mut report)?;
    vault_secrets::measure(&mut report)?;
    report.finish()
}
