//! librdkafka's configuration as files hold it: `key=value` lines without any escapes.
//!
//! librdkafka itself reads no files; its examples and `kcat -F` agree on this form, and bindings read it too. Lines
//! and values are trimmed, so blanks at either end are lost, and `kcat` undoes `\:` and `\=`: such values are refused
//! rather than written as something else. `kcat` and the C examples read at most 510 bytes of a line and complain loudly
//! about longer ones; other readers take them, so they are written.
//!
//! A line cannot hold a PEM (`ssl.ca.pem` needs its line ends), so the certificates stand in a file beside it, which
//! `ssl.ca.location` names.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{RenderError, SecretBuffer, Stamp, Uncarriable};
use crate::credential::{Connection, LiveCredential};
use crate::names::UserName;
use crate::secret::Secret;
use crate::spec::FileFormat;

/// Where the CA certificates of a delivered file stand, if its format cannot hold them: `<file>.ca.pem`.
pub fn ca_file_beside(target: &Path) -> PathBuf {
    let mut name = OsString::from(target.as_os_str());
    name.push(".ca.pem");
    PathBuf::from(name)
}

/// Checks what can be checked without a secret.
pub(super) fn can_carry(username: &UserName, connection: &Connection) -> Result<(), RenderError> {
    check("the bootstrap servers", &connection.bootstrap_servers)?;
    check("the user name", username.as_str())
}

fn check(field: &'static str, value: &str) -> Result<(), RenderError> {
    let reason = if value.trim() != value {
        Uncarriable::OuterSpace
    } else if value.chars().any(char::is_control) {
        Uncarriable::Control
    } else if value.contains("\\:") || value.contains("\\=") {
        Uncarriable::JavaEscape
    } else {
        return Ok(());
    };
    Err(RenderError::Uncarriable { format: FileFormat::Librdkafka, field, reason })
}

/// The whole file.
pub(super) fn configuration(
    stamp: &Stamp,
    credential: &LiveCredential,
    connection: &Connection,
    ca_location: Option<&Path>,
) -> Result<Secret, RenderError> {
    can_carry(&credential.username, connection)?;
    let password = credential.password.expose_text().ok_or(RenderError::PasswordNotText)?;
    check("the password", password)?;
    let ca_location = ca_location.map(location_text).transpose()?;
    let header = stamp.to_string();
    let lines = [
        ("bootstrap.servers", connection.bootstrap_servers.as_str()),
        ("security.protocol", &connection.security_protocol),
        ("sasl.mechanism", credential.mechanism.as_str()),
        ("sasl.username", credential.username.as_str()),
        ("sasl.password", password),
    ];
    let lines = lines.into_iter().chain(ca_location.map(|location| ("ssl.ca.location", location)));
    let capacity = lines.clone().map(|(key, value)| key.len() + value.len() + 2).sum::<usize>() + header.len();
    let mut file = SecretBuffer::with_capacity(capacity);
    file.push(&header);
    for (key, value) in lines {
        for part in [key, "=", value, "\n"] {
            file.push(part);
        }
    }
    Ok(file.finish())
}

fn location_text(location: &Path) -> Result<&str, RenderError> {
    const FIELD: &str = "the path of the CA file";
    let reason = Uncarriable::NotText;
    let text =
        location.to_str().ok_or(RenderError::Uncarriable { format: FileFormat::Librdkafka, field: FIELD, reason })?;
    check(FIELD, text)?;
    Ok(text)
}
