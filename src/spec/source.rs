//! The texts that are read, and places in them.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Location, Snippet};

/// Most bytes of one file. Everything people write is far smaller; a generator that writes more can split its output, and
/// a bound keeps a stray archive or log in a folder from being read into memory.
pub const FILE_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Longest part of a source line that a finding shows, in characters.
const SNIPPET_CHARS_MAX: usize = 120;

/// Characters kept before the place that is meant when a long line is cut.
const SNIPPET_CHARS_BEFORE: usize = 40;

/// One file, or standard input, as it was read.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// The file as it was named, or below a folder that was named; `-` for standard input.
    pub file: Arc<PathBuf>,
    /// Its bytes, not checked for anything yet.
    pub bytes: Vec<u8>,
}

/// A range of bytes in one text; offsets fit because of [`FILE_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// First byte.
    pub start: u32,
    /// Length in bytes; 0 where the end is not known.
    pub length: u32,
}

/// A place in one of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct At {
    /// Index of the text.
    pub source: u32,
    /// Where in it.
    pub place: Place,
}

/// One text that is UTF-8.
pub(super) struct Source<'s> {
    pub file: &'s Arc<PathBuf>,
    /// The folder that relative paths in this text start from; empty for standard input and files named without one.
    pub folder: Arc<Path>,
    pub text: &'s str,
    /// Offsets of line starts, made when the first place is looked up.
    lines: OnceCell<Vec<u32>>,
}

impl<'s> Source<'s> {
    pub fn new(file: &'s Arc<PathBuf>, text: &'s str) -> Self {
        let folder = file.parent().unwrap_or(Path::new("")).into();
        Self { file, folder, text, lines: OnceCell::new() }
    }

    fn lines(&self) -> &[u32] {
        self.lines.get_or_init(|| {
            let ends = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0).chain(ends.map(|(offset, _)| offset as u32 + 1)).collect()
        })
    }

    /// Offset of the line a place begins on, its number from 1, and the line without its end.
    fn line(&self, place: Place) -> (usize, usize, &'s str) {
        let number = self.lines().partition_point(|start| *start <= place.start).max(1);
        let start = self.lines()[number - 1] as usize;
        let line = self.text[start..].split('\n').next().unwrap_or("");
        (start, number, line.strip_suffix('\r').unwrap_or(line))
    }

    /// Line and column of a place.
    pub fn location(&self, place: Place) -> Location {
        let (start, line, text) = self.line(place);
        let within = boundary(text, place.start as usize - start);
        Location { file: self.file.clone(), line, column: text[..within].chars().count() + 1 }
    }

    /// The line of a place, cut to a sensible width; `None` where the line seems to hold a secret.
    pub fn snippet(&self, place: Place) -> Option<Snippet> {
        let (start, _, line) = self.line(place);
        if seems_secret(line) {
            return None;
        }
        let within = boundary(line, place.start as usize - start);
        let end = boundary(line, within + place.length as usize);
        let (before, rest) = line.split_at(within);
        let is_short = line.chars().take(SNIPPET_CHARS_MAX + 1).count() <= SNIPPET_CHARS_MAX;
        let kept = if is_short { before } else { last_characters(before, SNIPPET_CHARS_BEFORE) };
        let mut text = String::new();
        if kept.len() < before.len() {
            text.push('…');
        }
        text.push_str(kept);
        let column = text.chars().count() + 1;
        let room = SNIPPET_CHARS_MAX.saturating_sub(column);
        let shown = if is_short { rest } else { first_characters(rest, room) };
        text.push_str(shown);
        if shown.len() < rest.len() {
            text.push('…');
        }
        let length = line[within..end].chars().take(room.max(1)).count().max(1);
        Some(Snippet { text, column, length })
    }
}

/// The largest character boundary of `text` that is not past `offset`.
fn boundary(text: &str, offset: usize) -> usize {
    text.floor_char_boundary(offset)
}

fn last_characters(text: &str, count: usize) -> &str {
    text.char_indices().rev().take(count).last().map_or("", |(offset, _)| &text[offset..])
}

fn first_characters(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(offset, _)| &text[..offset])
}

/// Words before a colon whose scalar value may be a secret that somebody wrote where only a reference belongs.
const SECRET_WORDS: [&str; 7] = ["password", "passwd", "passphrase", "secret", "token", "valuefrom", "privatekey"];

/// Whether a line gives a scalar to a key that sounds like a secret. Documents hold references only, but findings end in
/// the logs of pull requests, and the mistake that causes a finding may be exactly a password written in place.
fn seems_secret(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    let is_secret_value = |after: &str| {
        let Some(value) = after.trim_start_matches(['"', '\'', ' ']).strip_prefix(':') else { return false };
        let value = value.trim_start();
        !(value.is_empty() || value.starts_with(['{', '#']))
    };
    lower.contains(':')
        && SECRET_WORDS
            .iter()
            .any(|word| lower.match_indices(word).any(|(offset, _)| is_secret_value(&lower[offset + word.len()..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snippet_of(text: &str, start: usize, length: usize) -> Option<Snippet> {
        let file = Arc::new(PathBuf::from("a.yaml"));
        Source::new(&file, text).snippet(Place { start: start as u32, length: length as u32 })
    }

    #[test]
    fn columns_count_characters() {
        let file = Arc::new(PathBuf::from("a.yaml"));
        let text = "a: 1\r\n  ü: x\n";
        let source = Source::new(&file, text);
        let location = source.location(Place { start: text.find('x').unwrap() as u32, length: 1 });
        assert_eq!((location.line, location.column), (2, 6));
        let end = source.location(Place { start: text.len() as u32, length: 0 });
        assert_eq!((end.line, end.column), (3, 1));
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let line = format!("{}WRONG{}", "ä".repeat(5000), "b".repeat(5000));
        let snippet = snippet_of(&line, 10_000, 5).unwrap();
        assert_eq!(snippet.length, 5);
        assert_eq!(snippet.text.chars().skip(snippet.column - 1).take(5).collect::<String>(), "WRONG");
        assert!(snippet.text.chars().count() <= SNIPPET_CHARS_MAX + 1, "{}", snippet.text.chars().count());
    }

    #[test]
    fn lines_that_seem_to_hold_a_secret_are_not_shown() {
        for line in
            ["password: hunter2", "a: {typ: scram, Password: \"hunter2\"}", "  dbToken : x", "valueFrom: hunter2"]
        {
            assert_eq!(snippet_of(line, 0, 1), None, "{line}");
        }
        for line in ["password: {valueFrom: {env: ADMIN}}", "passwordLength: 32", "password:", "store: vault"] {
            assert!(snippet_of(line, 0, 1).is_some(), "{line}");
        }
    }
}
