//! `KafkaUser`: one user, its credential, its access, and where the credential is published.

use super::acl::{self, AUTHORIZATION};
use super::deliver::{self, DELIVERY, DeliverySpec};
use super::fields::Fields;
use super::grammar::{Choice, Field, Object, Shape, list_of, some_of};
use super::password::{USER_PASSWORD, read_store_value, store_path_place};
use super::reader::Reader;
use super::rotation::{self, ROTATION, RotationDraft, RotationSpec};
use super::source::Place;
use super::text::{ANY_TEXT, CLUSTER_NAME, IDENTITY, NAME, STORE_NAME, USER_NAME};
use super::value::StoreValue;
use crate::diagnostic::{Finding, Location};
use crate::names::{AclRule, ClusterName, Mechanism, NamespacedName, StoreName, UserName, UserQuotas};
use crate::secret::{Iterations, PasswordLength};

/// A `KafkaUser` as its document describes it, with references resolved.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaUserSpec {
    /// Where the document begins.
    pub location: Location,
    /// The clusters it is reconciled into, in the order written; never empty, each exists.
    pub clusters: Vec<ClusterName>,
    /// Name in Kafka; `*` only for [`Authentication::External`].
    pub username: UserName,
    /// The store of its credential; it exists.
    pub store: StoreName,
    /// How it logs in.
    pub authentication: Authentication,
    /// ACLs, sorted, one for each operation; `None` means not managed, empty means none.
    pub authorization: Option<std::sync::Arc<[AclRule]>>,
    /// Quotas; `None` means not managed, an empty one means none.
    pub quotas: Option<UserQuotas>,
    /// How its credential rotates; `None`: neither its document nor its clusters' defaults say anything of rotation.
    pub rotation: Option<RotationSpec>,
    /// Where the credential is published, in the order written, names unique.
    pub deliver: Vec<DeliverySpec>,
    /// Whether to take over what exists in Kafka under this name.
    pub adopt: bool,
    /// What happens when the document goes.
    pub deletion_policy: DeletionPolicy,
    /// Whether nothing is to be changed for this user.
    pub suspend: bool,
    /// Identity this document had before.
    pub moved_from: Option<NamespacedName>,
}

/// How a user logs in.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Authentication {
    /// With a SCRAM credential that Kastellan keeps.
    Scram(ScramAuthentication),
    /// Somebody else authenticates it: ACLs and quotas only.
    External,
}

/// A SCRAM credential.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScramAuthentication {
    /// Which mechanism.
    pub mechanism: MechanismChoice,
    /// PBKDF2 iterations.
    pub iterations: Iterations,
    /// Length of the password that is drawn; of no meaning for a given one.
    pub password_length: PasswordLength,
    /// A password that somebody else chose; `None` means that one is drawn.
    pub given: Option<StoreValue>,
}

/// Which SCRAM mechanism a user may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MechanismChoice {
    /// Any that all of its clusters offer; it may change.
    Any,
    /// This one only; all of its clusters offer it.
    One(Mechanism),
}

/// What happens to a user whose document is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum DeletionPolicy {
    /// It is deleted by a pass that prunes.
    #[default]
    Delete,
    /// It is left as it is.
    Retain,
}

impl KafkaUserSpec {
    /// The user names it has in Kafka: the two of `dual-user`, otherwise its own alone.
    pub fn principal_names(&self) -> &[UserName] {
        match self.rotation.as_ref().and_then(|rotation| rotation.users.as_ref()) {
            Some(users) => users,
            None => std::slice::from_ref(&self.username),
        }
    }

    /// The same names, owned.
    pub fn principals(&self) -> Vec<UserName> {
        self.principal_names().to_vec()
    }

    /// Each of its names on each of its clusters.
    pub fn claims(&self) -> impl Iterator<Item = (&ClusterName, &UserName)> {
        let names = self.principal_names();
        self.clusters.iter().flat_map(move |cluster| names.iter().map(move |name| (cluster, name)))
    }
}

