//! Names of documents and of what is kept about them.

use super::{NameError, check, text_name};

/// Longest path segment in bytes once percent-encoded: file systems allow 255, and atomic writes add a suffix.
const SEGMENT_ENCODED_BYTES_MAX: usize = 230;

/// Checks a text that becomes one segment of a path in a store.
fn check_segment(kind: &'static str, text: &str) -> Result<(), NameError> {
    check(kind, text, SEGMENT_ENCODED_BYTES_MAX)?;
    if text == "." || text == ".." {
        return Err(NameError::Reserved { kind, text: text.to_owned() });
    }
    if let Some(character) = text.chars().find(|character| matches!(character, '/' | '\\')) {
        return Err(NameError::Character { kind, character });
    }
    let encoded = encoded_bytes(text);
    if encoded > SEGMENT_ENCODED_BYTES_MAX {
        return Err(NameError::Length { kind, length: encoded, max: SEGMENT_ENCODED_BYTES_MAX });
    }
    Ok(())
}

/// Whether a byte stands for itself in an encoded segment.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn encoded_bytes(text: &str) -> usize {
    text.bytes().map(|byte| if is_plain(byte) { 1 } else { 3 }).sum()
}

text_name!(
    /// One segment of a path in a store, such as a namespace or the name of a document, e.g. `payments`. Never empty,
    /// `.` or `..`, without `/`, `\` and control characters.
    Segment, "name", check_segment
);

impl Segment {
    /// The segment with every byte outside `[A-Za-z0-9._-]` percent-encoded; injective, fit for a file name and a URL.
    pub fn encoded(&self) -> String {
        use std::fmt::Write as _;
        let mut encoded = String::with_capacity(self.as_str().len());
        for byte in self.as_str().bytes() {
            if is_plain(byte) {
                encoded.push(char::from(byte));
            } else {
                write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail");
            }
        }
        encoded
    }

    /// Reads what [`Segment::encoded`] wrote; `None` for anything else.
    pub fn decode(encoded: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(encoded.len());
        let mut rest = encoded.as_bytes();
        while let Some((&byte, tail)) = rest.split_first() {
            if byte == b'%' {
                let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &tail[2..];
            } else {
                bytes.push(byte);
                rest = tail;
            }
        }
        let segment = Self::parse(String::from_utf8(bytes).ok()?).ok()?;
        (segment.encoded() == encoded).then_some(segment)
    }
}

text_name!(
    /// `metadata.name` of a `KafkaCluster`, e.g. `prod`.
    ClusterName, "cluster name", check_segment
);

text_name!(
    /// `metadata.name` of a `CredentialStore`, e.g. `vault`.
    StoreName, "store name", check_segment
);

text_name!(
    /// Name of one item of `deliver`, unique within its user, e.g. `file`.
    DeliveryName, "delivery name", check_segment
);

text_name!(
    /// The set of documents that one Kastellan answers for, e.g. `default`.
    Scope, "scope", check_segment
);

impl Default for Scope {
    fn default() -> Self {
        Self("default".into())
    }
}

text_name!(
    /// Random id of one rotation, 26 characters of `[a-z2-7]`; with the generation it is the identity of a credential (R9).
    RotationId, "rotation id", |kind, text| check(kind, text, 64)
);

/// Identity of a user's document, `<namespace>/<name>`, e.g. `payments/payments`; the key of everything kept about it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NamespacedName {
    /// `metadata.namespace`, `default` if the document has none.
    pub namespace: Segment,
    /// `metadata.name`.
    pub name: Segment,
}

impl NamespacedName {
    /// The namespace of documents that name none.
    pub const DEFAULT_NAMESPACE: &'static str = "default";
}

impl std::fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl std::str::FromStr for NamespacedName {
    type Err = NameError;

    /// Reads `namespace/name`, or `name` in the default namespace.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (namespace, name) = text.split_once('/').unwrap_or((Self::DEFAULT_NAMESPACE, text));
        Ok(Self { namespace: Segment::parse(namespace)?, name: Segment::parse(name)? })
    }
}

impl serde::Serialize for NamespacedName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for NamespacedName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Counts a user's credentials: 1, 2, 3 …; 0 means none yet. Never goes back, never used twice (R8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// No credential yet.
    pub const NONE: Self = Self(0);

    /// The next number.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_segments_are_refused() {
        for text in ["", ".", "..", "a/b", "a\\b", "a\0b", "a\nb"] {
            assert!(Segment::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn encoding_is_injective_and_plain(text in "\\PC{1,60}") {
            if let Ok(segment) = Segment::parse(&text) {
                let encoded = segment.encoded();
                prop_assert!(encoded.bytes().all(|byte| is_plain(byte) || byte == b'%'));
                prop_assert_eq!(Segment::decode(&encoded), Some(segment));
            }
        }
    }
}
