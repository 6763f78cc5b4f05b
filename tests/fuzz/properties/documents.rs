//! What holds for the reader of documents, whatever the bytes; checked by the fuzz target, and on its corpus by the suite.

use std::path::PathBuf;
use std::sync::Arc;

use kastellan::diagnostic::{Finding, FindingText};
use kastellan::spec::{self, SourceText};

/// The bytes are read, or refused with findings that point into them and can be shown.
pub fn is_answered(bytes: &[u8]) {
    let source = SourceText { file: Arc::new(PathBuf::from("fuzz.yaml")), bytes: bytes.to_vec() };
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    match spec::read(&[source]) {
        Ok((documents, findings)) => {
            assert!(!findings.has_errors());
            assert!(!(documents.stores.is_empty() && documents.clusters.is_empty() && documents.users.is_empty()));
            findings.0.iter().for_each(|finding| is_sound(finding, lines));
        }
        Err(findings) => {
            assert!(findings.has_errors());
            findings.0.iter().for_each(|finding| is_sound(finding, lines));
        }
    }
}

fn is_sound(finding: &Finding, lines: usize) {
    assert!(!finding.message.contains("please report"), "{finding}");
    if let Some(location) = &finding.location {
        assert!((1..=lines).contains(&location.line) && location.column >= 1, "{finding}");
    }
    if let Some(snippet) = &finding.snippet {
        let characters = snippet.text.chars().count();
        assert!(snippet.column >= 1 && snippet.column - 1 <= characters && snippet.length >= 1, "{snippet:?}");
        assert!(snippet.length == 1 || snippet.column - 1 + snippet.length <= characters, "{snippet:?}");
    }
    let shown = FindingText(finding).to_string();
    assert!(!shown.contains(|character: char| character.is_control() && !matches!(character, '\n' | '\t')));
}
