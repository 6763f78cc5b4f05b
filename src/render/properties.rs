//! `client.properties` as `java.util.Properties.load(InputStream)` reads it: ISO 8859-1 with `\uXXXX` escapes.

use super::{RenderError, SecretBuffer, Stamp, jaas_text};
use crate::credential::{Connection, LiveCredential};
use crate::secret::Secret;

/// Escapes a key: what would end it, begin a comment or be read as an escape.
pub fn escape_key(key: &str) -> String {
    let mut escaped = String::with_capacity(key.len());
    for character in key.chars() {
        if matches!(character, ' ' | '=' | ':' | '#' | '!') {
            escaped.push('\\');
            escaped.push(character);
        } else {
            push_escaped(character, |text| escaped.push_str(text));
        }
    }
    escaped
}

/// Escapes a value. Only what has to be is escaped, so that other readers of such files understand it too: leading
/// blanks, backslashes, control characters and everything outside ASCII (as UTF-16 units).
pub fn escape_value(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    escape_value_into(value, |text| escaped.push_str(text));
    escaped
}

fn escape_value_into(value: &str, mut push: impl FnMut(&str)) {
    let text = value.trim_start_matches(' ');
    for _ in 0..value.len() - text.len() {
        push("\\ ");
    }
    for character in text.chars() {
        push_escaped(character, &mut push);
    }
}

fn push_escaped(character: char, mut push: impl FnMut(&str)) {
    match character {
        '\\' => push("\\\\"),
        '\n' => push("\\n"),
        '\r' => push("\\r"),
        '\t' => push("\\t"),
        ' '..='~' => push(character.encode_utf8(&mut [0; 4])),
        other => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                let digits = [12, 8, 4, 0].map(|shift| b"0123456789ABCDEF"[usize::from(*unit >> shift & 0xf)]);
                push("\\u");
                push(std::str::from_utf8(&digits).expect("hexadecimal digits are ASCII"));
            }
        }
    }
}

/// The whole file.
pub(super) fn client_properties(
    stamp: &Stamp,
    credential: &LiveCredential,
    connection: &Connection,
    certificates: Option<&str>,
) -> Result<Secret, RenderError> {
    let jaas = jaas_text(&credential.username, &credential.password)?;
    let header = stamp.to_string();
    let mut lines = vec![
        ("bootstrap.servers", connection.bootstrap_servers.as_str()),
        ("security.protocol", &connection.security_protocol),
        ("sasl.mechanism", credential.mechanism.as_str()),
        ("sasl.jaas.config", jaas.expose_text().expect("made of text only")),
    ];
    if let Some(pem) = certificates {
        lines.extend([("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", pem)]);
    }
    // A byte becomes at most six (`\uXXXX`); a key is followed by `=`, a value by a line feed.
    let capacity = lines.iter().map(|(key, value)| key.len() + 6 * value.len() + 2).sum::<usize>() + header.len();
    let mut file = SecretBuffer::with_capacity(capacity);
    file.push(&header);
    for (key, value) in lines {
        file.push(key);
        file.push("=");
        escape_value_into(value, |text| file.push(text));
        file.push("\n");
    }
    Ok(file.finish())
}