/// Largest whole number that a quota keeps exactly: it travels as a 64-bit float.
const QUOTA_MAX: i64 = 1 << 53;

const SCRAM_ONLY: &str = "this version knows `scram`, `scram-sha-512`, `scram-sha-256` and `external`";

static TYPES: [Choice; 5] = [
    Choice::now("scram"),
    Choice::now("scram-sha-512"),
    Choice::now("scram-sha-256"),
    Choice::later("tls", SCRAM_ONLY),
    Choice::now("external"),
];

static POLICIES: [Choice; 2] = [Choice::now("Delete"), Choice::now("Retain")];

static AUTHENTICATION: Object = Object::new(
    "How the user logs in.",
    &[
        Field::required(
            "type",
            "`scram` (any mechanism), one mechanism, or `external` (ACLs and quotas only).",
            Shape::Choice(&TYPES),
        ),
        Field::optional("iterations", "PBKDF2 iterations; 4096 by default.", Shape::Integer { min: 4096, max: 16384 }),
        Field::optional(
            "passwordLength",
            "Length of the password that is drawn; 32 by default.",
            Shape::Integer { min: PasswordLength::MIN as i64, max: PasswordLength::MAX as i64 },
        ),
        Field::optional("password", USER_PASSWORD.about, Shape::Reference(&USER_PASSWORD)),
        Field::optional("issuer", "Who signs the certificate; with `tls`.", Shape::Open).later(SCRAM_ONLY),
        Field::optional("tls", "The certificate; with `tls`.", Shape::Open).later(SCRAM_ONLY),
    ],
);

static QUOTAS: Object = Object::new(
    "Quotas of the user alone. Without it they are not managed; `{}` means none.",
    &[
        Field::optional(
            "producerByteRate",
            "Bytes per second, on each broker.",
            Shape::Integer { min: 1, max: QUOTA_MAX },
        ),
        Field::optional(
            "consumerByteRate",
            "Bytes per second, on each broker.",
            Shape::Integer { min: 1, max: QUOTA_MAX },
        ),
        Field::optional(
            "requestPercentage",
            "Percent of one request handler thread's time, on each broker.",
            Shape::Positive,
        ),
        Field::optional("controllerMutationRate", "Partitions created or deleted per second.", Shape::Positive),
    ],
);

static SERVICE_ACCOUNT: Object = Object::new(
    "A Kubernetes service account.",
    &[Field::required("namespace", "Its namespace.", NAME), Field::required("name", "Its name.", NAME)],
);

static VAULT_ACCESS: Object = Object::new(
    "Who may read this credential in Vault.",
    &[
        Field::required("serviceAccounts", "Kubernetes service accounts.", some_of(&Shape::Object(&SERVICE_ACCOUNT))),
        Field::optional("mount", "The auth mount; `kubernetes` by default.", ANY_TEXT),
        Field::optional("audience", "The tokens' audience; `vault` by default.", ANY_TEXT),
    ],
);

/// `spec` of a `KafkaUser`.
pub(super) static SPEC: Object = Object::new(
    "One Kafka user.",
    &[
        Field::required("clusters", "The clusters it exists in: one credential for all.", some_of(&CLUSTER_NAME)),
        Field::optional("username", "Name in Kafka; `metadata.name` by default.", USER_NAME),
        Field::optional("store", "Where its credential is kept; the only CredentialStore by default.", STORE_NAME),
        Field::required("authentication", AUTHENTICATION.about, Shape::Object(&AUTHENTICATION)),
        Field::optional("authorization", AUTHORIZATION.about, Shape::Object(&AUTHORIZATION)),
        Field::optional("quotas", QUOTAS.about, Shape::Object(&QUOTAS)),
        Field::optional("rotation", ROTATION.about, Shape::Object(&ROTATION)),
        Field::optional("deliver", "Where the credential is published.", list_of(&Shape::Object(&DELIVERY))),
        Field::optional("vaultAccess", VAULT_ACCESS.about, Shape::Object(&VAULT_ACCESS))
            .later("this version keeps credentials in an `age` store"),
        Field::optional("adopt", "`true`: takes over what exists in Kafka under this name.", Shape::Switch),
        Field::optional(
            "deletionPolicy",
            "What happens when this document goes; `Delete` by default.",
            Shape::Choice(&POLICIES),
        ),
        Field::optional("suspend", "`true`: nothing is changed for this user.", Shape::Switch),
        Field::optional("movedFrom", "The `namespace/name` this document had before.", IDENTITY),
    ],
);

