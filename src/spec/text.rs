//! What texts in documents must be.

use super::grammar::{Shape, Text};
use super::value::{BootstrapServers, StorePath, UserPattern, parse_duration};
use crate::names::{ClusterName, DeliveryName, NamespacedName, Segment, StoreName, UserName};

/// Longest text that is not a name, e.g. a path or an address, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// Longest name of a resource or host of an ACL, in bytes. Topics allow 249; groups and transactional ids may be longer.
const ACL_TEXT_BYTES_MAX: usize = 1024;

/// Checks by parsing.
fn parses<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|error| error.to_string())
}

fn is_plain(text: &str, bytes_max: usize) -> Result<(), String> {
    if text.is_empty() {
        return Err("may not be empty".to_owned());
    }
    if text.len() > bytes_max {
        return Err(format!("{} bytes long; at most {bytes_max} are allowed", text.len()));
    }
    match text.chars().find(|character| character.is_control()) {
        Some(character) => Err(format!("may not contain {character:?}")),
        None => Ok(()),
    }
}

fn is_folder(text: &str) -> Result<(), String> {
    is_plain(text, TEXT_BYTES_MAX)?;
    match text.strip_prefix('~') {
        Some(rest) if !rest.starts_with('/') => Err("only `~/` is read as a home folder".to_owned()),
        _ => Ok(()),
    }
}

fn is_file(text: &str) -> Result<(), String> {
    is_folder(text)?;
    match text.rsplit('/').next() {
        Some("" | "." | "..") => Err("names a folder, not a file".to_owned()),
        _ => Ok(()),
    }
}

fn is_variable(text: &str) -> Result<(), String> {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || !is_name(text) || text.as_bytes()[0].is_ascii_digit() {
        return Err("not the name of an environment variable".to_owned());
    }
    Ok(())
}

/// A text that becomes a header or a part of one.
fn is_line(text: &str) -> Result<(), String> {
    is_plain(text, TEXT_BYTES_MAX)?;
    match text.chars().find(|character| !character.is_ascii_graphic()) {
        Some(character) => Err(format!("may not contain {character:?}")),
        None => Ok(()),
    }
}

fn is_host_name(text: &str) -> Result<(), String> {
    format!("{text}:1").parse::<super::value::Endpoint>().map(drop)
}

fn is_url(text: &str) -> Result<(), String> {
    is_line(text)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| "does not begin with `https://`".to_owned())?;
    if rest.contains(['@', '?', '#', '\\']) {
        return Err("has more than a scheme, a host, a port and a path".to_owned());
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let endpoint = if has_port { authority.to_owned() } else { format!("{authority}:443") };
    endpoint.parse::<super::value::Endpoint>().map(drop)
}

fn is_recipient(text: &str) -> Result<(), String> {
    // The library's own words tell nothing more: a recipient carries a checksum.
    text.parse::<age::x25519::Recipient>().map(drop).map_err(|_| "not an age recipient (`age1…`)".to_owned())
}

fn is_owner(text: &str) -> Result<(), String> {
    is_plain(text, TEXT_BYTES_MAX)?;
    let is_name = |name: &str| !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == ':');
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    if is_name(user) && is_name(group) { Ok(()) } else { Err("not `user:group` or `user`".to_owned()) }
}

fn is_user_name(text: &str) -> Result<(), String> {
    parses::<UserName>(text)?;
    match text.strip_prefix("User:") {
        Some(name) => Err(format!("written without `User:`, so `{name}`")),
        None => Ok(()),
    }
}

/// Defines a shape of text.
macro_rules! text_shape {
    ($(#[$doc:meta])* $name:ident, $what:literal, $pattern:expr, $check:expr) => {
        $(#[$doc])*
        pub(super) const $name: Shape = Shape::Text(&Text { what: $what, pattern: $pattern, check: $check });
    };
}

/// A path segment without what could leave its folder.
const SEGMENT_PATTERN: Option<&str> = Some(r"^[^/\\\u0000-\u001f\u007f]+$");

text_shape!(ANY_TEXT, "a text", None, |text| is_plain(text, TEXT_BYTES_MAX));
text_shape!(LINE, "plain text without spaces", Some(r"^[!-~]+$"), is_line);
text_shape!(HOST_NAME, "the name of a host", None, is_host_name);
text_shape!(URL, "a URL such as `https://vault.example.com:8200`", Some("^https?://"), is_url);
text_shape!(NAME, "a name", SEGMENT_PATTERN, parses::<Segment>);
text_shape!(CLUSTER_NAME, "the name of a KafkaCluster", SEGMENT_PATTERN, parses::<ClusterName>);
text_shape!(STORE_NAME, "the name of a CredentialStore", SEGMENT_PATTERN, parses::<StoreName>);
text_shape!(DELIVERY_NAME, "a name", SEGMENT_PATTERN, parses::<DeliveryName>);
text_shape!(USER_NAME, "a Kafka user name", None, is_user_name);
text_shape!(USER_PATTERN, "a user name in which `*` stands for any characters", None, parses::<UserPattern>);
text_shape!(IDENTITY, "a `namespace/name`", None, |text| {
    if text.contains('/') { parses::<NamespacedName>(text) } else { Err("not a `namespace/name`".to_owned()) }
});
text_shape!(FOLDER, "the path of a folder", None, is_folder);
text_shape!(FILE, "the path of a file", None, is_file);
text_shape!(STORE_PATH, "a path in the store such as `imports/legacy`", None, parses::<StorePath>);
text_shape!(VARIABLE, "the name of an environment variable", Some("^[A-Za-z_][A-Za-z0-9_]*$"), is_variable);
text_shape!(DURATION, "a duration such as `30d`", Some("^([0-9]+[dhms])+$"), |text| parse_duration(text).map(drop));
text_shape!(SERVERS, "addresses such as `kafka-0.example.com:9093`", None, parses::<BootstrapServers>);
text_shape!(RECIPIENT, "an age recipient (`age1…`)", Some("^age1[a-z0-9]+$"), is_recipient);
text_shape!(OWNER, "`user:group` or `user`", None, is_owner);
text_shape!(RESOURCE_NAME, "the name of a resource", None, |text| is_plain(text, ACL_TEXT_BYTES_MAX));
text_shape!(HOST, "an address, or `*` in quotes", None, |text| is_plain(text, ACL_TEXT_BYTES_MAX));
