//! `kastellan validate`.

use super::arguments::{FindingFormat, ValidateArguments};
use super::{documents, output};
use crate::diagnostic::{ExitStatus, Finding, Findings, Severity};
use crate::view::counted;

pub(super) fn run(arguments: ValidateArguments) -> ExitStatus {
    let (found, counts) = match documents::read_quietly(&documents::paths(&arguments.files)) {
        Ok((documents, warnings)) => {
            let counts = (documents.stores.len(), documents.clusters.len(), documents.users.len());
            (warnings, Some(counts))
        }
        Err(findings) => (findings, None),
    };
    let written = match arguments.output {
        FindingFormat::Text => {
            output::findings(&found);
            match counts {
                Some((stores, clusters, users)) => output::data(&format!(
                    "Valid: {}, {}, {}.\n",
                    counted(stores, "store"),
                    counted(clusters, "cluster"),
                    counted(users, "user")
                )),
                None => ExitStatus::Done,
            }
        }
        FindingFormat::Json => output::json(&ValidateView {
            schema: "kastellan.io/validate/v1alpha1",
            valid: counts.is_some(),
            findings: &found,
        }),
        FindingFormat::Github => output::data(&found.0.iter().map(annotation).collect::<String>()),
    };
    match (written, counts) {
        (ExitStatus::Done, Some(_)) => ExitStatus::Done,
        (ExitStatus::Done, None) => ExitStatus::Failed,
        (written, _) => written,
    }
}

/// Findings for programs.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ValidateView<'a> {
    schema: &'static str,
    valid: bool,
    findings: &'a Findings,
}

/// A workflow command of GitHub Actions; its own escapes keep a message on one line.
fn annotation(finding: &Finding) -> String {
    let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let escape_property = |text: &str| escape(text).replace(':', "%3A").replace(',', "%2C");
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = finding.location.as_ref().map_or_else(String::new, |location| {
        let file = escape_property(&location.file.display().to_string());
        format!(" file={file},line={},col={}", location.line, location.column)
    });
    let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("::{level}{place}::{}\n", escape(&format!("{}{hint}", finding.message)))
}
