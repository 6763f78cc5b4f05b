//! Findings: what is wrong with an input, with its place and a remedy.

use std::path::PathBuf;
use std::sync::Arc;

use super::Hint;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The input is refused.
    Error,
    /// The input is accepted; a person should look at it.
    Warning,
}

/// A place in a file. Lines and columns count from 1; columns count characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    /// The file as it was named on the command line, or below a folder named there; `-` for standard input.
    pub file: Arc<PathBuf>,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// The line of source a finding is about; only ever of files that hold no secrets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snippet {
    /// The line, without its end; of a very long one a part, with `…` where it was cut.
    pub text: String,
    /// Column in `text` where what is meant begins, from 1; differs from the location's column where the line was cut.
    pub column: usize,
    /// How many characters from `column` are meant; at least 1.
    pub length: usize,
}

/// One thing that is wrong, or that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Where; `None` when it is about no single place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Error or warning.
    pub severity: Severity,
    /// Stable identifier in kebab case, e.g. `unknown-field`.
    pub code: &'static str,
    /// Lower case, no final period, backticks round names.
    pub message: String,
    /// The source line, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<Snippet>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
}

impl Finding {
    /// An error that is about no single place yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { location: None, severity: Severity::Error, code, message: message.into(), snippet: None, hint: None }
    }

    /// A warning that is about no single place yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same finding at a place.
    pub fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }

    /// The same finding with a remedy.
    pub fn hint(mut self, hint: impl Into<Hint>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Finding {
    /// One line: place, severity and message. The faces draw snippet and hint.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        match self.severity {
            Severity::Error => write!(f, "error: {}", self.message),
            Severity::Warning => write!(f, "warning: {}", self.message),
        }
    }
}

/// All findings of one input, sorted by place before they are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[serde(transparent)]
#[error("{} findings", .0.len())]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// Sorts by place, then message, and drops repetitions.
    pub fn sort(&mut self) {
        self.0.sort();
        self.0.dedup();
    }
}
