//! Stores, records, material and credentials for tests.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use kastellan::credential::{Authentication, Connection, CredentialDocument, LiveCredential, Record, Slot};
use kastellan::names::{
    ClusterName, Generation, Mechanism, NamespacedName, RotationId, Scope, Segment, StoreName, UserName,
};
use kastellan::secret::{Iterations, Material, Salt, ScramCredential, ScramKeys, Secret};
use kastellan::store::age::{AgeSettings, init};
use kastellan::store::{Backend, MachineState, MemoryStore, Store, StoreSettings, open_for_writing};

/// A fresh, empty store of some kind, and what it lies in.
pub struct Fixture {
    pub settings: StoreSettings,
    pub machine: MachineState,
    pub folder: tempfile::TempDir,
}

impl Fixture {
    /// A store with the inputs `imports/`. A new kind of store cannot be added without being given one here.
    pub fn new(backend: Backend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = MachineState { markers: folder.path().join("state/kastellan/stores") };
        let settings = match backend {
            Backend::Age => {
                let settings = age_settings(folder.path().join("store"), folder.path().join("identity.txt"));
                init(&settings, &machine).unwrap();
                StoreSettings::Age(settings)
            }
            Backend::Vault => panic!("a Vault is made by the tests with servers"),
            Backend::Memory => StoreSettings::Memory(MemoryStore::new(store_name(), &["imports/".into()]).unwrap()),
        };
        Self { settings, machine, folder }
    }

    pub async fn open(&self) -> Arc<dyn Store> {
        open_for_writing(&self.settings, &self.machine).await.unwrap()
    }

    /// The settings of an age store.
    pub fn age(&self) -> &AgeSettings {
        match &self.settings {
            StoreSettings::Age(settings) => settings,
            StoreSettings::Memory(_) | StoreSettings::Vault(_) => panic!("not an age store"),
        }
    }
}

pub fn store_name() -> StoreName {
    StoreName::parse("local").unwrap()
}

pub fn age_settings(directory: PathBuf, identity_file: PathBuf) -> AgeSettings {
    AgeSettings {
        name: store_name(),
        directory,
        identity_file,
        recipients: Vec::new(),
        inputs: vec!["imports/".into()],
    }
}

/// A user by `namespace/name`.
pub fn user(text: &str) -> NamespacedName {
    text.parse().unwrap()
}

/// `count` users, in order.
pub fn users(count: usize) -> Vec<NamespacedName> {
    (0..count)
        .map(|number| user(&format!("team-{}/user-{number:05}", number % 7)))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Names that are awkward as paths, in shells, in JSON and on the wire.
pub fn awkward_users() -> Vec<NamespacedName> {
    let long = "x".repeat(230);
    let umlauts = "ü".repeat(38);
    let names = [
        "Müller",
        "two words",
        " ",
        "%2F",
        "%",
        "a=b,c",
        "\"quoted\"",
        "it's",
        "..x",
        ".hidden",
        "-rf",
        "*",
        "?",
        "a:b",
        "~",
        "$(id)",
        "naïve\u{301}",
        "💥",
        "CON",
        "lock",
        "tmp",
        "records",
        "x.json",
        "x.age",
        &long,
        &umlauts,
    ];
    let mut users: Vec<_> = names
        .iter()
        .flat_map(|name| {
            let name = Segment::parse(name).unwrap();
            let team = Segment::parse("team").unwrap();
            [
                NamespacedName { namespace: team.clone(), name: name.clone() },
                NamespacedName { namespace: name, name: team },
            ]
        })
        .collect();
    users.sort();
    users
}

/// A record of a user that has one published generation.
pub fn record(user: &NamespacedName) -> Record {
    let username = UserName::parse("payments").unwrap();
    let slot = Slot {
        username: username.clone(),
        generation: Generation(1),
        rotation_id: rotation_id(),
        mechanism: Mechanism::ScramSha512,
        salt: salt(),
        iterations: 4096,
    };
    Record {
        generation: Generation(1),
        allotted: Generation(1),
        published_at: Some("2026-11-24T09:00:00Z".parse().unwrap()),
        active: Some(slot),
        ..Record::blank(user.clone(), Scope::default(), username, Authentication::Scram)
    }
}

/// Material with this password and made-up keys: PBKDF2 is somebody else's test.
pub fn material(generation: u64, password: &str) -> Arc<Material> {
    let keys = ScramKeys {
        salted_password: Secret::new(vec![1; 64]),
        client_key: Secret::new(vec![2; 64]),
        stored_key: Secret::new(vec![3; 64]),
        server_key: Secret::new(vec![0xff; 64]),
    };
    Arc::new(Material {
        generation: Generation(generation),
        rotation_id: rotation_id(),
        created_at: "2026-11-24T09:00:00.123456789Z".parse().unwrap(),
        scram: ScramCredential {
            mechanism: Mechanism::ScramSha512,
            password: Secret::from_text(password.to_owned()),
            salt: salt(),
            iterations: Iterations::default(),
            keys,
        },
    })
}

/// A credential document for these clusters.
pub fn credential(generation: u64, password: &str, clusters: &[&str]) -> Arc<CredentialDocument> {
    let connection = |cluster: &&str| {
        let connection = Connection {
            bootstrap_servers: format!("{cluster}.example.com:9094"),
            security_protocol: "SASL_SSL".into(),
            ca_pem: (*cluster != "plain").then(|| format!("-----BEGIN CERTIFICATE-----\n{cluster}\n").into()),
        };
        (ClusterName::parse(cluster).unwrap(), connection)
    };
    Arc::new(CredentialDocument::Live(Box::new(LiveCredential {
        generation: Generation(generation),
        rotation_id: rotation_id(),
        published_at: "2026-11-24T09:00:00Z".parse().unwrap(),
        username: UserName::parse("CN=Müller, O=\"Acme\"").unwrap(),
        password: Secret::from_text(password.to_owned()),
        mechanism: Mechanism::ScramSha256,
        connections: clusters.iter().map(connection).collect(),
    })))
}

fn rotation_id() -> RotationId {
    RotationId::parse("abcdefghijklmnopqrstuvwxyz").unwrap()
}

fn salt() -> Salt {
    Salt::parse(vec![7; 24]).unwrap()
}
