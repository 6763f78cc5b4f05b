//! Where programs and downloads are found, and what installs a missing one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::StackError;

/// What installs the Java side of the stack.
const INSTALL_JAVA: &str = "apt-get install -y maven openjdk-17-jdk-headless";

/// Where downloaded and built servers are kept: `$XDG_CACHE_HOME/kastellan/stack`, else `~/.cache/kastellan/stack`.
pub fn cache_folder() -> PathBuf {
    let base = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        (_, None) => std::env::temp_dir(),
    };
    base.join("kastellan/stack")
}

/// The Java launcher: of `$JAVA_HOME`, else the one on `PATH`.
pub fn java() -> Result<PathBuf, StackError> {
    if let Some(home) = std::env::var_os("JAVA_HOME") {
        let launcher = PathBuf::from(home).join("bin/java");
        if launcher.is_file() {
            return Ok(launcher);
        }
    }
    on_path("java")
}

/// Maven, from `PATH`.
pub fn maven() -> Result<PathBuf, StackError> {
    on_path("mvn")
}

fn on_path(program: &'static str) -> Result<PathBuf, StackError> {
    find(program).ok_or(StackError::MissingProgram { program, install: INSTALL_JAVA })
}

/// A program on `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

/// A program that `build` makes, once: told where `go` is, it leaves it as `built` in the folder that it is given. Without Go,
/// `missing` says so.
///
/// # Guarantees
/// A built program is complete: it appears by a rename, under a lock that all processes of this user share.
pub fn built_by_go(
    name: &str,
    version: &str,
    missing: StackError,
    build: impl FnOnce(&Path, &Path) -> Result<(), StackError>,
) -> Result<PathBuf, StackError> {
    let home = cache_folder().join(format!("{name}-{version}"));
    let built = home.join(name);
    if built.is_file() {
        return Ok(built);
    }
    let go = find("go").ok_or(missing)?;
    let what = || StackError::io(format!("prepare `{}`", home.display()));
    fs::create_dir_all(&home).map_err(what())?;
    let lock = File::create(home.join("lock")).map_err(what())?;
    lock.lock().map_err(what())?;
    if built.is_file() {
        return Ok(built);
    }
    let folder = tempfile::tempdir_in(&home).map_err(what())?;
    build(&go, folder.path())?;
    fs::rename(folder.path().join("built"), &built).map_err(what())?;
    Ok(built)
}

/// Runs a program to its end; its output goes into the error if it fails.
pub fn run(command: &mut Command) -> Result<(), StackError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(StackError::io(format!("run `{program}`")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(StackError::Program { program, output: String::from_utf8_lossy(&text).into_owned() })
}
