//! What decides the content of a delivery, as one digest without a secret (formats.md B9).

use std::path::Path;

use ring::digest::{Context, SHA256};

use crate::credential::Connection;
use crate::names::{Generation, NamespacedName, RotationId};
use crate::spec::{FileFormat, Owner, SecretDelivery};

/// Changes with every change of what the formats look like, so that files of an older program are written anew.
const ENCODING: &str = "kastellan.io/delivery/file/1";
/// The same for Secrets.
const SECRET_ENCODING: &str = "kastellan.io/delivery/kubernetes-secret/1";

/// SHA-256 in hex over what decides the content of a delivery. It may be public.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct InputsDigest(String);

impl InputsDigest {
    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for InputsDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The digest of a plain file's inputs: each field with its length before it, so that no two lists of fields agree.
///
/// The material of a rotation never changes, so its id stands for user name, mechanism and password.
pub fn inputs_digest(
    user: &NamespacedName,
    (generation, rotation_id): (Generation, &RotationId),
    format: FileFormat,
    connection: &Connection,
    target: &Path,
    owner: Option<&Owner>,
) -> InputsDigest {
    let (user, owner) = (user.to_string(), owner.map(Owner::to_string));
    let fields: [Option<&[u8]>; 10] = [
        Some(ENCODING.as_bytes()),
        Some(user.as_bytes()),
        Some(&generation.0.to_be_bytes()),
        Some(rotation_id.as_str().as_bytes()),
        Some(format.as_str().as_bytes()),
        Some(connection.bootstrap_servers.as_bytes()),
        Some(connection.security_protocol.as_bytes()),
        connection.ca_pem.as_deref().map(str::as_bytes),
        Some(target.as_os_str().as_encoded_bytes()),
        owner.as_deref().map(str::as_bytes),
    ];
    digest(fields)
}

/// The digest of a Secret's inputs. Whether it was adopted changes nothing in it.
pub fn secret_inputs_digest(
    user: &NamespacedName,
    (generation, rotation_id): (Generation, &RotationId),
    secret: &SecretDelivery,
    connection: &Connection,
) -> InputsDigest {
    let (user, place) = (user.to_string(), secret.place.to_string());
    let generation = generation.0.to_be_bytes();
    let fixed: [Option<&[u8]>; 9] = [
        Some(SECRET_ENCODING.as_bytes()),
        Some(user.as_bytes()),
        Some(&generation),
        Some(rotation_id.as_str().as_bytes()),
        Some(secret.format.as_str().as_bytes()),
        Some(connection.bootstrap_servers.as_bytes()),
        Some(connection.security_protocol.as_bytes()),
        connection.ca_pem.as_deref().map(str::as_bytes),
        Some(place.as_bytes()),
    ];
    let maps = [&secret.keys, &secret.labels, &secret.annotations];
    // An absent field ends each map: no key is absent.
    let entries = maps.into_iter().flat_map(|map| {
        let texts = map.iter().flat_map(|(key, value)| [Some(key.as_bytes()), Some(value.as_bytes())]);
        texts.chain([None])
    });
    digest(fixed.into_iter().chain(entries))
}

fn digest<'a>(fields: impl IntoIterator<Item = Option<&'a [u8]>>) -> InputsDigest {
    let mut context = Context::new(&SHA256);
    for field in fields {
        // An absent field differs from an empty one.
        match field {
            Some(bytes) => {
                context.update(&(bytes.len() as u64).to_be_bytes());
                context.update(bytes);
            }
            None => context.update(&u64::MAX.to_be_bytes()),
        }
    }
    InputsDigest(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
