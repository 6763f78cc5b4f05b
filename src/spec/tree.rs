//! A YAML document as a small tree in which every key and value knows its place.

use std::borrow::Cow;

use super::source::Place;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub place: Place,
    pub value: Value<'a>,
}

/// A value, resolved by the core schema of YAML 1.2 (chapter 10.3): only `true` and `false` are booleans.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    /// Nothing, `null` or `~`.
    Nothing,
    Switch(bool),
    Integer(i64),
    Number(f64),
    /// A quoted text, or a plain one that is none of the above.
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    /// A mapping, in the order it was written.
    Fields(Vec<Entry<'a>>),
}

/// One key of a mapping with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub name: Cow<'a, str>,
    /// Where the key stands.
    pub place: Place,
    pub node: Node<'a>,
}

impl<'a> Value<'a> {
    /// Resolves a plain scalar.
    pub fn of_plain(text: Cow<'a, str>) -> Self {
        match &*text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Nothing,
            "true" | "True" | "TRUE" => Self::Switch(true),
            "false" | "False" | "FALSE" => Self::Switch(false),
            _ => Self::of_number(&text).unwrap_or(Self::Text(text)),
        }
    }

    fn of_number(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
            return None;
        }
        if let Some(octal) = text.strip_prefix("0o") {
            return i64::from_str_radix(octal, 8).ok().map(Self::Integer);
        }
        if let Some(hexadecimal) = text.strip_prefix("0x") {
            return i64::from_str_radix(hexadecimal, 16).ok().map(Self::Integer);
        }
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Integer).or_else(|_| text.parse().map(Self::Number)).ok();
        }
        match digits {
            ".inf" | ".Inf" | ".INF" => Some(Self::Number(f64::INFINITY)),
            ".nan" | ".NaN" | ".NAN" => Some(Self::Number(f64::NAN)),
            // Rust reads every form of the core schema, and "1e5" as well; "infinity" has been excluded above.
            _ if digits.contains(|digit: char| digit.is_ascii_digit()) => text.parse().ok().map(Self::Number),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let shown = |text: &'static str| format!("{:?}", Value::of_plain(text.into()));
        for (text, expected) in [
            ("", "Nothing"),
            ("~", "Nothing"),
            ("true", "Switch(true)"),
            ("yes", "Text(\"yes\")"),
            ("12", "Integer(12)"),
            ("-007", "Integer(-7)"),
            ("0x1F", "Integer(31)"),
            ("0o17", "Integer(15)"),
            ("99999999999999999999", "Number(1e20)"),
            ("1.5", "Number(1.5)"),
            ("1e3", "Number(1000.0)"),
            (".inf", "Number(inf)"),
            (".", "Text(\".\")"),
            ("..", "Text(\"..\")"),
            ("1.2.3", "Text(\"1.2.3\")"),
            ("30d", "Text(\"30d\")"),
            ("0x", "Text(\"0x\")"),
            ("-", "Text(\"-\")"),
            ("infinity", "Text(\"infinity\")"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }
}
