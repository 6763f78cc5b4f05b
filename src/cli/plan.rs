//! `kastellan plan`.

use super::arguments::{Format, PlanArguments};
use super::passes::{Request, prepare};
use super::{against, documents, output, saved_plan};
use crate::diagnostic::ExitStatus;
use crate::engine::Mode;
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
    let documents = documents::read_for_pass(&arguments.files)?;
    let request = Request::new(arguments.pass, &documents)?;
    let pass = prepare(&documents, &request, Mode::Look).await?;
    let written = match arguments.output {
        Format::Text => output::data(&plan_text(&pass.view)),
        Format::Json => output::json(&pass.view),
        Format::Markdown => output::data(&plan_markdown(&pass.view)),
    };
    if written != ExitStatus::Done {
        return Err(written);
    }
    if let Some(path) = &arguments.save {
        saved_plan::write(path, &documents, &request, &pass.view)?;
    }
    Ok(status_of(&pass.view, pass.plan.is_held_up(), arguments.detailed_exitcode))
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
