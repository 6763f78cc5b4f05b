//! `KafkaCluster`: one Kafka, how Kastellan reaches it, and what its clients need to know.

use std::time::Duration;

use super::fields::Fields;
use super::grammar::{Choice, Field, Object, Shape, list_of, some_of};
use super::password::{ADMIN_PASSWORD, PasswordSource, read_source, store_path_place};
use super::reader::Reader;
use super::rotation::{ROTATION, StatedRotation, read_defaults};
use super::source::At;
use super::text::{DURATION, FILE, SERVERS, USER_NAME, USER_PATTERN};
use super::user::refuse_beyond_ascii;
use super::value::{BootstrapServers, FilePath, UserPattern, parse_duration};
use crate::diagnostic::{Finding, Location};
use crate::names::{ClusterName, Mechanism, UserName};

/// How long a late request may still be executed, if the document does not say: twice the default of the brokers'
/// request timeout, because a broker that forwards to the controller may forward twice (rotation.md R1).
const FENCE_DEFAULT: Duration = Duration::from_secs(60);

/// Below this a fence is certainly shorter than what it waits for; only tests have a reason to come near.
const FENCE_MIN: Duration = Duration::from_secs(1);

/// Below the brokers' default request timeout a late request can outlive the fence.
const FENCE_SENSIBLE: Duration = Duration::from_secs(30);

/// A `KafkaCluster` as its document describes it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterSpec {
    /// Where the document begins.
    pub location: Location,
    /// How Kastellan itself logs in.
    pub admin: AdminSpec,
    /// What published credentials tell applications.
    pub clients: ClientsSpec,
    /// Users that no document may name.
    pub protected_users: Vec<UserPattern>,
    /// What holds for users of this cluster that say nothing else.
    pub defaults: UserDefaults,
    /// Whether nothing is to be changed here.
    pub suspend: bool,
}

impl KafkaClusterSpec {
    /// Why no document may name a user on `cluster`, which this is; `None` if it may.
    pub fn protection_of(&self, cluster: &ClusterName, user: &UserName) -> Option<String> {
        let own = self.admin.authentication.as_ref().and_then(|authentication| authentication.username());
        if own == Some(user) {
            return Some(format!("`{user}` is Kastellan's own user on `{cluster}`"));
        }
        let pattern = self.protected_users.iter().find(|pattern| pattern.matches(user))?;
        Some(format!("`{user}` is protected on `{cluster}` by `protectedUsers: {pattern}`"))
    }
}

/// How Kastellan itself reaches the cluster.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminSpec {
    /// Where it connects first.
    pub bootstrap_servers: BootstrapServers,
    /// How it logs in; `None` on a listener that asks for no login.
    pub authentication: Option<AdminAuthentication>,
    /// TLS; `None` means plaintext.
    pub tls: Option<TlsSpec>,
    /// How long a late request may still be executed.
    pub fence: Duration,
}

/// Kastellan's own login.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AdminAuthentication {
    /// SASL/SCRAM.
    Scram {
        /// The mechanism.
        mechanism: Mechanism,
        /// User name.
        username: UserName,
        /// Where its password is found.
        password: PasswordSource,
    },
    /// SASL/PLAIN.
    Plain {
        /// User name.
        username: UserName,
        /// Where its password is found.
        password: PasswordSource,
    },
    /// A client certificate; what its principal is, only the broker knows.
    Tls {
        /// File with the certificate and its chain, PEM.
        certificate_file: FilePath,
        /// File with the private key, PEM.
        key_file: FilePath,
    },
}

impl AdminAuthentication {
    /// Kastellan's own user name, where the document tells.
    pub fn username(&self) -> Option<&UserName> {
        match self {
            Self::Scram { username, .. } | Self::Plain { username, .. } => Some(username),
            Self::Tls { .. } => None,
        }
    }

    /// Where the password is found, for a login that has one.
    pub fn password(&self) -> Option<&PasswordSource> {
        match self {
            Self::Scram { password, .. } | Self::Plain { password, .. } => Some(password),
            Self::Tls { .. } => None,
        }
    }
}

/// TLS towards a listener.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// Certificates that the brokers' certificates are checked against, PEM.
    pub ca_file: FilePath,
}

