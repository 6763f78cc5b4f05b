//! The `vault` program: one that is there, else built by Go.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use crate::stack::StackError;
use crate::stack::programs::{cache_folder, find, run};

const VERSION: &str = "1.21.0";
const MODULE: &str = "github.com/hashicorp/vault";

/// Names a program to use instead, e.g. OpenBao's `bao`.
const VARIABLE: &str = "KASTELLAN_TEST_VAULT";

/// The program: what `KASTELLAN_TEST_VAULT` names, else what was built before, else `vault` on `PATH`, else a new build, which
/// takes some minutes.
///
/// # Guarantees
/// A built program is complete: it appears by a rename, under a lock that all processes of this user share.
///
/// # Errors
/// [`StackError::MissingProgram`] where there is no Go to build it.
pub fn vault() -> Result<PathBuf, StackError> {
    if let Some(program) = std::env::var_os(VARIABLE) {
        return Ok(PathBuf::from(program));
    }
    let home = cache_folder().join(format!("vault-{VERSION}"));
    let built = home.join("vault");
    if built.is_file() {
        return Ok(built);
    }
    if let Some(found) = find("vault") {
        return Ok(found);
    }
    let missing = StackError::MissingProgram { program: "go", install: "see https://go.dev/doc/install" };
    let go = find("go").ok_or(missing)?;
    let what = || StackError::io(format!("prepare `{}`", home.display()));
    fs::create_dir_all(&home).map_err(what())?;
    let lock = File::create(home.join("lock")).map_err(what())?;
    lock.lock().map_err(what())?;
    if built.is_file() {
        return Ok(built);
    }
    let module = tempfile::tempdir_in(&home).map_err(what())?;
    let run_go =
        |arguments: &[&str]| run(Command::new(&go).args(arguments).current_dir(module.path()).env("CGO_ENABLED", "0"));
    run_go(&["mod", "init", "stack/vault"])?;
    run_go(&["get", "-tool", &format!("{MODULE}@v{VERSION}")])?;
    // `minimal` keeps KV, AppRole, JWT and the token store, and leaves clouds and databases out.
    run_go(&["build", "-tags", "minimal", "-o", "vault", MODULE])?;
    fs::rename(module.path().join("vault"), &built).map_err(what())?;
    Ok(built)
}
