//! The floor of a piece of work: its bare parts, one after the other, at the same concurrency, for as many users as the
//! work has, on the same brokers and the same disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use kastellan::credential::{Connection, CredentialDocument, LiveCredential, Record};
use kastellan::k8s::{Condition, Kubernetes, Manifest};
use kastellan::kafka::{
    Admin, Authentication, ClientsEndpoint, Deadlines, Endpoint, LoginOutcome, LoginRequest, LoginTarget, Logins, Peek,
    ScramAlteration, ScramChange,
};
use kastellan::names::{
    AclRule, BrokerId, Generation, HostPort, Mechanism, NamespacedName, Operation, PatternType, Permission, Principal,
    ResourceType, RotationId, Segment, StoreName, UserName,
};
use kastellan::secret::{
    Iterations, Material, PasswordLength, Randomness, ScramCredential, Secret, draw_password, draw_salt,
};
use kastellan::store::age::AgeSettings;
use kastellan::store::{CredentialWrite, MachineState, RecordWrite, StoreSettings, open_for_writing};
use kastellan::vault::{KeySettings, KvPath, Vault};

use super::Outcome;
use super::report::{Report, say};
use super::stack::{Cluster, Listener};

struct System(ring::rand::SystemRandom);

impl Randomness for System {
    fn fill(&mut self, buffer: &mut [u8]) {
        use ring::rand::SecureRandom as _;
        self.0.fill(buffer).expect("the system's generator works");
    }
}

/// Users of one batch of keys, requests or writes.
const BATCH: usize = 2_000;

/// The bare parts of a piece of work for `users` users; each answers its sum in seconds.
pub struct Floor<'a> {
    report: &'a mut Report,
    cluster: &'a Cluster,
    names: Vec<String>,
    total: f64,
}

impl<'a> Floor<'a> {
    pub fn of(report: &'a mut Report, cluster: &'a Cluster, users: usize) -> Self {
        Self { report, cluster, names: (0..users).map(|index| format!("floor-{index:06}")).collect(), total: 0.0 }
    }

    fn part(&mut self, what: &str, since: Instant) {
        let seconds = since.elapsed().as_secs_f64();
        say(&format!("  floor: {what}: {seconds:.2} s"));
        self.report.note(format!("floor, {} users: {what}", self.names.len()), seconds, "s");
        self.total += seconds;
    }

    /// A first apply: keys, ACLs, credentials, a login on every broker, and the store.
    pub async fn first_apply(mut self, folder: &Path) -> Outcome<f64> {
        let credentials = self.provision().await?;
        let started = Instant::now();
        write_store(&folder.join("floor"), &self.names, credentials, 2).await?;
        self.part("encrypting, and durable writes (2 records, 1 material, 1 credential each)", started);
        Ok(self.total)
    }

    /// The same with the credentials in Vault, and a Secret for each user. That a key in Vault is never written without a
    /// comparison of versions, and how many it keeps, are settings of the key, and Vault has no request that writes a
    /// document and sets its key up: so the layout of the store costs two requests for each new key, however they are sent.
    pub async fn first_apply_outside(mut self, outside: &Outside, prefix: &str) -> Outcome<f64> {
        self.provision().await?;
        let started = Instant::now();
        outside.set_up_keys(prefix, &self.names).await?;
        self.part("settings of new keys in Vault (1 record, 1 material, 1 credential each)", started);
        let started = Instant::now();
        outside.write_keys(prefix, &self.names).await?;
        self.part("writes to Vault (2 records, 1 material, 1 credential each)", started);
        let started = Instant::now();
        outside.apply_secrets(prefix, &self.names).await?;
        self.part("server-side applies of Secrets", started);
        Ok(self.total)
    }

    /// Everything of a first apply that is Kafka's.
    async fn provision(&mut self) -> Outcome<Vec<ScramCredential>> {
        let admin = self.admin().await?;
        let started = Instant::now();
        let credentials = derive(self.names.len(), Mechanism::ScramSha512);
        self.part("PBKDF2, SHA-512", started);
        let started = Instant::now();
        for names in self.names.chunks(BATCH) {
            let acls = names.iter().flat_map(|name| rules(name)).collect::<Vec<_>>();
            let outcomes = admin.create_acls(acls).await;
            assert!(outcomes.iter().all(|outcome| outcome.is_success()), "an ACL was refused");
        }
        self.part("creating ACLs", started);
        self.upsert_and_log_in(&admin, &credentials).await?;
        Ok(credentials)
    }

