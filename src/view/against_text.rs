//! A comparison as text for a terminal, and as Markdown for a comment on a pull request.

use std::fmt::Write as _;

use super::action::Change;
use super::against::{ComparisonView, DifferenceView, DocumentView};
use super::markup::{escape, fence_safe, harmless};
use super::number::counted;
use super::plan_text::sign;

/// Room for one comment: GitHub refuses more than 65,536 characters, and a face may put something around it.
const COMMENT_BYTES_MAX: usize = 60_000;

/// Lines of one document in a comment.
const COMMENT_LINES_MAX: usize = 100;

/// Characters of one line in a comment; a name may have a thousand.
const COMMENT_LINE_CHARACTERS_MAX: usize = 300;

/// The comparison for a terminal. Understandable without colour.
pub fn comparison_text(view: &ComparisonView) -> String {
    let mut text = format!("{}\n", harmless(&head(view)));
    for document in &view.documents {
        let _ = write!(text, "\n{}\n", harmless(&heading(document)));
        for line in &document.differences {
            let sign = sign(line.change);
            let marks = marks(line).into_iter().map(|mark| format!("    [{mark}]")).collect::<String>();
            let said = harmless(&said(line, view.names_clusters));
            let _ = writeln!(text, "  {sign} {:<10}  {said}{marks}", line.subject);
        }
    }
    let _ = write!(text, "\n{}\n", conclusion(view));
    text
}

/// The comparison as Markdown. What does not fit into a comment is counted.
pub fn comparison_markdown(view: &ComparisonView) -> String {
    let mut text = format!("### Kastellan: what these documents change\n\n{}\n", escape(&head(view)));
    let mut rest = view.documents.len();
    for document in &view.documents {
        let section = section(document, view.names_clusters);
        if text.len() + section.len() > COMMENT_BYTES_MAX {
            break;
        }
        text.push_str(&section);
        rest -= 1;
    }
    if rest > 0 {
        let _ = write!(
            text,
            "\n… and {} more that differ; `kastellan plan --against` shows all.\n",
            counted(rest, "document")
        );
    }
    let _ = write!(text, "\n{}\n", escape(&conclusion(view)));
    text
}

fn section(document: &DocumentView, names_clusters: bool) -> String {
    let mut section = format!("\n**{}**\n\n```diff\n", escape(&heading(document)));
    for line in document.differences.iter().take(COMMENT_LINES_MAX) {
        // GitHub colours `!`, and has nothing for `~`.
        let sign = if line.change == Change::Change { '!' } else { sign(line.change) };
        let mut said = fence_safe(&said(line, names_clusters));
        if let Some((end, _)) = said.char_indices().nth(COMMENT_LINE_CHARACTERS_MAX) {
            said.truncate(end);
            said.push('…');
        }
        let marks = marks(line).into_iter().map(|mark| format!("  ({mark})")).collect::<String>();
        let _ = writeln!(section, "{sign} {}: {said}{marks}", line.subject);
    }
    section.push_str("```\n");
    let rest = document.differences.len().saturating_sub(COMMENT_LINES_MAX);
    if rest > 0 {
        let _ = writeln!(section, "… and {} more.", counted(rest, "line"));
    }
    section
}

fn head(view: &ComparisonView) -> String {
    let declared = counted(view.users_after, "user");
    let before =
        if view.users_after == view.users_before { String::new() } else { format!(", {} before", view.users_before) };
    format!("{} → {} · {declared} declared{before}", view.before, view.after)
}

/// Documents are named with their kind, unlike in a plan, which is about users only.
fn heading(document: &DocumentView) -> String {
    let mut heading = format!("{} {}", document.kind, document.name);
    let own_name = document.name.rsplit('/').next();
    if let Some(username) = document.username.as_ref().filter(|username| Some(username.as_str()) != own_name) {
        let _ = write!(heading, " (Kafka user `{username}`)");
    }
    if document.suspended {
        heading.push_str(" (suspended: nothing is carried out for now)");
    }
    heading
}

fn said(line: &DifferenceView, names_clusters: bool) -> String {
    let mut said = line.text.clone();
    if names_clusters && !line.clusters.is_empty() {
        let clusters = line.clusters.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let _ = write!(said, " on {clusters}");
    }
    if let Some(detail) = &line.detail {
        let _ = write!(said, ": {detail}");
    }
    said
}

fn marks(line: &DifferenceView) -> Vec<String> {
    let mut marks = Vec::new();
    marks.extend(line.widens.as_ref().map(|why| format!("widens access: {why}")));
    marks.extend(line.destructive.then(|| "destructive".to_owned()));
    marks.extend(line.needs_rotation.then(|| "needs a rotation on a live user".to_owned()));
    marks
}

fn conclusion(view: &ComparisonView) -> String {
    let summary = view.summary;
    if view.documents.is_empty() {
        return "No difference: both ask for the same. Nothing was contacted.".to_owned();
    }
    let mut notes = Vec::new();
    notes.extend((summary.widens > 0).then(|| format!("{} that widen access", summary.widens)));
    notes.extend((summary.destructive > 0).then(|| format!("{} destructive", summary.destructive)));
    notes.extend((summary.needs_rotation > 0).then(|| format!("{} that need a rotation", summary.needs_rotation)));
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    format!(
        "Difference: {} to add, {} to change, {} to remove{notes}. Nothing was contacted.",
        summary.add, summary.change, summary.remove
    )
}
