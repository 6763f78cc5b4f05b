//! Holds a tree against the grammar: unknown fields, missing fields, wrong types, wrong values, what is not built yet.
//!
//! Everything that can be said about one value alone is said here, so that one run reports all of it. What passes has the
//! shape of its table, and [`super::fields`] reads it.

use super::grammar::{Built, Choice, Field, Object, Presence, Shape, Text};
use super::nearest;
use super::report::Report;
use super::source::{At, Place};
use super::tree::{Entry, Node, Value};
use super::wording::{list, quoted};
use crate::diagnostic::Finding;

/// Most unknown fields of a mapping that are looked at for a mistyped one: comparing names takes time, and a hostile
/// document may have many.
const UNKNOWN_FIELDS_MAX: usize = 20;

/// Checks one document, whose root is a mapping, against the table of its kind.
pub(super) fn check(report: &mut Report<'_>, source: u32, root: &Node<'_>, object: &'static Object) {
    let mut checker = Checker { report, source, path: Vec::new(), hushed: false };
    let start = Place { start: root.place.start, length: 1 };
    checker.value(start, root, &Shape::Object(object));
}

/// One step from a value into what it holds.
enum Step {
    Field(&'static str),
    Item(usize),
}

struct Checker<'r, 's> {
    report: &'r mut Report<'s>,
    source: u32,
    path: Vec<Step>,
    /// Inside of something that may be a secret written in place.
    hushed: bool,
}

impl Checker<'_, '_> {
    fn find(&mut self, place: Place, finding: Finding) {
        let at = At { source: self.source, place };
        if self.hushed { self.report.hushed(at, finding) } else { self.report.at(at, finding) }
    }