    /// A rotation of all of them to the other mechanism, up to its publication; they have credentials of a first apply.
    pub async fn rotation(mut self, folder: &Path) -> Outcome<f64> {
        let admin = self.admin().await?;
        let started = Instant::now();
        let credentials = derive(self.names.len(), Mechanism::ScramSha256);
        self.part("PBKDF2, SHA-256", started);
        let logins = self.upsert_and_log_in(&admin, &credentials).await?;
        self.look(&admin, &logins).await?;
        let started = Instant::now();
        write_store(&folder.join("rotation-floor"), &self.names, credentials, 3).await?;
        self.part("encrypting, and durable writes (3 records, 1 material, 1 credential each)", started);
        Ok(self.total)
    }

    async fn admin(&self) -> Outcome<Admin> {
        let authentication = Authentication::Scram {
            mechanism: Mechanism::ScramSha512,
            username: UserName::parse(&self.cluster.kastellan.username)?,
            password: Arc::new(self.cluster.kastellan.password.duplicate()),
        };
        let endpoint = Endpoint {
            bootstrap: HostPort::parse_list(&self.cluster.bootstrap(Listener::Admin))?,
            tls: None,
            authentication,
            client_id: "floor".to_owned(),
        };
        Ok(Admin::connect(endpoint, Deadlines::default()).await?)
    }

    /// What has to be known before a slot is changed (R6): which credentials every broker shows, and the salt of each.
    async fn look(&mut self, admin: &Admin, logins: &Logins) -> Outcome<()> {
        let brokers = brokers_of(admin);
        let users = self.names.iter().map(UserName::parse).collect::<Result<Vec<_>, _>>()?;
        let started = Instant::now();
        for users in users.chunks(BATCH) {
            for listing in join_all(brokers.iter().map(|&broker| admin.describe_scram(Some(broker), users))).await {
                assert_eq!(listing?.len(), users.len(), "a broker does not show every user");
            }
            let targets = brokers.iter().cycle().map(|&broker| LoginTarget::Broker(broker));
            let peeks = targets.zip(users).map(|(target, user)| (target, user, Mechanism::ScramSha512));
            let peeks = logins.peek_many(&peeks.collect::<Vec<_>>()).await;
            assert!(peeks.iter().all(|peek| matches!(peek, Peek::Credential { .. })), "a salt was not told");
        }
        self.part(&format!("looks: a description by each broker, and {} salts", users.len()), started);
        Ok(())
    }

    async fn upsert_and_log_in(&mut self, admin: &Admin, credentials: &[ScramCredential]) -> Outcome<Logins> {
        let started = Instant::now();
        let users = self.names.iter().map(UserName::parse).collect::<Result<Vec<_>, _>>()?;
        let pairs = users.iter().zip(credentials).collect::<Vec<_>>();
        for pairs in pairs.chunks(BATCH) {
            let outcomes = admin.alter_scram(pairs.iter().map(|(user, scram)| upsert(user, scram)).collect()).await;
            assert!(outcomes.iter().all(|(_, outcome)| outcome.is_success()), "an upsert was refused");
        }
        self.part("SCRAM upserts", started);
        let brokers = brokers_of(admin);
        admin.barrier(&brokers, std::time::Duration::from_secs(20)).await;
        let endpoint = ClientsEndpoint {
            bootstrap: HostPort::parse_list(&self.cluster.bootstrap(Listener::Clients))?,
            tls: None,
            client_id: "floor".to_owned(),
        };
        let id = admin.cluster().id.clone();
        let logins = Logins::discover(endpoint, Mechanism::ALL.to_vec(), id, Deadlines::default()).await?;
        let (user, credential) = pairs[0];
        logins.login(LoginRequest { target: LoginTarget::Bootstrap, user, credential }).await;
        let started = Instant::now();
        for pairs in pairs.chunks(BATCH) {
            let requests = pairs.iter().flat_map(|(user, credential)| {
                brokers.iter().map(move |&broker| LoginRequest {
                    target: LoginTarget::Broker(broker),
                    user,
                    credential,
                })
            });
            let outcomes = logins.login_many(&requests.collect::<Vec<_>>()).await;
            assert!(outcomes.iter().all(|outcome| matches!(outcome, LoginOutcome::LoggedIn(_))), "a login failed");
        }
        self.part(&format!("{} logins", pairs.len() * brokers.len()), started);
        Ok(logins)
    }
}

