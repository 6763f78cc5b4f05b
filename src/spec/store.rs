//! `CredentialStore`: where records and credentials live.

use super::fields::Fields;
use super::grammar::{Field, Object, Shape, list_of, some_of};
use super::reader::Reader;
use super::source::At;
use super::text::{ANY_TEXT, FILE, FOLDER, HOST_NAME, LINE, RECIPIENT, STORE_PATH, URL};
use super::value::{FilePath, StorePath};
use crate::diagnostic::{Finding, Location};
use crate::names::StoreName;

/// A `CredentialStore` as its document describes it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialStoreSpec {
    /// Where the document begins.
    pub location: Location,
    /// What kind of store it is.
    pub backend: StoreBackend,
    /// Where given passwords may be read, in the order written; nothing by default.
    pub inputs: Vec<StorePath>,
}

/// The kinds of store.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StoreBackend {
    /// A folder of age-encrypted files.
    Age(AgeStoreSpec),
    /// A KV version 2 mount of Vault or OpenBao.
    Vault(VaultStoreSpec),
}

/// A store in Vault.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultStoreSpec {
    /// URL of the server, e.g. `https://vault.example.com:8200`.
    pub address: String,
    /// The namespace of everything that is asked (Vault Enterprise, OpenBao).
    pub namespace: Option<String>,
    /// The KV version 2 mount.
    pub mount: StorePath,
    /// What everything in the mount lies below; `None`: nothing.
    pub path_prefix: Option<StorePath>,
    /// How Kastellan logs in.
    pub auth: VaultAuth,
    /// Certificates that the server's certificate is checked against; `None`: the system's.
    pub ca_file: Option<FilePath>,
    /// Name that the server's certificate is for; `None`: that of the address.
    pub tls_server_name: Option<String>,
}

/// How Kastellan logs in to Vault.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum VaultAuth {
    /// A token that somebody else keeps in a file.
    TokenFile(FilePath),
    /// An AppRole.
    AppRole {
        /// The role id, which is no secret.
        role_id: String,
        /// File with the secret id.
        secret_id_file: FilePath,
        /// Whether the file holds a response-wrapping token instead.
        wrapped: bool,
        /// The auth mount; `None`: `approle`.
        mount: Option<StorePath>,
    },
}

/// A store in a folder: records as readable JSON, secrets encrypted with age.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgeStoreSpec {
    /// The folder.
    pub directory: FilePath,
    /// File with the identity that opens the secrets, [`AgeStoreSpec::IDENTITY_FILE`] by default.
    pub identity_file: FilePath,
    /// Whom secrets are encrypted for, as `age1…`; empty means the identity's own recipient.
    pub recipients: Vec<String>,
}

impl AgeStoreSpec {
    /// Where `kastellan init` puts the identity.
    pub const IDENTITY_FILE: &'static str = "~/.config/kastellan/identity.txt";
}

const LOGINS: &str = "this version logs in by `appRole` and `tokenFile`";

const INPUTS: Field = Field::optional(
    "inputs",
    "Where given passwords (`password.valueFrom.store`) may be read; nothing by default. No namespace may have such a name.",
    list_of(&STORE_PATH),
);

static AGE: Object = Object::new(
    "A folder of age-encrypted files: the embedded store, no server at all.",
    &[
        Field::required("directory", "The folder of the store.", FOLDER),
        Field::optional(
            "identityFile",
            "File with the age identity; `~/.config/kastellan/identity.txt` by default.",
            FILE,
        ),
        Field::optional(
            "recipients",
            "Whom secrets are encrypted for; the identity's own recipient by default.",
            some_of(&RECIPIENT),
        ),
        INPUTS,
    ],
);

static VAULT: Object = Object::new(
    "A KV version 2 mount of HashiCorp Vault or OpenBao.",
    &[
        Field::required("address", "URL of the server, e.g. `https://vault.example.com:8200`.", URL),
        Field::optional("namespace", "Namespace of Vault Enterprise or OpenBao.", LINE),
        Field::required("mount", "The KV version 2 mount, e.g. `kafka`.", STORE_PATH),
        Field::optional("pathPrefix", "Path in the mount that everything lies below, e.g. `prod`.", STORE_PATH),
        INPUTS,
        Field::required("auth", "How Kastellan logs in.", Shape::Object(&VAULT_AUTH)),
        Field::optional(
            "caFile",
            "Certificates that the server's certificate is checked against; the system's by default.",
            FILE,
        ),
        Field::optional("tlsServerName", "Name the server's certificate is for; the address' by default.", HOST_NAME),
    ],
);

