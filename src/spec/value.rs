//! Values that several kinds of document hold.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::names::{NameError, Segment, UserName};

/// Path of a file or folder as a document names it, with the folder of that document.
///
/// `~/` stands for the home of the person who runs the program; who that is, is not known here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilePath {
    written: Arc<str>,
    folder: Arc<Path>,
}

impl FilePath {
    /// A path as written in a file of `folder`.
    pub fn new(written: &str, folder: Arc<Path>) -> Self {
        Self { written: written.into(), folder }
    }

    /// The path as it was written.
    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// The path from the working directory, or an absolute one. `None` when it begins with `~/` and `home` is `None`.
    pub fn resolve(&self, home: Option<&Path>) -> Option<PathBuf> {
        match self.written.strip_prefix("~/") {
            Some(rest) => Some(home?.join(rest)),
            None => Some(self.folder.join(&*self.written)),
        }
    }

    /// The path without `.` and `..`, for comparisons within one set of documents. Links are not followed.
    pub fn normal(&self) -> PathBuf {
        let mut normal = PathBuf::new();
        let path = self.resolve(Some(Path::new("~"))).unwrap_or_default();
        for component in path.components() {
            match component {
                Component::CurDir => {}
                Component::ParentDir if matches!(normal.components().next_back(), Some(Component::Normal(_))) => {
                    normal.pop();
                }
                Component::ParentDir | Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                    normal.push(component);
                }
            }
        }
        normal
    }
}

impl std::fmt::Display for FilePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written)
    }
}

/// Host and port of a listener, e.g. `kafka-0.example.com:9093` or `[::1]:9093`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Endpoint {
    /// Host name or address, an IPv6 address without its brackets.
    pub host: String,
    /// Port, from 1.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl std::str::FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("`{text}` has no port"))?;
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        let host = if is_bracketed { &host[1..host.len() - 1] } else { host };
        let is_host = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
        let is_valid = match is_bracketed {
            true => host.parse::<core::net::Ipv6Addr>().is_ok(),
            false => !host.is_empty() && host.chars().all(is_host),
        };
        if !is_valid {
            return Err(format!("`{host}` is not a host name or address"));
        }
        match port.parse() {
            Ok(port) if port > 0 => Ok(Self { host: host.to_owned(), port }),
            Ok(_) | Err(_) => Err(format!("`{port}` is not a port")),
        }
    }
}

/// Where a client connects first, in the order written; never empty.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct BootstrapServers(pub Vec<Endpoint>);

impl std::fmt::Display for BootstrapServers {
    /// As in `bootstrap.servers`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, endpoint) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{endpoint}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for BootstrapServers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(|endpoint| endpoint.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

/// Path in a store, e.g. `imports/legacy`: one or more segments, never below Kastellan's own tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct StorePath(Vec<Segment>);

impl StorePath {
    /// First segment of everything that Kastellan keeps for itself (formats.md B5).
    pub const RESERVED: &'static str = "_kastellan";

    /// The segments; never empty.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether the path lies below another one, not counting that one itself.
    pub fn is_below(&self, folder: &Self) -> bool {
        self.0.len() > folder.0.len() && self.0.starts_with(&folder.0)
    }
}

impl std::fmt::Display for StorePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "/" };
            write!(f, "{separator}{segment}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for StorePath {
    type Err = NameError;

    /// Reads `imports/legacy`, and `imports/` as `imports`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let kind = "path in a store";
        let text = text.strip_suffix('/').unwrap_or(text);
        let segments = text.split('/').map(Segment::parse).collect::<Result<Vec<_>, _>>()?;
        match segments.first() {
            Some(first) if first.as_str() == Self::RESERVED => {
                Err(NameError::Reserved { kind, text: Self::RESERVED.to_owned() })
            }
            _ => Ok(Self(segments)),
        }
    }
}

/// One value of one document of a store's `inputs`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct StoreValue {
    /// The document, e.g. `imports/legacy`.
    pub path: StorePath,
    /// The key in it, e.g. `password`.
    pub key: String,
}

/// Pattern of user names in which `*` stands for any characters, e.g. `platform-*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UserPattern(String);