/// Where credentials live and go to outside of this machine.
pub struct Outside {
    pub vault: Vault,
    pub kubeconfig: PathBuf,
    pub namespace: Segment,
}

/// Writes under way at once: more than both clients send at once.
const AT_ONCE: usize = 64;

impl Outside {
    /// The settings of every key, as the store has them.
    async fn set_up_keys(&self, prefix: &str, names: &[String]) -> Outcome<()> {
        for (folder, max_versions) in [("material", 1), ("records", 20), ("credentials", 10)] {
            let set_up =
                |path| async move { self.vault.set_up(&path, KeySettings { max_versions }).await.map_err(Into::into) };
            each_key(prefix, folder, names, set_up).await?;
        }
        Ok(())
    }

    /// Every key is written as often as an apply writes it; each write names the version that it expects.
    async fn write_keys(&self, prefix: &str, names: &[String]) -> Outcome<()> {
        let json = format!("{{\"content\":\"{}\"}}", "0".repeat(KEY_BYTES));
        let json = json.as_bytes();
        for (folder, version) in [("material", 0), ("records", 0), ("credentials", 0), ("records", 1)] {
            let write =
                |path| async move { self.vault.write(&path, json, version).await.map(drop).map_err(Into::into) };
            each_key(prefix, folder, names, write).await?;
        }
        Ok(())
    }

    async fn apply_secrets(&self, prefix: &str, names: &[String]) -> Outcome<()> {
        let kubernetes = Kubernetes::new(vec![self.kubeconfig.clone()]);
        let cluster = kubernetes.cluster(None).await?;
        let apply = async |name: &String| -> Outcome<()> {
            let data = SECRET_KEYS.map(|key| (key.to_owned(), Secret::from_text("0".repeat(100))));
            let manifest = Manifest {
                namespace: self.namespace.clone(),
                name: Segment::parse(format!("{prefix}-{name}"))?,
                kind: "Opaque",
                labels: BTreeMap::new(),
                annotations: BTreeMap::new(),
                data: data.into(),
            };
            cluster.apply(&manifest, &Condition::Absent).await?;
            Ok(())
        };
        let applies = names.iter().map(&apply);
        let applied = stream::iter(applies).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
        applied.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }
}

/// Does something with the key of every user in a folder.
async fn each_key<F: Future<Output = Outcome<()>>>(
    prefix: &str,
    folder: &str,
    names: &[String],
    one: impl FnMut(KvPath) -> F,
) -> Outcome<()> {
    let folder = KvPath::of(&[Segment::parse(prefix)?, Segment::parse(folder)?]);
    let paths = names.iter().map(|name| Ok(folder.join(&Segment::parse(name)?)));
    let paths = paths.collect::<Outcome<Vec<_>>>()?;
    stream::iter(paths.into_iter().map(one)).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
    Ok(())
}

/// About the size of a record or a credential.
const KEY_BYTES: usize = 900;
/// As many keys as the properties format has.
const SECRET_KEYS: [&str; 6] =
    ["bootstrap.servers", "client.properties", "password", "protocol", "sasl.jaas.config", "username"];

fn brokers_of(admin: &Admin) -> Vec<BrokerId> {
    admin.cluster().brokers.keys().copied().collect()
}

/// Keys on all cores.
fn derive(users: usize, mechanism: Mechanism) -> Vec<ScramCredential> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let shares = (0..threads).map(|thread| {
            let count = users / threads + usize::from(thread < users % threads);
            scope.spawn(move || {
                let mut system = System(ring::rand::SystemRandom::new());
                let one = |_| {
                    let password = draw_password(&mut system, PasswordLength::default());
                    let salt = draw_salt(&mut system);
                    ScramCredential::derive(mechanism, password, salt, Iterations::default())
                };
                (0..count).map(one).collect::<Vec<_>>()
            })
        });
        let shares = shares.collect::<Vec<_>>();
        shares.into_iter().flat_map(|share| share.join().expect("deriving does not panic")).collect()
    })
}

