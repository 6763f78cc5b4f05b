//! The house keeps its shape: the floors of `src/ARCHITECTURE.md`, what pure rooms may not do, and who may open a secret.
//!
//! Each rule is checked on the real source, and on a planted violation that it must find.

mod source;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use source::{Source, SourcePath};

/// The rooms, from the ground. A file imports only from floors below its own.
const FLOORS: [&[&str]; 13] = [
    &["names", "secret"],
    &["diagnostic"],
    &["spec"],
    &["credential"],
    &["state"],
    &["plan"],
    &["policy"],
    &["view"],
    &["render", "seal"],
    &["host", "kafka", "vault", "k8s", "git"],
    &["source", "store", "deliver"],
    &["engine"],
    &["cli", "controller", "dashboard"],
];

/// Arrows within a floor, each with a reason: material and rotation ids are named by `names`; a connection is opened, and its
/// permit checked, on the `host`; pauses before another attempt at `vault` and at the Kubernetes API are random.
const SIDEWAYS: [(&str, &str); 4] = [("secret", "names"), ("kafka", "host"), ("vault", "host"), ("k8s", "host")];

/// The highest floor without IO, clock, environment, async and logging.
const HIGHEST_PURE_FLOOR: usize = 8;

/// Rooms that may open a secret: those that make, transform, keep or send one.
const OPENERS: [&str; 8] = ["secret", "render", "seal", "store", "deliver", "kafka", "vault", "k8s"];

/// Files at the top, which see every room: they declare the rooms and start a face.
const ROOTS: [&str; 2] = ["lib.rs", "main.rs"];

/// A file past this says in its first comment why it is one file.
const LINES_MAX: usize = 1_000;
/// How such a reason begins.
const REASON: &str = "This file is long because";

/// What a pure room may not name, by its beginning and by any part of a path, and the words it may not use.
struct Ban {
    what: &'static str,
    beginnings: &'static [&'static [&'static str]],
    parts: &'static [&'static [&'static str]],
    words: &'static [&'static [&'static str]],
    excused: &'static [&'static str],
}

const BANS: [Ban; 6] = [
    Ban {
        what: "input and output",
        beginnings: &[&["std", "fs"], &["std", "net"], &["std", "thread"], &["std", "os"], &["rustix"]],
        // Not all of these modules: `std::io::Write` into memory and `std::process::ExitCode` are pure.
        parts: &[
            &["io", "stdin"],
            &["io", "stdout"],
            &["io", "stderr"],
            &["process", "Command"],
            &["process", "exit"],
            &["process", "abort"],
            &["process", "id"],
        ],
        words: &[&["println", "!"], &["print", "!"], &["eprintln", "!"], &["eprint", "!"], &["dbg", "!"]],
        excused: &[],
    },
    Ban {
        what: "the clock",
        beginnings: &[&["std", "time", "Instant"], &["std", "time", "SystemTime"]],
        parts: &[
            &["time", "Instant"],
            &["time", "SystemTime"],
            &["Instant", "now"],
            &["SystemTime", "now"],
            &["Timestamp", "now"],
            &["Zoned", "now"],
            &["TimeZone", "system"],
        ],
        words: &[],
        excused: &[],
    },
    Ban { what: "the environment", beginnings: &[&["std", "env"]], parts: &[], words: &[], excused: &[] },
    Ban {
        what: "async",
        beginnings: &[&["tokio"], &["tokio_rustls"], &["futures_util"], &["std", "future"], &["std", "task"]],
        parts: &[],
        words: &[&["async", "fn"], &["async", "move"], &["async", "{"], &[".", "await"]],
        excused: &[],
    },
    Ban {
        what: "logging",
        beginnings: &[&["tracing"], &["tracing_subscriber"], &["log"]],
        parts: &[],
        words: &[],
        excused: &[],
    },
    Ban {
        what: "randomness",
        beginnings: &[&["ring", "rand"], &["getrandom"], &["rand"], &["rand_core"], &["std", "hash", "RandomState"]],
        parts: &[&["rand", "SystemRandom"], &["SystemRandom", "new"], &["OsRng"]],
        words: &[],
        // age draws its own.
        excused: &["seal"],
    },
];

/// A file of `src/`, with its path below `src/`, e.g. `spec/user.rs`.
struct File {
    path: PathBuf,
    text: String,
    source: Source,
}

impl File {
    fn new(path: impl Into<PathBuf>, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned(), source: Source::read(text) }
    }

    /// The room it stands in; `None` for the roots.
    fn room(&self) -> Option<&str> {
        let first = self.path.iter().next()?.to_str()?;
        (!ROOTS.contains(&first)).then(|| first.strip_suffix(".rs").unwrap_or(first))
    }

    /// How many modules lie between the crate and this file's own items: 1 for `spec/mod.rs`, 2 for `spec/user.rs`.
    fn depth(&self) -> usize {
        let is_folder_module = self.path.file_name().is_some_and(|name| name == "mod.rs");
        self.path.iter().count() - usize::from(is_folder_module)
    }

    /// Whether only tests compile the token at `position`: it is under `#[cfg(test)]`, or the file is a `tests.rs`.
    fn is_test(&self, position: usize) -> bool {
        self.path.file_stem().is_some_and(|stem| stem == "tests")
            || self.source.test_ranges().iter().any(|range| range.contains(&position))
    }

    fn finding(&self, line: usize, text: &str) -> String {
        format!("src/{}:{line}: {text}", self.path.display())
    }

    /// The room that a path leads to, by `crate::`, `kastellan::` or enough `super::`.
    fn target<'a>(&self, path: &'a SourcePath) -> Option<&'a str> {
        let mut segments = path.segments.iter().map(String::as_str).peekable();
        match *segments.peek()? {
            "crate" | "kastellan" => {
                segments.next();
            }
            "super" => {
                let modules = self.source.inline_modules();
                let inside = modules.iter().filter(|range| range.contains(&path.position)).count();
                let mut depth = self.depth() + inside;
                while segments.next_if_eq(&"super").is_some() {
                    depth = depth.checked_sub(1)?;
                }
                if depth > 0 {
                    return None;
                }
            }
            _ => return None,
        }
        segments.next()
    }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Rule 1: every room stands on a floor.
