//! `deliver` of a user: the places a credential is published to.

use super::fields::Fields;
use super::grammar::{Choice, Field, Object, Shape, some_of};
use super::reader::Reader;
use super::rotation::Carries;
use super::secret_delivery::{self, KUBERNETES_SECRET, SECRET_FORMATS, SecretDelivery};
use super::source::Place;
use super::text::{CLUSTER_NAME, DELIVERY_NAME, FILE, NAME, OWNER, RECIPIENT};
use super::value::FilePath;
use super::wording::list;
use super::workload::Workload;
use crate::diagnostic::Finding;
use crate::names::{ClusterName, DeliveryName, Segment};

/// One place a credential is published to.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliverySpec {
    /// Unique within its user; the type's name by default.
    pub name: DeliveryName,
    /// The cluster whose addresses it carries.
    pub cluster: ClusterName,
    /// Where and how it is published.
    pub target: DeliveryTarget,
}

/// The kinds of delivery.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeliveryTarget {
    /// A file on this machine.
    File(FileDelivery),
    /// A Kubernetes Secret.
    KubernetesSecret(Box<SecretDelivery>),
}

/// A file of mode 0600 with a complete client configuration.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileDelivery {
    /// The file.
    pub path: FilePath,
    /// What is written into it.
    pub format: FileFormat,
    /// Whom it belongs to; `None` means whoever runs Kastellan.
    pub owner: Option<Owner>,
}

/// Formats of a delivered file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileFormat {
    /// `client.properties` as Java clients and Kafka's tools take it.
    Properties,
    /// The same values as a configuration of librdkafka.
    Librdkafka,
}

/// Owner of a file, each by name or number.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// User.
    pub user: String,
    /// Group; `None` leaves it as it is.
    pub group: Option<String>,
}

impl FileFormat {
    /// All formats.
    pub const ALL: [Self; 2] = [Self::Properties, Self::Librdkafka];

    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Properties => "properties",
            Self::Librdkafka => "librdkafka",
        }
    }
}

impl FileFormat {
    /// What it tells clients of their login, beside the password. What a rotation may change depends on it.
    const fn carries(self) -> Carries {
        match self {
            Self::Properties | Self::Librdkafka => Carries { mechanism: true, username: true },
        }
    }
}

impl DeliveryTarget {
    /// What a rotation restarts once the new credential is there.
    pub fn restarts(&self) -> &[Workload] {
        match self {
            Self::File(_) => &[],
            Self::KubernetesSecret(secret) => &secret.restart,
        }
    }

    /// The format with what it tells clients of their login.
    pub(super) const fn carries(&self) -> (&'static str, Carries) {
        match self {
            Self::File(file) => (file.format.as_str(), file.format.carries()),
            Self::KubernetesSecret(secret) => (secret.format.as_str(), secret.format.carries()),
        }
    }
}

impl std::fmt::Display for FileFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for Owner {
    /// As documents write it: `user` or `user:group`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.user)?;
        self.group.as_ref().map_or(Ok(()), |group| write!(f, ":{group}"))
    }
}

const NO_SEALED_FILES: &str = "this version delivers to a `file` and to a `kubernetesSecret`";

static FILE_FORMATS: [Choice; 2] = [Choice::now("properties"), Choice::now("librdkafka")];
static SEAL_SCOPES: [Choice; 3] = [Choice::now("strict"), Choice::now("namespace-wide"), Choice::now("cluster-wide")];
static RESEALS: [Choice; 3] = [Choice::now("never"), Choice::now("next-change"), Choice::now("always")];

pub(super) const CLUSTER: Field =
    Field::optional("cluster", "The cluster whose addresses it carries; needed with several.", CLUSTER_NAME);
pub(super) const SECRET_NAME: Field = Field::required("name", "Name of the Kubernetes Secret.", NAME);
pub(super) const SECRET_NAMESPACE: Field =
    Field::optional("namespace", "Namespace of the Kubernetes Secret; the user's own by default.", NAME);
pub(super) const SECRET_FORMAT: Field =
    Field::optional("format", "Keys of the Secret.", Shape::Choice(&SECRET_FORMATS));
const RESEAL_ON: Field =
    Field::optional("resealOn", "When a new certificate or recipient seals again.", Shape::Choice(&RESEALS));

static FILE_DELIVERY: Object = Object::new(
    "A file of mode 0600 on this machine with a complete client configuration.",
    &[
        Field::required("path", "The file.", FILE),
        Field::optional(
            "format",
            "`properties` (default; Java clients and Kafka's tools) or `librdkafka`.",
            Shape::Choice(&FILE_FORMATS),
        ),
        CLUSTER,
        Field::optional("owner", "Whom the file belongs to, `user:group`.", OWNER),
    ],
);

static SEALED_SECRET: Object = Object::new(
    "A SealedSecret in a file for Git.",
    &[
        Field::required("file", "The file.", FILE),
        SECRET_NAME,
        SECRET_NAMESPACE,
        SECRET_FORMAT,
        CLUSTER,
        Field::required("certificateFile", "Certificate of the controller, PEM.", FILE),
        Field::optional("scope", "Where it may be unsealed.", Shape::Choice(&SEAL_SCOPES)),
        RESEAL_ON,
    ],
);

static SOPS: Object = Object::new(
    "A Secret in a file for Git, encrypted as SOPS does.",
    &[
        Field::required("file", "The file.", FILE),
        SECRET_NAME,
        SECRET_NAMESPACE,
        SECRET_FORMAT,
        CLUSTER,
        Field::required("recipients", "Whom it is encrypted for.", some_of(&RECIPIENT)),
        RESEAL_ON,
    ],
);

