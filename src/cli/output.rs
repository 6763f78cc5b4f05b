//! Data goes to stdout, everything else to stderr; a reader that hangs up is no failure of ours.

use std::io::{self, IsTerminal as _, Write as _};

use crate::diagnostic::{ExitStatus, Finding, FindingText, Findings, Hint};

/// Loggers of dependencies that are too talkative, or undecided about secrets, for the default.
const DEFAULT_FILTER: &str = "warn,hyper=warn,h2=warn";

/// Loggers that stay silent whatever is asked for: what they are given, may be secret.
const SILENCED: &str = "rustify=off,vaultrs=off";

/// Starts logging to stderr.
pub(super) fn start_log(filter: Option<&str>) {
    let with_silence = |filter: &str| format!("{filter},{SILENCED}");
    let filter = tracing_subscriber::EnvFilter::try_new(with_silence(filter.unwrap_or(DEFAULT_FILTER)))
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(with_silence(DEFAULT_FILTER)));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // Otherwise a log that cannot be written is complained about where it cannot be written, which panics.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// Writes data to stdout. A closed pipe ends the program quietly.
pub(super) fn data(text: &str) -> ExitStatus {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitStatus::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitStatus::Done,
        Err(error) => {
            drop(stdout);
            self::error(&format!("failed to write to standard output: {error}"), None);
            ExitStatus::Failed
        }
    }
}

/// Writes a value as JSON to stdout.
pub(super) fn json(value: &impl serde::Serialize) -> ExitStatus {
    match serde_json::to_string_pretty(value) {
        Ok(text) => data(&format!("{text}\n")),
        Err(error) => {
            self::error(&format!("failed to write JSON: {error}"), None);
            ExitStatus::Failed
        }
    }
}

/// Writes a line for people to stderr.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes an error with its remedy to stderr.
pub(super) fn error(message: &str, hint: Option<&Hint>) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "error: {message}");
    if let Some(hint) = hint {
        let _ = writeln!(stderr, "  hint: {hint}");
    }
}

/// Writes findings to stderr.
pub(super) fn findings(findings: &Findings) {
    for finding in &findings.0 {
        note(&finding_text(finding));
    }
}

/// A finding as people read it.
pub(super) fn finding_text(finding: &Finding) -> String {
    FindingText(finding).to_string()
}
