//! `kubernetesSecret`: a credential as a Kubernetes Secret.

use std::collections::BTreeMap;

use super::deliver::{CLUSTER, SECRET_FORMAT, SECRET_NAME, SECRET_NAMESPACE};
use super::fields::Fields;
use super::grammar::{Choice, Field, Object, Shape};
use super::nearest;
use super::reader::Reader;
use super::rotation::Carries;
use super::source::Place;
use super::text::ANY_TEXT;
use super::tree::{Entry, Value};
use super::workload::{self, RESTART, Workload};
use crate::diagnostic::Finding;
use crate::names::Segment;

/// Where a Secret lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretPlace {
    /// Context of the kubeconfig; `None`: the current one, or the cluster that Kastellan runs in.
    pub context: Option<String>,
    /// Namespace, e.g. `payments`.
    pub namespace: Segment,
    /// Name, e.g. `payments-kafka`.
    pub name: Segment,
}

/// A Kubernetes Secret that a credential is published to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretDelivery {
    /// Where it lies.
    pub place: SecretPlace,
    /// Which keys it has.
    pub format: SecretFormat,
    /// Other names for keys, by the format's own.
    pub keys: BTreeMap<String, String>,
    /// Labels beside Kastellan's own.
    pub labels: BTreeMap<String, String>,
    /// Annotations beside Kastellan's own.
    pub annotations: BTreeMap<String, String>,
    /// Whether a Secret that exists is taken over.
    pub adopt: bool,
    /// What a rotation restarts once the Secret holds the new credential; sorted.
    pub restart: Vec<Workload>,
}

/// Formats of a Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretFormat {
    /// What Strimzi's User Operator writes: `password` and `sasl.jaas.config`.
    Strimzi,
    /// A complete `client.properties`, and its parts.
    Properties,
    /// What the Service Binding specification asks for, as Strimzi's Access Operator spells it.
    Binding,
}

impl SecretFormat {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Strimzi, Self::Properties, Self::Binding];

    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strimzi => "strimzi",
            Self::Properties => "properties",
            Self::Binding => "binding",
        }
    }

    /// The keys it may have, in the order of the documentation.
    pub const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Strimzi => &["password", "sasl.jaas.config"],
            Self::Properties => &[
                "client.properties",
                "bootstrap.servers",
                "security.protocol",
                "sasl.mechanism",
                "sasl.jaas.config",
                "username",
                "password",
                "ca.crt",
            ],
            Self::Binding => &[
                "type",
                "provider",
                "bootstrap.servers",
                "bootstrap-servers",
                "bootstrapServers",
                "security.protocol",
                "securityProtocol",
                "sasl.mechanism",
                "saslMechanism",
                "sasl.jaas.config",
                "username",
                "password",
                "ssl.truststore.crt",
            ],
        }
    }

    /// What it tells clients of their login, beside the password. Clients of the Strimzi format configure the user name
    /// and the mechanism themselves; `sasl.jaas.config` is there for those that want it.
    pub(super) const fn carries(self) -> Carries {
        match self {
            Self::Strimzi => Carries { mechanism: false, username: false },
            Self::Properties | Self::Binding => Carries { mechanism: true, username: true },
        }
    }
}

impl std::fmt::Display for SecretFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for SecretPlace {
    /// `namespace/name`, after the context and a colon where there is one. No name of Kubernetes holds a colon, so it can
    /// be read back.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(context) = &self.context {
            write!(f, "{context}:")?;
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl SecretPlace {
    /// Reads what its display wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, name) = text.rsplit_once('/')?;
        let (context, namespace) = match rest.rsplit_once(':') {
            Some((context, namespace)) => (Some(context.to_owned()), namespace),
            None => (None, rest),
        };
        Some(Self { context, namespace: Segment::parse(namespace).ok()?, name: Segment::parse(name).ok()? })
    }
}

pub(super) static SECRET_FORMATS: [Choice; 3] =
    [Choice::now("strimzi"), Choice::now("properties"), Choice::now("binding")];

pub(super) static KUBERNETES_SECRET: Object = Object::new(
    "A Kubernetes Secret.",
    &[
        SECRET_NAME,
        SECRET_NAMESPACE,
        SECRET_FORMAT,
        CLUSTER,
        Field::optional("context", "Context of the kubeconfig.", ANY_TEXT),
        Field::optional("keys", "Other names for the keys.", Shape::Texts),
        Field::optional("labels", "Labels of the Secret.", Shape::Texts),
        Field::optional("annotations", "Annotations of the Secret.", Shape::Texts),
        Field::optional("adopt", "Takes over a Secret that exists.", Shape::Switch),
        Field::optional("restart", RESTART.about, Shape::Object(&RESTART)),
    ],
);

