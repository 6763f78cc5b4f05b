//! Stores and clusters.

use super::fields::{Field, compare_fields};
use super::{Comparison, Difference, DocumentId, What, Widening};
use crate::spec::{
    AdminAuthentication, AdminSpec, AgeStoreSpec, ClientsSpec, CredentialStoreSpec, Documents, FilePath,
    KafkaClusterSpec, PasswordSource, StatedRotation, StoreBackend, TlsSpec, UserDefaults, VaultAuth, VaultStoreSpec,
    format_duration,
};

pub(super) fn compare_stores(before: &Documents, after: &Documents, comparison: &mut Comparison) {
    for (name, spec) in &after.stores {
        let id = DocumentId::Store(name.clone());
        match before.stores.get(name) {
            Some(old) => comparison.note(id, settings(store_fields(old), store_fields(spec))),
            None => {
                let about = match &spec.backend {
                    StoreBackend::Age(age) => format!("an age store in {}", shown(&age.directory)),
                    StoreBackend::Vault(vault) => format!("a store in Vault at {}", vault.address),
                };
                comparison.note(id, [Difference::new(What::Added(about))]);
            }
        }
    }
    for name in before.stores.keys().filter(|name| !after.stores.contains_key(*name)) {
        comparison.note(DocumentId::Store(name.clone()), [Difference::new(What::Removed).destructive(true)]);
    }
}

pub(super) fn compare_clusters(before: &Documents, after: &Documents, comparison: &mut Comparison) {
    for (name, spec) in &after.clusters {
        let id = DocumentId::Cluster(name.clone());
        match before.clusters.get(name) {
            Some(old) => comparison.note(id, settings(cluster_fields(old), cluster_fields(spec))),
            None => {
                let about = format!("a cluster at {}", spec.admin.bootstrap_servers);
                comparison.note(id, [Difference::new(What::Added(about))]);
            }
        }
    }
    for name in before.clusters.keys().filter(|name| !after.clusters.contains_key(*name)) {
        comparison.note(DocumentId::Cluster(name.clone()), [Difference::new(What::Removed).destructive(true)]);
    }
}

fn settings(before: Vec<Field>, after: Vec<Field>) -> impl Iterator<Item = Difference> {
    let changes = compare_fields(before, after).into_iter();
    changes.map(|(change, widens)| Difference::new(What::Setting(change)).widens(widens))
}

/// A path as it leads from where the program runs, so that equal ones are equal wherever their documents stand.
fn shown(path: &FilePath) -> String {
    path.normal().display().to_string()
}

/// The fields of a store. Taken apart to the last field, so that one that is added to the grammar is not forgotten here.
fn store_fields(spec: &CredentialStoreSpec) -> Vec<Field> {
    let CredentialStoreSpec { location: _, backend, inputs } = spec;
    match backend {
        StoreBackend::Age(AgeStoreSpec { directory, identity_file, recipients }) => vec![
            Field::one("age.directory", Some(shown(directory))),
            Field::one("age.identityFile", Some(shown(identity_file))),
            Field::many("age.recipients", recipients).widens_coming(Widening::MoreRecipients),
            Field::many("age.inputs", inputs).widens_coming(Widening::MoreInputs),
        ],
        StoreBackend::Vault(vault) => {
            let mut fields = vault_fields(vault);
            fields.push(Field::many("vault.inputs", inputs).widens_coming(Widening::MoreInputs));
            fields
        }
    }
}

fn vault_fields(spec: &VaultStoreSpec) -> Vec<Field> {
    let VaultStoreSpec { address, namespace, mount, path_prefix, auth, ca_file, tls_server_name } = spec;
    let (kind, role, file, auth_mount) = match auth {
        VaultAuth::TokenFile(file) => ("tokenFile", None, file, None),
        VaultAuth::AppRole { role_id, secret_id_file, wrapped: false, mount } => {
            ("appRole", Some(role_id), secret_id_file, mount.as_ref())
        }
        VaultAuth::AppRole { role_id, secret_id_file, wrapped: true, mount } => {
            ("appRole, wrapped", Some(role_id), secret_id_file, mount.as_ref())
        }
    };
    vec![
        Field::one("vault.address", Some(address)),
        Field::one("vault.namespace", namespace.as_ref()),
        Field::one("vault.mount", Some(mount)),
        Field::one("vault.pathPrefix", path_prefix.as_ref()),
        Field::one("vault.auth", Some(kind)),
        Field::one("vault.auth.roleId", role),
        Field::one("vault.auth.file", Some(shown(file))),
        Field::one("vault.auth.mount", auth_mount),
        Field::one("vault.caFile", ca_file.as_ref().map(shown)),
        Field::one("vault.tlsServerName", tls_server_name.as_ref()),
    ]
}

