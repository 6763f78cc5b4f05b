//! The kinds of document, and reading one document of any kind.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::check;
use super::cluster::{self, ClusterDraft};
use super::fields::Fields;
use super::grammar::{Choice, Field, Object, Shape};
use super::nearest;
use super::reader::Reader;
use super::source::{At, Place};
use super::store::{self, StoreDraft};
use super::text::{CLUSTER_NAME, NAME, STORE_NAME};
use super::tree::Node;
use super::user::{self, UserDraft};
use super::value::StorePath;
use super::wording::{list, quoted};
use crate::diagnostic::Finding;
use crate::names::{ClusterName, NamespacedName, Segment, StoreName, UserName};

/// The version of the grammar.
pub(super) const API_VERSION: &str = "kastellan.io/v1alpha1";

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Where records and credentials live.
    CredentialStore,
    /// One Kafka.
    KafkaCluster,
    /// One user.
    KafkaUser,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::CredentialStore, Self::KafkaCluster, Self::KafkaUser];

    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CredentialStore => "CredentialStore",
            Self::KafkaCluster => "KafkaCluster",
            Self::KafkaUser => "KafkaUser",
        }
    }

    /// The table of a whole document.
    pub(super) fn table(self) -> &'static Object {
        match self {
            Self::CredentialStore => &STORE_DOCUMENT,
            Self::KafkaCluster => &CLUSTER_DOCUMENT,
            Self::KafkaUser => &USER_DOCUMENT,
        }
    }
}

static API_VERSIONS: [Choice; 1] = [Choice::now(API_VERSION)];

const LABELS: Field = Field::optional("labels", "Labels; Kastellan does not look at them.", Shape::Texts);
const ANNOTATIONS: Field = Field::optional(
    "annotations",
    "Annotations; Kastellan looks at `kastellan.io/other-operator` alone.",
    Shape::Texts,
);

/// Says which other operator manages the user in Kafka as well; [`import`](super::Origin) writes it. Its one value.
pub(super) const OTHER_OPERATOR: &str = "kastellan.io/other-operator";
/// Strimzi's User Operator.
pub(super) const STRIMZI: &str = "strimzi";

/// Defines the table of a kind's whole document.
macro_rules! document {
    ($table:ident, $kind:ident, $metadata:ident, [$($name_field:expr),+], $spec:path) => {
        static $metadata: Object = Object::new("What the document is called.", &[$($name_field,)+ LABELS, ANNOTATIONS]);
        static $table: Object = Object::new(
            $spec.about,
            &[
                Field::required("apiVersion", "Version of the grammar.", Shape::Choice(&API_VERSIONS)),
                Field::required("kind", "Kind of document.", Shape::Choice(&[Choice::now(Kind::$kind.as_str())])),
                Field::required("metadata", $metadata.about, Shape::Object(&$metadata)),
                Field::required("spec", $spec.about, Shape::Object(&$spec)),
            ],
        );
    };
}

document!(
    STORE_DOCUMENT,
    CredentialStore,
    STORE_METADATA,
    [Field::required("name", "Name of the store, e.g. `local`.", STORE_NAME)],
    store::SPEC
);
document!(
    CLUSTER_DOCUMENT,
    KafkaCluster,
    CLUSTER_METADATA,
    [Field::required("name", "Name of the cluster, e.g. `prod`.", CLUSTER_NAME)],
    cluster::SPEC
);
document!(
    USER_DOCUMENT,
    KafkaUser,
    USER_METADATA,
    [
        Field::required("name", "Name of the user, e.g. `payments`.", NAME),
        Field::optional("namespace", "Namespace of the user; `default` by default.", NAME)
    ],
    user::SPEC
);

