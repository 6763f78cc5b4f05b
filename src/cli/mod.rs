//! The command line: reads flags, environment and files once, calls the engine, prints a `view`. It decides nothing.

mod against;
mod apply;
mod arguments;
mod by_hand;
mod carry_out;
mod documents;
mod init;
mod output;
mod passes;
mod plan;
mod policy;
mod progress;
mod saved_plan;
mod schemas;
mod status;
mod store_put;
mod surroundings;
mod users;
mod validate;
mod verify;

use clap::{CommandFactory as _, Parser as _};

use arguments::{Cli, Command};

use crate::diagnostic::ExitStatus;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitStatus {
    forbid_core_dumps();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // Clap would exit with 2, which here means that changes are pending.
            return if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Done };
        }
    };
    output::start_log(cli.log.as_deref());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => {
            output::error(&format!("failed to start: {error}"), None);
            ExitStatus::Failed
        }
    }
}

async fn run(cli: Cli) -> ExitStatus {
    match cli.command {
        Command::Init(arguments) => init::run(arguments).await,
        Command::Validate(arguments) => validate::run(arguments),
        Command::Plan(arguments) => plan::run(arguments).await,
        Command::Apply(arguments) => apply::run(arguments).await,
        Command::Rotate(arguments) => by_hand::rotate(arguments).await,
        Command::Ack(arguments) => by_hand::acknowledge(arguments).await,
        Command::Abort(arguments) => by_hand::abort(arguments).await,
        Command::Recover(arguments) => by_hand::recover(arguments).await,
        Command::Verify(arguments) => verify::run(arguments).await,
        Command::Status(arguments) => status::run(arguments).await,
        Command::Store(arguments) => store_put::run(arguments).await,
        Command::Policy(arguments) => policy::run(arguments),
        Command::Schemas(arguments) => schemas::run(arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "kastellan", &mut script);
            output::data(&String::from_utf8_lossy(&script))
        }
    }
}

/// A core file would hold every secret of the process.
fn forbid_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
