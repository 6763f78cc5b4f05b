//! Paths within a mount.

use crate::names::Segment;

/// Path of a key or folder in a mount, e.g. `prod/payments/payments`. Its segments were checked when they were parsed, so
/// that none is empty, `.` or `..`, or holds a separator or a control character; the transport encodes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KvPath(String);

impl KvPath {
    /// Joins segments; at least one.
    pub fn of<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> Self {
        let mut path = String::new();
        for segment in segments {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(segment.as_str());
        }
        Self(path)
    }

    /// The path with one more segment.
    #[must_use]
    pub fn join(&self, segment: &Segment) -> Self {
        Self(format!("{}/{segment}", self.0))
    }

    /// The path, not encoded, without a slash at its ends.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for KvPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