fn unknown_rooms(file: &File) -> Vec<String> {
    match file.room() {
        Some(room) if floor(room).is_none() => {
            vec![file.finding(1, &format!("room `{room}` stands on no floor of this test's table"))]
        }
        Some(_) | None => Vec::new(),
    }
}

/// Rule 2: arrows point down.
fn arrows_that_run_up(file: &File) -> Vec<String> {
    let Some((room, own)) = file.room().and_then(|room| Some((room, floor(room)?))) else { return Vec::new() };
    let mut findings = Vec::new();
    for path in file.source.paths() {
        let Some(target) = file.target(&path) else { continue };
        let is_allowed = match floor(target) {
            Some(other) => other < own || target == room || SIDEWAYS.contains(&(room, target)),
            // `crate::*` would hide where an arrow leads; other names at the root are lib.rs' own.
            None => target != "*",
        };
        if !is_allowed {
            findings.push(file.finding(path.line, &format!("`{room}` (floor {own}) imports `{target}`")));
        }
    }
    findings
}

/// Rule 3: secrets are opened only where they are made, transformed, kept or sent. Tests may look.
fn opened_secrets(file: &File) -> Vec<String> {
    if file.room().is_some_and(|room| OPENERS.contains(&room)) {
        return Vec::new();
    }
    let calls = [[".", "expose", "("], [".", "expose_text", "("]];
    let named = [["Secret", "::", "expose"], ["Secret", "::", "expose_text"]];
    let positions: BTreeSet<usize> =
        calls.iter().chain(&named).flat_map(|words| file.source.find(words).collect::<Vec<_>>()).collect();
    let outside = positions.into_iter().filter(|&position| !file.is_test(position));
    outside.map(|position| file.finding(file.source.tokens[position].line, "a secret is opened here")).collect()
}

