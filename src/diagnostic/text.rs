//! Findings as plain text, in the manner of a compiler; understandable without colour.

use super::{Finding, Severity, Snippet};

/// Displays a finding on several lines: message, place, source line with a mark under what is meant, remedy.
///
/// ```text
/// error: unknown field `acl` in `spec.authorization`
///   --> users.yaml:12:5
///    |
/// 12 |     acl: []
///    |     ^^^
///    = help: did you mean `acls`?
/// ```
///
/// Characters that steer a terminal are shown as `�`: documents come from strangers.
pub struct FindingText<'a>(pub &'a Finding);

impl std::fmt::Display for FindingText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let finding = self.0;
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}: {}", Harmless(&finding.message))?;
        let line = finding.location.as_ref().map(|location| location.line.to_string()).unwrap_or_default();
        let margin = " ".repeat(line.len());
        if let Some(location) = &finding.location {
            writeln!(f, "{margin}--> {}", Harmless(&location.to_string()))?;
        }
        if let Some(snippet) = &finding.snippet {
            writeln!(f, "{margin} |")?;
            writeln!(f, "{line} | {}", Harmless(&snippet.text))?;
            writeln!(f, "{margin} | {}", Mark(snippet))?;
        }
        if let Some(hint) = &finding.hint {
            writeln!(f, "{margin} = help: {}", Harmless(hint))?;
        }
        Ok(())
    }
}

/// The line under a snippet: blanks up to the column, tabs kept so that it stays aligned, then `^` for every character.
struct Mark<'a>(&'a Snippet);

impl std::fmt::Display for Mark<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let before = self.0.column.saturating_sub(1);
        let mut padding: String =
            self.0.text.chars().take(before).map(|character| if character == '\t' { '\t' } else { ' ' }).collect();
        let missing = before.saturating_sub(padding.chars().count());
        padding.extend(std::iter::repeat_n(' ', missing));
        write!(f, "{padding}{}", "^".repeat(self.0.length.max(1)))
    }
}

/// Displays a text with everything replaced that a terminal would obey or that reorders what is read.
pub struct Harmless<'a>(pub &'a str);

impl std::fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;
        for character in self.0.chars() {
            let steers = character.is_control() && character != '\t'
                || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            f.write_char(if steers { char::REPLACEMENT_CHARACTER } else { character })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Location;

    #[test]
    fn marks_what_is_meant_and_disarms_control_characters() {
        let mut finding = Finding::error("unknown-field", "unknown field `a\u{1b}[31mcl`")
            .at(Location { file: std::sync::Arc::new("users.yaml".into()), line: 12, column: 3 })
            .hint("did you mean `acls`?");
        finding.snippet = Some(Snippet { text: "\t\ta\u{1b}cl: []".into(), column: 3, length: 4 });
        let expected = "error: unknown field `a\u{fffd}[31mcl`\n  --> users.yaml:12:3\n   |\n\
                        12 | \t\ta\u{fffd}cl: []\n   | \t\t^^^^\n   = help: did you mean `acls`?\n";
        assert_eq!(FindingText(&finding).to_string(), expected);
    }
}
