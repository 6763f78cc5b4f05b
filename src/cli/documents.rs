//! Reads the documents a command is about.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::FileArguments;
use super::output;
use crate::diagnostic::{Chain, ExitStatus, Finding, Findings};
use crate::engine::Surroundings;
use crate::names::ClusterName;
use crate::source;
use crate::spec::{self, Documents, SourceText};
use crate::view::counted;

/// Where documents are if nobody says.
const DEFAULT_FOLDER: &str = "kastellan";

/// Reads and checks documents; prints errors. Warnings are for `validate`, and for those who are about to change things.
///
/// # Errors
/// The status to exit with; everything is said already.
pub(super) fn read(arguments: &FileArguments) -> Result<Documents, ExitStatus> {
    read_with_warnings(arguments).map(|(documents, _)| documents)
}

/// As [`read`], and says how many warnings there are; hands them all back.
///
/// # Errors
/// The status to exit with; everything is said already.
pub(super) fn read_for_pass(arguments: &FileArguments) -> Result<(Documents, Findings), ExitStatus> {
    let (documents, warnings) = read_with_warnings(arguments)?;
    // What undoes a pass every two minutes is said in full.
    let (urgent, rest) = warnings.0.iter().cloned().partition(|finding| finding.code == "other-operator");
    output::findings(&Findings(urgent));
    let rest: Vec<Finding> = rest;
    if !rest.is_empty() {
        let count = counted(rest.len(), "warning");
        output::note(&format!("{count} about the documents: see `kastellan validate`\n"));
    }
    Ok((documents, warnings))
}

fn read_with_warnings(arguments: &FileArguments) -> Result<(Documents, Findings), ExitStatus> {
    read_quietly(&paths(arguments)).map_err(|findings| {
        output::findings(&findings);
        ExitStatus::Failed
    })
}

/// The paths a command was given, or the default.
pub(super) fn paths(arguments: &FileArguments) -> Vec<PathBuf> {
    if arguments.files.is_empty() { vec![PathBuf::from(DEFAULT_FOLDER)] } else { arguments.files.clone() }
}

/// Reads and checks documents; prints nothing.
pub(super) fn read_quietly(paths: &[PathBuf]) -> Result<(Documents, Findings), Findings> {
    spec::read(&read_texts(paths)?)
}

/// Reads files; prints nothing.
pub(super) fn read_texts(paths: &[PathBuf]) -> Result<Vec<SourceText>, Findings> {
    source::files::read(paths, &mut std::io::stdin()).map_err(|error| {
        let mut finding = Finding::error("unreadable", Chain(&error).to_string());
        finding.hint = error.hint().map(str::to_owned);
        if paths == [Path::new(DEFAULT_FOLDER)] && !Path::new(DEFAULT_FOLDER).exists() {
            finding.hint = Some("name the documents with `-f`, or write first ones with `kastellan init`".to_owned());
        }
        Findings(vec![finding])
    })
}

/// The CA of every cluster's clients' listener that names one: it is part of what clients are given.
///
/// # Errors
/// The status to exit with; everything is said already.
pub(super) fn read_ca_pems(
    documents: &Documents,
    surroundings: &Surroundings,
) -> Result<BTreeMap<ClusterName, Arc<str>>, ExitStatus> {
    let mut pems = BTreeMap::new();
    for (name, cluster) in &documents.clusters {
        let Some(tls) = &cluster.clients.tls else { continue };
        let read = surroundings.resolve(&tls.ca_file).and_then(|path| {
            std::fs::read_to_string(&path).map_err(|error| format!("failed to read `{}`: {error}", tls.ca_file))
        });
        match read {
            Ok(pem) => drop(pems.insert(name.clone(), pem.into())),
            Err(why) => {
                output::error(&format!("{}: cluster `{name}`: {why}", cluster.location), None);
                return Err(ExitStatus::Failed);
            }
        }
    }
    Ok(pems)
}
