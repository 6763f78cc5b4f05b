//! What a command of the program did, and what it said.

use std::process::Command;

use serde_json::Value;

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    arguments: String,
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its data.
    pub stdout: String,
    /// Everything else it said.
    pub stderr: String,
}

impl Outcome {
    /// Runs a command to its end.
    pub(super) fn of(arguments: &[&str], mut command: Command) -> Self {
        Self::new(arguments, command.output().unwrap())
    }

    /// What became of a command that was started by hand.
    pub fn new(arguments: &[&str], output: std::process::Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is text");
        let arguments = arguments.join(" ");
        Self { arguments, code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Sees that it ended with `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Sees that it said `text`, on standard output or standard error.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "`{text}` is not said; {self}");
        self
    }

    /// Its data as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}; {self}"))
    }

    /// The lines that a plan has for `tests/<name>`, each as `+ credential: text`; empty when there are none.
    #[track_caller]
    pub fn actions_of(&self, name: &str) -> Vec<String> {
        let plan = self.json();
        let user = format!("tests/{name}");
        let users = plan["users"].as_array().unwrap().iter().filter(|view| view["user"] == user.as_str());
        let actions = users.flat_map(|view| view["actions"].as_array().unwrap());
        let sign = |action: &Value| match action["change"].as_str() {
            Some("add") => '+',
            Some("change") => '~',
            Some("remove") => '-',
            other => panic!("unknown change {other:?}"),
        };
        let reason = |action: &Value| action["reason"].as_str().map(|why| format!(" ({why})")).unwrap_or_default();
        let line = |action: &Value| {
            let (subject, text) = (action["subject"].as_str().unwrap(), action["text"].as_str().unwrap());
            format!("{} {subject}: {text}{}", sign(action), reason(action))
        };
        actions.map(line).collect()
    }

    /// What a plan or an apply reports of `tests/<name>` without doing anything: kind and text.
    #[track_caller]
    pub fn reports_of(&self, name: &str) -> Vec<(String, String)> {
        let view = self.json();
        let user = format!("tests/{name}");
        let text = |report: &Value, key: &str| report[key].as_str().unwrap().to_owned();
        let reports = view["reports"].as_array().unwrap().iter().filter(|report| report["user"] == user.as_str());
        reports.map(|report| (text(report, "kind"), text(report, "text"))).collect()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { arguments, code, stdout, stderr } = self;
        write!(f, "`kastellan {arguments}` ended with {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
