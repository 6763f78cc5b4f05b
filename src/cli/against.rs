//! `kastellan plan --against`: what a change of documents means, told from the documents alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::{Format, PlanArguments};
use super::{documents, output, surroundings};
use crate::diagnostic::{Chain, ExitStatus, Findings};
use crate::git::Git;
use crate::plan::compare;
use crate::source::revision;
use crate::spec::{self, Documents, SourceText};
use crate::view::{ComparisonView, comparison_markdown, comparison_text};

/// Compares the documents with those of `other`: a path if there is one, else a Git revision.
///
/// # Errors
/// The status to exit with; everything is said already.
pub(super) fn show(arguments: &PlanArguments, other: &str) -> Result<ExitStatus, ExitStatus> {
    let paths = documents::paths(&arguments.files);
    let after = documents::read(&arguments.files)?;
    let before =
        if Path::new(other).exists() { earlier_path(other, &paths)? } else { earlier_revision(other, &paths)? };
    let before = before.read()?;
    let comparison = compare(&before, &after);
    let named = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let view = ComparisonView::new(&comparison, (other, &before), (&named, &after));
    let written = match arguments.output {
        Format::Text => output::data(&comparison_text(&view)),
        Format::Json => output::json(&view),
        Format::Markdown => output::data(&comparison_markdown(&view)),
    };
    match (written, arguments.detailed_exitcode && !comparison.is_empty()) {
        (ExitStatus::Done, true) => Ok(ExitStatus::Pending),
        (written, _) => Ok(written),
    }
}

/// The older texts, under the names of the newer ones: so relative paths in them lead to the same places.
struct Earlier {
    texts: Vec<SourceText>,
    /// What people call it.
    name: String,
    /// How a file is called where it really is.
    real_name: Box<dyn Fn(&Path) -> PathBuf>,
}

impl Earlier {
    /// Reads the documents. None at all is an empty set: before the first document there was none.
    fn read(self) -> Result<Documents, ExitStatus> {
        if self.texts.is_empty() {
            return Ok(Documents::default());
        }
        match spec::read(&self.texts) {
            // Warnings about what was are nobody's turn.
            Ok((documents, _)) => Ok(documents),
            Err(findings) if findings.0.iter().all(|finding| finding.code == "no-documents") => {
                Ok(Documents::default())
            }
            Err(findings) => {
                output::findings(&self.really_named(findings));
                let message =
                    format!("the older documents, those of `{}`, have errors: nothing can be compared", self.name);
                output::error(&message, Some(&"compare with a revision whose documents are valid".to_owned()));
                Err(ExitStatus::Failed)
            }
        }
    }

    fn really_named(&self, mut findings: Findings) -> Findings {
        for location in findings.0.iter_mut().filter_map(|finding| finding.location.as_mut()) {
            location.file = Arc::new((self.real_name)(&location.file));
        }
        findings
    }
}

fn earlier_path(other: &str, paths: &[PathBuf]) -> Result<Earlier, ExitStatus> {
    let other_path = PathBuf::from(other);
    let mut texts = documents::read_texts(std::slice::from_ref(&other_path)).map_err(|findings| {
        output::findings(&findings);
        ExitStatus::Failed
    })?;
    // Two folders, or two files: one is read as if it stood in the place of the other.
    let place = match paths {
        [only] if only.exists() && only.is_dir() == other_path.is_dir() => Some(only.clone()),
        [_] | [] | [_, ..] => None,
    };
    if let Some(place) = &place {
        for text in &mut texts {
            text.file = Arc::new(moved(&text.file, &other_path, place));
        }
    }
    let real_name = move |file: &Path| match &place {
        Some(place) => moved(file, place, &other_path),
        None => file.to_owned(),
    };
    Ok(Earlier { texts, name: other.to_owned(), real_name: Box::new(real_name) })
}

/// A file at or below `from`, at the same place at or below `to`.
fn moved(file: &Path, from: &Path, to: &Path) -> PathBuf {
    match file.strip_prefix(from) {
        Ok(below) if below.as_os_str().is_empty() => to.to_owned(),
        Ok(below) => to.join(below),
        Err(_) => file.to_owned(),
    }
}

fn earlier_revision(other: &str, paths: &[PathBuf]) -> Result<Earlier, ExitStatus> {
    let surroundings = surroundings::read();
    let home = surroundings.home.as_deref().map(Path::as_os_str);
    let Some(git) = Git::find(&surroundings.search_path, home) else {
        let hint = "install git, or name a path that exists".to_owned();
        output::error(
            &format!("`{other}` is no path, and there is no `git` program to ask for a revision"),
            Some(&hint),
        );
        return Err(ExitStatus::Failed);
    };
    let found = revision::read(&git, other, paths).map_err(|error| {
        output::error(&Chain(&error).to_string(), error.hint().map(str::to_owned).as_ref());
        ExitStatus::Failed
    })?;
    for path in &found.absent {
        output::note(&format!("`{}` does not exist in `{other}`: everything in it is new", path.display()));
    }
    let revision = other.to_owned();
    let real_name = move |file: &Path| PathBuf::from(format!("{revision}:{}", file.display()));
    Ok(Earlier { texts: found.texts, name: other.to_owned(), real_name: Box::new(real_name) })
}
