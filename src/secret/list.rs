//! A list of names with their passwords, as people hand it over.

use super::Secret;

/// Why a list cannot be read. It names lines, never what stands in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordListError {
    /// Not text at all.
    #[error("the list of passwords is not text in UTF-8")]
    NotText,
    /// A line is not `name:password`.
    #[error("line {line} of the list of passwords is not `name:password`")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// A password has a control character in it.
    #[error("the password in line {line} has a control character in it")]
    Control {
        /// Its number, from 1.
        line: usize,
    },
}

/// Reads one `name:password` on each line, in the order written. The first colon ends the name; everything behind it is the
/// password, spaces included. Empty lines, and lines that begin with `#`, are left out.
pub fn read_password_list(list: &Secret) -> Result<Vec<(String, Secret)>, PasswordListError> {
    let text = list.expose_text().ok_or(PasswordListError::NotText)?;
    let mut entries = Vec::new();
    for (index, written) in text.lines().enumerate() {
        let line = index + 1;
        if written.is_empty() || written.starts_with('#') {
            continue;
        }
        let (name, password) = written.split_once(':').ok_or(PasswordListError::Line { line })?;
        if name.is_empty() || password.is_empty() {
            return Err(PasswordListError::Line { line });
        }
        let password = Secret::from_text(password.to_owned());
        if !password.is_text_without_controls() {
            return Err(PasswordListError::Control { line });
        }
        entries.push((name.to_owned(), password));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, PasswordListError> {
        let entries = read_password_list(&Secret::from_text(text.to_owned()))?;
        let shown = |(name, password): (String, Secret)| (name, password.expose_text().unwrap().to_owned());
        Ok(entries.into_iter().map(shown).collect())
    }

    #[test]
    fn the_first_colon_ends_the_name() {
        let entries = read("# from the old cluster\n\npayments:a:b c \r\norders:x").unwrap();
        let expected = [("payments", "a:b c "), ("orders", "x")];
        assert_eq!(entries, expected.map(|(name, password)| (name.to_owned(), password.to_owned())));
    }

    #[test]
    fn errors_name_the_line_and_not_what_stands_in_it() {
        for (text, line) in [("payments", 1), ("a:b\n:secret", 2), ("a:", 1)] {
            assert_eq!(read(text), Err(PasswordListError::Line { line }), "{text}");
        }
        let error = read("a:hunter\u{7}2").unwrap_err();
        assert_eq!(error, PasswordListError::Control { line: 1 });
        assert!(!error.to_string().contains("hunter"));
    }
}
