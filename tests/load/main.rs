//! The long run: rotates under load for `SOAK_MINUTES` (10 by default), then tells in a table what became of it.
//!
//! `make soak`. `SOAK_SEED` repeats what an earlier run left to chance. The exit status is 1 when a login was refused or a
//! record was lost.

#[path = "mod.rs"]
#[expect(dead_code, reason = "the short run in tests/servers asks for more")]
mod load;
#[path = "../stack/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the stack serves all tests; this program needs part of it")]
mod stack;

use std::io::Write as _;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use load::Run;
use load::applications::Cast;
use load::rotators::{ByHand, Manner};
use stack::{ClusterBuilder, KafkaVersion};

const MINUTES_DEFAULT: u64 = 10;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let minutes = variable("SOAK_MINUTES")?.unwrap_or(MINUTES_DEFAULT);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let seed = variable("SOAK_SEED")?.unwrap_or(now);
    let mut out = std::io::stdout();
    let cast = Cast { reloading: 4, restarting: 2, pinning: 2, never_reloading: 1 };
    let folder = tempfile::tempdir()?;
    let applications = cast.assemble(folder.path());
    let count = applications.len();
    writeln!(out, "Rotating the users of {count} applications on three brokers for {minutes} minutes, seed {seed} …")?;
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(3).property("min.insync.replicas", "2").start()?;
    let run = Run { cluster: &cluster, applications, duration: Duration::from_secs(60 * minutes), seed };
    let report = run.play(&ByHand::new(&cluster, Manner::Careful))?;
    writeln!(out, "\n{report}")?;
    Ok(if report.faults().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A number from the environment.
fn variable<T: FromStr<Err: std::error::Error + 'static>>(name: &str) -> Result<Option<T>, Box<dyn std::error::Error>> {
    Ok(std::env::var(name).ok().map(|text| text.parse()).transpose()?)
}
