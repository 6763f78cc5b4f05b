//! Collects findings while documents are read.

use super::source::{At, Source};
use crate::diagnostic::{Finding, Findings, Severity};

/// Most errors, and most warnings, that are kept. Nobody reads more, and a hostile file could make millions.
const FINDINGS_MAX: usize = 500;

/// The findings so far, with the texts they point into.
pub(super) struct Report<'s> {
    sources: &'s [Source<'s>],
    findings: Vec<Finding>,
    errors: usize,
    warnings: usize,
}

impl<'s> Report<'s> {
    pub fn new(sources: &'s [Source<'s>]) -> Self {
        Self { sources, findings: Vec::new(), errors: 0, warnings: 0 }
    }

    /// The text of an index.
    pub fn source(&self, source: u32) -> &'s Source<'s> {
        &self.sources[source as usize]
    }

    /// Number of errors so far, kept or not; more than before means that something failed in between.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Whether another error would still be kept, so that its hint is worth looking for.
    pub fn has_room(&self) -> bool {
        self.errors < FINDINGS_MAX
    }

    /// Adds a finding at a place, with the source line.
    pub fn at(&mut self, at: At, finding: Finding) {
        let snippet = self.is_kept(&finding).then(|| self.source(at.source).snippet(at.place)).flatten();
        self.push(at, Finding { snippet, ..finding });
    }

    /// Adds a finding at a place whose source line may hold a secret.
    pub fn hushed(&mut self, at: At, finding: Finding) {
        self.push(at, finding);
    }

    /// Adds a finding that is about no place, or that has its location already.
    pub fn anywhere(&mut self, finding: Finding) {
        let is_kept = self.is_kept(&finding);
        match finding.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if is_kept {
            self.findings.push(finding);
        }
    }

    fn push(&mut self, at: At, finding: Finding) {
        let finding = match self.is_kept(&finding) {
            true => finding.at(self.source(at.source).location(at.place)),
            false => finding,
        };
        self.anywhere(finding);
    }

    fn is_kept(&self, finding: &Finding) -> bool {
        match finding.severity {
            Severity::Error => self.errors < FINDINGS_MAX,
            Severity::Warning => self.warnings < FINDINGS_MAX,
        }
    }

    /// All findings by place, with a word about those that were not kept.
    pub fn finish(self) -> Findings {
        let mut findings = Findings(self.findings);
        findings.sort();
        let missing = self.errors.saturating_sub(FINDINGS_MAX) + self.warnings.saturating_sub(FINDINGS_MAX);
        if missing > 0 {
            findings.push(Finding::warning("more-findings", format!("{missing} more findings are not shown")));
        }
        findings
    }
}
