//! A plan as text for a terminal, and as Markdown for a comment on a pull request.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::action::{ActionView, Change};
use super::markup::{escape, fence_safe, harmless};
use super::number::{counted, counted_as};
use super::plan::{AskedView, PlanView, UserView};
use crate::names::{NamespacedName, UserName};

/// Users shown for one and the same reason before the rest of them is only counted.
const SAME_REASON_MAX: usize = 5;

/// Bytes of users, and again of reports, in a comment: GitHub takes 65,536 characters and refuses the whole of a longer one.
/// A plan of ten thousand users is a file, not a comment.
const MARKDOWN_BYTES_MAX: usize = 28 * 1024;

/// The plan for a terminal. Understandable without colour.
pub fn plan_text(view: &PlanView) -> String {
    let mut text = head(view);
    text.push('\n');
    for user in &view.users {
        text.push('\n');
        write_user(user, view.clusters.len() > 1, &mut text);
    }
    write_reports(view, &mut text);
    let _ = write!(text, "\n{}\n", conclusion(view));
    text
}

fn head(view: &PlanView) -> String {
    let clusters = if view.clusters.is_empty() { "no clusters".to_owned() } else { view.clusters.join(", ") };
    let stores = match view.stores.len() {
        0 => String::new(),
        1 => format!(" · store {}", view.stores[0]),
        _ => format!(" · stores {}", view.stores.join(", ")),
    };
    let declared = counted(view.declared, "user");
    match &view.asked {
        None => format!("{clusters}{stores} · {declared} declared, {} in step", view.in_step),
        Some(AskedView { what, users }) => {
            format!("{clusters}{stores} · {declared} declared; asked to {what}: {}", counted(*users, "user"))
        }
    }
}

pub(super) const fn sign(change: Change) -> char {
    match change {
        Change::Add => '+',
        Change::Change => '~',
        Change::Remove => '-',
    }
}

/// What an action does, with where and why.
fn line(action: &ActionView, names_clusters: bool) -> String {
    let mut line = action.text.clone();
    if !action.names.is_empty() {
        let names = action.names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let _ = write!(line, " for {names}");
    }
    if names_clusters && !action.clusters.is_empty() {
        let clusters = action.clusters.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let _ = write!(line, " on {clusters}");
    }
    if let Some(reason) = &action.reason {
        let _ = write!(line, ": {reason}");
    }
    if let Some(outlook) = &action.outlook {
        let _ = write!(line, "; {outlook}");
    }
    harmless(&line)
}

/// A user, with its name in Kafka where that is another.
fn heading(user: &NamespacedName, username: &UserName) -> String {
    let mut heading = user.to_string();
    if username.as_str() != user.name.as_str() {
        let _ = write!(heading, " (Kafka user `{username}`)");
    }
    harmless(&heading)
}

fn write_user(user: &UserView, names_clusters: bool, text: &mut String) {
    let _ = writeln!(text, "{}", heading(&user.user, &user.username));
    let mut actions = user.actions.iter().collect::<Vec<_>>();
    actions.sort_by_key(|action| action.destructive);
    for action in actions {
        let mark = if action.destructive { "    [destructive]" } else { "" };
        let subject = action.subject.as_str();
        let _ = writeln!(text, "  {} {subject:<10}  {}{mark}", sign(action.change), line(action, names_clusters));
    }
}

fn write_reports(view: &PlanView, text: &mut String) {
    let mut heading = "";
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for report in view.reports.iter().chain(&view.refusals) {
        let count = seen.entry((report.heading, &report.text)).or_default();
        *count += 1;
        if *count > SAME_REASON_MAX {
            continue;
        }
        if report.heading != heading {
            heading = report.heading;
            let _ = write!(text, "\n{heading}\n");
        }
        let who = report.user.as_ref().map(|user| format!("{user}  ")).unwrap_or_default();
        let _ = writeln!(text, "  {}", harmless(&format!("{who}{}", report.text)));
        if let Some(hint) = &report.hint {
            let _ = writeln!(text, "      {}", harmless(hint));
        }
    }
    for ((kind, reason), count) in seen.into_iter().filter(|(_, count)| *count > SAME_REASON_MAX) {
        let _ = write!(text, "\n… and {} more {kind}: {reason}\n", counted(count - SAME_REASON_MAX, "user"));
    }
}

fn conclusion(view: &PlanView) -> String {
    let summary = view.summary;
    if view.users.is_empty() {
        return match (view.refusals.is_empty(), view.reports.is_empty()) {
            (false, _) => "Refused. Nothing was written.".to_owned(),
            (true, true) => "Nothing to do: everything is as declared. Nothing was written.".to_owned(),
            (true, false) => "Nothing to do now. Nothing was written.".to_owned(),
        };
    }
    let refused = if view.refusals.is_empty() { "" } else { " Refused as a whole." };
    format!(
        "Plan: {} to add, {} to change, {} to remove ({} destructive; {} of at most {} deletes).{refused} Nothing was written.",
        summary.add, summary.change, summary.remove, summary.destructive, summary.deletes, summary.max_deletes
    )
}

/// The plan as Markdown.
pub fn plan_markdown(view: &PlanView) -> String {
    let mut text = format!("### Kastellan plan\n\n{}\n", escape(&head(view)));
    let users = view.users.iter().map(|user| markdown_user(user, view.clusters.len() > 1));
    let left = push_while_short(users, &mut text);
    if left > 0 {
        let _ = write!(text, "\n… and {} more.\n", counted(left, "user"));
    }
    write_markdown_reports(view, &mut text);
    let _ = write!(text, "\n{}\n", escape(&conclusion(view)));
    text
}

/// Adds parts until there are [`MARKDOWN_BYTES_MAX`]; answers how many are left out.
fn push_while_short(parts: impl ExactSizeIterator<Item = String>, text: &mut String) -> usize {
    let longest = text.len() + MARKDOWN_BYTES_MAX;
    let mut left = parts.len();
    for part in parts {
        if text.len() + part.len() > longest {
            break;
        }
        text.push_str(&part);
        left -= 1;
    }
    left
}

fn markdown_user(user: &UserView, names_clusters: bool) -> String {
    let mut text = format!("\n**{}**\n\n```diff\n", escape(&user.user.to_string()));
    for action in &user.actions {
        let sign = if action.change == Change::Change { '!' } else { sign(action.change) };
        let mark = if action.destructive { "  (destructive)" } else { "" };
        let line = fence_safe(&line(action, names_clusters));
        let _ = writeln!(text, "{sign} {}: {line}{mark}", action.subject.as_str());
    }
    text.push_str("```\n");
    text
}

fn write_markdown_reports(view: &PlanView, text: &mut String) {
    let reports = view.refusals.iter().chain(&view.reports).map(|report| {
        let user = report.user.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("| {} | {} | {} |\n", report.heading, escape(&user), escape(&report.text))
    });
    let warnings = view.warnings.0.iter().map(|warning| format!("| warning | | {} |\n", escape(&warning.message)));
    let rows = reports.chain(warnings).collect::<Vec<_>>();
    if rows.is_empty() {
        return;
    }
    text.push_str("\n| | user | why |\n|---|---|---|\n");
    let left = push_while_short(rows.into_iter(), text);
    if left > 0 {
        let _ = write!(text, "\n… and {} more.\n", counted_as(left, "line", "lines"));
    }
}
