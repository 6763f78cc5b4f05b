//! Documents through the front door of `spec`: what they become, and what is said about wrong ones.

mod hostile;
mod order;
mod rotation;
mod strategies;

#[path = "../fuzz/properties/documents.rs"]
mod property;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kastellan::diagnostic::{FindingText, Findings};
use kastellan::spec::{self, Documents, SourceText};

/// A text under a file name.
pub fn text(file: &str, text: impl Into<Vec<u8>>) -> SourceText {
    SourceText { file: Arc::new(PathBuf::from(file)), bytes: text.into() }
}

/// Folder of the cases.
pub fn cases(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/cases").join(folder)
}

/// The complete example.
pub fn example() -> Vec<SourceText> {
    ["platform.yaml", "users.yaml"]
        .map(|file| text(&format!("docs/{file}"), std::fs::read(cases("documents").join(file)).unwrap()))
        .into()
}

/// Findings as people read them.
pub fn shown(findings: &Findings) -> String {
    findings.0.iter().map(|finding| FindingText(finding).to_string()).collect::<Vec<_>>().join("\n")
}

/// Documents that must be free of errors.
pub fn accepted(sources: &[SourceText]) -> (Documents, Findings) {
    spec::read(sources).unwrap_or_else(|findings| panic!("{}", shown(&findings)))
}

/// The findings about documents that must be refused.
pub fn refused(sources: &[SourceText]) -> Findings {
    match spec::read(sources) {
        Ok((documents, _)) => panic!("accepted: {documents:?}"),
        Err(findings) => findings,
    }
}

#[test]
fn the_complete_example_is_read_into_its_types() {
    let (documents, findings) = accepted(&example());
    assert!(findings.0.is_empty(), "{}", shown(&findings));
    insta::assert_snapshot!(serde_json::to_string_pretty(&documents).unwrap());
}

/// Reads every case of `cases/errors` and compares its findings with the `.expected` file beside it; with
/// `UPDATE_CASES=1` in the environment it writes them instead, to be read before they are committed.
#[test]
fn wrong_documents_are_reported_as_expected() {
    let folder = cases("errors");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    let mut different = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let actual = shown(&refused(&[text(name, std::fs::read(&file).unwrap())]));
        let expected_file = file.with_extension("expected");
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&expected_file, &actual).unwrap();
        }
        if std::fs::read_to_string(&expected_file).unwrap_or_default() != actual {
            different.push(format!("{name}:\n{actual}"));
        }
    }
    assert!(different.is_empty(), "these differ from what is expected:\n\n{}", different.join("\n"));
}

#[test]
fn the_corpus_of_the_fuzz_target_is_answered() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/documents");
    let files = [folder, cases("errors"), cases("documents")].map(|folder| std::fs::read_dir(folder).unwrap());
    let files: Vec<PathBuf> = files.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 10);
    files.iter().for_each(|file| property::is_answered(&std::fs::read(file).unwrap()));
}