fn rules(name: &str) -> Vec<(Principal, AclRule)> {
    let principal = Principal::of_user(&UserName::parse(name).expect("a plain word"));
    let rule = |resource_type, pattern_type, resource: String, operation| AclRule {
        permission: Permission::Allow,
        resource_type,
        pattern_type,
        resource_name: resource.into(),
        operation,
        host: "*".into(),
    };
    let topic = [Operation::Read, Operation::Write, Operation::Describe]
        .map(|operation| rule(ResourceType::Topic, PatternType::Prefix, format!("{name}."), operation));
    let group = [Operation::Read, Operation::Describe]
        .map(|operation| rule(ResourceType::Group, PatternType::Literal, name.to_owned(), operation));
    topic.into_iter().chain(group).map(|rule| (principal.clone(), rule)).collect()
}

fn upsert(user: &UserName, scram: &ScramCredential) -> ScramAlteration {
    let change = ScramChange::Upsert {
        mechanism: scram.mechanism,
        iterations: scram.iterations,
        salt: scram.salt.clone(),
        salted_password: Arc::new(scram.keys.salted_password.duplicate()),
    };
    ScramAlteration { user: user.clone(), change, not_after: None }
}

/// The same documents that the engine writes, in the same batches: each record `record_writes` times.
async fn write_store(
    folder: &Path,
    names: &[String],
    credentials: Vec<ScramCredential>,
    record_writes: usize,
) -> Outcome<()> {
    let settings = AgeSettings {
        name: StoreName::parse("floor")?,
        directory: folder.join("store"),
        identity_file: folder.join("identity.txt"),
        recipients: Vec::new(),
        inputs: Vec::new(),
    };
    let machine = MachineState { markers: folder.join("markers") };
    kastellan::store::age::init(&settings, &machine)?;
    let store = open_for_writing(&StoreSettings::Age(settings), &machine).await?;
    let mut credentials = credentials.into_iter();
    for names in names.chunks(BATCH) {
        let users =
            names.iter().map(|name| format!("bench/{name}").parse()).collect::<Result<Vec<NamespacedName>, _>>()?;
        let rotation_id = RotationId::parse("abcdefghijklmnopqrstuvwxyz")?;
        let material = users.iter().zip(credentials.by_ref()).map(|(user, scram)| {
            let (generation, created_at) = (Generation(1), Timestamp::now());
            (user.clone(), Arc::new(Material { generation, rotation_id: rotation_id.clone(), created_at, scram }))
        });
        let material = material.collect::<Vec<_>>();
        let written = store.create_materials(material.clone()).await;
        assert!(written.iter().all(Result::is_ok), "material was not written");
        let records = users.iter().zip(names).map(|(user, name)| super::planning::blank_record(user, name));
        let records = records.collect::<Vec<Record>>();
        let documents = users.iter().zip(&material).zip(names).map(|((user, (_, material)), name)| CredentialWrite {
            user: user.clone(),
            document: Arc::new(CredentialDocument::Live(Box::new(live(name, material)))),
            expected: None,
        });
        let written = store.write_credentials(documents.collect()).await;
        assert!(written.iter().all(Result::is_ok), "a credential was not written");
        let mut versions = vec![None; records.len()];
        for _ in 0..record_writes {
            let writes = records.iter().zip(versions);
            let writes = writes.map(|(record, expected)| RecordWrite { record: record.clone(), expected });
            let written = store.write_records(writes.collect()).await;
            versions = written.into_iter().map(|version| Some(version.expect("a record was written"))).collect();
        }
    }
    Ok(())
}

fn live(name: &str, material: &Material) -> LiveCredential {
    let connection = Connection {
        bootstrap_servers: "127.0.0.1:19092,127.0.0.1:19093,127.0.0.1:19094".to_owned(),
        security_protocol: "SASL_PLAINTEXT".to_owned(),
        ca_pem: None,
    };
    LiveCredential {
        generation: material.generation,
        rotation_id: material.rotation_id.clone(),
        published_at: Timestamp::now(),
        username: UserName::parse(name).expect("a plain word"),
        password: material.scram.password.duplicate(),
        mechanism: material.scram.mechanism,
        connections: vec![("bench".parse().expect("a plain word"), connection)],
    }
}
