//! The command line: reads flags, environment and files once, calls the engine, prints a `view`. It decides nothing.

mod against;
mod apply;
mod arguments;
mod by_hand;
mod carry_out;
mod documents;
mod import;
mod import_arguments;
mod import_sources;
mod init;
mod kubernetes_policy;
mod output;
mod passes;
mod plan;
mod policy;
mod progress;
mod saved_plan;
mod schemas;
mod status;
mod store_copy;
mod store_put;
mod surroundings;
mod users;
mod validate;
mod verify;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _};

use arguments::{Cli, Command};

use crate::diagnostic::ExitStatus;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitStatus {
    forbid_core_dumps();
    let cli = match parse() {
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
        Ok(runtime) => runtime.block_on(async {
            let status = run(cli).await;
            passes::close().await;
            status
        }),
        Err(error) => {
            output::error(&format!("failed to start: {error}"), None);
            ExitStatus::Failed
        }
    }
}

/// Parses the arguments of this process. A saved plan holds its documents and its scope; others named beside it would be
/// ignored. The grammar of clap cannot say so: it takes what the environment says for an argument.
fn parse() -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    if let Some(apply) = matches.subcommand_matches("apply").filter(|apply| apply.contains_id("plan_file")) {
        let is_stated = |id: &&(&str, &str)| apply.value_source(id.0) == Some(ValueSource::CommandLine);
        if let Some((_, flag)) = [("files", "--file <PATH>"), ("scope", "--scope <SCOPE>")].iter().find(is_stated) {
            let message = format!("the argument '[PLANFILE]' cannot be used with '{flag}': it holds its own");
            return Err(command.error(ErrorKind::ArgumentConflict, message));
        }
    }
    Ok(cli)
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
        Command::Import(arguments) => import::run(*arguments).await,
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
