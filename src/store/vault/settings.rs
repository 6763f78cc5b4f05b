//! What a document says of a store in Vault.

use std::path::PathBuf;

use crate::names::{Segment, StoreName};
use crate::spec::{FilePath, StorePath, VaultAuth, VaultStoreSpec};
use crate::vault::{LoginSettings, SecretIdForm, VaultSettings};

/// Where Vault mounts the AppRole method unless it is told otherwise.
const APP_ROLE_MOUNT: &str = "approle";

/// Where a store in Vault is.
#[derive(Debug, Clone)]
pub struct VaultStoreSettings {
    /// Name of the `CredentialStore`.
    pub name: StoreName,
    /// The server, the mount and the login.
    pub vault: VaultSettings,
    /// What everything lies below; may be empty.
    pub prefix: Vec<Segment>,
    /// Where given passwords may be read, e.g. `imports/`.
    pub inputs: Vec<String>,
}

impl VaultStoreSettings {
    /// The settings of a document; `resolve` makes a path of it absolute.
    ///
    /// # Errors
    /// Those of `resolve`.
    pub(in crate::store) fn of_document<E>(
        name: &StoreName,
        spec: &VaultStoreSpec,
        inputs: Vec<String>,
        resolve: impl Fn(&FilePath) -> Result<PathBuf, E>,
    ) -> Result<Self, E> {
        let segments = |path: &StorePath| path.segments().to_vec();
        let approle = || vec![Segment::parse(APP_ROLE_MOUNT).expect("a plain word is a segment")];
        let login = match &spec.auth {
            VaultAuth::TokenFile(file) => LoginSettings::TokenFile(resolve(file)?),
            VaultAuth::AppRole { role_id, secret_id_file, wrapped, mount } => LoginSettings::AppRole {
                mount: mount.as_ref().map_or_else(approle, segments),
                role_id: role_id.clone(),
                secret_id_file: resolve(secret_id_file)?,
                secret_id: if *wrapped { SecretIdForm::Wrapped } else { SecretIdForm::Plain },
            },
        };
        let vault = VaultSettings {
            address: spec.address.clone(),
            namespace: spec.namespace.clone(),
            mount: segments(&spec.mount),
            ca_file: spec.ca_file.as_ref().map(resolve).transpose()?,
            tls_server_name: spec.tls_server_name.clone(),
            login,
        };
        let prefix = spec.path_prefix.as_ref().map(segments).unwrap_or_default();
        Ok(Self { name: name.clone(), vault, prefix, inputs })
    }
}
