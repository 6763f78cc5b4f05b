//! Credentials in a real Vault, always under the policies that `kastellan policy vault` prints, never as root.

mod bad_days;
mod journey;
mod moves;
mod store;
mod tokens;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use kastellan::names::{Segment, StoreName};
use kastellan::store::vault::VaultStoreSettings;
use kastellan::store::{MachineState, Store, StoreReader, StoreSettings, open_for_reading, open_for_writing};
use kastellan::vault::{KvPath, LoginSettings, Purpose, SecretIdForm, VaultSettings, policy};

use crate::stack::vault::{AppRole, Vault, shared};
use crate::stack::{unique_name, write_private};

use crate::operator::MOUNT;

/// The shared Vault, with its mount.
pub fn vault() -> &'static Vault {
    static MOUNTED: OnceLock<()> = OnceLock::new();
    let vault = shared();
    MOUNTED.get_or_init(|| vault.mount_kv(MOUNT).unwrap());
    vault
}

fn segments(path: &str) -> Vec<Segment> {
    path.split('/').map(|segment| Segment::parse(segment).unwrap()).collect()
}

/// An empty part of a mount, with a policy for each purpose.
struct Ground {
    vault: &'static Vault,
    prefix: String,
    folder: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        Self::on(vault())
    }

    /// On a Vault of the test's own, to do it harm.
    fn on(vault: &'static Vault) -> Self {
        let prefix = unique_name("prefix");
        for (name, purpose) in
            [("plan", Purpose::Planning), ("apply", Purpose::Applying), ("import", Purpose::Importing)]
        {
            let inputs = [KvPath::of(&segments("imports"))];
            let text = policy(purpose, &segments(MOUNT), &segments(&prefix), &inputs);
            vault.put_policy(&format!("{prefix}-{name}"), &text).unwrap();
        }
        Self { vault, prefix, folder: tempfile::tempdir().unwrap() }
    }

    fn policy(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        write_private(self.folder.path().join(name), text).unwrap()
    }

    fn settings(&self, login: LoginSettings) -> VaultStoreSettings {
        VaultStoreSettings {
            name: StoreName::parse("vault").unwrap(),
            vault: VaultSettings {
                address: self.vault.url(),
                namespace: None,
                mount: segments(MOUNT),
                ca_file: None,
                tls_server_name: None,
                login,
            },
            prefix: segments(&self.prefix),
            inputs: vec!["imports/".into()],
        }
    }

    /// By a token with one of the policies.
    fn by_token(&self, name: &str) -> VaultStoreSettings {
        let token = self.vault.token(&[&self.policy(name)], "1h").unwrap();
        self.settings(LoginSettings::TokenFile(self.file("token", &format!("{token}\n"))))
    }

    /// An AppRole whose tokens have one of the policies.
    fn role(&self, name: &str, ttl: &str, max_ttl: &str) -> AppRole {
        self.vault.app_role(&self.policy(name), &[&self.policy(name)], ttl, max_ttl).unwrap()
    }

    fn by_role(&self, role: &AppRole) -> VaultStoreSettings {
        let secret_id_file = self.file("secret-id", &role.secret_id);
        self.settings(login_by(role, secret_id_file, SecretIdForm::Plain))
    }

    async fn open(&self) -> Arc<dyn Store> {
        open(self.by_role(&self.role("apply", "10m", "1h"))).await
    }

    async fn open_reader(&self) -> Arc<dyn StoreReader> {
        open_for_reading(&StoreSettings::Vault(self.by_token("plan"))).await.unwrap()
    }

    /// The path of the API for something of this ground.
    fn path(&self, kind: &str, path: &str) -> String {
        format!("{MOUNT}/{kind}/{}/{path}", self.prefix)
    }
}

fn login_by(role: &AppRole, secret_id_file: PathBuf, secret_id: SecretIdForm) -> LoginSettings {
    LoginSettings::AppRole { mount: segments("approle"), role_id: role.role_id.clone(), secret_id_file, secret_id }
}

async fn open(settings: VaultStoreSettings) -> Arc<dyn Store> {
    let machine = MachineState { markers: PathBuf::new() };
    open_for_writing(&StoreSettings::Vault(settings), &machine).await.unwrap()
}
