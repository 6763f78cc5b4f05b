//! The Kafka client on the in-process broker: the conformance suite, and every way in which an answer can fail to come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use kafka_protocol::messages::ApiKey;
use kastellan::diagnostic::Disposition;
use kastellan::kafka::{
    AclDeletion, AclScope, Admin, Deadlines, Endpoint, ErrorCode, HostPort, KafkaError, LoginOutcome, LoginRequest,
    LoginTarget, Logins, Outcome, Peek, Purpose, ScramAlteration, ScramChange, Unsent, boot_now, needed_rights,
};
use kastellan::names::{BrokerId, ClusterId, Mechanism, Operation, Principal, UserName};
use kastellan::secret::{Iterations, Salt, ScramCredential, Secret};

use crate::support::broker::{Change, Fault, FaultKind, InProcessCluster, Settings, StoredCredential};
use crate::support::kafka_conformance::{self, Subject};

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Short, because these brokers answer at once or never.
const DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_millis(500),
    login: Duration::from_secs(2),
    read: Duration::from_millis(300),
    write: Duration::from_millis(300),
};

async fn cluster_of(brokers: i32) -> InProcessCluster {
    InProcessCluster::start(Settings { brokers, ..Settings::default() }).await
}

async fn connect(cluster: &InProcessCluster) -> Admin {
    Admin::connect(cluster.admin(), DEADLINES).await.unwrap()
}

fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

fn credential(seed: u8) -> ScramCredential {
    let password = Secret::from_text("password".into());
    let salt = Salt::parse(vec![seed; 24]).unwrap();
    ScramCredential::derive(Mechanism::ScramSha256, password, salt, Iterations::default())
}

fn upsert(name: &str) -> ScramAlteration {
    let credential = credential(1);
    let change = ScramChange::Upsert {
        mechanism: credential.mechanism,
        iterations: credential.iterations,
        salt: credential.salt.clone(),
        salted_password: Arc::new(credential.keys.salted_password.duplicate()),
    };
    ScramAlteration { user: user(name), change, not_after: None }
}

fn stored(credential: &ScramCredential) -> StoredCredential {
    let salted = credential.keys.salted_password.expose();
    StoredCredential::from_salted(credential.mechanism, credential.salt.bytes(), 4096, salted)
}

#[test]
fn the_in_process_broker_conforms() {
    run(async {
        let settings = Settings { publish_lag: Duration::from_millis(20), brokers: 3, ..Settings::default() };
        let cluster = Arc::new(InProcessCluster::start(settings).await);
        let counted = cluster.clone();
        let subject = Subject {
            admin: cluster.admin(),
            clients: cluster.clients(),
            brokers: 3,
            failed_authentications: Some(Box::new(move || counted.failed_authentications())),
        };
        kafka_conformance::run_all(&subject).await;
        assert_eq!(cluster.failed_authentications(), 0);
        for api in [ApiKey::AlterUserScramCredentials, ApiKey::CreateAcls, ApiKey::AlterClientQuotas] {
            assert!(cluster.largest_request(api) <= 1_000);
        }
        let written = [1, 2, 3].map(|id| cluster.requests_on(BrokerId(id), ApiKey::AlterUserScramCredentials));
        assert!(written.iter().all(|&requests| requests > 0), "writes are spread over lanes: {written:?}");
    });
}

#[test]
fn an_alteration_without_an_answer_is_unknown_and_never_sent_again() {
    run(async {
        let faults = [
            (FaultKind::LoseAnswer, true),
            (FaultKind::CloseAfter, true),
            (FaultKind::NeverAnswer, false),
            (FaultKind::Close, false),
            (FaultKind::Refuse(-1), false),
            (FaultKind::Refuse(7), false),
            (FaultKind::Refuse(41), false),
            (FaultKind::Garbage(vec![0xff; 9]), false),
            (FaultKind::Garbage(vec![0, 0, 0, 0, 0, 1, 0]), false),
        ];
        for (kind, is_executed) in faults {
            let cluster = cluster_of(3).await;
            let admin = connect(&cluster).await;
            cluster.inject(Fault::once(ApiKey::AlterUserScramCredentials, kind.clone()));
            let outcomes = admin.alter_scram(vec![upsert("a")]).await;
            assert!(matches!(&outcomes[..], [(0, Outcome::Unknown { .. })]), "{kind:?}: {outcomes:?}");
            assert_eq!(outcomes[0].1.disposition(), Some(Disposition::Retry));
            assert_eq!(cluster.requests(ApiKey::AlterUserScramCredentials), 1, "{kind:?}");
            let exists = cluster.state().credentials.contains_key(&(user("a"), Mechanism::ScramSha256));
            assert_eq!(exists, is_executed, "{kind:?}");
        }
    });
}

