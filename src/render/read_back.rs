//! Reads a credential back from a file that [`render`](super::render) made: the way out where a delivery is all that is
//! left of it (rotation.md D5). It undoes what this room writes, and is no reader of anybody's files.

use zeroize::Zeroizing;

use super::{Stamp, jaas, read_stamp};
use crate::names::{Mechanism, UserName};
use crate::secret::Secret;
use crate::spec::FileFormat;

/// A credential as it is delivered.
#[derive(Debug)]
pub struct Delivered {
    /// Whose it is, and which generation.
    pub stamp: Stamp,
    /// Name in Kafka.
    pub username: UserName,
    /// `sasl.mechanism`.
    pub mechanism: Mechanism,
    /// Password.
    pub password: Secret,
}

/// The credential of a whole file; `None` for one that is not ours, or not whole.
pub fn read_back(format: FileFormat, file: &Secret) -> Option<Delivered> {
    let stamp = read_stamp(file.expose())?;
    let text = file.expose_text()?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let mechanism = value("sasl.mechanism")?.parse().ok()?;
    let (username, password) = match format {
        FileFormat::Properties => jaas::read_back(&unescape(value("sasl.jaas.config")?)?)?,
        FileFormat::Librdkafka => {
            let password = Secret::from_text(value("sasl.password")?.to_owned());
            (value("sasl.username")?.to_owned(), password)
        }
    };
    Some(Delivered { stamp, username: UserName::parse(username).ok()?, mechanism, password })
}

/// Undoes the escapes of a Java property's value. What it returns is never longer than `value`, so its buffer never grows
/// and leaves no copy behind.
fn unescape(value: &str) -> Option<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(value.len()));
    let mut rest = value.chars();
    let mut high = None;
    while let Some(character) = rest.next() {
        let unit = match (character, character == '\\') {
            (plain, false) => {
                text.push(plain);
                continue;
            }
            (_, true) => match rest.next()? {
                'u' => {
                    let digits = rest.as_str().get(..4)?;
                    rest = rest.as_str()[4..].chars();
                    u16::from_str_radix(digits, 16).ok()?
                }
                'n' => u16::from(b'\n'),
                'r' => u16::from(b'\r'),
                't' => u16::from(b'\t'),
                other => {
                    text.push(other);
                    continue;
                }
            },
        };
        // Characters beyond 16 bits are two units (UTF-16).
        match (high.take(), unit) {
            (None, 0xd800..0xdc00) => high = Some(unit),
            (None, unit) => text.push(char::from_u32(unit.into())?),
            (Some(high), low) => text.push(char::decode_utf16([high, low]).next()?.ok()?),
        }
    }
    high.is_none().then_some(text)
}
