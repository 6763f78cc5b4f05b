//! The data of a Kubernetes Secret (formats.md B7): values by key, each a secret until it is known not to be.

use std::collections::BTreeMap;

use super::{Delivered, RenderError, Stamp, certificates_of, jaas, jaas_text, properties};
use crate::credential::{Connection, LiveCredential};
use crate::names::{NamespacedName, UserName};
use crate::secret::Secret;
use crate::spec::SecretFormat;

/// `type` of a Secret in each format. Service Binding asks for a name of its own; everything else is `Opaque`.
pub const fn secret_type(format: SecretFormat) -> &'static str {
    match format {
        SecretFormat::Strimzi | SecretFormat::Properties => "Opaque",
        SecretFormat::Binding => "servicebinding.io/kafka",
    }
}

/// Checks without a secret whether [`render_secret`] can succeed for this connection.
pub fn can_carry_in_secret(connection: &Connection) -> Result<(), RenderError> {
    connection.ca_pem.as_deref().map_or(Ok(()), |pem| certificates_of(pem).map(drop))
}

/// Renders a credential for one connection, as the delivery of `user`; `keys` has other names for some keys.
pub fn render_secret(
    format: SecretFormat,
    keys: &BTreeMap<String, String>,
    user: &NamespacedName,
    credential: &LiveCredential,
    connection: &Connection,
) -> Result<BTreeMap<String, Secret>, RenderError> {
    let certificates = connection.ca_pem.as_deref().map(certificates_of).transpose()?;
    let value = |key: &str| -> Result<Option<Secret>, RenderError> {
        let plain = |text: &str| Some(Secret::from_text(text.to_owned()));
        Ok(match key {
            "client.properties" => {
                let (generation, rotation_id) = (credential.generation, credential.rotation_id.clone());
                let stamp = Stamp { user: user.clone(), generation, rotation_id };
                Some(properties::client_properties(&stamp, credential, connection, certificates.as_deref())?)
            }
            "bootstrap.servers" | "bootstrap-servers" | "bootstrapServers" => plain(&connection.bootstrap_servers),
            "security.protocol" | "securityProtocol" => plain(&connection.security_protocol),
            "sasl.mechanism" | "saslMechanism" => plain(credential.mechanism.as_str()),
            "sasl.jaas.config" => Some(jaas_text(&credential.username, &credential.password)?),
            "username" => plain(credential.username.as_str()),
            "password" => Some(credential.password.duplicate()),
            "ca.crt" | "ssl.truststore.crt" => certificates.as_ref().map(|pem| Secret::from_text(format!("{pem}\n"))),
            "type" => plain("kafka"),
            "provider" => plain("kastellan"),
            other => unreachable!("`{other}` is no key of a format"),
        })
    };
    let mut data = BTreeMap::new();
    for key in format.keys() {
        if let Some(value) = value(key)? {
            data.insert(name_of(keys, key).to_owned(), value);
        }
    }
    Ok(data)
}

fn name_of<'a>(keys: &'a BTreeMap<String, String>, key: &'a str) -> &'a str {
    keys.get(key).map_or(key, String::as_str)
}

/// The credential of a whole Secret; `None` for one that does not hold all of it. The Strimzi format never does: it does
/// not tell the mechanism.
pub fn read_back_secret(
    format: SecretFormat,
    keys: &BTreeMap<String, String>,
    stamp: Stamp,
    data: &BTreeMap<String, Secret>,
) -> Option<Delivered> {
    let text = |key: &str| data.get(name_of(keys, key))?.expose_text();
    let mechanism = match format {
        SecretFormat::Strimzi => return None,
        SecretFormat::Properties | SecretFormat::Binding => text("sasl.mechanism")?.parse().ok()?,
    };
    let (username, password) = jaas::read_back(text("sasl.jaas.config")?)?;
    // Somebody may have changed the one and not the other.
    let same = text("username")? == username && data.get(name_of(keys, "password"))?.ct_eq(&password);
    same.then_some(Delivered { stamp, username: UserName::parse(username).ok()?, mechanism, password })
}
