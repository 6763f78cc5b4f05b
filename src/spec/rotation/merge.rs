//! A document over the defaults of its clusters, field by field.

use std::fmt::Display;
use std::time::Duration;

use super::super::value::format_duration;
use super::StatedRotation;
use crate::diagnostic::Finding;
use crate::names::ClusterName;

/// What holds for a user: what its document states, and for the rest what its clusters state as defaults. A cluster that
/// does not state a field leaves it to the others.
///
/// # Errors
/// A finding for each field that the document leaves out and two clusters state differently: one credential cannot follow
/// both.
pub(in super::super) fn merge(
    stated: &StatedRotation,
    defaults: &[(&ClusterName, &StatedRotation)],
) -> Result<StatedRotation, Vec<Finding>> {
    let mut merger = Merger { defaults, conflicts: Vec::new() };
    let of_duration = |duration: &Duration| format_duration(*duration);
    let merged = StatedRotation {
        every: merger.field("every", stated, |from| from.every, of_duration),
        strategy: merger.field("strategy", stated, |from| from.strategy, shown),
        overlap: merger.field("overlap", stated, |from| from.overlap, of_duration),
        confirm: merger.field("confirm", stated, |from| from.confirm, shown),
        allow_downtime: merger.field("allowDowntime", stated, |from| from.allow_downtime, shown),
        clients_read_mechanism: merger.field("clientsReadMechanism", stated, |from| from.clients_read_mechanism, shown),
    };
    if merger.conflicts.is_empty() { Ok(merged) } else { Err(merger.conflicts) }
}

fn shown<T: Display>(value: &T) -> String {
    value.to_string()
}

struct Merger<'a> {
    defaults: &'a [(&'a ClusterName, &'a StatedRotation)],
    conflicts: Vec<Finding>,
}

impl Merger<'_> {
    fn field<T: PartialEq>(
        &mut self,
        name: &str,
        stated: &StatedRotation,
        value_of: fn(&StatedRotation) -> Option<T>,
        text: impl Fn(&T) -> String,
    ) -> Option<T> {
        if let Some(value) = value_of(stated) {
            return Some(value);
        }
        let mut defaults = self.defaults.iter().filter_map(|(cluster, from)| Some((cluster, value_of(from)?)));
        let (first, value) = defaults.next()?;
        if let Some((second, other)) = defaults.find(|(_, other)| *other != value) {
            let (value, other) = (text(&value), text(&other));
            let message = format!(
                "the defaults of the clusters differ: `rotation.{name}` is `{value}` for `{first}` and `{other}` for \
                 `{second}`"
            );
            let hint = format!("one credential serves both; state it here: `rotation: {{{name}: …}}`");
            self.conflicts.push(Finding::error("differing-defaults", message).hint(hint));
        }
        Some(value)
    }
}
