//! Holds what is stated of a user's rotation against the user and its clusters.

use std::time::Duration;

use super::read::{RotationDraft, overlaps_itself};
use super::strategy::Circumstances;
use super::{Confirm, RotationSpec, StatedRotation, Strategy};
use crate::diagnostic::{Finding, Severity};
use crate::names::{ClusterName, UserName};

/// The part of `rotation` that a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Part {
    /// All of it.
    Whole,
    Every,
    Strategy,
    Overlap,
    Confirm,
    Users,
}

/// A user that rotates.
pub(in super::super) struct Rotated<'a> {
    pub username: &'a UserName,
    /// What its document says itself; `None`: nothing.
    pub draft: Option<&'a RotationDraft>,
    /// What its clusters say.
    pub defaults: &'a [(&'a ClusterName, &'a StatedRotation)],
    /// Whether its password is somebody else's.
    pub is_given: bool,
    pub circumstances: Circumstances<'a>,
}

/// The rotation of a user, of what was merged for it, and what there is to say about it, each with the part it is about.
/// `None` if there is an error among that.
pub(in super::super) fn resolve(
    rotated: &Rotated<'_>,
    merged: &StatedRotation,
) -> (Option<RotationSpec>, Vec<(Part, Finding)>) {
    let mut resolver = Resolver { rotated, findings: Vec::new() };
    let every = resolver.every(merged);
    resolver.overlap(&StatedRotation { every, ..merged.clone() });
    let confirm = resolver.confirm(merged);
    let strategy = resolver.strategy(merged.strategy);
    let users = strategy.and_then(|strategy| resolver.users(strategy));
    resolver.report_idle_overlap(strategy);
    let is_wrong = resolver.findings.iter().any(|(_, finding)| finding.severity == Severity::Error);
    let resolved = match (strategy, confirm) {
        (Some(strategy), Some(confirm)) if !is_wrong => {
            Some(RotationSpec { every, strategy, users, overlap: merged.overlap, confirm })
        }
        (Some(_) | None, Some(_) | None) => None,
    };
    (resolved, resolver.findings)
}

struct Resolver<'r, 'a> {
    rotated: &'r Rotated<'a>,
    findings: Vec<(Part, Finding)>,
}

impl Resolver<'_, '_> {
    /// Adds a finding; answers what there is then.
    fn find<T>(&mut self, part: Part, code: &'static str, message: String, hint: impl Into<String>) -> Option<T> {
        self.findings.push((part, Finding::error(code, message).hint(hint)));
        None
    }

    /// Whose words a value is that the document does not state itself, for messages.
    fn origin(&self, is_stated: fn(&StatedRotation) -> bool) -> String {
        if self.rotated.draft.is_some_and(|draft| is_stated(&draft.stated)) {
            return String::new();
        }
        let cluster = self.rotated.defaults.iter().find(|(_, stated)| is_stated(stated));
        cluster.map(|(cluster, _)| format!(" (a default of `{cluster}`)")).unwrap_or_default()
    }

    /// There is nothing to draw where a password is somebody else's, so no time at which it would be due.
    fn every(&mut self, merged: &StatedRotation) -> Option<Duration> {
        if !self.rotated.is_given {
            return merged.every;
        }
        if self.rotated.draft.is_some_and(|draft| draft.stated.every.is_some()) {
            let message = "`every` has no meaning beside a `password` that somebody else chose".to_owned();
            let hint = "remove it: such a password rotates when its owner changes it";
            return self.find(Part::Every, "misplaced-field", message, hint);
        }
        None
    }

    fn overlap(&mut self, timed: &StatedRotation) {
        if timed.overlaps_itself() && !self.is_reported() {
            self.findings.push((Part::Overlap, overlaps_itself(timed)));
        }
    }

    /// Whether an overlap that is too long was found when one mapping was read that holds both.
    fn is_reported(&self) -> bool {
        let states_either = |stated: &StatedRotation| stated.every.is_some() || stated.overlap.is_some();
        match self.rotated.draft.map(|draft| &draft.stated).filter(|stated| states_either(stated)) {
            Some(stated) => stated.overlaps_itself(),
            None => self.rotated.defaults.iter().any(|(_, stated)| stated.overlaps_itself()),
        }
    }