/// The listener of applications.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientsSpec {
    /// Where applications connect first; the admin's addresses by default.
    pub bootstrap_servers: BootstrapServers,
    /// Whether each credential is tried here, on every broker, before it is published.
    pub verify_logins: bool,
    /// SCRAM mechanisms of the listener, the preferred one first; never empty, `SCRAM-SHA-512` alone by default.
    pub mechanisms: Vec<Mechanism>,
    /// TLS; `None` means plaintext. The admin's by default where the addresses are the admin's.
    pub tls: Option<TlsSpec>,
}

/// What a cluster says for users that say nothing themselves, field by field.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserDefaults {
    /// How credentials rotate, as far as it is stated.
    pub rotation: StatedRotation,
}

static ADMIN_TYPES: [Choice; 4] =
    [Choice::now("scram-sha-512"), Choice::now("scram-sha-256"), Choice::now("plain"), Choice::now("tls")];

static MECHANISMS: [Choice; 2] = [Choice::now("scram-sha-512"), Choice::now("scram-sha-256")];

static TLS: Object = Object::new(
    "TLS; plaintext without it.",
    &[Field::required("caFile", "Certificates that the brokers' certificates are checked against, PEM.", FILE)],
);

static ADMIN_AUTHENTICATION: Object = Object::new(
    "How Kastellan itself logs in.",
    &[
        Field::required("type", "The way to log in.", Shape::Choice(&ADMIN_TYPES)),
        Field::optional("username", "Kastellan's own user name; not with `tls`.", USER_NAME),
        Field::optional("password", "Where its password is found; not with `tls`.", Shape::Reference(&ADMIN_PASSWORD)),
        Field::optional("certificateFile", "With `tls`: the client certificate and its chain, PEM.", FILE),
        Field::optional("keyFile", "With `tls`: its private key, PEM.", FILE),
    ],
);

static ADMIN: Object = Object::new(
    "How Kastellan itself reaches the cluster.",
    &[
        Field::optional("authentication", ADMIN_AUTHENTICATION.about, Shape::Object(&ADMIN_AUTHENTICATION)),
        Field::optional("tls", TLS.about, Shape::Object(&TLS)),
        Field::optional("fence", "How long a late request may still be executed; `60s` by default.", DURATION),
    ],
);

static CLIENTS: Object = Object::new(
    "What published credentials tell applications.",
    &[
        Field::optional("bootstrapServers", "Where applications connect first; as above by default.", SERVERS),
        Field::optional("verifyLogins", "Log in on every broker before publishing; `true` by default.", Shape::Switch),
        Field::optional(
            "mechanisms",
            "SCRAM mechanisms of the listener, the preferred one first; `scram-sha-512` by default.",
            some_of(&Shape::Choice(&MECHANISMS)),
        ),
        Field::optional("tls", TLS.about, Shape::Object(&TLS)),
    ],
);

static DEFAULTS: Object = Object::new(
    "For users of this cluster that say nothing else, field by field.",
    &[Field::optional("rotation", ROTATION.about, Shape::Object(&ROTATION))],
);

/// `spec` of a `KafkaCluster`.
pub(super) static SPEC: Object = Object::new(
    "One Kafka cluster.",
    &[
        Field::required(
            "bootstrapServers",
            "Where Kastellan connects first: `host:port`, separated by commas.",
            SERVERS,
        ),
        Field::required("admin", ADMIN.about, Shape::Object(&ADMIN)),
        Field::optional("clients", CLIENTS.about, Shape::Object(&CLIENTS)),
        Field::optional(
            "protectedUsers",
            "Users that no document may name; `*` stands for any characters.",
            list_of(&USER_PATTERN),
        ),
        Field::optional("defaults", DEFAULTS.about, Shape::Object(&DEFAULTS)),
        Field::optional("suspend", "`true`: nothing is changed here.", Shape::Switch),
    ],
);

/// A cluster that was read, with the places that checks across documents point to.
pub(super) struct ClusterDraft {
    pub name: ClusterName,
    pub spec: KafkaClusterSpec,
    /// Place of the path of the admin's password, if it is in the store.
    pub password: Option<At>,
}

