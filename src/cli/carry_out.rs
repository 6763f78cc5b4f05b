//! What every command that changes something has in common: it plans, shows, obtains leave, executes, and says what came of
//! it.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Instant;

use super::arguments::PlainFormat;
use super::output;
use super::passes::{Pass, Request, prepare};
use super::progress::Bar;
use crate::diagnostic::ExitStatus;
use crate::engine::{Executed, Finished, Limits, Mode, Traffic, execute};
use crate::spec::Documents;
use crate::view::{ApplyView, EndedView, PlanView, UnderWayView, apply_text, plan_text};

/// Who agrees to a plan.
pub(super) enum Consent {
    /// Whoever saved the plan of this digest, to that and no other.
    ToDigest(String),
    /// The command itself says it.
    Given,
    /// A person who has seen it.
    ByAnswer,
}

impl Consent {
    /// A person is asked, unless the flags say otherwise.
    pub fn by_flag(auto_approve: bool) -> Self {
        if auto_approve { Self::Given } else { Self::ByAnswer }
    }
}

/// Carries a pass out.
///
/// # Errors
/// The status to exit with; everything is said already.
pub(super) async fn carry_out(
    documents: Documents,
    request: &Request,
    mode: Mode,
    consent: &Consent,
    format: PlainFormat,
) -> Result<ExitStatus, ExitStatus> {
    let mut pass = prepare(&documents, request, mode).await?;
    drop(documents);
    approve(&pass, consent, format)?;
    if pass.plan.is_empty() {
        return Ok(finish(&pass, &Executed::default(), 0.0, format));
    }
    let started = Instant::now();
    let bar = Bar::new();
    let limits = Limits { undo_for: request.options.undo_for };
    let users = std::mem::take(&mut pass.plan.users);
    // What was shown of them was approved; the pass can be long.
    drop(std::mem::take(&mut pass.view.users));
    let executed = execute(&pass.links, &pass.desired, users, limits, &bar).await;
    bar.finish();
    Ok(finish(&pass, &executed, started.elapsed().as_secs_f64(), format))
}

/// Shows the plan and obtains leave to carry it out.
fn approve(pass: &Pass, consent: &Consent, format: PlainFormat) -> Result<(), ExitStatus> {
    if format == PlainFormat::Text {
        let text = plan_text(&pass.view);
        output::data(text.trim_end_matches(" Nothing was written.\n").trim_end());
        output::data("\n");
    }
    if !pass.plan.refusals.is_empty() {
        for refusal in &pass.plan.refusals {
            output::error(&refusal.to_string(), Some(&refusal.hint()));
        }
        return Err(ExitStatus::Refused);
    }
    match consent {
        Consent::ToDigest(digest) if *digest == pass.view.digest => Ok(()),
        Consent::ToDigest(_) => {
            let hint = "look at the plan above, and save it again if it is what you want".to_owned();
            output::error("the saved plan is stale: it would do something else now", Some(&hint));
            Err(ExitStatus::Refused)
        }
        Consent::Given => Ok(()),
        Consent::ByAnswer if pass.plan.is_empty() => Ok(()),
        Consent::ByAnswer => ask(&pass.view),
    }
}

fn ask(view: &PlanView) -> Result<(), ExitStatus> {
    if !std::io::stdin().is_terminal() {
        let hint = "pass `--auto-approve`, or save a plan and apply it".to_owned();
        output::error("there is nobody to ask whether to apply this plan", Some(&hint));
        return Err(ExitStatus::Failed);
    }
    let mut stderr = std::io::stderr();
    let users = view.users.len();
    let _ = write!(stderr, "\nApply this to {users} user{}? Only `yes` is taken: ", if users == 1 { "" } else { "s" });
    let _ = stderr.flush();
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    if answer.trim() == "yes" {
        return Ok(());
    }
    output::note("Not applied. Nothing was written.");
    Err(ExitStatus::Failed)
}

/// The result for programs.
#[derive(serde::Serialize)]
struct ApplyResult<'a> {
    #[serde(flatten)]
    view: &'a ApplyView,
    traffic: Traffic,
}

/// Draws the result and tells the exit status.
fn finish(pass: &Pass, executed: &Executed, seconds: f64, format: PlainFormat) -> ExitStatus {
    let mut view = ApplyView {
        schema: "kastellan.io/apply/v1alpha1",
        done: 0,
        ended: Vec::new(),
        under_way: executed.under_way.iter().map(|(user, standing)| UnderWayView::new(user, standing)).collect(),
        reports: pass.view.reports.clone(),
        effects: executed.effects.clone(),
        seconds,
    };
    for (user, finished) in &executed.users {
        let (how, why, hint) = match finished {
            Finished::Done => {
                view.done += 1;
                continue;
            }
            Finished::Waiting { why, hint } => ("waiting", why.clone(), hint.clone()),
            Finished::Blocked { why, hint } => ("blocked", why.clone(), hint.clone()),
            Finished::Failed(failed) => ("failed", format!("{}: {}", failed.effect, failed.why), failed.hint.clone()),
        };
        view.ended.push(EndedView { user: user.clone(), how, why, hint });
    }
    let written = match format {
        PlainFormat::Json => output::json(&ApplyResult { view: &view, traffic: pass.links.traffic() }),
        PlainFormat::Text if executed.users.is_empty() => ExitStatus::Done,
        PlainFormat::Text => output::data(&apply_text(&view)),
    };
    if written != ExitStatus::Done {
        return written;
    }
    if view.ended.is_empty() && !pass.plan.is_held_up() { ExitStatus::Done } else { ExitStatus::Partial }
}
