//! Which users a command is about.

use std::collections::BTreeSet;

use super::arguments::UserArguments;
use super::output;
use crate::diagnostic::ExitStatus;
use crate::names::{NamespacedName, Segment};
use crate::spec;

/// Picks the users that were named, or all, from those there are.
///
/// # Errors
/// The status to exit with where a name fits nobody, or more than one; it is said already.
pub(super) fn select<'a>(
    arguments: &UserArguments,
    known: impl Iterator<Item = &'a NamespacedName>,
) -> Result<BTreeSet<NamespacedName>, ExitStatus> {
    let namespace = arguments.namespace.as_ref();
    if arguments.users.is_empty() {
        return Ok(all(namespace, known).cloned().collect());
    }
    named(&arguments.users, namespace, known)
}

/// Every user of a namespace, or of all.
pub(super) fn all<'a>(
    namespace: Option<&Segment>,
    known: impl Iterator<Item = &'a NamespacedName>,
) -> impl Iterator<Item = &'a NamespacedName> {
    known.filter(move |user| namespace.is_none_or(|namespace| user.namespace == *namespace))
}

/// Picks the users that were named from those there are; none where none is named.
///
/// # Errors
/// The status to exit with where a name fits nobody, or more than one; it is said already.
pub(super) fn named<'a>(
    names: &[String],
    namespace: Option<&Segment>,
    known: impl Iterator<Item = &'a NamespacedName>,
) -> Result<BTreeSet<NamespacedName>, ExitStatus> {
    let known = all(namespace, known).collect::<BTreeSet<_>>();
    names.iter().map(|text| one(text, namespace, &known)).collect()
}

fn one(
    text: &str,
    namespace: Option<&Segment>,
    known: &BTreeSet<&NamespacedName>,
) -> Result<NamespacedName, ExitStatus> {
    let fits = |user: &&&NamespacedName| match text.split_once('/') {
        Some((namespace, name)) => user.namespace.as_str() == namespace && user.name.as_str() == name,
        None => user.name.as_str() == text,
    };
    let found = known.iter().filter(fits).collect::<Vec<_>>();
    match found.as_slice() {
        [user] => Ok((**user).clone()),
        [] => {
            let place = namespace.map(|namespace| format!(" in namespace `{namespace}`")).unwrap_or_default();
            output::error(&format!("there is no user `{text}`{place}"), Some(&hint(text, known)));
            Err(ExitStatus::Failed)
        }
        several => {
            let names = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let hint = "name it with its namespace, or pass `-n`".to_owned();
            output::error(&format!("`{text}` is ambiguous: {names}"), Some(&hint));
            Err(ExitStatus::Failed)
        }
    }
}

/// The nearest name, whole where the user was named with its namespace.
fn hint(text: &str, known: &BTreeSet<&NamespacedName>) -> String {
    let wholes = known.iter().map(ToString::to_string).collect::<Vec<_>>();
    let names = known.iter().map(|user| user.name.as_str());
    let near = if text.contains('/') { None } else { spec::nearest_name(text, names) };
    match near.or_else(|| spec::nearest_name(text, wholes.iter().map(String::as_str))) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "`kastellan status` lists them".to_owned(),
    }
}