impl UserPattern {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a whole user name fits.
    pub fn matches(&self, user: &UserName) -> bool {
        let name = user.as_str();
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or("");
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        // Leftmost matches of the inner parts leave the most for what follows, so no step has to be taken back.
        for part in parts {
            match rest.find(part) {
                Some(offset) => rest = &rest[offset + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl std::fmt::Display for UserPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for UserPattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        UserName::parse(text).map(|name| Self(name.as_str().to_owned()))
    }
}

/// Reads a duration such as `30d`, `90m` or `1d12h`: whole numbers, each with `d`, `h`, `m` or `s`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    /// More digits are no duration anybody means, and would overflow.
    const DIGITS_MAX: usize = 9;
    let complaint = || "not a duration such as `30d`, `720h`, `90m` or `1d12h`".to_owned();
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        if !(1..=DIGITS_MAX).contains(&digits) {
            return Err(complaint());
        }
        let (number, after) = rest.split_at(digits);
        let unit = after.chars().next().ok_or_else(complaint)?;
        let seconds = match unit {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return Err(complaint()),
        };
        let number: u64 = number.parse().map_err(|_| complaint())?;
        total = total.saturating_add(Duration::from_secs(number * seconds));
        rest = &after[unit.len_utf8()..];
    }
    if text.is_empty() { Err(complaint()) } else { Ok(total) }
}

/// A duration as documents write it, in whole seconds and the largest units, e.g. `1d12h`; `0s` for none.
pub fn format_duration(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    let mut text = String::new();
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if seconds >= length {
            text.push_str(&format!("{}{unit}", seconds / length));
            seconds %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let matches = |pattern: &str, name: &str| {
            pattern.parse::<UserPattern>().unwrap().matches(&UserName::parse(name).unwrap())
        };
        for (pattern, name) in [
            ("admin", "admin"),
            ("platform-*", "platform-a"),
            ("*", "x"),
            ("a*b*c", "a--b--c"),
            ("*x*", "x"),
            ("a*", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("admin", "admins"),
            ("platform-*", "my-platform-a"),
            ("a*a", "a"),
            ("a*b*c", "abd"),
            ("a", "A"),
            ("a*bc*c", "abc"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn durations_need_units() {
        assert_eq!(parse_duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_duration("1d12h"), Ok(Duration::from_secs(36 * 3_600)));
        for text in ["", "30", "d", "-1d", "1.5h", "1w", "1 d", "9999999999d", "1ü"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "1s", "90d", "1d12h", "1h30m", "1d1h1m1s"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(parse_duration("720h").unwrap()), "30d");
        assert_eq!(format_duration(Duration::MAX.saturating_sub(Duration::from_nanos(1))).matches('d').count(), 1);
    }

    #[test]
    fn store_paths_stay_where_they_belong() {
        let path = |text: &str| text.parse::<StorePath>();
        assert!(path("imports/legacy").unwrap().is_below(&path("imports/").unwrap()));
        assert!(!path("imports").unwrap().is_below(&path("imports").unwrap()));
        assert!(!path("imports2/legacy").unwrap().is_below(&path("imports").unwrap()));
        for text in ["", "/", "/imports", "imports/../x", "a//b", "imports//", ".", "_kastellan/records", "a\\b", "a\n"]
        {
            assert!(path(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn endpoints_have_host_and_port() {
        let servers: BootstrapServers = "a.example:9093, [::1]:9094,10.0.0.1:1".parse().unwrap();
        assert_eq!(servers.to_string(), "a.example:9093,[::1]:9094,10.0.0.1:1");
        for text in ["", "a", "a:", "a:0", "a:70000", ":9092", "::1:9092", "a b:1", "a:1,", "http://a:1"] {
            assert!(text.parse::<BootstrapServers>().is_err(), "{text}");
        }
    }

    #[test]
    fn paths_start_from_the_folder_of_their_document() {
        let path = |written: &str, folder: &str| FilePath::new(written, Path::new(folder).into());
        assert_eq!(path("ca.pem", "docs").resolve(None), Some("docs/ca.pem".into()));
        assert_eq!(path("/etc/ca.pem", "docs").resolve(None), Some("/etc/ca.pem".into()));
        assert_eq!(path("~/id", "docs").resolve(None), None);
        assert_eq!(path("~/id", "docs").resolve(Some(Path::new("/home/a"))), Some("/home/a/id".into()));
        assert_eq!(path("./x/../ca.pem", "docs").normal(), path("ca.pem", "docs").normal());
        assert_eq!(path("../../ca.pem", "docs").normal(), PathBuf::from("../ca.pem"));
    }
}