/// The fields of a cluster, taken apart likewise.
fn cluster_fields(spec: &KafkaClusterSpec) -> Vec<Field> {
    let KafkaClusterSpec { location: _, admin, clients, protected_users, defaults, suspend } = spec;
    let AdminSpec { bootstrap_servers, authentication, tls, fence } = admin;
    let ClientsSpec { bootstrap_servers: clients_servers, verify_logins, mechanisms, tls: clients_tls } = clients;
    let UserDefaults { rotation } = defaults;
    let mechanisms = mechanisms.iter().map(|mechanism| mechanism.as_str()).collect::<Vec<_>>();
    let mut fields = vec![Field::one("bootstrapServers", Some(bootstrap_servers))];
    fields.extend(login_fields(authentication.as_ref()));
    fields.extend([
        Field::one("admin.tls.caFile", ca_file(tls.as_ref())).widens_going(Widening::Plaintext),
        Field::one("admin.fence", Some(format!("{} s", fence.as_secs_f64()))),
        Field::one("clients.bootstrapServers", Some(clients_servers)),
        Field::one("clients.verifyLogins", Some(verify_logins)),
        Field::one("clients.mechanisms", Some(mechanisms.join(", "))),
        Field::one("clients.tls.caFile", ca_file(clients_tls.as_ref())).widens_going(Widening::Plaintext),
        Field::many("protectedUsers", protected_users.iter().map(|pattern| pattern.as_str()))
            .widens_going(Widening::Unprotected),
        Field::one("suspend", Some(suspend)),
    ]);
    fields.extend(rotation_fields(rotation));
    fields
}

/// Defaults for users. What they change for each user is told at the user.
fn rotation_fields(stated: &StatedRotation) -> [Field; 6] {
    let StatedRotation { every, strategy, overlap, confirm, allow_downtime, clients_read_mechanism } = stated;
    [
        Field::one("defaults.rotation.every", every.map(format_duration)),
        Field::one("defaults.rotation.strategy", *strategy),
        Field::one("defaults.rotation.overlap", overlap.map(format_duration)),
        Field::one("defaults.rotation.confirm", *confirm),
        Field::one("defaults.rotation.allowDowntime", *allow_downtime),
        Field::one("defaults.rotation.clientsReadMechanism", *clients_read_mechanism),
    ]
}

fn ca_file(tls: Option<&TlsSpec>) -> Option<String> {
    tls.map(|TlsSpec { ca_file }| shown(ca_file))
}

/// Kastellan's own login: the place of its password, never the password.
fn login_fields(login: Option<&AdminAuthentication>) -> [Field; 5] {
    let (kind, files) = match login {
        None => (None, None),
        Some(AdminAuthentication::Scram { mechanism, username: _, password: _ }) => {
            (Some(mechanism.as_str().to_lowercase()), None)
        }
        Some(AdminAuthentication::Plain { username: _, password: _ }) => (Some("plain".to_owned()), None),
        Some(AdminAuthentication::Tls { certificate_file, key_file }) => {
            (Some("tls".to_owned()), Some((certificate_file, key_file)))
        }
    };
    let password = login.and_then(AdminAuthentication::password).map(|source| match source {
        PasswordSource::Env(variable) => format!("env {variable}"),
        PasswordSource::File(path) => format!("file {}", shown(path)),
        PasswordSource::Store(value) => format!("store {}#{}", value.path, value.key),
    });
    [
        Field::one("admin.authentication.type", kind),
        Field::one("admin.authentication.username", login.and_then(AdminAuthentication::username)),
        Field::one("admin.authentication.password", password),
        Field::one("admin.authentication.certificateFile", files.map(|(certificate, _)| shown(certificate))),
        Field::one("admin.authentication.keyFile", files.map(|(_, key)| shown(key))),
    ]
}
