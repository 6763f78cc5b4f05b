//! The floor of a first apply: its bare parts, one after the other, at the same concurrency, for as many users as the
//! apply has, on the same brokers and the same disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use kastellan::credential::{Connection, CredentialDocument, LiveCredential, Record};
use kastellan::kafka::{
    Admin, Authentication, ClientsEndpoint, Deadlines, Endpoint, LoginOutcome, LoginRequest, LoginTarget, Logins,
    ScramAlteration, ScramChange,
};
use kastellan::names::{
    AclRule, Generation, HostPort, Mechanism, NamespacedName, Operation, PatternType, Permission, Principal,
    ResourceType, RotationId, StoreName, UserName,
};
use kastellan::secret::{Iterations, Material, PasswordLength, Randomness, ScramCredential, draw_password, draw_salt};
use kastellan::store::age::AgeSettings;
use kastellan::store::{CredentialWrite, MachineState, RecordWrite, StoreSettings, open_for_writing};

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

/// Measures the parts; answers their sum in seconds.
pub async fn measure(report: &mut Report, cluster: &Cluster, folder: &Path, users: usize) -> Outcome<f64> {
    let names = (0..users).map(|index| format!("floor-{index:06}")).collect::<Vec<_>>();
    let mut total = 0.0;
    let mut part = |report: &mut Report, what: &str, seconds: f64| {
        say(&format!("  floor: {what}: {seconds:.2} s"));
        report.note(format!("floor, {users} users: {what}"), seconds, "s");
        total += seconds;
    };

    let started = Instant::now();
    let credentials = derive(users);
    part(report, "PBKDF2", started.elapsed().as_secs_f64());

    let password = Arc::new(cluster.kastellan.password.duplicate());
    let authentication = Authentication::Scram {
        mechanism: Mechanism::ScramSha512,
        username: UserName::parse(&cluster.kastellan.username)?,
        password,
    };
    let endpoint = Endpoint {
        bootstrap: HostPort::parse_list(&cluster.bootstrap(Listener::Admin))?,
        tls: None,
        authentication,
        client_id: "floor".to_owned(),
    };
    let admin = Admin::connect(endpoint, Deadlines::default()).await?;

    let started = Instant::now();
    for names in names.chunks(BATCH) {
        let acls = names.iter().flat_map(|name| rules(name)).collect::<Vec<_>>();
        let outcomes = admin.create_acls(acls).await;
        assert!(outcomes.iter().all(|outcome| outcome.is_success()), "an ACL was refused");
    }
    part(report, "creating ACLs", started.elapsed().as_secs_f64());

    let started = Instant::now();
    let pairs = names.iter().map(UserName::parse).collect::<Result<Vec<_>, _>>()?;
    let pairs = pairs.iter().zip(&credentials).collect::<Vec<_>>();
    for pairs in pairs.chunks(BATCH) {
        let outcomes = admin.alter_scram(pairs.iter().map(|(user, scram)| upsert(user, scram)).collect()).await;
        assert!(outcomes.iter().all(|(_, outcome)| outcome.is_success()), "an upsert was refused");
    }
    part(report, "SCRAM upserts", started.elapsed().as_secs_f64());
    let brokers = admin.cluster().brokers.keys().copied().collect::<Vec<_>>();
    admin.barrier(&brokers, std::time::Duration::from_secs(20)).await;

    let endpoint = ClientsEndpoint {
        bootstrap: HostPort::parse_list(&cluster.bootstrap(Listener::Clients))?,
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
            brokers.iter().map(move |&broker| LoginRequest { target: LoginTarget::Broker(broker), user, credential })
        });
        let outcomes = logins.login_many(&requests.collect::<Vec<_>>()).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, LoginOutcome::LoggedIn(_))), "a login failed");
    }
    part(report, &format!("{} logins", users * brokers.len()), started.elapsed().as_secs_f64());

    let started = Instant::now();
    write_store(&folder.join("floor"), &names, credentials).await?;
    part(
        report,
        "encrypting, and durable writes (2 records, 1 material, 1 credential each)",
        started.elapsed().as_secs_f64(),
    );
    Ok(total)
}

/// Keys on all cores.
fn derive(users: usize) -> Vec<ScramCredential> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let shares = (0..threads).map(|thread| {
            let count = users / threads + usize::from(thread < users % threads);
            scope.spawn(move || {
                let mut system = System(ring::rand::SystemRandom::new());
                let one = |_| {
                    let password = draw_password(&mut system, PasswordLength::default());
                    let salt = draw_salt(&mut system);
                    ScramCredential::derive(Mechanism::ScramSha512, password, salt, Iterations::default())
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

/// The same documents that a first apply writes, in the same batches.
async fn write_store(folder: &Path, names: &[String], credentials: Vec<ScramCredential>) -> Outcome<()> {
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
        let first = records.iter().map(|record| RecordWrite { record: record.clone(), expected: None });
        let versions = store.write_records(first.collect()).await;
        let documents = users.iter().zip(&material).zip(names).map(|((user, (_, material)), name)| CredentialWrite {
            user: user.clone(),
            document: Arc::new(CredentialDocument::Live(Box::new(live(name, material)))),
            expected: None,
        });
        let written = store.write_credentials(documents.collect()).await;
        assert!(written.iter().all(Result::is_ok), "a credential was not written");
        let second = records
            .into_iter()
            .zip(versions)
            .map(|(record, version)| RecordWrite { record, expected: Some(version.expect("a record was written")) });
        let written = store.write_records(second.collect()).await;
        assert!(written.iter().all(Result::is_ok), "a record was not written");
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
