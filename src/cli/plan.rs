//! `kastellan plan`.

use std::path::Path;

use super::arguments::{Format, PlanArguments};
use super::passes::{Pass, Request, prepare};
use super::{against, documents, output, saved_plan};
use crate::diagnostic::{ExitStatus, Findings};
use crate::engine::Mode;
use crate::spec::Documents;
use crate::view::{PlanView, plan_markdown, plan_text};

pub(super) async fn run(arguments: PlanArguments) -> ExitStatus {
    match show(arguments).await {
        Ok(status) | Err(status) => status,
    }
}

async fn show(arguments: PlanArguments) -> Result<ExitStatus, ExitStatus> {
    if let Some(other) = &arguments.against {
        return against::show(&arguments, other);
    }
    let (documents, warnings) = documents::read_for_pass(&arguments.files)?;
    let request = Request::new(arguments.pass, &documents)?;
    let PlanArguments { output, save, detailed_exitcode, .. } = arguments;
    look(&documents, warnings, &request, output, save.as_deref(), detailed_exitcode).await
}

/// Shows what a pass would do, and saves it where that is asked for.
///
/// # Errors
/// The status to exit with; everything is said already.
pub(super) async fn look(
    documents: &Documents,
    warnings: Findings,
    request: &Request,
    format: Format,
    save: Option<&Path>,
    detailed: bool,
) -> Result<ExitStatus, ExitStatus> {
    let Pass { plan, view, .. } = prepare(documents, request, Mode::Look).await?;
    let view = view.warning(warnings);
    let written = match format {
        Format::Text => output::data(&plan_text(&view)),
        Format::Json => output::json(&view),
        Format::Markdown => output::data(&plan_markdown(&view)),
    };
    if written != ExitStatus::Done {
        return Err(written);
    }
    if let Some(path) = save {
        saved_plan::write(path, documents, request, &view)?;
    }
    Ok(status_of(&view, plan.is_held_up(), detailed))
}

fn status_of(view: &PlanView, is_held_up: bool, detailed: bool) -> ExitStatus {
    if !view.refusals.is_empty() {
        ExitStatus::Refused
    } else if detailed && !view.users.is_empty() {
        ExitStatus::Pending
    } else if is_held_up {
        ExitStatus::Partial
    } else {
        ExitStatus::Done
    }
}
