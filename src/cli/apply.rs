//! `kastellan apply`.

use super::arguments::ApplyArguments;
use super::carry_out::{Consent, carry_out};
use super::passes::Request;
use super::{documents, saved_plan};
use crate::diagnostic::ExitStatus;
use crate::engine::Mode;

pub(super) async fn run(arguments: ApplyArguments) -> ExitStatus {
    match apply(arguments).await {
        Ok(status) | Err(status) => status,
    }
}

async fn apply(arguments: ApplyArguments) -> Result<ExitStatus, ExitStatus> {
    let (documents, request, consent) = match &arguments.plan_file {
        Some(path) => {
            let saved = saved_plan::read(path)?;
            (saved.documents, saved.request, Consent::ToDigest(saved.digest))
        }
        None => {
            let (documents, _) = documents::read_for_pass(&arguments.files)?;
            let request = Request::new(arguments.pass, &documents)?;
            (documents, request, Consent::by_flag(arguments.auto_approve))
        }
    };
    let mode = if arguments.take_over_store { Mode::TakeOver } else { Mode::Change };
    carry_out(documents, &request, mode, &consent, arguments.output).await
}
