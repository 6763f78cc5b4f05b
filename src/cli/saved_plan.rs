//! Saved plans: the documents and flags a plan was made of, and its digest. Never the actions themselves: applying one
//! observes and plans again, and refuses unless the digests match.

use std::path::Path;

use super::output;
use super::passes::Request;
use crate::diagnostic::ExitStatus;
use crate::spec::Documents;
use crate::view::PlanView;

/// Schema of saved plans.
const SCHEMA: &str = "kastellan.io/saved-plan/v1alpha1";

/// A plan file. Holds no secret.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SavedPlan {
    schema: String,
    /// The version of the program that made it: another may plan differently.
    version: String,
    pub request: Request,
    pub digest: String,
    pub documents: Documents,
}

/// Saves a plan.
pub(super) fn write(path: &Path, documents: &Documents, request: &Request, view: &PlanView) -> Result<(), ExitStatus> {
    let saved = SavedPlan {
        schema: SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        request: request.clone(),
        digest: view.digest.clone(),
        documents: documents.clone(),
    };
    let text = serde_json::to_vec(&saved).expect("documents are made of texts and numbers");
    match std::fs::write(path, text) {
        Ok(()) => {
            output::note(&format!("Saved; carry it out with `kastellan apply {}`.", path.display()));
            Ok(())
        }
        Err(error) => {
            output::error(&format!("failed to save the plan to `{}`: {error}", path.display()), None);
            Err(ExitStatus::Failed)
        }
    }
}

/// Reads a saved plan.
pub(super) fn read(path: &Path) -> Result<SavedPlan, ExitStatus> {
    let refuse = |why: String| {
        output::error(&format!("`{}` {why}", path.display()), Some(&"make it with `kastellan plan --save`".to_owned()));
        ExitStatus::Failed
    };
    let text = std::fs::read(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    let saved: SavedPlan =
        serde_json::from_slice(&text).map_err(|error| refuse(format!("is not a saved plan: {error}")))?;
    if saved.schema != SCHEMA || saved.version != env!("CARGO_PKG_VERSION") {
        return Err(refuse(format!("was made by Kastellan {}, another version than this", saved.version)));
    }
    Ok(saved)
}
