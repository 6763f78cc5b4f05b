//! What reading one document into its type needs beside the tree.

use std::path::Path;
use std::sync::Arc;

use super::fields::Fields;
use super::report::Report;
use super::source::{At, Place};
use super::value::FilePath;
use crate::diagnostic::{Finding, Location};
use crate::names::{Interner, NameError};

/// Reads the documents of one text.
pub(super) struct Reader<'r, 's> {
    pub report: &'r mut Report<'s>,
    pub interner: &'r mut Interner,
    pub source: u32,
    /// Folder of the text, which relative paths start from.
    pub folder: Arc<Path>,
}

impl Reader<'_, '_> {
    pub fn at(&self, place: Place) -> At {
        At { source: self.source, place }
    }

    pub fn location(&self, place: Place) -> Location {
        self.report.source(self.source).location(place)
    }

    /// Adds a finding.
    pub fn find(&mut self, place: Place, finding: Finding) {
        let at = self.at(place);
        self.report.at(at, finding);
    }

    /// Refuses fields that have no meaning beside what the document says elsewhere.
    pub fn refuse(&mut self, fields: Fields<'_, '_>, names: &[&str], reason: &str) {
        for name in names {
            if let Some(place) = fields.key_place(name) {
                let finding = Finding::error("misplaced-field", format!("`{name}` has no meaning {reason}"));
                self.find(place, finding.hint("remove it"));
            }
        }
    }

    /// Demands fields that what the document says elsewhere asks for.
    pub fn demand(&mut self, fields: Fields<'_, '_>, place: Place, names: &[&str], reason: &str) {
        for name in names {
            if !fields.has(name) {
                self.find(place, Finding::error("missing-field", format!("`{name}` is missing; {reason} needs it")));
            }
        }
    }

    /// The name in a field, sharing memory with equal ones.
    pub fn name<T>(
        &mut self,
        fields: Fields<'_, '_>,
        name: &str,
        parse: fn(&str, &mut Interner) -> Result<T, NameError>,
    ) -> Option<T> {
        parse(fields.text(name)?, self.interner).ok()
    }

    /// The path in a field.
    pub fn path(&self, fields: Fields<'_, '_>, name: &str) -> Option<FilePath> {
        fields.text(name).map(|written| FilePath::new(written, self.folder.clone()))
    }
}