static VAULT_AUTH: Object = Object::new(
    "One way to log in to Vault.",
    &[
        Field::optional("appRole", "An AppRole.", Shape::Object(&APP_ROLE)),
        Field::optional("tokenFile", "File with a token; read again when it changes.", FILE),
        Field::optional("kubernetes", "The service account of the pod.", Shape::Object(&TOKEN_ROLE)).later(LOGINS),
        Field::optional("jwt", "A JSON web token.", Shape::Object(&TOKEN_ROLE)).later(LOGINS),
        Field::optional("certificate", "A client certificate.", Shape::Object(&CERTIFICATE)).later(LOGINS),
    ],
)
.one_of(&["appRole", "tokenFile", "kubernetes", "jwt", "certificate"]);

static APP_ROLE: Object = Object::new(
    "An AppRole.",
    &[
        Field::required("roleId", "The role id.", LINE),
        Field::required("secretIdFile", "File with the secret id; read again at each login.", FILE),
        Field::optional("wrapped", "Whether the file holds a response-wrapping token instead.", Shape::Switch),
        Field::optional("mount", "The auth mount; `approle` by default.", STORE_PATH),
    ],
);

static TOKEN_ROLE: Object = Object::new(
    "A role that a token logs in to.",
    &[
        Field::required("role", "The role.", ANY_TEXT),
        Field::optional("tokenFile", "File with the token; read again when it changes.", FILE),
        Field::optional("mount", "The auth mount; the method's name by default.", STORE_PATH),
    ],
);

static CERTIFICATE: Object = Object::new(
    "A client certificate.",
    &[
        Field::required("certificateFile", "File with the certificate and its chain.", FILE),
        Field::required("keyFile", "File with the private key.", FILE),
        Field::optional("role", "The role; the first that fits by default.", ANY_TEXT),
        Field::optional("mount", "The auth mount; `cert` by default.", STORE_PATH),
    ],
);

/// `spec` of a `CredentialStore`.
pub(super) static SPEC: Object = Object::new(
    "Where records and credentials live.",
    &[
        Field::optional("age", AGE.about, Shape::Object(&AGE)),
        Field::optional("vault", VAULT.about, Shape::Object(&VAULT)),
    ],
)
.one_of(&["age", "vault"]);

/// A store that was read, with the places that checks across documents point to.
pub(super) struct StoreDraft {
    pub name: StoreName,
    pub spec: CredentialStoreSpec,
    /// Places of `inputs`, in their order.
    pub inputs: Vec<At>,
}

/// Reads a document that passed the check of its shape.
pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    name: StoreName,
    location: Location,
    spec: Fields<'_, '_>,
) -> Option<StoreDraft> {
    let backend_fields = spec.fields("age").or_else(|| spec.fields("vault"))?;
    let inputs: Vec<StorePath> = backend_fields.parsed_items("inputs");
    let places: Vec<At> = backend_fields.items("inputs").iter().map(|node| reader.at(node.place)).collect();
    for (index, input) in inputs.iter().enumerate() {
        if inputs[..index].contains(input) {
            reader.report.at(places[index], Finding::error("duplicate-item", format!("`{input}` is listed twice")));
        }
    }
    let backend = match spec.fields("age") {
        Some(age) => StoreBackend::Age(read_age(reader, age)?),
        None => StoreBackend::Vault(read_vault(reader, backend_fields)?),
    };
    Some(StoreDraft { name, spec: CredentialStoreSpec { location, backend, inputs }, inputs: places })
}

fn read_age(reader: &Reader<'_, '_>, age: Fields<'_, '_>) -> Option<AgeStoreSpec> {
    let identity_file = reader.path(age, "identityFile");
    Some(AgeStoreSpec {
        directory: reader.path(age, "directory")?,
        identity_file: identity_file
            .unwrap_or_else(|| FilePath::new(AgeStoreSpec::IDENTITY_FILE, reader.folder.clone())),
        recipients: age.parsed_items("recipients"),
    })
}

fn read_vault(reader: &mut Reader<'_, '_>, vault: Fields<'_, '_>) -> Option<VaultStoreSpec> {
    let address = vault.text("address")?.to_owned();
    if address.starts_with("http://")
        && let Some(place) = vault.place("address")
    {
        let warning = Finding::warning("plaintext", "tokens and credentials travel to Vault without TLS");
        reader.find(place, warning.hint("use an `https://` address anywhere but on one machine"));
    }
    let auth = vault.fields("auth")?;
    let auth = match auth.fields("appRole") {
        Some(role) => VaultAuth::AppRole {
            role_id: role.text("roleId")?.to_owned(),
            secret_id_file: reader.path(role, "secretIdFile")?,
            wrapped: role.switch("wrapped").unwrap_or_default(),
            mount: role.parsed("mount"),
        },
        None => VaultAuth::TokenFile(reader.path(auth, "tokenFile")?),
    };
    Some(VaultStoreSpec {
        address,
        namespace: vault.text("namespace").map(str::to_owned),
        mount: vault.parsed("mount")?,
        path_prefix: vault.parsed("pathPrefix"),
        auth,
        ca_file: reader.path(vault, "caFile"),
        tls_server_name: vault.text("tlsServerName").map(str::to_owned),
    })
}
