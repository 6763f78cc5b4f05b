//! Material and credential documents as text fields (formats.md B5), the same in every store.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use zeroize::Zeroizing;

use super::fields::Fields;
use crate::credential::{Connection, CredentialDocument, LiveCredential};
use crate::names::{ClusterName, Generation, NamespacedName, RotationId, UserName};
use crate::secret::{Material, Salt, ScramCredential, ScramKeys, Secret};

/// The schema of material this program writes.
pub const MATERIAL_SCHEMA: u64 = 1;

/// The field that every document of the store's own has and no input may have.
pub const OWN_FIELD: &str = "rotation_id";

/// Why fields are not the document that was asked for. Names fields, never their texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not a document at all.
    #[error("it is not a JSON object of strings")]
    NotFields,
    /// A field is absent or makes no sense.
    #[error("field `{0}` is missing or wrong")]
    Field(String),
    /// A newer program wrote it.
    #[error("schema {0} is newer than this program")]
    NewerSchema(u64),
    /// It is somebody else's document.
    #[error("it belongs to generation {generation} of `{user}`")]
    Misfiled {
        /// Whose it says it is.
        user: String,
        /// The number it says it has.
        generation: Generation,
    },
    /// The password is not UTF-8.
    #[error("the password is not UTF-8 text")]
    NotText,
}

/// The fields of one generation's material.
pub fn encode_material(user: &NamespacedName, material: &Material) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
    let scram = &material.scram;
    let mut fields = Fields::default();
    fields.set("schema", MATERIAL_SCHEMA.to_string());
    fields.set("user", user.to_string());
    fields.set("generation", material.generation.to_string());
    fields.set(OWN_FIELD, material.rotation_id.as_str());
    fields.set("created_at", material.created_at.to_string());
    fields.set("mechanism", scram.mechanism.as_str());
    fields.set("password", scram.password.expose_text().ok_or(PayloadError::NotText)?);
    fields.set("salt_b64", scram.salt.base64());
    fields.set("iterations", scram.iterations.count().to_string());
    fields.set("salted_password_b64", BASE64.encode(scram.keys.salted_password.expose()));
    fields.set("client_key_b64", BASE64.encode(scram.keys.client_key.expose()));
    fields.set("stored_key_b64", BASE64.encode(scram.keys.stored_key.expose()));
    fields.set("server_key_b64", BASE64.encode(scram.keys.server_key.expose()));
    Ok(fields.encode())
}

/// Reads what [`encode_material`] wrote, for exactly this user and generation.
pub fn decode_material(user: &NamespacedName, wanted: Generation, bytes: &[u8]) -> Result<Material, PayloadError> {
    let fields = Fields::decode(bytes).map_err(|_| PayloadError::NotFields)?;
    let schema = parsed(&fields, "schema")?;
    if schema > MATERIAL_SCHEMA {
        return Err(PayloadError::NewerSchema(schema));
    }
    let owner = required(&fields, "user")?;
    let generation = Generation(parsed(&fields, "generation")?);
    if owner != user.to_string() || generation != wanted {
        return Err(PayloadError::Misfiled { user: owner.to_owned(), generation });
    }
    let iterations: u32 = parsed(&fields, "iterations")?;
    let keys = ScramKeys {
        salted_password: key(&fields, "salted_password_b64")?,
        client_key: key(&fields, "client_key_b64")?,
        stored_key: key(&fields, "stored_key_b64")?,
        server_key: key(&fields, "server_key_b64")?,
    };
    let scram = ScramCredential {
        mechanism: parsed(&fields, "mechanism")?,
        password: fields.secret("password").ok_or_else(|| wrong("password"))?,
        salt: Salt::observed(BASE64.decode(required(&fields, "salt_b64")?).map_err(|_| wrong("salt_b64"))?),
        iterations: iterations.try_into().map_err(|_| wrong("iterations"))?,
        keys,
    };
    let rotation_id = RotationId::parse(required(&fields, OWN_FIELD)?).map_err(|_| wrong(OWN_FIELD))?;
    Ok(Material { generation, rotation_id, created_at: parsed(&fields, "created_at")?, scram })
}

