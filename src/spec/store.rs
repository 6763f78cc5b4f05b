//! `CredentialStore`: where records and credentials live.

use super::fields::Fields;
use super::grammar::{Field, Object, Shape, list_of, some_of};
use super::reader::Reader;
use super::source::At;
use super::text::{ANY_TEXT, FILE, FOLDER, RECIPIENT, STORE_PATH};
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

const AGE_ONLY: &str = "this version knows `age`";

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
        Field::required("address", "URL of the server, e.g. `https://vault.example.com:8200`.", ANY_TEXT),
        Field::required("mount", "The KV version 2 mount, e.g. `kafka`.", STORE_PATH),
        Field::optional("pathPrefix", "Path in the mount that everything lies below, e.g. `prod`.", STORE_PATH),
        INPUTS,
        Field::required("auth", "How Kastellan logs in.", Shape::Object(&VAULT_AUTH)),
        Field::optional("caFile", "Certificates that the server's certificate is checked against.", FILE),
    ],
);

static VAULT_AUTH: Object = Object::new(
    "One way to log in to Vault.",
    &[
        Field::optional("appRole", "An AppRole.", Shape::Object(&APP_ROLE)),
        Field::optional("tokenFile", "File with a token; read again when it changes.", FILE),
        Field::optional("kubernetes", "The service account of the pod.", Shape::Object(&TOKEN_ROLE)),
        Field::optional("jwt", "A JSON web token.", Shape::Object(&TOKEN_ROLE)),
        Field::optional("certificate", "A client certificate.", Shape::Object(&CERTIFICATE)),
    ],
)
.one_of(&["appRole", "tokenFile", "kubernetes", "jwt", "certificate"]);

static APP_ROLE: Object = Object::new(
    "An AppRole.",
    &[
        Field::required("roleId", "The role id.", ANY_TEXT),
        Field::required("secretIdFile", "File with the secret id; read again when it changes.", FILE),
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
        Field::optional("vault", VAULT.about, Shape::Object(&VAULT)).later(AGE_ONLY),
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
    let age = spec.fields("age")?;
    let inputs: Vec<StorePath> = age.parsed_items("inputs");
    let places: Vec<At> = age.items("inputs").iter().map(|node| reader.at(node.place)).collect();
    for (index, input) in inputs.iter().enumerate() {
        if inputs[..index].contains(input) {
            reader.report.at(places[index], Finding::error("duplicate-item", format!("`{input}` is listed twice")));
        }
    }
    let identity_file = reader.path(age, "identityFile");
    let backend = StoreBackend::Age(AgeStoreSpec {
        directory: reader.path(age, "directory")?,
        identity_file: identity_file
            .unwrap_or_else(|| FilePath::new(AgeStoreSpec::IDENTITY_FILE, reader.folder.clone())),
        recipients: age.parsed_items("recipients"),
    });
    Some(StoreDraft { name, spec: CredentialStoreSpec { location, backend, inputs }, inputs: places })
}
