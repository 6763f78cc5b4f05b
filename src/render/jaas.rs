//! The text of `sasl.jaas.config`.

use super::{RenderError, SecretBuffer};
use crate::names::UserName;
use crate::secret::Secret;

const BEFORE_USERNAME: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"";
const BEFORE_PASSWORD: &str = "\" password=\"";
const END: &str = "\";";

/// The JAAS entry of a SCRAM login, byte for byte as Strimzi writes it (formats.md B7).
///
/// Kafka reads it with `java.io.StreamTokenizer`: inside quotes a backslash escapes, and a line end closes the string.
///
/// # Errors
/// [`RenderError::PasswordNotText`] for a given password that is no text.
pub fn jaas_text(username: &UserName, password: &Secret) -> Result<Secret, RenderError> {
    let password = password.expose_text().ok_or(RenderError::PasswordNotText)?;
    let fixed = BEFORE_USERNAME.len() + BEFORE_PASSWORD.len() + END.len();
    // Every byte may become two.
    let mut text = SecretBuffer::with_capacity(fixed + 2 * (username.as_str().len() + password.len()));
    text.push(BEFORE_USERNAME);
    push_quoted(&mut text, username.as_str());
    text.push(BEFORE_PASSWORD);
    push_quoted(&mut text, password);
    text.push(END);
    Ok(text.finish())
}

/// Appends a value as it stands between quotes.
fn push_quoted(text: &mut SecretBuffer, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push("\\\\"),
            '"' => text.push("\\\""),
            '\n' => text.push("\\n"),
            '\r' => text.push("\\r"),
            plain => text.push(plain.encode_utf8(&mut [0; 4])),
        }
    }
}

/// User name and password of an entry that [`jaas_text`] made.
pub(super) fn read_back(text: &str) -> Option<(String, Secret)> {
    let (username, rest) = unquote(text.strip_prefix(BEFORE_USERNAME)?)?;
    let (password, rest) = unquote(rest.strip_prefix(BEFORE_PASSWORD)?)?;
    (rest == END).then(|| (username, Secret::from_text(password)))
}

/// What stands before the next quote, and the rest from that quote on.
fn unquote(text: &str) -> Option<(String, &str)> {
    // Never longer than the text, so that its buffer never grows and leaves no copy behind.
    let mut value = String::with_capacity(text.len());
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                'r' => '\r',
                other => other,
            }),
            plain => value.push(plain),
        }
    }
    None
}
