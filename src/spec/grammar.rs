//! The language in which the grammar of documents is written: tables of fields with their shapes.
//!
//! Each kind's tables stand beside its types. They are the only place that knows field names: [`super::check`] holds
//! documents against them, [`super::schema`] makes JSON Schemas of them.

/// A mapping with known fields.
pub(super) struct Object {
    /// One sentence for people who edit the file.
    pub about: &'static str,
    /// The fields, in the order of the documentation.
    pub fields: &'static [Field],
    /// Exactly one of these fields must be there; empty if there is no such rule.
    pub one_of: &'static [&'static str],
}

/// One field of a mapping.
pub(super) struct Field {
    pub name: &'static str,
    /// One sentence, or a few words, for people who edit the file.
    pub about: &'static str,
    pub shape: Shape,
    pub presence: Presence,
    pub built: Built,
}

/// Whether a field must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
}

/// Whether the function behind a field or value exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Built {
    Now,
    /// Not yet; with what this version has instead, e.g. "this version knows `age`".
    Later(&'static str),
}

/// What a value may look like.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Text(&'static Text),
    Switch,
    /// A whole number within bounds.
    Integer {
        min: i64,
        max: i64,
    },
    /// A number above zero, not necessarily whole.
    Positive,
    Choice(&'static [Choice]),
    List {
        item: &'static Shape,
        /// Whether the list may have no items.
        presence: Presence,
    },
    Object(&'static Object),
    /// A mapping of texts to texts with keys of the author's own.
    Texts,
    /// A reference to a secret that is kept elsewhere. Like [`Shape::Object`], but what stands here by mistake may be the
    /// secret itself, so no finding shows it.
    Reference(&'static Object),
    /// Anything: the issue that builds the function says what is in it.
    Open,
}

/// What a text must be.
pub(super) struct Text {
    /// E.g. "a duration such as `30d`".
    pub what: &'static str,
    /// The same as a regular expression of ECMA 262 for editors; may accept more than `check`.
    pub pattern: Option<&'static str>,
    /// Says what is wrong with a text.
    pub check: fn(&str) -> Result<(), String>,
}

/// One value of a closed set.
#[derive(Clone, Copy)]
pub(super) struct Choice {
    pub text: &'static str,
    pub built: Built,
}

impl Choice {
    pub const fn now(text: &'static str) -> Self {
        Self { text, built: Built::Now }
    }

    pub const fn later(text: &'static str, instead: &'static str) -> Self {
        Self { text, built: Built::Later(instead) }
    }
}

impl Field {
    pub const fn required(name: &'static str, about: &'static str, shape: Shape) -> Self {
        Self { name, about, shape, presence: Presence::Required, built: Built::Now }
    }

    pub const fn optional(name: &'static str, about: &'static str, shape: Shape) -> Self {
        Self { name, about, shape, presence: Presence::Optional, built: Built::Now }
    }

    /// The same field, whose function is not built yet.
    pub const fn later(self, instead: &'static str) -> Self {
        Self { built: Built::Later(instead), ..self }
    }
}

impl Object {
    pub const fn new(about: &'static str, fields: &'static [Field]) -> Self {
        Self { about, fields, one_of: &[] }
    }

    pub const fn one_of(self, one_of: &'static [&'static str]) -> Self {
        Self { one_of, ..self }
    }

    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        self.fields.iter().map(|field| field.name)
    }
}

impl Shape {
    /// What a value must be, for messages.
    pub fn what(&self) -> String {
        match self {
            Self::Text(text) => text.what.to_owned(),
            Self::Switch => "`true` or `false`".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Positive => "a number above zero".to_owned(),
            Self::Choice(_) => "one of a few words".to_owned(),
            Self::List { .. } => "a list".to_owned(),
            Self::Object(_) | Self::Texts => "a mapping".to_owned(),
            Self::Open => "a value".to_owned(),
            Self::Reference(_) => "a reference such as `{valueFrom: {env: NAME}}`".to_owned(),
        }
    }
}

/// A list that may be empty.
pub(super) const fn list_of(item: &'static Shape) -> Shape {
    Shape::List { item, presence: Presence::Optional }
}

/// A list with at least one item.
pub(super) const fn some_of(item: &'static Shape) -> Shape {
    Shape::List { item, presence: Presence::Required }
}
