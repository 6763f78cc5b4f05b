//! Reads values out of a tree that has the shape of its table.
//!
//! Every getter answers `None` for a field that is not there. It does so for one of the wrong type as well, but then
//! [`super::check`] has reported it and nothing is built from the document.

use super::source::Place;
use super::tree::{Entry, Node, Value};

/// The fields of one mapping.
#[derive(Clone, Copy)]
pub(super) struct Fields<'n, 'a>(&'n [Entry<'a>]);

impl<'n, 'a> Fields<'n, 'a> {
    /// The fields of a node that is a mapping.
    pub fn of(node: &'n Node<'a>) -> Option<Self> {
        match &node.value {
            Value::Fields(entries) => Some(Self(entries)),
            Value::Nothing
            | Value::Switch(_)
            | Value::Integer(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_) => None,
        }
    }

    fn entry(self, name: &str) -> Option<&'n Entry<'a>> {
        self.0.iter().find(|entry| entry.name == name)
    }

    /// Whether the field is there, whatever it holds.
    pub fn has(self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Where the key of a field stands.
    pub fn key_place(self, name: &str) -> Option<Place> {
        self.entry(name).map(|entry| entry.place)
    }

    /// Where the value of a field stands.
    pub fn place(self, name: &str) -> Option<Place> {
        self.entry(name).map(|entry| entry.node.place)
    }

    pub fn node(self, name: &str) -> Option<&'n Node<'a>> {
        self.entry(name).map(|entry| &entry.node)
    }

    pub fn fields(self, name: &str) -> Option<Self> {
        Self::of(self.node(name)?)
    }

    pub fn text(self, name: &str) -> Option<&'n str> {
        self.node(name)?.text()
    }

    /// A text that was checked to parse.
    pub fn parsed<T: std::str::FromStr>(self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    pub fn switch(self, name: &str) -> Option<bool> {
        match self.node(name)?.value {
            Value::Switch(value) => Some(value),
            Value::Nothing
            | Value::Integer(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Fields(_) => None,
        }
    }

    pub fn integer<T: TryFrom<i64>>(self, name: &str) -> Option<T> {
        match self.node(name)?.value {
            Value::Integer(value) => T::try_from(value).ok(),
            Value::Nothing
            | Value::Switch(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Fields(_) => None,
        }
    }

    pub fn number(self, name: &str) -> Option<f64> {
        match self.node(name)?.value {
            Value::Integer(value) => Some(value as f64),
            Value::Number(value) => Some(value),
            Value::Nothing | Value::Switch(_) | Value::Text(_) | Value::List(_) | Value::Fields(_) => None,
        }
    }

    /// The items of a list; none for a field that is not there.
    pub fn items(self, name: &str) -> &'n [Node<'a>] {
        match self.node(name).map(|node| &node.value) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// The texts of a list, each parsed.
    pub fn parsed_items<T: std::str::FromStr>(self, name: &str) -> Vec<T> {
        self.items(name).iter().filter_map(|node| node.text()?.parse().ok()).collect()
    }
}

impl<'a> Node<'a> {
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Nothing
            | Value::Switch(_)
            | Value::Integer(_)
            | Value::Number(_)
            | Value::List(_)
            | Value::Fields(_) => None,
        }
    }
}