#[test]
fn a_refusal_is_told_in_our_words_and_names_the_right() {
    run(async {
        let cluster = cluster_of(1).await;
        let admin = connect(&cluster).await;
        let refused = async |code| {
            cluster.inject(Fault::once(ApiKey::AlterUserScramCredentials, FaultKind::Refuse(code)));
            admin.alter_scram(vec![upsert("a")]).await.remove(0).1
        };
        let text = "missing right: Alter on the cluster, for changing SCRAM credentials";
        assert_eq!(refused(31).await.to_string(), text);
        let outcome = refused(93).await;
        assert_eq!(outcome.to_string(), "the credential is not acceptable to Kafka (UnacceptableCredential, 93)");
        assert_eq!(outcome.disposition(), Some(Disposition::Stall));
        assert!(!outcome.to_string().contains("java"));
    });
}

#[test]
fn what_is_harmless_is_repeated_on_another_broker() {
    run(async {
        let slow = FaultKind::Delay(Duration::from_millis(600));
        for kind in [FaultKind::Close, FaultKind::CloseAfter, FaultKind::NeverAnswer, FaultKind::LoseAnswer, slow] {
            let cluster = cluster_of(3).await;
            let admin = connect(&cluster).await;
            let acls = vec![(Principal::of_user(&user("a")), needed_rights(Purpose::Planning).remove(0))];
            cluster.inject(Fault::once(ApiKey::CreateAcls, kind.clone()));
            assert_eq!(admin.create_acls(acls).await, [Outcome::Done], "{kind:?}");
            cluster.inject(Fault::once(ApiKey::DescribeAcls, kind.clone()));
            assert!(!admin.list_acls(AclScope::All).await.unwrap().rules.is_empty());
            cluster.inject(Fault::once(ApiKey::DescribeUserScramCredentials, kind.clone()));
            assert_eq!(admin.describe_scram(None, &[user("a")]).await.unwrap()[&user("a")], []);
            // Deleting is not: what comes back in between is somebody else's.
            cluster.inject(Fault::once(ApiKey::DeleteAcls, kind.clone()));
            let deletion = AclDeletion::WholePrincipal(Principal::of_user(&user("a")));
            let removed = admin.delete_acls(vec![deletion]).await;
            assert!(matches!(&removed[0], Err(Outcome::Unknown { .. })), "{removed:?}");
            assert_eq!(cluster.requests(ApiKey::DeleteAcls), 1);
        }
    });
}