/// A user that was read, before its store is known, with the places that checks across documents point to.
pub(super) struct UserDraft {
    pub identity: NamespacedName,
    pub stated_store: Option<StoreName>,
    pub location: Location,
    pub clusters: Vec<ClusterName>,
    pub username: UserName,
    pub authentication: Authentication,
    pub authorization: Option<std::sync::Arc<[AclRule]>>,
    pub quotas: Option<UserQuotas>,
    pub rotation: Option<Box<RotationDraft>>,
    pub deliver: Vec<DeliverySpec>,
    pub adopt: bool,
    pub deletion_policy: DeletionPolicy,
    pub suspend: bool,
    pub moved_from: Option<NamespacedName>,
    pub places: UserPlaces,
}

/// Places in the document of a user.
pub(super) struct UserPlaces {
    pub source: u32,
    pub name: Place,
    pub username: Place,
    pub clusters: Box<[Place]>,
    pub store: Place,
    pub authentication: Place,
    pub given: Place,
    /// Paths of deliveries, in their order.
    pub deliver: Box<[Place]>,
}

impl UserDraft {
    /// The user with its store, and with its rotation over the defaults of its clusters.
    pub fn finish(self, store: StoreName, rotation: Option<RotationSpec>) -> (NamespacedName, KafkaUserSpec) {
        let spec = KafkaUserSpec {
            location: self.location,
            clusters: self.clusters,
            username: self.username,
            store,
            authentication: self.authentication,
            authorization: self.authorization,
            quotas: self.quotas,
            rotation,
            deliver: self.deliver,
            adopt: self.adopt,
            deletion_policy: self.deletion_policy,
            suspend: self.suspend,
            moved_from: self.moved_from,
        };
        (self.identity, spec)
    }
}

/// Reads a document that passed the check of its shape; `name` is the place of its name.
pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    identity: NamespacedName,
    location: Location,
    name: Place,
    spec: Fields<'_, '_>,
) -> Option<UserDraft> {
    let clusters = read_clusters(reader, spec);
    let stated = reader.name(spec, "username", UserName::interned);
    let username = stated.or_else(|| UserName::interned(identity.name.as_str(), reader.interner).ok())?;
    let username_place = spec.place("username").unwrap_or(name);
    let authentication = read_authentication(reader, spec, &username, username_place)?;
    let authorization = spec.fields("authorization").map(|fields| acl::read(reader, fields).into());
    let deliveries = deliver::read(reader, spec, &identity.namespace, &clusters);
    let (mut deliver, delivery_places): (Vec<_>, Vec<_>) = deliveries.into_iter().unzip();
    // A vector of one would keep room for four.
    deliver.shrink_to_fit();
    let authentication_fields = spec.fields("authentication")?;
    let moved_from = spec.parsed("movedFrom");
    if moved_from.as_ref() == Some(&identity) {
        let finding = Finding::error("wrong-value", "`spec.movedFrom` is the document's own identity");
        reader.find(spec.place("movedFrom").unwrap_or(name), finding.hint("remove it"));
    }
    let places = UserPlaces {
        source: reader.source,
        name,
        username: username_place,
        clusters: spec.items("clusters").iter().map(|node| node.place).collect(),
        store: spec.place("store").unwrap_or(name),
        authentication: authentication_fields.place("type")?,
        given: authentication_fields.fields("password").and_then(store_path_place).unwrap_or(name),
        deliver: delivery_places.into(),
    };
    Some(UserDraft {
        identity,
        stated_store: reader.name(spec, "store", StoreName::interned),
        location,
        clusters,
        username,
        authentication,
        authorization,
        quotas: spec.fields("quotas").map(read_quotas),
        rotation: rotation::read(reader, spec),
        deliver,
        adopt: spec.switch("adopt").unwrap_or(false),
        deletion_policy: match spec.text("deletionPolicy") {
            Some("Retain") => DeletionPolicy::Retain,
            Some(_) | None => DeletionPolicy::Delete,
        },
        suspend: spec.switch("suspend").unwrap_or(false),
        moved_from,
        places,
    })
}

