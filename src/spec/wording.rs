//! Small pieces of messages.

/// Longest part of a text of a document that a message repeats, in characters.
const QUOTED_CHARS_MAX: usize = 60;

/// A text from a document in backticks, shortened.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// Names in backticks, separated by commas.
pub(super) fn list<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
