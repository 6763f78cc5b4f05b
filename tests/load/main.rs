//! The long run: rotates under load for `SOAK_MINUTES` (10 by default), then tells in a table what became of it.
//!
//! `make soak`. `SOAK_SEED` repeats what an earlier run left to chance. The exit status is 1 when a login was refused or a
//! record was lost.

#[path = "mod.rs"]
#[expect(dead_code, unused_imports, reason = "the short run in tests/servers asks for more")]
mod load;
#[path = "../support/namespace.rs"]
#[expect(dead_code, reason = "the namespace serves all tests; this program needs part of it")]
mod namespace;
#[path = "../support/operator.rs"]
#[expect(dead_code, reason = "the operator serves all tests; this program needs part of it")]
mod operator;
#[path = "../stack/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the stack serves all tests; this program needs part of it")]
mod stack;

use std::io::Write as _;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use load::Run;
use load::applications::Cast;
use load::rotators::ByProgram;

const MINUTES_DEFAULT: u64 = 10;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let minutes = variable("SOAK_MINUTES")?.unwrap_or(MINUTES_DEFAULT);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let seed = variable("SOAK_SEED")?.unwrap_or(now);
    let mut out = std::io::stdout();
    let cluster = load::three_brokers().start()?;
    let rotator = ByProgram::new(&cluster, seed);
    let applications = Cast::WHOLE.assemble(&rotator.folder());
    let count = applications.len();
    writeln!(out, "Rotating the users of {count} applications on three brokers for {minutes} minutes, seed {seed} …")?;
    let duration = Duration::from_secs(60 * minutes);
    let report = Run { cluster: &cluster, applications, duration, rotations: 0, seed }.play(&rotator)?;
    writeln!(out, "\n{report}")?;
    Ok(if report.faults().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A number from the environment.
fn variable<T: FromStr<Err: std::error::Error + 'static>>(name: &str) -> Result<Option<T>, Box<dyn std::error::Error>> {
    Ok(std::env::var(name).ok().map(|text| text.parse()).transpose()?)
}
