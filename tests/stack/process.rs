//! Processes that die with us, and folders that go with us.
//!
//! A Rust test binary that is killed runs no destructor, and statics are never dropped. So each server is the child of a
//! small shell that reads from a pipe whose other end only we hold: when we go, for whatever reason, the pipe closes and
//! the shell kills the server. A second kind of shell waits the same way and removes a folder.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{StackError, wait_until};

/// `$1` is the file for the server's output, the rest its command line. Tells the server's process id on its first line.
/// Its own exit status is the server's.
const WATCHER: &str = r#"
exec 3<&0
output=$1; shift
"$@" >>"$output" 2>&1 </dev/null 3<&- &
server=$!
echo "$server"
exec >/dev/null 2>&1
{ while read -r line; do :; done; kill -KILL "$server"; } <&3 &
reader=$!
exec 3<&- </dev/null
wait "$server"; status=$?
kill -KILL "$reader"
exit "$status"
"#;

/// `$1` is the folder. A server may still be dying in it, so it tries again for ten seconds. An interrupt from the
/// terminal must not keep it from its work.
const JANITOR: &str = r#"
trap '' INT HUP TERM
while read -r line; do :; done
tries=0
until rm -rf -- "$1" || [ "$tries" -ge 50 ]; do tries=$((tries + 1)); sleep 0.2; done
"#;

/// A running server.
pub struct Server {
    watcher: Child,
    pid: Pid,
}

impl Server {
    /// Starts `command` (program first) with its output appended to `output`.
    ///
    /// # Guarantees
    /// The server is killed when this value is dropped and when this process ends in any way.
    pub fn start(command: &[&str], environment: &[(&str, &str)], output: &Path) -> Result<Self, StackError> {
        let program = command.first().copied().unwrap_or_default();
        let what = || StackError::io(format!("start `{program}`"));
        let mut watcher = Command::new("sh")
            .args(["-c", WATCHER, "watcher"])
            .arg(output)
            .args(command)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(what())?;
        let mut line = String::new();
        let stdout = watcher.stdout.take().expect("piped above");
        BufReader::new(stdout).read_line(&mut line).map_err(what())?;
        let pid = line.trim().parse().ok().and_then(Pid::from_raw);
        pid.map(|pid| Self { watcher, pid }).ok_or_else(|| what()(std::io::ErrorKind::InvalidData.into()))
    }

    /// Process id of the server itself.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.watcher.try_wait(), Ok(None))
    }

    /// Asks it to end (SIGTERM) and waits; kills it when it has not ended within `patience`.
    pub fn terminate(mut self, patience: Duration) {
        if self.is_running() {
            // The watcher lives, so the server has not been reaped and its id is still its own.
            let _gone_already = kill_process(self.pid, Signal::TERM);
            wait_until(patience, || !self.is_running());
        }
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Closing the pipe would do as well; the signal makes the end of the server precede the end of this function.
        if self.is_running() {
            let _gone_already = kill_process(self.pid, Signal::KILL);
        }
        drop(self.watcher.stdin.take());
        let _status = self.watcher.wait();
    }
}

/// Removes a folder when it is dropped and when this process ends in any way.
pub struct Janitor {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Janitor {
    /// Answers for `folder` from now on.
    pub fn of(folder: &Path) -> Result<Self, StackError> {
        let mut shell = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(StackError::io("start `sh`"))?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _status = self.shell.wait();
    }
}

/// Whether a process with this id exists, as others see it (a zombie does not count).
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}
