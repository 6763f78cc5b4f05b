//! The demonstration: a user's whole life on a real Kafka, told step by step, in about a minute.
//!
//! ```text
//! steps/ (what is shown, in order) ──> workshop (a folder, and programs run in it) ──> kastellan, git
//!    │                              └─> stack (a real Kafka and its Java tools)
//!    └─> narration (how it is told; nothing that holds a password gets past it)
//! ```
//!
//! Every sentence with a tick was checked when it was printed: a step that does not do what it says ends the program with
//! exit status 1. With the argument `vault` the store is in a real Vault, and credentials are delivered to a real Kubernetes
//! API. Nothing stays behind, however it ends.

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
    let scenery = match std::env::args().nth(1).as_deref() {
        Some("vault") => steps::Scenery::Servers,
        _ => steps::Scenery::Folder,
    };
    match steps::tell(&narrator, scenery) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            narrator.failed(&failure);
            ExitCode::FAILURE
        }
    }
}