/// Reports what is wrong with the ACLs of a document that is wrong elsewhere, so that one run tells it all.
pub(super) fn report_acls(reader: &mut Reader<'_, '_>, spec: Fields<'_, '_>) {
    if let Some(authorization) = spec.fields("authorization") {
        acl::read(reader, authorization);
    }
}

fn read_clusters(reader: &mut Reader<'_, '_>, spec: Fields<'_, '_>) -> Vec<ClusterName> {
    let mut clusters: Vec<ClusterName> = Vec::with_capacity(spec.items("clusters").len());
    for node in spec.items("clusters") {
        let name = node.text().and_then(|text| ClusterName::interned(text, reader.interner).ok());
        let Some(cluster) = name else { continue };
        if clusters.contains(&cluster) {
            reader.find(node.place, Finding::error("duplicate-item", format!("`{cluster}` is listed twice")));
        }
        clusters.push(cluster);
    }
    clusters
}

fn read_authentication(
    reader: &mut Reader<'_, '_>,
    spec: Fields<'_, '_>,
    username: &UserName,
    name: Place,
) -> Option<Authentication> {
    let fields = spec.fields("authentication")?;
    let kind = fields.text("type")?;
    let reason = format!("with `type: {kind}`");
    if kind == "external" {
        reader.refuse(fields, &["iterations", "passwordLength", "password"], &reason);
        reader.refuse(spec, &["rotation", "deliver"], &reason);
        return Some(Authentication::External);
    }
    if username.as_str() == "*" {
        let finding = Finding::error("wrong-value", "`*` is every user and cannot log in");
        reader.find(name, finding.hint("for ACLs of every user, write `type: external`"));
    }
    refuse_beyond_ascii(reader, name, username);
    let given = fields.fields("password").and_then(read_store_value);
    if given.is_some() {
        reader.refuse(fields, &["passwordLength"], "beside a `password` that somebody else chose");
    }
    let mechanism = match kind {
        "scram" => MechanismChoice::Any,
        _ => MechanismChoice::One(kind.parse().ok()?),
    };
    let iterations = fields.integer::<u32>("iterations").and_then(|count| Iterations::try_from(count).ok());
    let length = fields.integer::<u16>("passwordLength").and_then(|length| PasswordLength::try_from(length).ok());
    Some(Authentication::Scram(ScramAuthentication {
        mechanism,
        iterations: iterations.unwrap_or_default(),
        password_length: length.unwrap_or_default(),
        given,
    }))
}

/// Kafka stores a SCRAM credential of any name, and its login reads only ASCII (`SASLNAME` of its `ScramMessages`).
pub(super) fn refuse_beyond_ascii(reader: &mut Reader<'_, '_>, place: Place, username: &UserName) {
    if !username.as_str().is_ascii() {
        let message = format!("nobody can log in by SCRAM as `{username}`: Kafka reads only ASCII there");
        reader.find(place, Finding::error("wrong-value", message).hint("choose a `username` of ASCII characters"));
    }
}

fn read_quotas(fields: Fields<'_, '_>) -> UserQuotas {
    UserQuotas {
        producer_byte_rate: fields.number("producerByteRate"),
        consumer_byte_rate: fields.number("consumerByteRate"),
        request_percentage: fields.number("requestPercentage"),
        controller_mutation_rate: fields.number("controllerMutationRate"),
    }
}
