//! Which users a command is about.

use std::collections::BTreeSet;

use super::arguments::UserArguments;
use super::output;
use crate::diagnostic::ExitStatus;
use crate::names::NamespacedName;

/// Picks the users that were named, or all, from those there are.
///
/// # Errors
/// The status to exit with where a name fits nobody, or more than one; it is said already.
pub(super) fn select<'a>(
    arguments: &UserArguments,
    known: impl Iterator<Item = &'a NamespacedName>,
) -> Result<BTreeSet<NamespacedName>, ExitStatus> {
    let in_namespace =
        |user: &&NamespacedName| arguments.namespace.as_ref().is_none_or(|namespace| user.namespace == *namespace);
    let known = known.filter(in_namespace).collect::<BTreeSet<_>>();
    if arguments.users.is_empty() {
        return Ok(known.into_iter().cloned().collect());
    }
    let mut selected = BTreeSet::new();
    for text in &arguments.users {
        let fits = |user: &&&NamespacedName| match text.split_once('/') {
            Some((namespace, name)) => user.namespace.as_str() == namespace && user.name.as_str() == name,
            None => user.name.as_str() == text,
        };
        let found = known.iter().filter(fits).collect::<Vec<_>>();
        match found.as_slice() {
            [user] => drop(selected.insert((**user).clone())),
            [] => {
                output::error(&format!("there is no user `{text}`"), Some(&"`kastellan status` lists them".to_owned()));
                return Err(ExitStatus::Failed);
            }
            several => {
                let names = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let hint = "name it with its namespace, or pass `-n`".to_owned();
                output::error(&format!("`{text}` is ambiguous: {names}"), Some(&hint));
                return Err(ExitStatus::Failed);
            }
        }
    }
    Ok(selected)
}
