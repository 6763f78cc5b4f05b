//! One credential in each output format: bytes, made by pure functions.
//!
//! ```text
//! LiveCredential + Connection --render--> main file (secret)  + CA file beside it, where the format cannot hold one
//!                       --render_secret--> keys and values of a Kubernetes Secret
//! request                     --digest--> what decides the content, without a secret (formats.md B9)
//! file             --read_back--> the credential again, where a delivery is all that is left of it
//! first lines of a file       --stamp---> whose it is, and which generation it carries (R4)
//! ```
//!
//! Nothing is written or read here; `deliver/` does that.

mod digest;
mod jaas;
mod kubernetes_secret;
mod librdkafka;
mod pem;
mod properties;
mod read_back;
mod stamp;

pub use digest::{InputsDigest, inputs_digest, secret_inputs_digest};
pub use jaas::jaas_text;
pub use kubernetes_secret::{can_carry_in_secret, read_back_secret, render_secret, secret_type};
pub use librdkafka::ca_file_beside;
pub use pem::certificates_of;
pub use properties::{escape_key, escape_value};
pub use read_back::{Delivered, read_back};
pub use stamp::{STAMP_BYTES_MAX, Stamp, read_stamp};

use std::path::Path;

use crate::credential::{Connection, LiveCredential};
use crate::diagnostic::Hint;
use crate::names::{NamespacedName, UserName};
use crate::secret::Secret;
use crate::spec::FileFormat;

/// A credential in one format.
#[derive(Debug)]
pub struct Rendered {
    /// The file itself.
    pub main: Secret,
    /// Certificates for the file [`ca_file_beside`] it; `None` where the format carries them itself or there are none.
    pub ca_file: Option<Vec<u8>>,
}

/// Why a credential cannot be written in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A value does not fit into the format.
    #[error("format `{format}` cannot carry {field}: {reason}")]
    Uncarriable {
        /// The format.
        format: FileFormat,
        /// Which value, e.g. "the user name".
        field: &'static str,
        /// What is in the way.
        reason: Uncarriable,
    },
    /// The password is not UTF-8 text, so no client could be configured with it.
    #[error("the password is not UTF-8 text")]
    PasswordNotText,
    /// A CA is given, and no certificate is in it.
    #[error("the CA of the clients' listener holds no PEM certificate")]
    NoCertificate,
}

/// What keeps a value out of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Uncarriable {
    /// Readers trim lines and values.
    #[error("it begins or ends with white space, which readers of this format trim")]
    OuterSpace,
    /// A line ends at a line feed, a C string at a zero byte; the others are refused with them.
    #[error("it holds a control character, and this format has no escapes")]
    Control,
    /// `kcat` replaces these as if the file were a Java one.
    #[error("it holds `\\:` or `\\=`, which `kcat` reads as `:` and `=`")]
    JavaEscape,
    /// The path of a file is not UTF-8.
    #[error("it is not UTF-8")]
    NotText,
}

impl RenderError {
    /// What to do about it.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Uncarriable { format: FileFormat::Librdkafka, .. } => {
                Some("use `format: properties`, which can carry every name, or choose another name".to_owned())
            }
            Self::Uncarriable { format: FileFormat::Properties, .. } | Self::PasswordNotText => None,
            Self::NoCertificate => Some("look at `spec.clients.tls.caFile` of the `KafkaCluster`".to_owned()),
        }
    }
}

/// Checks without a secret whether [`render`] can succeed for this user and connection.
pub fn can_carry(format: FileFormat, username: &UserName, connection: &Connection) -> Result<(), RenderError> {
    if let Some(pem) = &connection.ca_pem {
        certificates_of(pem)?;
    }
    match format {
        FileFormat::Properties => Ok(()),
        FileFormat::Librdkafka => librdkafka::can_carry(username, connection),
    }
}

/// Renders a credential for one connection, as the delivery of `user` that is written to `target`.
///
/// `target` matters only where a format has to name the CA file beside it; it should be absolute.
pub fn render(
    format: FileFormat,
    user: &NamespacedName,
    credential: &LiveCredential,
    connection: &Connection,
    target: &Path,
) -> Result<Rendered, RenderError> {
    let stamp =
        Stamp { user: user.clone(), generation: credential.generation, rotation_id: credential.rotation_id.clone() };
    let certificates = connection.ca_pem.as_deref().map(certificates_of).transpose()?;
    match format {
        FileFormat::Properties => {
            let main = properties::client_properties(&stamp, credential, connection, certificates.as_deref())?;
            Ok(Rendered { main, ca_file: None })
        }
        FileFormat::Librdkafka => {
            let ca_location = certificates.as_ref().map(|_| ca_file_beside(target));
            let main = librdkafka::configuration(&stamp, credential, connection, ca_location.as_deref())?;
            let ca_file = certificates.map(|pem| format!("{stamp}{pem}\n").into_bytes());
            Ok(Rendered { main, ca_file })
        }
    }
}

/// Collects a file that holds a secret. Its capacity is known beforehand, so that growing never leaves a copy behind
/// that nobody wipes.
struct SecretBuffer {
    bytes: Vec<u8>,
}

impl SecretBuffer {
    fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    fn push(&mut self, text: &str) {
        debug_assert!(self.bytes.len() + text.len() <= self.bytes.capacity(), "the capacity was computed too small");
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn finish(self) -> Secret {
        Secret::new(self.bytes)
    }
}

#[cfg(test)]
mod tests;
