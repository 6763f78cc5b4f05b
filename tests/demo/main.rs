//! The demonstration: a user's whole life on a real Kafka, told step by step, in about a minute.
//!
//! ```text
//! steps/ (what is shown, in order) ──> workshop (a folder, and programs run in it) ──> kastellan, git
//!    │                              └─> stack (a real Kafka and its Java tools)
//!    └─> narration (how it is told; nothing that holds a password gets past it)
//! ```
//!
//! Every sentence with a tick was checked when it was printed: a step that does not do what it says ends the program with
//! exit status 1. Nothing stays behind, however it ends.

#[path = "../stack/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the stack serves all tests; this program needs part of it")]
mod stack;

mod failure;
mod narration;
mod steps;
mod workshop;

use std::process::ExitCode;

fn main() -> ExitCode {
    let narrator = narration::Narrator::for_stdout();
    match steps::tell(&narrator) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            narrator.failed(&failure);
            ExitCode::FAILURE
        }
    }
}