static SECRET_STORE_REF: Object = Object::new(
    "The SecretStore of the External Secrets Operator.",
    &[
        Field::optional("kind", "`SecretStore` or `ClusterSecretStore`.", NAME),
        Field::required("name", "Its name.", NAME),
    ],
);

static EXTERNAL_SECRET: Object = Object::new(
    "An ExternalSecret manifest in a file for Git.",
    &[
        Field::required("file", "The file.", FILE),
        SECRET_NAME,
        SECRET_NAMESPACE,
        SECRET_FORMAT,
        CLUSTER,
        Field::required("secretStoreRef", SECRET_STORE_REF.about, Shape::Object(&SECRET_STORE_REF)),
    ],
);

/// One item of `deliver`.
pub(super) static DELIVERY: Object = Object::new(
    "One place the credential is published to.",
    &[
        Field::optional("name", "Name of the delivery; its type by default.", DELIVERY_NAME),
        Field::optional("file", FILE_DELIVERY.about, Shape::Object(&FILE_DELIVERY)),
        Field::optional("kubernetesSecret", KUBERNETES_SECRET.about, Shape::Object(&KUBERNETES_SECRET)),
        Field::optional("sealedSecret", SEALED_SECRET.about, Shape::Object(&SEALED_SECRET)).later(NO_SEALED_FILES),
        Field::optional("sops", SOPS.about, Shape::Object(&SOPS)).later(NO_SEALED_FILES),
        Field::optional("externalSecret", EXTERNAL_SECRET.about, Shape::Object(&EXTERNAL_SECRET))
            .later(NO_SEALED_FILES),
    ],
)
.one_of(&["file", "kubernetesSecret", "sealedSecret", "sops", "externalSecret"]);

/// Reads the deliveries of a user of these clusters, each with the place of its target. `namespace` is the user's own.
pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    user: Fields<'_, '_>,
    namespace: &Segment,
    clusters: &[ClusterName],
) -> Vec<(DeliverySpec, Place)> {
    let mut deliveries: Vec<(DeliverySpec, Place)> = Vec::new();
    for item in user.items("deliver").iter().filter_map(Fields::of) {
        let kind = if item.has("file") { "file" } else { "kubernetesSecret" };
        let Some((delivery, place)) = read_one(reader, item, kind, namespace, clusters) else { continue };
        if deliveries.iter().any(|(other, _)| other.name == delivery.name) {
            let message = format!("two deliveries are called `{}`", delivery.name);
            let place = item.place("name").or_else(|| item.key_place(kind)).unwrap_or(place);
            reader.find(place, Finding::error("duplicate-item", message).hint("give one a `name` of its own"));
        }
        deliveries.push((delivery, place));
    }
    deliveries
}

fn read_one(
    reader: &mut Reader<'_, '_>,
    item: Fields<'_, '_>,
    kind: &str,
    namespace: &Segment,
    clusters: &[ClusterName],
) -> Option<(DeliverySpec, Place)> {
    let fields = item.fields(kind)?;
    let key = item.key_place(kind)?;
    let (target, place) = match kind {
        "file" => (DeliveryTarget::File(read_file(reader, fields)?), fields.place("path")),
        _ => {
            let secret = secret_delivery::read(reader, fields, namespace)?;
            (DeliveryTarget::KubernetesSecret(Box::new(secret)), fields.place("name"))
        }
    };
    let stated = reader.name(item, "name", DeliveryName::interned);
    let name = stated.or_else(|| DeliveryName::interned(kind, reader.interner).ok())?;
    let cluster = read_cluster(reader, fields, key, clusters)?;
    Some((DeliverySpec { name, cluster, target }, place.unwrap_or(key)))
}

fn read_file(reader: &Reader<'_, '_>, file: Fields<'_, '_>) -> Option<FileDelivery> {
    let owner = file.text("owner").map(|text| match text.split_once(':') {
        Some((user, group)) => Owner { user: user.to_owned(), group: Some(group.to_owned()) },
        None => Owner { user: text.to_owned(), group: None },
    });
    let format = match file.text("format") {
        Some("librdkafka") => FileFormat::Librdkafka,
        Some(_) | None => FileFormat::Properties,
    };
    Some(FileDelivery { path: reader.path(file, "path")?, format, owner })
}

/// The cluster whose addresses a delivery carries: the stated one, or the user's only one.
fn read_cluster(
    reader: &mut Reader<'_, '_>,
    target: Fields<'_, '_>,
    key: Place,
    clusters: &[ClusterName],
) -> Option<ClusterName> {
    let names = || list(clusters.iter().map(ClusterName::as_str));
    match (reader.name(target, "cluster", ClusterName::interned), clusters) {
        (Some(cluster), _) => {
            if !clusters.contains(&cluster) {
                let message =
                    format!("the delivery carries addresses of `{cluster}`, which is not a cluster of this user");
                let place = target.place("cluster").unwrap_or(key);
                reader.find(
                    place,
                    Finding::error("unknown-reference", message).hint(format!("its clusters: {}", names())),
                );
            }
            Some(cluster)
        }
        (None, [only]) => Some(only.clone()),
        (None, _) => {
            let message = "a delivery of a user of several clusters lacks the field `cluster`";
            reader.find(key, Finding::error("missing-field", message).hint(format!("one of {}", names())));
            None
        }
    }
}
