//! The `git` program: a thin client that asks it questions and changes nothing.
//!
//! It is started by absolute path, with an environment of its own: nothing secret is inherited, and neither are
//! variables such as `GIT_DIR` that a hook sets. It never reaches for a network: a partial clone that lacks an object is
//! an error.

mod revision;

pub use revision::{Blob, Commit, Followed, ObjectId, TreeEntry, TreeEntryKind};

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use crate::diagnostic::Disposition;

/// The most of git's own words that an error repeats.
const COMPLAINT_CHARACTERS_MAX: usize = 200;

/// The most that is read of git's standard error; only its first line is ever shown.
const COMPLAINT_BYTES_MAX: u64 = 64 * 1024;

/// The most bytes of an answer that is made of names: two hundred thousand paths of several hundred bytes.
const NAMES_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The `git` program of this machine.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
    search_path: OsString,
    home: Option<OsString>,
}

/// Why git gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GitError {
    /// The program could not be run.
    #[error("`git` could not be run")]
    Run(#[source] Arc<std::io::Error>),
    /// It ran and failed.
    #[error("`git {command}` failed: {complaint}")]
    Failed {
        /// Its subcommand.
        command: &'static str,
        /// The first line of what it said.
        complaint: String,
    },
    /// Its answer is longer than any that is of use.
    #[error("`git {command}` said more than {bytes_max} bytes")]
    TooLong {
        /// Its subcommand.
        command: &'static str,
        /// The most that is read.
        bytes_max: u64,
    },
    /// Its answer does not have the form that its manual promises.
    #[error("`git {command}` gave an answer that cannot be read")]
    Garbled {
        /// Its subcommand.
        command: &'static str,
    },
}

impl GitError {
    /// What to do about it.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Run(_) | Self::Failed { .. } | Self::TooLong { .. } | Self::Garbled { .. } => Disposition::Stall,
        }
    }
}

impl Git {
    /// Finds `git` in the folders of a `PATH`. Relative entries are passed over: a checkout must not be able to bring
    /// its own. `home` is where git's settings of the person lie (ignored names, trusted folders).
    pub fn find(search_path: &OsStr, home: Option<&OsStr>) -> Option<Self> {
        let folders = std::env::split_paths(search_path).filter(|folder| folder.is_absolute());
        let program = folders.map(|folder| folder.join("git")).find(|program| is_executable(program))?;
        let absolute = std::env::split_paths(search_path).filter(|folder| folder.is_absolute());
        let search_path = std::env::join_paths(absolute).expect("the entries were split at the separator");
        Some(Self { program, search_path, home: home.map(OsStr::to_owned) })
    }

    /// Those of `paths` (absolute, in the work tree that holds `folder`) that git ignores and does not track.
    ///
    /// # Errors
    /// [`GitError`] also where git refuses to look, such as in a folder of another owner.
    pub fn ignored(&self, folder: &Path, paths: &[PathBuf]) -> Result<BTreeSet<PathBuf>, GitError> {
        let mut question = Vec::new();
        for path in paths {
            question.extend_from_slice(path.as_os_str().as_bytes());
            question.push(0);
        }
        // Tracked files are not reported, whatever the patterns say.
        let arguments = ["-z", "--stdin"].map(OsStr::new);
        let output = self.ask(folder, "check-ignore", &arguments, &question, NAMES_BYTES_MAX)?;
        match output.status.code() {
            Some(0) => {}
            // None of them is ignored.
            Some(1) => return Ok(BTreeSet::new()),
            Some(_) | None => return Err(output.failure("check-ignore")),
        }
        let lines = output.stdout.split(|&byte| byte == 0).filter(|line| !line.is_empty());
        Ok(lines.map(|line| PathBuf::from(OsString::from_vec(line.to_vec()))).collect())
    }

    /// Runs one subcommand. At most `bytes_max` bytes of its answer are read.
    fn ask(
        &self,
        folder: &Path,
        command: &'static str,
        arguments: &[&OsStr],
        input: &[u8],
        bytes_max: u64,
    ) -> Result<Answer, GitError> {
        let mut program = Command::new(&self.program);
        // A repository's settings can name programs to run; the file system monitor is one that questions would start.
        program.arg("-C").arg(folder).args(["-c", "core.fsmonitor=false", command]).args(arguments);
        program.env_clear().env("PATH", &self.search_path).env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0");
        // Nothing is fetched: no protocol is allowed, on versions that do not know the first variable either.
        program.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "");
        // Names are names, not patterns. `check-ignore` takes them so anyhow, and refuses to be told.
        if command != "check-ignore" {
            program.env("GIT_LITERAL_PATHSPECS", "1");
        }
        if let Some(home) = &self.home {
            program.env("HOME", home);
        }
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |error| GitError::Run(Arc::new(error));
        let mut child = program.spawn().map_err(failed)?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let (mut said, mut complaint) = (Vec::new(), Vec::new());
        std::thread::scope(|scope| {
            // Beside the reading, so that nobody waits on a full pipe. Git may stop reading early; what it then says on
            // its standard error is the better message.
            scope.spawn(move || drop(stdin.write_all(input)));
            scope.spawn(|| {
                let _ = stderr.by_ref().take(COMPLAINT_BYTES_MAX).read_to_end(&mut complaint);
                std::io::copy(&mut stderr, &mut std::io::sink())
            });
            let read = stdout.by_ref().take(bytes_max + 1).read_to_end(&mut said);
            // A program that has more to say ends at its next word.
            drop(stdout);
            read
        })
        .map_err(failed)?;
        let status = child.wait().map_err(failed)?;
        if said.len() as u64 > bytes_max {
            return Err(GitError::TooLong { command, bytes_max });
        }
        Ok(Answer { status, stdout: said, stderr: complaint })
    }
}

/// What a run of git said.
struct Answer {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Answer {
    fn failure(&self, command: &'static str) -> GitError {
        GitError::Failed { command, complaint: complaint(&self.stderr) }
    }

    /// The standard output of a run that must succeed.
    fn succeeded(self, command: &'static str) -> Result<Vec<u8>, GitError> {
        if self.status.success() { Ok(self.stdout) } else { Err(self.failure(command)) }
    }
}

/// The work tree that holds an (absolute, resolved) folder, told by `.git` in it or above; `None` if there is none.
pub fn enclosing_work_tree(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|ancestor| ancestor.join(".git").symlink_metadata().is_ok())
}

fn is_executable(program: &Path) -> bool {
    program.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().next().unwrap_or("it said nothing");
    line.chars().filter(|character| !character.is_control()).take(COMPLAINT_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_entries_of_the_search_path_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("git");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        let of = |text: OsString| Git::find(&text, None).map(|git| git.program);
        let mut text = OsString::from(".::relative:");
        text.push(folder.path());
        assert_eq!(of(text.clone()), None, "not executable yet");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(of(text), Some(program));
        assert_eq!(of(OsString::new()), None);
    }
}