/// What has been read so far, in the order of reading.
#[derive(Default)]
pub(super) struct Drafts {
    pub stores: Vec<StoreDraft>,
    pub clusters: Vec<ClusterDraft>,
    pub users: Vec<UserDraft>,
    /// Every document with a name, also those in which something is wrong: a reference to one is no second mistake.
    pub store_names: BTreeMap<StoreName, At>,
    pub cluster_names: BTreeMap<ClusterName, At>,
    pub user_names: BTreeMap<NamespacedName, At>,
    /// Names in Kafka that Strimzi's User Operator manages too, as the documents say.
    pub strimzi: BTreeSet<UserName>,
    /// Documents of whatever content.
    pub count: usize,
}

/// Reads one document into the drafts, unless something is wrong with it.
pub(super) fn read(reader: &mut Reader<'_, '_>, drafts: &mut Drafts, root: &Node<'_>) {
    drafts.count += 1;
    let errors = reader.report.errors();
    let start = Place { start: root.place.start, length: 1 };
    let Some(fields) = Fields::of(root) else {
        let finding = Finding::error(
            "wrong-type",
            "a document must be a mapping with `apiVersion`, `kind`, `metadata` and `spec`",
        );
        reader.find(start, finding);
        return;
    };
    let Some(kind) = read_kind(reader, fields, start) else { return };
    check::check(reader.report, reader.source, root, kind.table());
    let Some(metadata) = fields.fields("metadata") else { return };
    let name = metadata.place("name").unwrap_or(start);
    let location = reader.location(start);
    // An identity is noted even where the rest is wrong; what is built further needs a document without errors.
    let spec = fields.fields("spec").filter(|_| reader.report.errors() == errors);
    match kind {
        Kind::CredentialStore => {
            let Some(identity) = metadata.parsed::<StoreName>("name") else { return };
            note(reader, &mut drafts.store_names, kind, identity.clone(), name);
            if let Some(spec) = spec {
                let draft = store::read(reader, identity, location, spec);
                keep(reader, &mut drafts.stores, draft, errors, start);
            }
        }
        Kind::KafkaCluster => {
            let Some(identity) = metadata.parsed::<ClusterName>("name") else { return };
            note(reader, &mut drafts.cluster_names, kind, identity.clone(), name);
            if let Some(spec) = spec {
                let draft = cluster::read(reader, identity, location, spec);
                keep(reader, &mut drafts.clusters, draft, errors, start);
            }
        }
        Kind::KafkaUser => {
            let identity = read_identity(reader, metadata);
            if let Some(identity) = &identity {
                note(reader, &mut drafts.user_names, kind, identity.clone(), name);
            }
            match (identity, spec) {
                (Some(identity), Some(spec)) => {
                    let draft = user::read(reader, identity, location, name, spec);
                    if is_strimzis_too(metadata) {
                        drafts.strimzi.extend(draft.iter().map(|draft| draft.username.clone()));
                    }
                    keep(reader, &mut drafts.users, draft, errors, start);
                }
                _ => {
                    if let Some(spec) = fields.fields("spec") {
                        user::report_acls(reader, spec);
                    }
                }
            }
        }
    }
}

fn is_strimzis_too(metadata: Fields<'_, '_>) -> bool {
    metadata.fields("annotations").and_then(|annotations| annotations.text(OTHER_OPERATOR)) == Some(STRIMZI)
}

/// More names than this do not go into a pattern that a person can read.
const PATTERN_NAMES_MAX: usize = 20;

/// Says of users that Strimzi's User Operator manages too that it removes what it does not know, and how to stop it.
pub(super) fn warn_of_other_operators(report: &mut super::report::Report<'_>, drafts: &Drafts) {
    let count = drafts.strimzi.len();
    if count == 0 {
        return;
    }
    let names = drafts.strimzi.iter().take(PATTERN_NAMES_MAX).map(UserName::as_str);
    let (named, pattern) = if count > PATTERN_NAMES_MAX {
        (format!("{} and {} more", list(names), count - PATTERN_NAMES_MAX), ".*".to_owned())
    } else {
        let escaped = names.clone().map(java_literal).collect::<Vec<_>>();
        (list(names), escaped.join("|"))
    };
    let message = format!(
        "Strimzi's User Operator still manages {named}, as `metadata.annotations` says (`{OTHER_OPERATOR}: {STRIMZI}`): it \
         writes their credential, ACLs and quotas anew every two minutes, and removes those of a user without KafkaUser"
    );
    let hint = format!(
        "set `STRIMZI_IGNORED_USERS_PATTERN={pattern}` for the User Operator, stop it, `kubectl delete kafkauser \
         --cascade=orphan`, start it, then remove the annotation; examples/from-strimzi/README.md has the steps"
    );
    report.anywhere(Finding::warning("other-operator", message).hint(hint));
}

