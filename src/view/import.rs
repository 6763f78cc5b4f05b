//! The picture of an import: who was taken over, who was already, and who was not and why.

use std::fmt::Write as _;

use super::markup::harmless;
use super::number::counted;
use crate::names::NamespacedName;

/// What an import did, or would do. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportView {
    /// `kastellan.io/import/v1alpha1`.
    pub schema: &'static str,
    /// The cluster that the users are on.
    pub cluster: String,
    /// The store that keeps them.
    pub store: String,
    /// Whether nothing was written: it was only asked what would be.
    pub dry_run: bool,
    /// Users that are managed from now on, sorted.
    pub imported: Vec<ImportedView>,
    /// Users that were managed before, sorted.
    pub before: Vec<NamespacedName>,
    /// Users that were not taken over, sorted.
    pub refused: Vec<RefusedView>,
}

/// A user that was taken over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportedView {
    /// The user.
    pub user: NamespacedName,
    /// Its name in Kafka.
    pub username: String,
    /// The mechanism of its credential.
    pub mechanism: &'static str,
    /// Another mechanism by which Kafka has a credential of the same name, whose password nobody gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<&'static str>,
    /// The file of its document.
    pub document: String,
}

/// A user that was not taken over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedView {
    /// The user.
    pub user: NamespacedName,
    /// Why not.
    pub why: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ImportView {
    /// The name of this form.
    pub const SCHEMA: &'static str = "kastellan.io/import/v1alpha1";
}

/// The text for people.
pub fn import_text(view: &ImportView) -> String {
    let mut text = String::new();
    let ImportView { cluster, store, imported, before, refused, dry_run, .. } = view;
    let verb = if *dry_run { "Would import" } else { "Imported" };
    let _ = writeln!(text, "{verb} {} of cluster `{cluster}` into store `{store}`.", counted(imported.len(), "user"));
    for ImportedView { user, mechanism, beside, document, .. } in imported {
        let beside = beside.map(|beside| format!("; {beside} stays beside it until the first rotation"));
        let line = format!("{user}  {mechanism}{}  {document}", beside.unwrap_or_default());
        let _ = writeln!(text, "  + {}", harmless(&line));
    }
    if !before.is_empty() {
        let _ = writeln!(text, "Managed before: {}.", counted(before.len(), "user"));
    }
    if !refused.is_empty() {
        let _ = writeln!(text, "Not imported: {}.", counted(refused.len(), "user"));
    }
    for RefusedView { user, why, hint } in refused {
        let _ = writeln!(text, "  ! {}", harmless(&format!("{user}: {why}")));
        if let Some(hint) = hint {
            let _ = writeln!(text, "      hint: {}", harmless(hint));
        }
    }
    let _ = match dry_run {
        true => writeln!(text, "Nothing was written."),
        false => writeln!(text, "Nothing was written to Kafka or Kubernetes."),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_who_was_taken_over_and_who_was_not() {
        let imported = |name: &str, beside| ImportedView {
            user: name.parse().unwrap(),
            username: name.to_owned(),
            mechanism: "SCRAM-SHA-512",
            beside,
            document: format!("kastellan/users/{name}.yaml"),
        };
        let refused = RefusedView {
            user: "kafka/reports".parse().unwrap(),
            why: "the password does not log in".to_owned(),
            hint: Some("find the right one".to_owned()),
        };
        let mut view = ImportView {
            schema: ImportView::SCHEMA,
            cluster: "prod".to_owned(),
            store: "vault".to_owned(),
            dry_run: false,
            imported: vec![imported("kafka/orders", None), imported("kafka/payments", Some("SCRAM-SHA-256"))],
            before: vec!["kafka/billing".parse().unwrap()],
            refused: vec![refused],
        };
        insta::assert_snapshot!(import_text(&view));
        view.dry_run = true;
        assert!(import_text(&view).starts_with("Would import 2 users"));
    }
}