/// Reads the mapping of one delivery to a Secret. `namespace` is the user's own.
pub(super) fn read(reader: &mut Reader<'_, '_>, fields: Fields<'_, '_>, namespace: &Segment) -> Option<SecretDelivery> {
    let place = fields.place("name")?;
    let stated = reader.name(fields, "namespace", Segment::interned);
    let namespace_place = fields.place("namespace").unwrap_or(place);
    let namespace = stated.unwrap_or_else(|| namespace.clone());
    let name = reader.name(fields, "name", Segment::interned)?;
    if !is_label(namespace.as_str()) {
        let message = format!("`{namespace}` cannot be the name of a namespace");
        let hint = "1 to 63 lower-case letters, digits and `-`; state another `namespace`";
        reader.find(namespace_place, Finding::error("wrong-value", message).hint(hint));
    }
    if !is_subdomain(name.as_str()) {
        let message = format!("`{name}` cannot be the name of a Secret");
        let hint = "1 to 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends";
        reader.find(place, Finding::error("wrong-value", message).hint(hint));
    }
    let format = match fields.text("format") {
        Some("strimzi") => SecretFormat::Strimzi,
        Some("binding") => SecretFormat::Binding,
        Some(_) | None => SecretFormat::Properties,
    };
    let place = SecretPlace { context: fields.text("context").map(str::to_owned), namespace, name };
    let (restart, reloader) = workload::read(reader, fields, &place);
    let mut annotations = read_metadata(reader, fields, "annotations", |_| true);
    annotations.extend(reloader);
    Some(SecretDelivery {
        place,
        format,
        keys: read_keys(reader, fields, format),
        labels: read_metadata(reader, fields, "labels", |value| {
            value.is_empty() || is_qualified_part(value) && value.len() <= LABEL_BYTES_MAX
        }),
        annotations,
        adopt: fields.switch("adopt").unwrap_or(false),
        restart,
    })
}

/// Longest name of a namespace, of a label without its prefix, and longest value of a label.
const LABEL_BYTES_MAX: usize = 63;
/// Longest name of a Secret and of a key in it.
const NAME_BYTES_MAX: usize = 253;

/// RFC 1123 label, as Kubernetes asks of namespaces.
fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inner = text.bytes().all(|byte| plain(byte) || byte == b'-');
    let ends = [text.bytes().next(), text.bytes().last()].iter().all(|end| end.is_some_and(plain));
    inner && ends && text.len() <= LABEL_BYTES_MAX
}

/// RFC 1123 subdomain, as Kubernetes asks of Secrets. Its parts may be longer than labels.
pub(super) fn is_subdomain(text: &str) -> bool {
    let is_part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = [part.bytes().next(), part.bytes().last()].iter().all(|end| end.is_some_and(plain));
        ends && part.bytes().all(|byte| plain(byte) || byte == b'-')
    };
    text.len() <= NAME_BYTES_MAX && text.split('.').all(is_part)
}

/// Letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_qualified_part(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().last()];
    ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Key of a label or an annotation: a name, after a domain and a slash where it has one.
fn is_qualified(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_subdomain) && is_qualified_part(name) && name.len() <= LABEL_BYTES_MAX
}

/// Key of a Secret's data.
fn is_data_key(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && text.bytes().all(plain)
        && text != "."
        && !text.starts_with("..")
}

fn entries<'n, 'a>(fields: Fields<'n, 'a>, name: &str) -> &'n [Entry<'a>] {
    match fields.node(name).map(|node| &node.value) {
        Some(Value::Fields(entries)) => entries,
        _ => &[],
    }
}

fn read_keys(reader: &mut Reader<'_, '_>, fields: Fields<'_, '_>, format: SecretFormat) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for entry in entries(fields, "keys") {
        let Some(renamed) = entry.node.text() else { continue };
        if !format.keys().contains(&&*entry.name) {
            let mut finding =
                Finding::error("unknown-key", format!("the format `{format}` has no key `{}`", entry.name));
            finding.hint = nearest::hint(&entry.name, format.keys().iter().copied());
            reader.find(entry.place, finding);
        } else if !is_data_key(renamed) {
            let finding = Finding::error("wrong-value", format!("`{renamed}` cannot be a key of a Secret"));
            reader.find(entry.node.place, finding.hint("letters, digits, `-`, `_` and `.`"));
        } else {
            keys.insert(entry.name.to_string(), renamed.to_owned());
        }
    }
    let renamed = |key: &&str| keys.get(*key).map_or_else(|| (*key).to_owned(), String::clone);
    let mut taken = BTreeMap::new();
    let mut twice: Vec<(String, String)> = Vec::new();
    for key in format.keys() {
        if let Some(first) = taken.insert(renamed(key), *key) {
            twice.push((renamed(key), first.to_owned()));
        }
    }
    for (name, first) in twice {
        let place: Option<Place> = fields.place("keys");
        let message = format!("two keys of the Secret would be called `{name}`; `{first}` is the first");
        if let Some(place) = place {
            reader.find(place, Finding::error("duplicate-item", message));
        }
    }
    keys
}

/// Labels or annotations; Kastellan's own cannot be set.
fn read_metadata(
    reader: &mut Reader<'_, '_>,
    fields: Fields<'_, '_>,
    name: &str,
    is_value: fn(&str) -> bool,
) -> BTreeMap<String, String> {
    let mut read = BTreeMap::new();
    for entry in entries(fields, name) {
        let Some(value) = entry.node.text() else { continue };
        if entry.name.starts_with(OWN_PREFIX) || entry.name == MANAGED_BY {
            let message = format!("`{}` is Kastellan's own to set", entry.name);
            reader.find(entry.place, Finding::error("wrong-value", message).hint("remove it"));
        } else if !is_qualified(&entry.name) {
            let message = format!("`{}` cannot be a key of `{name}` in Kubernetes", entry.name);
            reader.find(entry.place, Finding::error("wrong-value", message));
        } else if !is_value(value) {
            let message = format!("the value of `{}` cannot be one of `{name}` in Kubernetes", entry.name);
            let hint = "at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";
            reader.find(entry.node.place, Finding::error("wrong-value", message).hint(hint));
        } else {
            read.insert(entry.name.to_string(), value.to_owned());
        }
    }
    read
}

/// Prefix of Kastellan's own annotations.
const OWN_PREFIX: &str = "kastellan.io/";
/// The label by which Kubernetes knows who made an object.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
