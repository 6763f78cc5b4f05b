//! Network addresses as people write them.

use std::sync::Arc;

use super::{NameError, check};

/// Longest host name of DNS, with room for a zone of an IPv6 address.
const HOST_BYTES_MAX: usize = 300;

/// A host and a port, e.g. `kafka-0.example.com:9093` or `[::1]:9093`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Host name or address; an IPv6 address without its brackets.
    pub host: Arc<str>,
    /// Port, never 0.
    pub port: u16,
}

impl HostPort {
    const KIND: &'static str = "address (host:port)";

    /// Reads a list as in `bootstrap.servers`: `a:9092,b:9092`, spaces around the commas allowed, at least one.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, NameError> {
        text.split(',').map(|one| one.trim().parse()).collect()
    }
}

impl std::str::FromStr for HostPort {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check(Self::KIND, text, HOST_BYTES_MAX)?;
        let refused = || NameError::Reserved { kind: Self::KIND, text: text.to_owned() };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").ok_or_else(refused)?,
            None => text.rsplit_once(':').filter(|(host, _)| !host.contains(':')).ok_or_else(refused)?,
        };
        if let Some(character) =
            host.chars().find(|character| character.is_whitespace() || matches!(character, '/' | '@' | '[' | ']'))
        {
            return Err(NameError::Character { kind: Self::KIND, character });
        }
        match port.parse() {
            Ok(port) if port != 0 && !host.is_empty() => Ok(Self { host: host.into(), port }),
            _ => Err(refused()),
        }
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl std::fmt::Debug for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_addresses_are_read_with_brackets_and_spaces() {
        let list = HostPort::parse_list("kafka-0.example.com:9093, [::1]:9094,10.0.0.1:9").unwrap();
        assert_eq!(format!("{list:?}"), "[kafka-0.example.com:9093, [::1]:9094, 10.0.0.1:9]");
        for text in [
            "",
            "host",
            "host:",
            ":9092",
            "host:0",
            "host:99999",
            "::1:9092",
            "a:1,,b:2",
            "a b:1",
            "u@h:1",
            "http://h:1",
        ] {
            assert!(HostPort::parse_list(text).is_err(), "{text:?}");
        }
    }
}