/// A name as a Java regular expression that matches it alone.
fn java_literal(name: &str) -> String {
    let mut literal = String::with_capacity(name.len());
    for character in name.chars() {
        if !character.is_alphanumeric() && !matches!(character, '-' | '_') {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal
}

/// Keeps what was read. Nothing read and nothing said would lose a document without a word: that is a bug of ours.
fn keep<D>(reader: &mut Reader<'_, '_>, drafts: &mut Vec<D>, draft: Option<D>, errors: usize, start: Place) {
    if draft.is_none() && reader.report.errors() == errors {
        let message = "the document passed every check and could not be read; please report this";
        reader.find(start, Finding::error("internal", message));
    }
    drafts.extend(draft);
}

/// The kind of a document, if its version is ours as well.
fn read_kind(reader: &mut Reader<'_, '_>, fields: Fields<'_, '_>, start: Place) -> Option<Kind> {
    if let Some(version) = fields.text("apiVersion").filter(|version| *version != API_VERSION) {
        let finding = Finding::error("unknown-api-version", format!("unknown apiVersion {}", quoted(version)));
        let place = fields.place("apiVersion").unwrap_or(start);
        reader.find(place, finding.hint(format!("this version reads `{API_VERSION}`")));
        return None;
    }
    let Some(text) = fields.text("kind") else {
        let finding = Finding::error("missing-field", "the document lacks the field `kind`");
        let place = fields.key_place("kind").unwrap_or(start);
        reader.find(place, finding.hint("one of `CredentialStore`, `KafkaCluster`, `KafkaUser`"));
        return None;
    };
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
    if kind.is_none() {
        let mut finding = Finding::error("unknown-kind", format!("unknown kind {}", quoted(text)));
        finding.hint = nearest::hint(text, Kind::ALL.into_iter().map(Kind::as_str));
        reader.find(fields.place("kind").unwrap_or(start), finding);
    }
    kind
}

fn read_identity(reader: &mut Reader<'_, '_>, metadata: Fields<'_, '_>) -> Option<NamespacedName> {
    let name = reader.name(metadata, "name", Segment::interned)?;
    let namespace = match metadata.text("namespace") {
        Some(text) => Segment::interned(text, reader.interner).ok()?,
        None => Segment::interned(NamespacedName::DEFAULT_NAMESPACE, reader.interner).ok()?,
    };
    if namespace.as_str() == StorePath::RESERVED {
        let message = format!("the namespace `{namespace}` is Kastellan's own");
        reader.find(metadata.place("namespace")?, Finding::error("wrong-value", message));
    }
    Some(NamespacedName { namespace, name })
}

/// Remembers a document, or reports the second one of the same identity.
fn note<N: Ord + std::fmt::Display>(
    reader: &mut Reader<'_, '_>,
    names: &mut BTreeMap<N, At>,
    kind: Kind,
    name: N,
    place: Place,
) {
    let at = reader.at(place);
    match names.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert(at);
        }
        Entry::Occupied(entry) => {
            let first = reader.report.source(entry.get().source).location(entry.get().place);
            let message = format!("a second {} `{}`; the first is at {first}", kind.as_str(), entry.key());
            reader.report.at(at, Finding::error("duplicate-document", message).hint("remove or rename one"));
        }
    }
}
