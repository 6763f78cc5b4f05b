//! Documents of many users.

use std::fmt::Write as _;
use std::path::Path;

/// ACLs of each user.
pub const ACLS_PER_USER: usize = 5;

/// Where credentials live, and where they are delivered to.
pub struct Home<'a> {
    /// A store's name, and its fields.
    pub store: (&'a str, &'a str),
    /// The namespace of a Secret for each user; `None`: no deliveries.
    pub namespace: Option<&'a str>,
}

/// A store in a folder, and no deliveries.
const FOLDER: Home<'_> =
    Home { store: ("local", "  age: {directory: ../store, identityFile: ../identity.txt}\n"), namespace: None };

/// One user's document: five ACLs, no delivery.
pub fn user_document(name: &str) -> String {
    format!(
        "apiVersion: kastellan.io/v1alpha1\nkind: KafkaUser\nmetadata: {{name: {name}, namespace: bench}}\nspec:\n  \
         clusters: [bench]\n  authentication: {{type: scram}}\n  authorization:\n    acls:\n      \
         - {{resource: {{type: topic, name: {name}., patternType: prefix}}, operations: [Read, Write, Describe]}}\n      \
         - {{resource: {{type: group, name: {name}}}, operations: [Read, Describe]}}\n"
    )
}

/// [`write_at`] for a store in a folder.
pub fn write(folder: &Path, prefix: &str, users: usize, brokers: [&str; 2], overlap: &str) -> std::io::Result<()> {
    write_at(folder, prefix, users, brokers, overlap, &FOLDER)
}

/// Documents of `users` users, some thousands a file, beside a store and a cluster whose users flip with this overlap.
pub fn write_at(
    folder: &Path,
    prefix: &str,
    users: usize,
    brokers: [&str; 2],
    overlap: &str,
    home: &Home<'_>,
) -> std::io::Result<()> {
    let ([admin, clients], (store, fields)) = (brokers, home.store);
    let head = format!(
        "apiVersion: kastellan.io/v1alpha1\nkind: CredentialStore\nmetadata: {{name: {store}}}\nspec:\n{fields}---\n\
         apiVersion: kastellan.io/v1alpha1\nkind: KafkaCluster\nmetadata: {{name: bench}}\nspec:\n  \
         bootstrapServers: \"{admin}\"\n  admin: {{authentication: {{type: scram-sha-512, username: kastellan, \
         password: {{valueFrom: {{env: KAFKA_ADMIN_PASSWORD}}}}}}}}\n  clients: {{bootstrapServers: \"{clients}\", \
         mechanisms: [scram-sha-512, scram-sha-256]}}\n  \
         defaults: {{rotation: {{strategy: mechanism-flip, overlap: {overlap}}}}}\n"
    );
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("head.yaml"), head)?;
    let names = (0..users).map(|index| format!("{prefix}-{index:06}")).collect::<Vec<_>>();
    for (file, names) in names.chunks(2_000).enumerate() {
        let mut text = String::new();
        for name in names {
            let _ = write!(text, "---\n{}", user_document(name));
            if let Some(namespace) = home.namespace {
                let secret = format!("{{namespace: {namespace}, name: {name}, format: properties}}");
                let _ = writeln!(text, "  deliver: [{{kubernetesSecret: {secret}}}]");
            }
        }
        std::fs::write(folder.join(format!("users-{file:03}.yaml")), text)?;
    }
    Ok(())
}
