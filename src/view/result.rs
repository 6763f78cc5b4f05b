//! Pictures of what was done: an apply, and a verification.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::markup::harmless;
use super::number::counted;
use crate::credential::Standing;
use crate::names::NamespacedName;

/// What an apply did. Holds no secret.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyView {
    /// `kastellan.io/apply/v1alpha1`.
    pub schema: &'static str,
    /// Users whose plan was carried out.
    pub done: usize,
    /// Users that are not through, and why.
    pub ended: Vec<EndedView>,
    /// Users that are through with this pass and go on later, e.g. beside an old credential within its overlap.
    pub under_way: Vec<UnderWayView>,
    /// What was not planned, and why.
    pub reports: Vec<super::ReportView>,
    /// How often each effect was executed, counted in users.
    pub effects: BTreeMap<&'static str, usize>,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// A user that is not through.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndedView {
    /// The user.
    pub user: NamespacedName,
    /// `waiting`, `blocked` or `failed`.
    pub how: &'static str,
    /// Why.
    pub why: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A user that is through with this pass and goes on later.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnderWayView {
    /// The user.
    pub user: NamespacedName,
    /// `nextPass`, `instant`, `acknowledgement` or `lastConnection`.
    pub awaits: &'static str,
    /// Until when, UTC; absent where nobody can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<jiff::Timestamp>,
    /// One sentence.
    pub says: String,
}

impl UnderWayView {
    /// Draws where a user stands.
    pub fn new(user: &NamespacedName, standing: &Standing) -> Self {
        let Standing { awaits, until, says } = standing.clone();
        Self { user: user.clone(), awaits: awaits.as_str(), until, says }
    }
}

/// Users under way that a terminal shows before the rest of them is only counted.
const UNDER_WAY_MAX: usize = 20;

/// The outcome of an apply for a terminal.
pub fn apply_text(view: &ApplyView) -> String {
    let mut text = String::new();
    let mut heading = "";
    let mut ended = view.ended.iter().collect::<Vec<_>>();
    ended.sort_by_key(|ended| (ended.how, &ended.user));
    for ended in &ended {
        if ended.how != heading {
            heading = ended.how;
            let _ = write!(text, "\n{heading}\n");
        }
        let _ = writeln!(text, "  {}  {}", ended.user, harmless(&ended.why));
        if let Some(hint) = &ended.hint {
            let _ = writeln!(text, "      {}", harmless(hint));
        }
    }
    for (index, under_way) in view.under_way.iter().take(UNDER_WAY_MAX).enumerate() {
        let heading = if index == 0 { "\nunder way\n" } else { "" };
        let _ = writeln!(text, "{heading}  {}  {}", under_way.user, harmless(&under_way.says));
    }
    if let Some(more) = view.under_way.len().checked_sub(UNDER_WAY_MAX).filter(|more| *more > 0) {
        let _ = writeln!(text, "  … and {} more: `kastellan status` tells of each", counted(more, "user"));
    }
    let rest = match ended.len() {
        0 => String::new(),
        count => format!(", {count} not"),
    };
    let _ = writeln!(text, "\nApplied: {} done{rest}, in {:.1} s.", counted(view.done, "user"), view.seconds);
    text
}

/// What logging in with a published credential showed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyView {
    /// The user.
    pub user: NamespacedName,
    /// The cluster.
    pub cluster: String,
    /// The credential's generation.
    pub generation: u64,
    /// Brokers it was tried on.
    pub brokers: usize,
    /// `login` (a login on every broker), `unproven` (the brokers' view only) or `failed`.
    pub result: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The second opinion of librdkafka, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub librdkafka: Option<String>,
}

/// Verification for a terminal.
pub fn verify_text(views: &[VerifyView]) -> String {
    let mut text = String::new();
    for view in views {
        let result = match (view.result, &view.failure) {
            (_, Some(failure)) => format!("FAILED: {failure}"),
            ("unproven", None) => format!("shown by {}; not proven by a login", counted(view.brokers, "broker")),
            (_, None) => format!("logged in on {}", counted(view.brokers, "broker")),
        };
        let second = view.librdkafka.as_ref().map(|second| format!("; librdkafka: {second}")).unwrap_or_default();
        let _ = writeln!(text, "{}  {}  generation {}  {result}{second}", view.user, view.cluster, view.generation);
        if let Some(hint) = &view.hint {
            let _ = writeln!(text, "    hint: {}", harmless(hint));
        }
    }
    let failed = views.iter().filter(|view| view.failure.is_some()).count();
    let good = views.len() - failed;
    let verb = if good == 1 { "works" } else { "work" };
    let _ = writeln!(text, "\n{} {verb}, {failed} failed.", counted(good, "credential"));
    text
}