/// Rule 4: pure rooms are given what they need; their tests too.
fn impure_acts(file: &File) -> Vec<String> {
    let Some(room) = file.room().filter(|room| floor(room).is_some_and(|own| own <= HIGHEST_PURE_FLOOR)) else {
        return Vec::new();
    };
    let paths = file.source.paths();
    let mut findings = BTreeSet::new();
    for ban in BANS.iter().filter(|ban| !ban.excused.contains(&room)) {
        let named = paths.iter().filter(|path| is_banned(ban, path)).map(|path| path.line);
        let used = ban.words.iter().flat_map(|words| file.source.find(words));
        let lines = named.chain(used.map(|position| file.source.tokens[position].line));
        findings.extend(lines.map(|line| (line, format!("pure room `{room}` uses {}", ban.what))));
    }
    findings.into_iter().map(|(line, text)| file.finding(line, &text)).collect()
}

fn is_banned(ban: &Ban, path: &SourcePath) -> bool {
    let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
    let contains = |part: &&[&str]| segments.windows(part.len()).any(|window| window == *part);
    // A lone word is a name of the file's own, such as a variable `log`.
    let begins = |beginning: &&[&str]| segments.starts_with(beginning) && segments.len() > 1;
    ban.beginnings.iter().any(begins) || ban.parts.iter().any(contains)
}

/// Rule 5: a long file says why.
fn long_files(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    let mut head = file.text.lines().take_while(|line| line.starts_with("//"));
    if lines <= LINES_MAX || head.any(|line| line.contains(REASON)) {
        return Vec::new();
    }
    vec![file.finding(1, &format!("{lines} lines, and its head does not say \"{REASON} …\""))]
}

const RULES: [fn(&File) -> Vec<String>; 5] =
    [unknown_rooms, arrows_that_run_up, opened_secrets, impure_acts, long_files];

/// Every Rust file below `folder`, with paths relative to `src`.
fn files(src: &Path, folder: &Path, found: &mut Vec<File>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(src, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(File::new(path.strip_prefix(src).unwrap(), &text));
        }
    }
}

#[test]
fn the_house_keeps_its_shape() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut house = Vec::new();
    files(&src, &src, &mut house);
    assert!(house.len() > 10, "the source was found");
    let mut report = String::new();
    for finding in house.iter().flat_map(|file| RULES.iter().flat_map(|rule| rule(file))) {
        writeln!(report, "{finding}").unwrap();
    }
    assert!(report.is_empty(), "\n{report}");
}

/// What `rule` finds in a file, as `line: text`.
fn planted(rule: fn(&File) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
    let prefix = format!("src/{path}:");
    rule(&File::new(path, text)).iter().map(|finding| finding.strip_prefix(&prefix).unwrap().to_owned()).collect()
}

#[test]
fn a_room_without_a_floor_is_found() {
    assert_eq!(planted(unknown_rooms, "util/mod.rs", ""), ["1: room `util` stands on no floor of this test's table"]);
    assert_eq!(planted(unknown_rooms, "helpers.rs", "").len(), 1);
    assert!(planted(unknown_rooms, "spec/mod.rs", "").is_empty());
    assert!(planted(unknown_rooms, "main.rs", "").is_empty());
}

