//! The `age` program: the one on `PATH`, else built by Go.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::StackError;
use super::programs::{built_by_go, find, run};

const VERSION: &str = "v1.2.1";

/// The program.
///
/// # Errors
/// [`StackError::MissingProgram`] where it is neither installed nor can be built, because there is no Go.
pub fn age() -> Result<PathBuf, StackError> {
    if let Some(found) = find("age") {
        return Ok(found);
    }
    let missing = StackError::MissingProgram { program: "age", install: "apt-get install -y age" };
    built_by_go("age", VERSION, missing, |go, folder| {
        let package = format!("filippo.io/age/cmd/age@{VERSION}");
        run(Command::new(go).args(["install", &package]).env("GOBIN", folder))?;
        fs::rename(folder.join("age"), folder.join("built")).map_err(StackError::io("name what was built"))
    })
}
