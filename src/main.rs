//! The `kastellan` program.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    kastellan::cli::main().into()
}