/// Reads a document that passed the check of its shape.
pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    name: ClusterName,
    location: Location,
    spec: Fields<'_, '_>,
) -> Option<ClusterDraft> {
    let bootstrap_servers: BootstrapServers = spec.parsed("bootstrapServers")?;
    let admin_fields = spec.fields("admin")?;
    let admin = AdminSpec {
        bootstrap_servers,
        authentication: match admin_fields.has("authentication") {
            true => Some(read_authentication(reader, admin_fields)?),
            false => None,
        },
        tls: read_tls(reader, admin_fields),
        fence: read_fence(reader, admin_fields),
    };
    let clients = read_clients(reader, spec.fields("clients"), &admin);
    let authentication = admin_fields.fields("authentication");
    let password = authentication.and_then(|fields| fields.fields("password")).and_then(store_path_place);
    let spec = KafkaClusterSpec {
        location,
        admin,
        clients,
        protected_users: spec.parsed_items("protectedUsers"),
        defaults: UserDefaults {
            rotation: spec.fields("defaults").map(|fields| read_defaults(reader, fields)).unwrap_or_default(),
        },
        suspend: spec.switch("suspend").unwrap_or(false),
    };
    Some(ClusterDraft { name, spec, password: password.map(|place| reader.at(place)) })
}

fn read_authentication(reader: &mut Reader<'_, '_>, admin: Fields<'_, '_>) -> Option<AdminAuthentication> {
    let fields = admin.fields("authentication")?;
    let (kind, place) = (fields.text("type")?, fields.place("type")?);
    let reason = format!("with `type: {kind}`");
    let subject = format!("`type: {kind}`");
    if kind == "tls" {
        reader.refuse(fields, &["username", "password"], &reason);
        reader.demand(fields, place, &["certificateFile", "keyFile"], &subject);
        reader.demand(admin, place, &["tls"], &subject);
        return Some(AdminAuthentication::Tls {
            certificate_file: reader.path(fields, "certificateFile")?,
            key_file: reader.path(fields, "keyFile")?,
        });
    }
    reader.refuse(fields, &["certificateFile", "keyFile"], &reason);
    reader.demand(fields, place, &["username", "password"], &subject);
    let username = fields.parsed("username")?;
    if kind != "plain" {
        refuse_beyond_ascii(reader, fields.place("username")?, &username);
    }
    let password = read_source(reader, fields.fields("password")?)?;
    Some(match kind.parse() {
        Ok(mechanism) => AdminAuthentication::Scram { mechanism, username, password },
        Err(_) => AdminAuthentication::Plain { username, password },
    })
}

fn read_tls(reader: &Reader<'_, '_>, fields: Fields<'_, '_>) -> Option<TlsSpec> {
    Some(TlsSpec { ca_file: reader.path(fields.fields("tls")?, "caFile")? })
}

fn read_fence(reader: &mut Reader<'_, '_>, admin: Fields<'_, '_>) -> Duration {
    let Some(fence) = admin.text("fence").and_then(|text| parse_duration(text).ok()) else { return FENCE_DEFAULT };
    let place = admin.place("fence").unwrap_or_default();
    if fence < FENCE_MIN {
        reader.find(place, Finding::error("wrong-value", "`spec.admin.fence` must be at least 1s"));
    } else if fence < FENCE_SENSIBLE {
        let message = "`spec.admin.fence` is shorter than the brokers' default request timeout of 30s";
        let hint =
            "a request that a broker executes late could undo a newer one; leave it at 60s unless this is a test";
        reader.find(place, Finding::warning("short-fence", message).hint(hint));
    }
    fence
}

fn read_clients(reader: &mut Reader<'_, '_>, fields: Option<Fields<'_, '_>>, admin: &AdminSpec) -> ClientsSpec {
    let stated_servers = fields.and_then(|fields| fields.parsed("bootstrapServers"));
    let stated_tls = fields.and_then(|fields| read_tls(reader, fields));
    let tls = if stated_servers.is_some() { stated_tls } else { stated_tls.or_else(|| admin.tls.clone()) };
    let mut mechanisms: Vec<Mechanism> = Vec::new();
    for node in fields.map_or(&[][..], |fields| fields.items("mechanisms")) {
        let Some(mechanism) = node.text().and_then(|text| text.parse().ok()) else { continue };
        if mechanisms.contains(&mechanism) {
            reader.find(node.place, Finding::error("duplicate-item", format!("`{mechanism}` is listed twice")));
        }
        mechanisms.push(mechanism);
    }
    if mechanisms.is_empty() {
        mechanisms.push(Mechanism::ScramSha512);
    }
    ClientsSpec {
        bootstrap_servers: stated_servers.unwrap_or_else(|| admin.bootstrap_servers.clone()),
        verify_logins: fields.and_then(|fields| fields.switch("verifyLogins")).unwrap_or(true),
        mechanisms,
        tls,
    }
}