    /// The path so far in backticks, e.g. `` `spec.deliver[1].file` ``; "the document" at its root.
    fn here(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => path.extend([".", name]),
                Step::Item(index) => path.push_str(&format!("[{index}]")),
            }
        }
        if path.is_empty() { "the document".to_owned() } else { format!("`{path}`") }
    }

    /// Checks a value; `key` is the place of its key, which is shown where the value has no good place of its own.
    fn value(&mut self, key: Place, node: &Node<'_>, shape: &Shape) {
        match (shape, &node.value) {
            (Shape::Text(text), Value::Text(value)) => self.text(node.place, text, value),
            (Shape::Switch, Value::Switch(_)) => {}
            (Shape::Integer { min, max }, Value::Integer(value)) => {
                if !(*min..=*max).contains(value) {
                    let message = format!("{} must be {}, not {value}", self.here(), shape.what());
                    self.find(node.place, Finding::error("wrong-value", message));
                }
            }
            (Shape::Positive, Value::Integer(value)) => self.positive(node.place, *value as f64),
            (Shape::Positive, Value::Number(value)) => self.positive(node.place, *value),
            (Shape::Choice(choices), Value::Text(value)) => self.choice(node.place, choices, value),
            (Shape::List { item, presence }, Value::List(items)) => self.list(key, item, *presence, items),
            (Shape::Object(object), Value::Fields(entries)) => self.object(key, object, entries),
            (Shape::Reference(object), Value::Fields(entries)) => {
                let outside = std::mem::replace(&mut self.hushed, true);
                self.object(key, object, entries);
                self.hushed = outside;
            }
            (Shape::Texts, Value::Fields(entries)) => self.texts(entries),
            (Shape::Open, _) => {}
            _ => self.wrong_type(key, node, shape),
        }
    }

    fn text(&mut self, place: Place, text: &Text, value: &str) {
        if let Err(reason) = (text.check)(value) {
            self.find(place, Finding::error("wrong-value", format!("{}: {reason}", self.here())));
        }
    }

    fn positive(&mut self, place: Place, value: f64) {
        if !(value > 0.0 && value.is_finite()) {
            let message = format!("{} must be {}, not {value}", self.here(), Shape::Positive.what());
            self.find(place, Finding::error("wrong-value", message));
        }
    }

    fn choice(&mut self, place: Place, choices: &'static [Choice], value: &str) {
        match choices.iter().find(|choice| choice.text == value) {
            Some(Choice { built: Built::Now, .. }) => {}
            Some(Choice { text, built: Built::Later(instead) }) => {
                let here = self.here();
                let message = format!("`{}: {text}` is not built yet; {instead}", here.trim_matches('`'));
                self.find(place, Finding::error("not-built", message));
            }
            None => {
                let names = choices.iter().map(|choice| choice.text);
                let message = format!("{} cannot be {}", self.here(), quoted(value));
                let mut finding = Finding::error("wrong-value", message);
                finding.hint = nearest::hint(value, names);
                self.find(place, finding);
            }
        }
    }

    fn list(&mut self, key: Place, item: &Shape, presence: Presence, items: &[Node<'_>]) {
        if items.is_empty() && presence == Presence::Required {
            self.find(key, Finding::error("wrong-value", format!("{} needs at least one item", self.here())));
        }
        for (index, node) in items.iter().enumerate() {
            self.path.push(Step::Item(index));
            let start = Place { start: node.place.start, length: node.place.length.max(1) };
            self.value(start, node, item);
            self.path.pop();
        }
    }

    fn texts(&mut self, entries: &[Entry<'_>]) {
        for entry in entries {
            if !matches!(entry.node.value, Value::Text(_)) {
                let message = format!("{} of {} must be a text", quoted(&entry.name), self.here());
                self.find(entry.place, Finding::error("wrong-type", message).hint("put it in quotes"));
            }
        }
    }

    fn object(&mut self, key: Place, object: &'static Object, entries: &[Entry<'_>]) {
        for entry in entries {
            match object.field(&entry.name) {
                Some(field) => self.field(entry, field),
                None => self.unknown(object, entry),
            }
        }
        let is_there = |name: &str| entries.iter().any(|entry| entry.name == name);
        // A field that is only mistyped has been reported as that.
        let is_mistyped = |name: &str| {
            let unknown = entries.iter().filter(|entry| object.field(&entry.name).is_none());
            unknown.take(UNKNOWN_FIELDS_MAX).any(|entry| nearest::nearest(&entry.name, object.names()) == Some(name))
        };
        for field in object.fields {
            if field.presence == Presence::Required && !is_there(field.name) && !is_mistyped(field.name) {
                let message = format!("{} lacks the field `{}`", self.here(), field.name);
                let hint = format!("`{}`: {}", field.name, field.about);
                self.find(key, Finding::error("missing-field", message).hint(hint));
            }
        }
        let alternatives = object.one_of.iter().filter(|name| is_there(name)).count();
        if !object.one_of.is_empty() && alternatives != 1 && !object.one_of.iter().any(|name| is_mistyped(name)) {
            let names = list(object.one_of.iter().copied());
            let message = format!("{} needs exactly one of {names}", self.here());
            self.find(key, Finding::error("missing-field", message));
        }
    }

    fn field(&mut self, entry: &Entry<'_>, field: &'static Field) {
        self.path.push(Step::Field(field.name));
        let outside = self.hushed;
        self.hushed |= matches!(field.shape, Shape::Reference(_)) && !matches!(entry.node.value, Value::Fields(_));
        if let Built::Later(instead) = field.built {
            let message = format!("{} is not built yet; {instead}", self.here());
            self.find(entry.place, Finding::error("not-built", message));
        }
        self.value(entry.place, &entry.node, &field.shape);
        self.hushed = outside;
        self.path.pop();
    }

    fn unknown(&mut self, object: &'static Object, entry: &Entry<'_>) {
        let message = match self.hushed {
            true => format!("unknown field in {}", self.here()),
            false => format!("unknown field {} in {}", quoted(&entry.name), self.here()),
        };
        let mut finding = Finding::error("unknown-field", message);
        if self.report.has_room() {
            finding.hint = nearest::hint(&entry.name, object.names());
        }
        self.find(entry.place, finding);
    }

    fn wrong_type(&mut self, key: Place, node: &Node<'_>, shape: &Shape) {
        let (found, place) = match &node.value {
            Value::Nothing => ("nothing".to_owned(), key),
            Value::Switch(value) => (format!("`{value}`"), node.place),
            Value::Integer(value) => (format!("the number {value}"), node.place),
            Value::Number(value) => (format!("the number {value}"), node.place),
            Value::Text(_) => ("a text".to_owned(), node.place),
            Value::List(_) => ("a list".to_owned(), key),
            Value::Fields(_) => ("a mapping".to_owned(), key),
        };
        let found = if self.hushed && !matches!(node.value, Value::Nothing) { "a value".to_owned() } else { found };
        let mut finding =
            Finding::error("wrong-type", format!("{} must be {}, not {found}", self.here(), shape.what()));
        finding.hint = self.type_hint(node, shape);
        self.find(place, finding);
    }

    fn type_hint(&self, node: &Node<'_>, shape: &Shape) -> Option<String> {
        let written = || {
            let (start, length) = (node.place.start as usize, node.place.length as usize);
            self.report.source(self.source).text.get(start..start + length).unwrap_or("").trim().to_owned()
        };
        match (shape, &node.value) {
            (Shape::Reference(_), _) => Some("documents hold references to secrets, never secrets".to_owned()),
            (_, Value::Nothing) => Some("write a value, or remove the field".to_owned()),
            (Shape::Text(text), Value::Switch(_) | Value::Integer(_) | Value::Number(_)) if !self.hushed => {
                let written = written();
                (text.check)(&written).is_ok().then(|| format!("put it in quotes: \"{written}\""))
            }
            (Shape::Integer { .. } | Shape::Positive, Value::Text(value)) => {
                value.parse::<f64>().is_ok().then(|| "remove the quotes".to_owned())
            }
            (Shape::Switch, Value::Text(value)) => match &**value {
                "true" | "false" => Some("remove the quotes".to_owned()),
                "yes" | "on" => Some("write `true`".to_owned()),
                "no" | "off" => Some("write `false`".to_owned()),
                _ => None,
            },
            (Shape::List { .. }, Value::Text(_)) => Some("put it in brackets: […]".to_owned()),
            _ => None,
        }
    }
}
