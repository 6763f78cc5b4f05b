//! A plan as text for a terminal, and as Markdown for a comment on a pull request.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::markup::{escape, fence_safe, harmless};
use super::number::counted;
use super::plan::{ActionView, Change, PlanView, ReportView, UserView};
use crate::names::{NamespacedName, UserName};

/// Users shown for one and the same reason before the rest of them is only counted.
const SAME_REASON_MAX: usize = 5;

/// Users shown in full in a comment; a plan of ten thousand is a file, not a comment.
const MARKDOWN_USERS_MAX: usize = 200;

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
    format!("{clusters}{stores} · {} declared, {} in step", counted(view.declared, "user"), view.in_step)
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
    if names_clusters && !action.clusters.is_empty() {
        let clusters = action.clusters.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let _ = write!(line, " on {clusters}");
    }
    if let Some(reason) = &action.reason {
        let _ = write!(line, ": {reason}");
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
        let count = seen.entry((report.kind, &report.text)).or_default();
        *count += 1;
        if *count > SAME_REASON_MAX {
            continue;
        }
        if report.kind != heading {
            heading = report.kind;
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
    for user in view.users.iter().take(MARKDOWN_USERS_MAX) {
        let _ = write!(text, "\n**{}**\n\n```diff\n", escape(&user.user.to_string()));
        for action in &user.actions {
            let sign = if action.change == Change::Change { '!' } else { sign(action.change) };
            let mark = if action.destructive { "  (destructive)" } else { "" };
            let line = fence_safe(&line(action, view.clusters.len() > 1));
            let _ = writeln!(text, "{sign} {}: {line}{mark}", action.subject.as_str());
        }
        text.push_str("```\n");
    }
    if let Some(rest) = view.users.len().checked_sub(MARKDOWN_USERS_MAX).filter(|rest| *rest > 0) {
        let _ = write!(text, "\n… and {} more.\n", counted(rest, "user"));
    }
    write_markdown_reports(view, &mut text);
    let _ = write!(text, "\n{}\n", escape(&conclusion(view)));
    text
}

fn write_markdown_reports(view: &PlanView, text: &mut String) {
    let reports = view.reports.iter().chain(&view.refusals).collect::<Vec<&ReportView>>();
    if reports.is_empty() {
        return;
    }
    text.push_str("\n| | user | why |\n|---|---|---|\n");
    for report in reports.into_iter().take(MARKDOWN_USERS_MAX) {
        let user = report.user.as_ref().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "| {} | {} | {} |", report.kind, escape(&user), escape(&report.text));
    }
}
