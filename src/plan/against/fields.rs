//! Documents as fields with values, so that all of them are compared in one way.

use std::collections::BTreeSet;

use super::{FieldChange, Widening};

/// One field of a document.
pub(super) struct Field {
    name: &'static str,
    value: Value,
    /// Why a value that comes opens more.
    widens_coming: Option<Widening>,
    /// Why a value that goes opens more.
    widens_going: Option<Widening>,
    /// Why another value opens more.
    widens_changing: Option<Widening>,
}

enum Value {
    /// `None`: the document does not have it.
    One(Option<String>),
    /// Items in no order.
    Many(BTreeSet<String>),
}

impl Field {
    /// A field with at most one value.
    pub fn one(name: &'static str, value: Option<impl ToString>) -> Self {
        let value = Value::One(value.map(|value| value.to_string()));
        Self { name, value, widens_coming: None, widens_going: None, widens_changing: None }
    }

    /// A list whose order has no meaning.
    pub fn many(name: &'static str, items: impl IntoIterator<Item = impl ToString>) -> Self {
        let value = Value::Many(items.into_iter().map(|item| item.to_string()).collect());
        Self { name, value, widens_coming: None, widens_going: None, widens_changing: None }
    }

    /// A value that was not there before opens more.
    pub fn widens_coming(self, why: Widening) -> Self {
        Self { widens_coming: Some(why), ..self }
    }

    /// A value that is not there any more opened less.
    pub fn widens_going(self, why: Widening) -> Self {
        Self { widens_going: Some(why), ..self }
    }

    /// A value instead of another one opens more.
    pub fn widens_changing(self, why: Widening) -> Self {
        Self { widens_changing: Some(why), ..self }
    }
}

/// Compares the fields of two documents of one kind, which have the same fields in the same order.
pub(super) fn compare_fields(before: Vec<Field>, after: Vec<Field>) -> Vec<(FieldChange, Option<Widening>)> {
    let mut changes = Vec::new();
    for (old, new) in before.into_iter().zip(after) {
        let field = new.name;
        match (old.value, new.value) {
            (Value::One(from), Value::One(to)) if from != to => {
                let widens = match (&from, &to) {
                    (None, _) => new.widens_coming,
                    (_, None) => new.widens_going,
                    (Some(_), Some(_)) => new.widens_changing,
                };
                changes.push((FieldChange { field, from, to }, widens));
            }
            (Value::Many(from), Value::Many(to)) => {
                let gone = from
                    .difference(&to)
                    .map(|item| (FieldChange { field, from: Some(item.clone()), to: None }, new.widens_going));
                let come = to
                    .difference(&from)
                    .map(|item| (FieldChange { field, from: None, to: Some(item.clone()) }, new.widens_coming));
                changes.extend(gone.chain(come));
            }
            // Equal, or not the same field: which a table that both sides share does not have.
            (Value::One(_), Value::One(_)) | (Value::One(_), Value::Many(_)) | (Value::Many(_), Value::One(_)) => {}
        }
    }
    changes
}
