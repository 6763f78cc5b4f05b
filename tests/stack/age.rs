//! The `age` program: the one on `PATH`, else built by Go.

use std::path::PathBuf;
use std::process::Command;

use super::StackError;
use super::programs::{cache_folder, find, run};

const VERSION: &str = "v1.2.1";

/// The program.
///
/// # Errors
/// [`StackError::MissingProgram`] where it is neither installed nor can be built, because there is no Go.
pub fn age() -> Result<PathBuf, StackError> {
    let built = cache_folder().join(format!("age-{VERSION}/age"));
    if let Some(found) = find("age").or_else(|| built.is_file().then(|| built.clone())) {
        return Ok(found);
    }
    let missing = StackError::MissingProgram { program: "age", install: "apt-get install -y age" };
    let go = find("go").ok_or(missing)?;
    let folder = built.parent().expect("a file in a folder");
    run(Command::new(go).args(["install", &format!("filippo.io/age/cmd/age@{VERSION}")]).env("GOBIN", folder))?;
    Ok(built)
}
