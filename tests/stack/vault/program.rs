//! The `vault` program: one that is there, else built by Go.

use std::path::PathBuf;
use std::process::Command;

use crate::stack::StackError;
use crate::stack::programs::{built_by_go, cache_folder, find, run};

const VERSION: &str = "1.21.0";
const MODULE: &str = "github.com/hashicorp/vault";

/// Names a program to use instead, e.g. OpenBao's `bao`.
const VARIABLE: &str = "KASTELLAN_TEST_VAULT";

/// The program: what `KASTELLAN_TEST_VAULT` names, else what was built before, else `vault` on `PATH`, else a new build, which
/// takes some minutes.
///
/// # Errors
/// [`StackError::MissingProgram`] where there is no Go to build it.
pub fn vault() -> Result<PathBuf, StackError> {
    if let Some(program) = std::env::var_os(VARIABLE) {
        return Ok(PathBuf::from(program));
    }
    let is_built = cache_folder().join(format!("vault-{VERSION}/vault")).is_file();
    if let Some(found) = find("vault").filter(|_| !is_built) {
        return Ok(found);
    }
    let missing = StackError::MissingProgram { program: "go", install: "see https://go.dev/doc/install" };
    built_by_go("vault", VERSION, missing, |go, module| {
        let run_go =
            |arguments: &[&str]| run(Command::new(go).args(arguments).current_dir(module).env("CGO_ENABLED", "0"));
        run_go(&["mod", "init", "stack/vault"])?;
        run_go(&["get", "-tool", &format!("{MODULE}@v{VERSION}")])?;
        // `minimal` keeps KV, AppRole, JWT and the token store, and leaves clouds and databases out.
        run_go(&["build", "-tags", "minimal", "-o", "built", MODULE])
    })
}