#[test]
fn arrows_that_run_up_or_sideways_are_found() {
    let up = |path: &str, text: &str| planted(arrows_that_run_up, path, text);
    assert_eq!(up("spec/user.rs", "\nuse crate::plan::Plan;"), ["2: `spec` (floor 2) imports `plan`"]);
    assert_eq!(up("spec/user.rs", "fn f() -> crate::engine::Wave { todo!() }").len(), 1);
    assert_eq!(up("spec/user.rs", "use crate::{names::UserName, engine::{Wave, Pass}};").len(), 2);
    assert_eq!(up("spec/user.rs", "use super::super::plan::Plan;").len(), 1);
    assert_eq!(up("spec/mod.rs", "use super::plan::Plan;").len(), 1);
    assert_eq!(up("spec/mod.rs", "mod tests { use super::super::plan::Plan; }").len(), 1);
    assert_eq!(up("spec/mod.rs", "macro_rules! m { () => { $crate::plan::Plan } }").len(), 1);
    assert_eq!(up("spec/mod.rs", "use crate::*;").len(), 1);
    assert_eq!(up("store/age.rs", "use crate::deliver::File;"), ["1: `store` (floor 10) imports `deliver`"]);
    assert_eq!(up("names/mod.rs", "use crate::secret::Secret;").len(), 1);
    assert_eq!(up("render/mod.rs", "use crate::seal::Sealed;").len(), 1);

    assert!(up("spec/user.rs", "use crate::spec::Document; use super::Kind; use crate::names::UserName;").is_empty());
    assert!(up("spec/mod.rs", "mod tests { use super::*; } mod inner { use super::super::names::X; }").is_empty());
    assert!(up("secret/mod.rs", "use crate::names::Mechanism;").is_empty());
    assert!(up("spec/mod.rs", "// use crate::plan::Plan;\nconst S: &str = \"crate::plan::Plan\";").is_empty());
    assert!(up("main.rs", "use kastellan::cli;").is_empty());
}

#[test]
fn an_opened_secret_is_found() {
    let opened = |path: &str, text: &str| planted(opened_secrets, path, text);
    assert_eq!(opened("plan/mod.rs", "fn f(s: &Secret) {\n  s.expose();\n}"), ["2: a secret is opened here"]);
    assert_eq!(opened("engine/mod.rs", "s\n .expose_text()").len(), 1);
    assert_eq!(opened("view/mod.rs", "secrets.iter().map(Secret::expose)").len(), 1);
    assert_eq!(opened("main.rs", "s.expose()").len(), 1);
    for room in OPENERS {
        assert!(opened(&format!("{room}/mod.rs"), "s.expose()").is_empty());
    }
    assert!(opened("plan/mod.rs", "#[cfg(test)] mod tests { fn f() { s.expose(); } }").is_empty());
    assert!(opened("plan/mod.rs", "s.exposed(); // s.expose()").is_empty());
}

#[test]
fn impure_acts_in_a_pure_room_are_found() {
    let impure = |path: &str, text: &str| planted(impure_acts, path, text);
    assert_eq!(impure("plan/mod.rs", "\nuse std::fs;"), ["2: pure room `plan` uses input and output"]);
    for text in [
        "use std::{collections::BTreeMap, env};",
        "std::net::TcpStream::connect(x)",
        "std::process::exit(1)",
        "std::io::stdout()",
        "use std::time::Instant;",
        "use std::time; fn f() { time::SystemTime::now() }",
        "let now = jiff::Timestamp::now();",
        "jiff::Zoned::now()",
        "use tokio::sync::Mutex;",
        "tracing::info!(\"x\")",
        "async fn f() {}",
        "f().await",
        "println!(\"x\")",
        "use ring::rand::SystemRandom;",
        "use ring::{hmac, rand};",
        "getrandom::fill(x)",
        "#[cfg(test)] mod tests { use std::fs; }",
    ] {
        assert_eq!(impure("plan/mod.rs", text).len(), 1, "{text}");
        assert!(impure("engine/mod.rs", text).is_empty(), "{text}");
    }
    assert!(impure("seal/mod.rs", "use ring::rand::SystemRandom;").is_empty());
    assert_eq!(impure("seal/mod.rs", "use std::fs;").len(), 1);
    for text in
        ["use std::io::Write;", "use std::time::Duration;", "let log = self.log();", "fn until(now: Timestamp) {}"]
    {
        assert!(impure("plan/mod.rs", text).is_empty(), "{text}");
    }
}

#[test]
fn a_long_file_without_a_reason_is_found() {
    let long = "\n".repeat(LINES_MAX + 1);
    assert_eq!(planted(long_files, "plan/mod.rs", &format!("//! Plans.\n{long}")).len(), 1);
    let reason = format!("//! Plans.\n//!\n//! {REASON} its table is one table.\n{long}");
    assert!(planted(long_files, "plan/mod.rs", &reason).is_empty());
    assert!(planted(long_files, "plan/mod.rs", "//! Plans.\n").is_empty());
}