/// The fields of a credential document: those of B5, plus `clusters` (a JSON list of names, in order) so that it can be
/// read back, and, with several clusters, each field of a connection with the cluster's name behind it.
pub fn encode_credential(document: &CredentialDocument) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
    let mut fields = Fields::default();
    fields.set("generation", document.generation().to_string());
    match document {
        CredentialDocument::Live(live) => set_live(&mut fields, live)?,
        CredentialDocument::Tombstone { deleted_at, .. } => {
            fields.set("deleted_at", deleted_at.to_string());
            fields.set(OWN_FIELD, "");
        }
    }
    Ok(fields.encode())
}

fn set_live<'a>(fields: &mut Fields<'a>, live: &'a LiveCredential) -> Result<(), PayloadError> {
    let names: Vec<_> = live.connections.iter().map(|(name, _)| name).collect();
    fields.set("clusters", serde_json::to_string(&names).expect("names always serialise"));
    fields.set("username", live.username.as_str());
    fields.set("password", live.password.expose_text().ok_or(PayloadError::NotText)?);
    fields.set("sasl_mechanism", live.mechanism.as_str());
    fields.set(OWN_FIELD, live.rotation_id.as_str());
    fields.set("published_at", live.published_at.to_string());
    if let Some((_, connection)) = live.connections.first() {
        set_connection(fields, "", connection);
    }
    if live.connections.len() > 1 {
        for (name, connection) in &live.connections {
            set_connection(fields, &format!("_{name}"), connection);
        }
    }
    Ok(())
}

fn set_connection<'a>(fields: &mut Fields<'a>, suffix: &str, connection: &'a Connection) {
    fields.set(format!("bootstrap_servers{suffix}"), connection.bootstrap_servers.as_str());
    fields.set(format!("security_protocol{suffix}"), connection.security_protocol.as_str());
    if let Some(ca_pem) = &connection.ca_pem {
        fields.set(format!("ca_crt{suffix}"), Cow::Borrowed(&**ca_pem));
    }
}

/// Reads what [`encode_credential`] wrote.
pub fn decode_credential(bytes: &[u8]) -> Result<CredentialDocument, PayloadError> {
    let fields = Fields::decode(bytes).map_err(|_| PayloadError::NotFields)?;
    let generation = Generation(parsed(&fields, "generation")?);
    if fields.get("deleted_at").is_some() {
        return Ok(CredentialDocument::Tombstone { generation, deleted_at: parsed(&fields, "deleted_at")? });
    }
    let names: Vec<ClusterName> =
        serde_json::from_str(required(&fields, "clusters")?).map_err(|_| wrong("clusters"))?;
    let suffix = |name: &ClusterName| if names.len() > 1 { format!("_{name}") } else { String::new() };
    let connections = names
        .iter()
        .map(|name| Ok((name.clone(), decode_connection(&fields, &suffix(name))?)))
        .collect::<Result<_, PayloadError>>()?;
    Ok(CredentialDocument::Live(Box::new(LiveCredential {
        generation,
        rotation_id: RotationId::parse(required(&fields, OWN_FIELD)?).map_err(|_| wrong(OWN_FIELD))?,
        published_at: parsed(&fields, "published_at")?,
        username: UserName::parse(required(&fields, "username")?).map_err(|_| wrong("username"))?,
        password: fields.secret("password").ok_or_else(|| wrong("password"))?,
        mechanism: parsed(&fields, "sasl_mechanism")?,
        connections,
    })))
}

fn decode_connection(fields: &Fields<'_>, suffix: &str) -> Result<Connection, PayloadError> {
    Ok(Connection {
        bootstrap_servers: required(fields, &format!("bootstrap_servers{suffix}"))?.to_owned(),
        security_protocol: required(fields, &format!("security_protocol{suffix}"))?.to_owned(),
        ca_pem: fields.get(&format!("ca_crt{suffix}")).map(Into::into),
    })
}

fn wrong(field: &str) -> PayloadError {
    PayloadError::Field(field.to_owned())
}

fn required<'f>(fields: &'f Fields<'_>, field: &str) -> Result<&'f str, PayloadError> {
    fields.get(field).ok_or_else(|| wrong(field))
}

fn parsed<T: std::str::FromStr>(fields: &Fields<'_>, field: &str) -> Result<T, PayloadError> {
    required(fields, field)?.parse().map_err(|_| wrong(field))
}

fn key(fields: &Fields<'_>, field: &str) -> Result<Secret, PayloadError> {
    BASE64.decode(required(fields, field)?).map(Secret::new).map_err(|_| wrong(field))
}
