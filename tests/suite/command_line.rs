//! The command line as people meet it: each file of `cases/command_line` is a session in an empty folder.
//!
//! ```text
//! # What the case is about.
//! $ kastellan validate -f documents      a command; NAME=value before it sets a variable, `< text` after it is its input
//! > Valid: …                             what it writes to stdout
//! ! error: …                             what it writes to stderr
//! ? 1                                    its exit status, where that is not 0
//! ```
//!
//! The folder holds `documents`, a copy of `cases/command_line/documents`. `[..]` stands for any text within a line, and a
//! line of `[...]` for one or more lines. With `UPDATE_CASES=1` in the environment what differs is written into the
//! files, to be read before it is committed.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::documents::cases;

/// One command of a session, and what is expected of it.
#[derive(Default)]
struct Step {
    /// Comments and blank lines before it.
    before: String,
    command: String,
    stdout: Vec<String>,
    stderr: Vec<String>,
    status: i32,
}

/// Splits a session into its steps; the second part is what follows the last one.
fn parse(text: &str) -> (Vec<Step>, String) {
    let (mut steps, mut before) = (Vec::<Step>::new(), String::new());
    for line in text.lines() {
        let rest = |mark: &str| line.strip_prefix(mark).map(|rest| rest.strip_prefix(' ').unwrap_or(rest).to_owned());
        if let Some(command) = rest("$") {
            steps.push(Step { before: std::mem::take(&mut before), command, ..Step::default() });
        } else if line.is_empty() || line.starts_with('#') {
            let _ = writeln!(before, "{line}");
        } else {
            let step = steps.last_mut().expect("a command comes before what it writes");
            if let Some(written) = rest(">") {
                step.stdout.push(written);
            } else if let Some(written) = rest("!") {
                step.stderr.push(written);
            } else if let Some(status) = rest("?") {
                step.status = status.parse().expect("an exit status is a number");
            } else {
                panic!("no line of a session: {line}");
            }
        }
    }
    (steps, before)
}

fn write(steps: &[Step], after: &str) -> String {
    let mut text = String::new();
    for step in steps {
        let _ = writeln!(text, "{}$ {}", step.before, step.command);
        for (mark, lines) in [('>', &step.stdout), ('!', &step.stderr)] {
            for line in lines {
                let _ = writeln!(text, "{}", format!("{mark} {line}").trim_end());
            }
        }
        if step.status != 0 {
            let _ = writeln!(text, "? {}", step.status);
        }
    }
    text + after
}

/// Whether lines are as expected, `[..]` and `[...]` considered.
fn fits(expected: &[String], actual: &[String]) -> bool {
    match (expected, actual) {
        ([], []) => true,
        ([any, expected @ ..], [_, rest @ ..]) if any == "[...]" => {
            (0..=rest.len()).any(|skipped| fits(expected, &rest[skipped..]))
        }
        ([line, expected @ ..], [seen, actual @ ..]) => line_fits(line, seen) && fits(expected, actual),
        ([], [..]) | ([..], []) => false,
    }
}

