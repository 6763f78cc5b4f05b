//! Texts of strangers in a terminal and in Markdown. Names come from documents that anybody may propose: nothing of them
//! may become markup, or steer what a reviewer sees.

use crate::diagnostic::Harmless;

/// A text in which nothing is Markdown or HTML, on one line.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in harmless(text).chars() {
        match character {
            '\\' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '!' | '~' | '`' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '@' => escaped.push_str("&#64;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Keeps a line from ending the code block it stands in.
pub(super) fn fence_safe(line: &str) -> String {
    harmless(line).replace("```", "'''")
}

/// One line without anything that a terminal would obey or that reorders what is read.
pub(super) fn harmless(text: &str) -> String {
    Harmless(&text.replace(['\n', '\r'], " ")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_names() {
        assert_eq!(escape("a|b <img> @all\n# x"), "a\\|b \\<img\\> &#64;all \\# x");
        assert_eq!(fence_safe("x```\n\u{202e}y"), "x''' \u{fffd}y");
        assert_eq!(harmless("\u{1b}[31mred"), "\u{fffd}[31mred");
    }
}