    /// When the old credential goes.
    fn confirm(&mut self, merged: &StatedRotation) -> Option<Confirm> {
        match (merged.overlap, merged.confirm) {
            (Some(_), None | Some(Confirm::None)) => Some(Confirm::None),
            (Some(_) | None, Some(Confirm::Acknowledgement)) | (None, None) => Some(Confirm::Acknowledgement),
            (Some(_) | None, Some(Confirm::Rollout)) if self.rotated.circumstances.restarts => Some(Confirm::Rollout),
            (Some(_) | None, Some(Confirm::Rollout)) => {
                let origin = self.origin(|stated| stated.confirm.is_some());
                let message = format!("`confirm: rollout`{origin}: no delivery names a workload that is rolled out");
                let hint = "name those that mount the Secret, `kubernetesSecret: {…, restart: {deployments: […]}}`, or \
                            state `confirm: acknowledgement`; what Reloader restarts cannot be seen";
                self.find(Part::Confirm, "nothing-to-wait-for", message, hint)
            }
            (None, Some(Confirm::None)) => {
                let origin = self.origin(|stated| stated.confirm.is_some());
                let message = format!(
                    "`confirm: none`{origin} without an `overlap`: the old credential would go at once, whoever uses it"
                );
                let hint = "state an `overlap`, or leave `confirm` out to wait for `kastellan ack`";
                let hint = if origin.is_empty() { hint } else { "state an `overlap`, or `confirm: acknowledgement`" };
                self.find(Part::Confirm, "nothing-to-wait-for", message, hint)
            }
        }
    }

    fn strategy(&mut self, merged: Option<Strategy>) -> Option<Strategy> {
        let circumstances = &self.rotated.circumstances;
        let Some(strategy) = merged else {
            let message =
                "rotation without a `strategy`: there is no safe guess, it depends on what the clients read".to_owned();
            let refused = Strategy::ALL.into_iter().flat_map(|strategy| {
                let obstacles = circumstances.obstacles(strategy);
                (!obstacles.is_empty()).then(|| format!("; not `{strategy}`: {}", obstacles.join(", ")))
            });
            let hint = format!("state one of {}{}", possible(circumstances, None), refused.collect::<String>());
            return self.find(Part::Whole, "no-strategy", message, hint);
        };
        let origin = self.origin(|stated| stated.strategy.is_some());
        let others = possible(circumstances, Some(strategy));
        let obstacles = circumstances.obstacles(strategy);
        if !obstacles.is_empty() {
            let message = format!("`strategy: {strategy}`{origin} is not possible: {}", obstacles.join("; "));
            return self.find(Part::Strategy, "impossible-strategy", message, format!("possible: {others}"));
        }
        if let Some(missing) = circumstances.missing(strategy) {
            let message = format!("`strategy: {strategy}`{origin}: {}", missing.because);
            let hint = match others.as_str() {
                "" => missing.remedy.to_owned(),
                others => format!("{}, or take {others}", missing.remedy),
            };
            return self.find(Part::Strategy, "strategy-needs-more", message, hint);
        }
        Some(strategy)
    }

    /// In place there is never a time at which both work; a document that asks for one should know.
    fn report_idle_overlap(&mut self, strategy: Option<Strategy>) {
        let stated = self.rotated.draft.and_then(|draft| draft.stated.overlap).unwrap_or_default();
        if strategy == Some(Strategy::InPlace) && !stated.is_zero() {
            let message = "`overlap` has no effect with `strategy: in-place`: the old password stops working first";
            self.findings.push((Part::Overlap, Finding::warning("idle-overlap", message).hint("remove it")));
        }
    }

    /// The two user names of `dual-user`.
    fn users(&mut self, strategy: Strategy) -> Option<[UserName; 2]> {
        let states_users = self.rotated.draft.is_some_and(RotationDraft::states_users);
        match strategy {
            Strategy::MechanismFlip | Strategy::InPlace if states_users => {
                let origin = self.origin(|stated| stated.strategy.is_some());
                let message = format!("`users` has no meaning with `strategy: {strategy}`{origin}");
                self.find(Part::Users, "misplaced-field", message, "remove it, or write `strategy: dual-user`")
            }
            Strategy::MechanismFlip | Strategy::InPlace => None,
            Strategy::DualUser if states_users => self.rotated.draft.and_then(|draft| draft.users.clone()),
            Strategy::DualUser => {
                let twin = |suffix: &str| UserName::parse(format!("{}.{suffix}", self.rotated.username));
                match (twin("a"), twin("b")) {
                    (Ok(one), Ok(other)) => Some([one, other]),
                    (Err(error), _) | (_, Err(error)) => {
                        let message = format!("`.a` and `.b` do not fit after the user name: {error}");
                        self.find(Part::Whole, "wrong-value", message, "state two names: `rotation: {users: […, …]}`")
                    }
                }
            }
        }
    }
}

/// The possible strategies, except for one, each with what it asks.
fn possible(circumstances: &Circumstances<'_>, except: Option<Strategy>) -> String {
    let possible = circumstances.possible().filter(|strategy| Some(*strategy) != except);
    possible.map(|strategy| format!("`{strategy}` ({})", strategy.asks())).collect::<Vec<_>>().join("; ")
}