#[test]
fn a_permit_that_runs_out_on_the_way_to_the_socket_is_not_used() {
    run(async {
        let cluster = cluster_of(1).await;
        let admin = connect(&cluster).await;
        // Another alteration holds the broker's only lane for longer than the permit lives.
        let busy = admin.clone();
        cluster
            .inject(Fault::once(ApiKey::AlterUserScramCredentials, FaultKind::LateAnswer(Duration::from_millis(250))));
        let first = tokio::spawn(async move { busy.alter_scram(vec![upsert("first")]).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let late = ScramAlteration { not_after: Some(boot_now().plus(Duration::from_millis(100))), ..upsert("late") };
        let fresh = ScramAlteration { not_after: Some(boot_now().plus(Duration::from_secs(9))), ..upsert("fresh") };
        let outcomes = admin.alter_scram(vec![late, fresh]).await;
        assert_eq!(outcomes, [(0, Outcome::NotSent { why: Unsent::PermitExpired }), (1, Outcome::Done)]);
        assert_eq!(first.await.unwrap(), [(0, Outcome::Done)]);
        assert!(!cluster.state().credentials.contains_key(&(user("late"), Mechanism::ScramSha256)));
    });
}

#[test]
fn a_late_copy_of_a_request_undoes_what_came_after() {
    run(async {
        let cluster = cluster_of(1).await;
        let admin = connect(&cluster).await;
        let late_copy = FaultKind::ExecuteAgain(Duration::from_millis(100));
        cluster.inject(Fault::once(ApiKey::AlterUserScramCredentials, late_copy));
        assert_eq!(admin.alter_scram(vec![upsert("a")]).await, [(0, Outcome::Done)]);
        let change = ScramChange::Delete { mechanism: Mechanism::ScramSha256 };
        let deletion = ScramAlteration { change, ..upsert("a") };
        assert_eq!(admin.alter_scram(vec![deletion]).await, [(0, Outcome::Done)]);
        assert_eq!(cluster.items_written(), 2);
        let exists = || cluster.state().credentials.contains_key(&(user("a"), Mechanism::ScramSha256));
        assert!(!exists());
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(exists(), "this is why permits have a fence (R1)");
    });
}

#[test]
fn a_broker_that_asks_for_a_pause_gets_it() {
    run(async {
        let cluster = cluster_of(1).await;
        let admin = connect(&cluster).await;
        cluster.inject(Fault::once(ApiKey::DescribeAcls, FaultKind::Throttle(300)));
        admin.list_acls(AclScope::All).await.unwrap();
        let started = Instant::now();
        admin.list_acls(AclScope::All).await.unwrap();
        assert!(started.elapsed() >= Duration::from_millis(290), "{:?}", started.elapsed());
        let started = Instant::now();
        admin.list_acls(AclScope::All).await.unwrap();
        assert!(started.elapsed() < Duration::from_millis(200));
    });
}

#[test]
fn a_session_is_not_used_to_its_end() {
    run(async {
        let cluster = InProcessCluster::start(Settings { session_lifetime_ms: 1_200, ..Settings::default() }).await;
        let admin = connect(&cluster).await;
        admin.list_acls(AclScope::All).await.unwrap();
        let logins = cluster.requests(ApiKey::SaslHandshake);
        tokio::time::sleep(Duration::from_millis(250)).await;
        admin.list_acls(AclScope::All).await.unwrap();
        assert_eq!(cluster.requests(ApiKey::SaslHandshake), logins + 1);
    });
}

#[test]
fn answers_that_lie_are_refused() {
    run(async {
        let cluster = cluster_of(1).await;
        let admin = connect(&cluster).await;
        let answered = async |kind| {
            cluster.inject(Fault { times: 3, ..Fault::once(ApiKey::DescribeAcls, kind) });
            admin.list_acls(AclScope::All).await.unwrap_err()
        };
        // No tags, no throttle, no error, an empty message, and then four billion resources.
        let lie = vec![0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f];
        let error = answered(FaultKind::Garbage(lie)).await;
        assert!(matches!(error, KafkaError::Malformed { step: "DescribeAcls", .. }), "{error:?}");
    });
    for (bytes, is_expected) in [
        (vec![0x7f, 0xff, 0xff, 0xff], is_too_large as fn(&KafkaError) -> bool),
        (vec![21, 3, 3, 0, 2, 2, 80], is_tls_expected),
        (vec![0, 0, 1, 0, 9], is_closed),
    ] {
        run(async {
            let cluster = cluster_of(1).await;
            cluster.inject(Fault::once(ApiKey::ApiVersions, FaultKind::RawBytes(bytes.clone())));
            let error = Admin::connect(cluster.admin(), DEADLINES).await.unwrap_err();
            assert!(is_expected(&error), "{bytes:?}: {error:?}");
            assert!(error.hint().is_some());
        });
    }
}

fn is_too_large(error: &KafkaError) -> bool {
    matches!(error, KafkaError::TooLarge { .. })
}

fn is_tls_expected(error: &KafkaError) -> bool {
    matches!(error, KafkaError::TlsExpected { .. })
}

fn is_closed(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Closed { .. })
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_silent_and_the_next_one_is_tried() {
    run(async {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = HostPort { host: "127.0.0.1".into(), port: silent.local_addr().unwrap().port() };
        let cluster = cluster_of(1).await;
        let mut endpoint = Endpoint { bootstrap: vec![server.clone()], ..cluster.admin() };
        let deadlines = Deadlines { login: Duration::from_millis(100), ..DEADLINES };
        let error = Admin::connect(endpoint.clone(), deadlines).await.unwrap_err();
        assert!(matches!(&error, KafkaError::Silent { server: at, .. } if *at == server), "{error:?}");
        assert_eq!(error.disposition(), Disposition::Wait);
        endpoint.bootstrap.extend(cluster.admin().bootstrap);
        Admin::connect(endpoint, DEADLINES).await.unwrap();
    });
}

#[test]
fn a_wrong_password_is_tried_once_however_many_servers_there_are() {
    run(async {
        let cluster = cluster_of(3).await;
        let mut endpoint = cluster.admin();
        if let kastellan::kafka::Authentication::Scram { password, .. } = &mut endpoint.authentication {
            *password = Arc::new(Secret::from_text("wrong".into()));
        }
        let error = Admin::connect(endpoint, DEADLINES).await.unwrap_err();
        assert!(matches!(error, KafkaError::LoginRefused { .. }), "{error:?}");
        assert_eq!(cluster.failed_authentications(), 1);
    });
}

async fn logins(cluster: &InProcessCluster) -> Logins {
    let id = ClusterId::parse("in-process-cluster-id").unwrap();
    Logins::discover(cluster.clients(), Mechanism::ALL.into(), id, DEADLINES).await.unwrap()
}

#[test]
fn a_mechanism_that_the_listener_lacks_is_tried_once() {
    run(async {
        let settings = Settings { client_mechanisms: vec![Mechanism::ScramSha512], ..Settings::default() };
        let cluster = InProcessCluster::start(settings).await;
        let logins = logins(&cluster).await;
        let user = user("a");
        let peeks = vec![(LoginTarget::Bootstrap, &user, Mechanism::ScramSha256); 100];
        for peek in logins.peek_many(&peeks).await {
            let Peek::Failed(LoginOutcome::MechanismNotOffered { offered }) = peek else { panic!("{peek:?}") };
            assert_eq!(offered, "SCRAM-SHA-512");
        }
        assert_eq!(cluster.failed_authentications(), 1);
        let ours =
            Logins::discover(cluster.clients(), vec![], ClusterId::parse("x").unwrap(), DEADLINES).await.unwrap();
        assert!(matches!(ours.peek(LoginTarget::Bootstrap, &user, Mechanism::ScramSha512).await, Peek::Failed(_)));
        assert_eq!(cluster.failed_authentications(), 1, "what is not configured is not tried");
    });
}

#[test]
fn a_login_tells_what_it_met() {
    run(async {
        let cluster = cluster_of(1).await;
        let logins = logins(&cluster).await;
        let (known, good) = (user("known"), credential(1));
        cluster.change(Change::Credential(known.clone(), Mechanism::ScramSha256, Some(stored(&good))));
        let request = LoginRequest { target: LoginTarget::Broker(BrokerId(1)), user: &known, credential: &good };
        // Brokers of this listener are unknown before a login at the bootstrap address.
        assert!(matches!(logins.login(request).await, LoginOutcome::Unreachable { .. }));
        let request = LoginRequest { target: LoginTarget::Bootstrap, ..request };
        assert!(matches!(logins.login(request).await, LoginOutcome::LoggedIn(_)));
        let other = ClusterId::parse("other").unwrap();
        let elsewhere = Logins::discover(cluster.clients(), Mechanism::ALL.into(), other, DEADLINES).await.unwrap();
        let outcome = elsewhere.login(request).await;
        assert!(matches!(outcome, LoginOutcome::OtherCluster { .. }), "{outcome:?}");
        assert!(elsewhere.brokers().is_empty());
        assert_eq!(logins.login(LoginRequest { user: &user("Müller"), ..request }).await, LoginOutcome::NameNotAscii);
        assert_eq!(cluster.failed_authentications(), 0);

        // Keys of another password with the same salt: the proof is refused.
        let wrong = ScramCredential::derive(
            Mechanism::ScramSha256,
            Secret::from_text("other".into()),
            good.salt.clone(),
            Iterations::default(),
        );
        let outcome = logins.login(LoginRequest { credential: &wrong, ..request }).await;
        assert!(matches!(outcome, LoginOutcome::Refused { code: ErrorCode(58), .. }), "{outcome:?}");
        assert_eq!(cluster.failed_authentications(), 1);
        // A server that stores another server key accepts us and cannot prove itself.
        let impostor = StoredCredential { server_key: vec![0; 32], ..stored(&good) };
        cluster.change(Change::Credential(known.clone(), Mechanism::ScramSha256, Some(impostor)));
        let outcome = logins.login(request).await;
        assert!(matches!(outcome, LoginOutcome::Violation { .. }), "{outcome:?}");
        for kind in [FaultKind::NeverAnswer, FaultKind::Close] {
            cluster.inject(Fault::once(ApiKey::SaslAuthenticate, kind));
            let outcome = logins.login(request).await;
            assert!(matches!(outcome, LoginOutcome::Unreachable { disposition: Disposition::Wait, .. }), "{outcome:?}");
        }
    });
}

#[test]
fn a_barrier_waits_until_a_shown_credential_logs_in() {
    run(async {
        let settings = Settings { publish_lag: Duration::from_millis(250), brokers: 2, ..Settings::default() };
        let cluster = InProcessCluster::start(settings).await;
        let admin = connect(&cluster).await;
        assert_eq!(admin.alter_scram(vec![upsert("a")]).await, [(0, Outcome::Done)]);
        let a = user("a");
        while admin.describe_scram(Some(BrokerId(1)), std::slice::from_ref(&a)).await.unwrap()[&a].is_empty() {}
        let started = Instant::now();
        let waited = admin.barrier(&[BrokerId(1), BrokerId(2), BrokerId(9)], Duration::from_secs(3)).await;
        assert!(waited[&BrokerId(1)].is_ok() && waited[&BrokerId(2)].is_ok());
        assert!(matches!(waited[&BrokerId(9)], Err(KafkaError::UnknownBroker { .. })));
        assert!(started.elapsed() >= Duration::from_millis(150), "{:?}", started.elapsed());
        let good = credential(1);
        let request = LoginRequest { target: LoginTarget::Bootstrap, user: &a, credential: &good };
        assert!(matches!(logins(&cluster).await.login(request).await, LoginOutcome::LoggedIn(_)));
        let soon = admin.barrier(&[BrokerId(1)], Duration::from_millis(1)).await;
        assert!(matches!(soon[&BrokerId(1)], Err(KafkaError::ImageStandsStill { .. })), "{soon:?}");
    });
}

#[test]
fn a_missing_right_is_named() {
    run(async {
        let cluster = InProcessCluster::start(Settings { rights: vec![], ..Settings::default() }).await;
        let admin = connect(&cluster).await;
        let error = admin.describe_scram(None, &[user("a")]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "missing right: Describe on the cluster, for reading which SCRAM credentials exist"
        );
        let error = admin.list_user_quotas().await.unwrap_err();
        assert!(matches!(error, KafkaError::MissingRight { operation: Operation::DescribeConfigs, .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("kastellan policy kafka"));
    });
}

#[test]
fn debug_shows_no_secret() {
    run(async {
        let cluster = cluster_of(1).await;
        let alteration = upsert("a");
        let text = format!("{:?} {:?} {:?}", cluster.admin(), alteration, connect(&cluster).await);
        assert!(!text.contains("in-process-password"), "{text}");
        assert!(text.contains("Secret(…)"), "{text}");
    });
}

#[test]
fn a_connection_that_died_in_the_pool_is_not_used() {
    run(async {
        let cluster = cluster_of(1).await;
        let admin = connect(&cluster).await;
        admin.list_acls(AclScope::All).await.unwrap();
        cluster.hang_up();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(admin.alter_scram(vec![upsert("a")]).await, [(0, Outcome::Done)]);
    });
}

/// Where a subscriber writes, to be read afterwards.
#[derive(Clone, Default)]
struct Captured(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_at_its_most_talkative_shows_no_secret() {
    // Beside a single subscriber, tracing asks only the thread that meets a log line first, which may be another test's
    // with no subscriber; with two it asks both.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let good = credential(1);
    tracing::subscriber::with_default(subscriber, || {
        run(async {
            let cluster = cluster_of(1).await;
            let admin = connect(&cluster).await;
            assert_eq!(admin.alter_scram(vec![upsert("a")]).await, [(0, Outcome::Done)]);
            cluster.inject(Fault::once(ApiKey::AlterUserScramCredentials, FaultKind::Close));
            admin.alter_scram(vec![upsert("a")]).await;
            let a = user("a");
            let request = LoginRequest { target: LoginTarget::Bootstrap, user: &a, credential: &good };
            logins(&cluster).await.login(request).await;
        });
    });
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("connected and logged in"), "{log}");
    let keys = [&good.keys.salted_password, &good.keys.client_key, &good.keys.server_key];
    for bytes in keys.map(Secret::expose) {
        assert!(!log.contains(&BASE64.encode(bytes)) && !log.contains(&format!("{bytes:?}")), "{log}");
    }
    assert!(!log.contains("in-process-password"), "{log}");
}