fn line_fits(expected: &str, actual: &str) -> bool {
    let Some((first, pattern)) = expected.split_once("[..]") else { return expected == actual };
    let Some(mut rest) = actual.strip_prefix(first) else { return false };
    let (parts, last) = pattern.rsplit_once("[..]").map_or((None, pattern), |(parts, last)| (Some(parts), last));
    for part in parts.iter().flat_map(|parts| parts.split("[..]")) {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// A folder to run a session in, with a home beside it.
struct Sandbox(tempfile::TempDir);

impl Sandbox {
    fn new() -> Self {
        let sandbox = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(sandbox.home()).unwrap();
        std::fs::create_dir_all(sandbox.folder().join("documents")).unwrap();
        for entry in std::fs::read_dir(cases("command_line/documents")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), sandbox.folder().join("documents").join(entry.file_name())).unwrap();
        }
        sandbox
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("work")
    }

    fn home(&self) -> PathBuf {
        self.0.path().join("home")
    }

    /// Runs a command line; answers stdout, stderr and the exit status.
    fn run(&self, line: &str) -> (Vec<String>, Vec<String>, i32) {
        let (line, input) = line.split_once(" < ").unwrap_or((line, ""));
        let mut words = line.split(' ').peekable();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kastellan"));
        command.current_dir(self.folder()).env_clear().env("HOME", self.home());
        command.env("PATH", std::env::var_os("PATH").unwrap());
        while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
            command.env(name, value);
            words.next();
        }
        assert_eq!(words.next(), Some("kastellan"), "only this program is tested");
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let written = child.stdin.take().unwrap().write_all(input.as_bytes());
        // A command that asks for no input has hung up.
        assert!(written.is_ok_and(|()| true) || input.len() < 100);
        let output = child.wait_with_output().unwrap();
        let status = output.status.code().unwrap_or_else(|| panic!("`{line}` ended by {}", output.status));
        (self.lines(&output.stdout), self.lines(&output.stderr), status)
    }

    fn lines(&self, bytes: &[u8]) -> Vec<String> {
        let text = String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
        let text = text.replace(self.home().to_str().unwrap(), "[HOME]");
        let text = text.replace(self.folder().to_str().unwrap(), "[FOLDER]");
        assert!(text.is_empty() || text.ends_with('\n'), "the last line has an end: {text}");
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

/// Runs a session; answers it as it went, with the patterns of what fitted.
fn replay(file: &Path) -> (String, String) {
    let expected = std::fs::read_to_string(file).unwrap();
    let (mut steps, after) = parse(&expected);
    assert!(!steps.is_empty(), "{} has no command", file.display());
    let sandbox = Sandbox::new();
    for step in &mut steps {
        let (stdout, stderr, status) = sandbox.run(&step.command);
        if !fits(&step.stdout, &stdout) {
            step.stdout = stdout;
        }
        if !fits(&step.stderr, &stderr) {
            step.stderr = stderr;
        }
        step.status = status;
    }
    (expected, write(&steps, &after))
}

#[test]
fn sessions_go_as_their_files_say() {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(cases("command_line")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "session"));
    files.sort();
    assert!(!files.is_empty());
    let mut different = String::new();
    for file in files {
        let (expected, actual) = replay(&file);
        if expected == actual {
            continue;
        }
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&file, actual).unwrap();
        } else {
            let _ = writeln!(different, "{}:\n{actual}", file.display());
        }
    }
    assert!(different.is_empty(), "these went otherwise:\n\n{different}");
}

/// Names below `Commands:` in a help text.
fn commands(help: &[String]) -> Vec<String> {
    let listed = help.iter().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned));
    names.filter(|name| !name.is_empty() && name != "help").collect()
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let sandbox = Sandbox::new();
    let mut open = vec![String::new()];
    let mut leaves = 0;
    while let Some(command) = open.pop() {
        let (help, complaints, status) = sandbox.run(&format!("kastellan{command} --help"));
        assert_eq!((status, complaints), (0, Vec::new()), "{command}");
        let below = commands(&help);
        if below.is_empty() {
            leaves += 1;
            assert!(help.iter().any(|line| line.starts_with("Example")), "`kastellan{command} --help` has no example");
        }
        assert!(help[0].len() > 10, "`kastellan{command} --help` does not say what it does: {}", help[0]);
        open.extend(below.iter().map(|name| format!("{command} {name}")));
    }
    assert!(leaves >= 10, "the commands were found");
}

#[test]
fn patterns_fit_what_they_should() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(fits(&lines("a\n[...]\nd"), &lines("a\nb\nc\nd")));
    assert!(!fits(&lines("a\n[...]\nd"), &lines("a\nd")));
    assert!(!fits(&lines("[...]"), &[]));
    assert!(line_fits("a[..]c[..]", "abcd") && !line_fits("a[..]c", "abcd") && !line_fits("a", "ab"));
}
