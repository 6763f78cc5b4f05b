//! The Kafka client on real brokers: the conformance suite on both versions, plaintext and TLS, and what only real ones
//! can show.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kastellan::diagnostic::Disposition;
use kastellan::kafka::{
    AclDeletion, AclScope, Admin, Authentication, ClientCertificate, ClientsEndpoint, Deadlines, Endpoint, HostPort,
    KafkaError, LoginOutcome, LoginTarget, Logins, Outcome, Peek, Purpose, QuotaChange, QuotaKeyChange,
    ScramAlteration, ScramChange, TlsSettings, needed_rights,
};
use kastellan::names::{AclRule, BrokerId, Mechanism, Operation, Principal, UserName};
use kastellan::secret::Secret;

use crate::kafka_conformance::{self, Subject};
use crate::stack::certificates::Authority;
use crate::stack::{Cluster, ClusterBuilder, Credentials, KafkaVersion, Listener, Rights, shared, unique_name};

fn tls(cluster: &Cluster) -> TlsSettings {
    TlsSettings { ca_pem: std::fs::read(cluster.ca_file()).unwrap(), server_name: None, client: None }
}

fn scram(credentials: &Credentials) -> Authentication {
    Authentication::Scram {
        mechanism: Mechanism::ScramSha512,
        username: UserName::parse(&credentials.username).unwrap(),
        password: Arc::new(credentials.password.duplicate()),
    }
}

fn endpoint(cluster: &Cluster, listener: Listener, authentication: Authentication) -> Endpoint {
    let is_tls = matches!(listener, Listener::AdminTls | Listener::ClientsTls | Listener::MutualTls);
    Endpoint {
        bootstrap: HostPort::parse_list(&cluster.bootstrap(listener)).unwrap(),
        tls: is_tls.then(|| tls(cluster)),
        authentication,
        client_id: "kastellan-test".into(),
    }
}

/// Plaintext for administrators and applications, or TLS for both.
fn subject(cluster: &'static Cluster, brokers: usize, admin: Listener, clients: Listener) -> Subject {
    let admin = endpoint(cluster, admin, scram(&cluster.kastellan));
    let clients = endpoint(cluster, clients, Authentication::None);
    let clients = ClientsEndpoint { bootstrap: clients.bootstrap, tls: clients.tls, client_id: clients.client_id };
    Subject { admin, clients, brokers, failed_authentications: None }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn run(test: impl Future<Output = ()>) {
    runtime().block_on(test);
}

#[test]
fn conforms_on_4_3_1_in_plaintext() {
    let cluster = shared(KafkaVersion::V4_3_1, 1);
    run(kafka_conformance::run_all(&subject(cluster, 1, Listener::Admin, Listener::Clients)));
}

#[test]
fn conforms_on_4_3_1_with_tls() {
    let cluster = shared(KafkaVersion::V4_3_1, 1);
    run(kafka_conformance::run_all(&subject(cluster, 1, Listener::AdminTls, Listener::ClientsTls)));
}

#[test]
fn conforms_on_3_9_2_in_plaintext() {
    let cluster = shared(KafkaVersion::V3_9_2, 1);
    run(kafka_conformance::run_all(&subject(cluster, 1, Listener::Admin, Listener::Clients)));
}

#[test]
fn conforms_on_3_9_2_with_tls() {
    let cluster = shared(KafkaVersion::V3_9_2, 1);
    run(kafka_conformance::run_all(&subject(cluster, 1, Listener::AdminTls, Listener::ClientsTls)));
}

/// Three brokers of its own, so that their count of failed authentications is ours alone.
#[test]
fn conforms_on_three_brokers_without_a_failed_authentication() {
    let cluster: &'static Cluster =
        Box::leak(Box::new(ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(3).start().unwrap()));
    let mut subject = subject(cluster, 3, Listener::Admin, Listener::ClientsTls);
    subject.failed_authentications = Some(Box::new(|| cluster.failed_authentications()));
    let before = cluster.failed_authentications();
    run(kafka_conformance::run_all(&subject));
    assert_eq!(cluster.failed_authentications(), before);
}

async fn connect(endpoint: Endpoint) -> Result<Admin, KafkaError> {
    Admin::connect(endpoint, Deadlines::default()).await
}

#[test]
fn logs_in_by_every_way_there_is() {
    for version in KafkaVersion::ALL {
        let cluster = shared(version, 1);
        let identity = cluster.add_tls_administrator(&Rights::plan()).unwrap();
        let plain = || Authentication::Plain {
            username: UserName::parse(&cluster.kastellan.username).unwrap(),
            password: Arc::new(cluster.kastellan.password.duplicate()),
        };
        let mut mutual = endpoint(cluster, Listener::MutualTls, Authentication::None);
        let client = ClientCertificate {
            certificate_pem: std::fs::read(&identity.certificate_file).unwrap(),
            key_pem: Arc::new(Secret::new(std::fs::read(&identity.key_file).unwrap())),
        };
        mutual.tls.as_mut().unwrap().client = Some(client);
        run(async {
            let connect = async |endpoint| connect(endpoint).await.unwrap().cluster().authorized_operations.clone();
            let all = connect(endpoint(cluster, Listener::Admin, plain())).await;
            assert!(all.contains(&Operation::Alter));
            assert_eq!(connect(endpoint(cluster, Listener::AdminTls, plain())).await, all);
            assert_eq!(connect(endpoint(cluster, Listener::AdminTls, scram(&cluster.kastellan))).await, all);
            let some = connect(mutual).await;
            assert_eq!(some, [Operation::Describe, Operation::DescribeConfigs].into());
        });
    }
}

#[test]
fn the_rights_of_the_policy_are_enough_and_the_least() {
    for version in KafkaVersion::ALL {
        let cluster = shared(version, 1);
        assert_eq!(needed_rights(Purpose::Planning), Rights::plan().rules());
        let all: BTreeSet<AclRule> = needed_rights(Purpose::Applying).into_iter().collect();
        assert_eq!(all, Rights::apply().rules().into_iter().collect());
        let admin = async |rights: Rights| {
            let administrator = cluster.add_administrator(&rights).unwrap();
            connect(endpoint(cluster, Listener::Admin, scram(&administrator))).await.unwrap()
        };
        run(async {
            let planner = admin(Rights::plan()).await;
            assert_eq!(missing_for_reading(&planner).await, [None; 3]);
            // They know the key and hold its value back, whatever the rights: it is not in their own definition of the
            // configuration, and what they cannot classify counts as sensitive.
            assert_eq!(planner.super_users().await.unwrap(), None, "{version}");
            let lacks = admin(Rights::plan().without(Operation::Describe)).await;
            assert_eq!(missing_for_reading(&lacks).await, [Some(Operation::Describe), Some(Operation::Describe), None]);
            let lacks = admin(Rights::plan().without(Operation::DescribeConfigs)).await;
            assert_eq!(missing_for_reading(&lacks).await, [None, None, Some(Operation::DescribeConfigs)]);
            assert_eq!(lacks.super_users().await.unwrap(), None);

            assert_eq!(missing_for_writing(&planner).await, ["Alter", "Alter", "Alter", "AlterConfigs"]);
            let lacks = admin(Rights::apply().without(Operation::AlterConfigs)).await;
            assert_eq!(missing_for_writing(&lacks).await, ["", "", "", "AlterConfigs"]);
            let lacks = admin(Rights::apply().without(Operation::Alter)).await;
            assert_eq!(missing_for_writing(&lacks).await, ["Alter", "Alter", "Alter", ""]);
            assert_eq!(missing_for_writing(&admin(Rights::apply()).await).await, [""; 4]);
        });
    }
}

/// The right that is named as missing for reading credentials, ACLs and quotas.
async fn missing_for_reading(admin: &Admin) -> [Option<Operation>; 3] {
    fn missing<T>(result: Result<T, KafkaError>) -> Option<Operation> {
        match result {
            Ok(_) => None,
            Err(KafkaError::MissingRight { operation, .. }) => Some(operation),
            Err(error) => panic!("{error}"),
        }
    }
    let nobody = [UserName::parse("nobody").unwrap()];
    [
        missing(admin.describe_scram(None, &nobody).await),
        missing(admin.list_acls(AclScope::All).await),
        missing(admin.list_user_quotas().await),
    ]
}

/// The right that is named as missing for changing credentials, creating and deleting ACLs, and changing quotas.
async fn missing_for_writing(admin: &Admin) -> [String; 4] {
    fn missing(outcome: &Outcome) -> String {
        match outcome {
            Outcome::Done | Outcome::AlreadySo => String::new(),
            Outcome::Refused { message, .. } => {
                message.strip_prefix("missing right: ").unwrap().split(' ').next().unwrap().to_owned()
            }
            outcome => panic!("{outcome}"),
        }
    }
    let user = UserName::parse(unique_name("rights")).unwrap();
    let principal = Principal::of_user(&user);
    let rule = needed_rights(Purpose::Planning).remove(0);
    let deletion = ScramAlteration {
        user: user.clone(),
        change: ScramChange::Delete { mechanism: Mechanism::ScramSha256 },
        not_after: None,
    };
    let scram = admin.alter_scram(vec![deletion]).await;
    let created = admin.create_acls(vec![(principal.clone(), rule)]).await;
    let deleted = admin.delete_acls(vec![AclDeletion::WholePrincipal(principal)]).await;
    let mut change = QuotaChange::default();
    change.0[0] = QuotaKeyChange::Set(1.0);
    let quotas = admin.alter_user_quotas(vec![(user, change)]).await;
    [
        missing(&scram[0].1),
        missing(&created[0]),
        deleted[0].as_ref().err().map_or(String::new(), missing),
        missing(&quotas[0]),
    ]
}

async fn failure(endpoint: Endpoint) -> KafkaError {
    let deadlines =
        Deadlines { connect: Duration::from_secs(2), login: Duration::from_secs(2), ..Deadlines::default() };
    Admin::connect(endpoint, deadlines).await.expect_err("it cannot work")
}

#[test]
fn what_keeps_us_out_is_told_apart() {
    let cluster = shared(KafkaVersion::V4_3_1, 1);
    let good = |listener| endpoint(cluster, listener, scram(&cluster.kastellan));
    run(async {
        let wrong = Credentials::random(&cluster.kastellan.username);
        let error = failure(endpoint(cluster, Listener::Admin, scram(&wrong))).await;
        assert!(matches!(error, KafkaError::LoginRefused { mechanism: "SCRAM-SHA-512", .. }), "{error:?}");
        let unknown = Credentials::random("nobody");
        let error = failure(endpoint(cluster, Listener::AdminTls, scram(&unknown))).await;
        assert!(matches!(error, KafkaError::LoginRefused { .. }), "{error:?}");
        let plain = Authentication::Plain {
            username: UserName::parse("kastellan").unwrap(),
            password: Arc::new(Secret::from_text("wrong".into())),
        };
        let error = failure(endpoint(cluster, Listener::Admin, plain.clone())).await;
        assert!(matches!(error, KafkaError::LoginRefused { mechanism: "PLAIN", .. }), "{error:?}");
        let error = failure(endpoint(cluster, Listener::Clients, plain)).await;
        let KafkaError::MechanismNotOffered { offered, .. } = error else { panic!("{error:?}") };
        assert!(offered == "SCRAM-SHA-256, SCRAM-SHA-512" || offered == "SCRAM-SHA-512, SCRAM-SHA-256", "{offered}");
        let error = failure(endpoint(cluster, Listener::Admin, Authentication::None)).await;
        assert!(matches!(error, KafkaError::Closed { .. }), "{error:?}");

        let plaintext = Endpoint { tls: None, ..good(Listener::AdminTls) };
        let error = failure(plaintext).await;
        assert!(matches!(error, KafkaError::TlsExpected { .. } | KafkaError::Closed { .. }), "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("tls")), "{error:?}");
        let error = failure(Endpoint { tls: Some(tls(cluster)), ..good(Listener::Admin) }).await;
        assert!(matches!(error, KafkaError::TlsNotSpoken { .. }), "{error:?}");
        let settings = TlsSettings { server_name: Some("elsewhere.example".into()), ..tls(cluster) };
        let error = failure(Endpoint { tls: Some(settings), ..good(Listener::AdminTls) }).await;
        assert!(matches!(&error, KafkaError::ServerName { name, .. } if name == "elsewhere.example"), "{error:?}");
        let folder = tempfile::tempdir().unwrap();
        let stranger = Authority::create(folder.path(), "stranger").unwrap();
        let ca_pem = std::fs::read(stranger.certificate_file()).unwrap();
        let settings = TlsSettings { ca_pem, server_name: None, client: None };
        let error = failure(Endpoint { tls: Some(settings), ..good(Listener::AdminTls) }).await;
        assert!(matches!(error, KafkaError::ServerCertificate { .. }), "{error:?}");
        let error = failure(endpoint(cluster, Listener::MutualTls, Authentication::None)).await;
        assert!(matches!(error, KafkaError::ClientCertificate { .. }), "{error:?}");
        let identity = stranger.client("stranger").unwrap();
        let client = ClientCertificate {
            certificate_pem: std::fs::read(&identity.certificate_file).unwrap(),
            key_pem: Arc::new(Secret::new(std::fs::read(&identity.key_file).unwrap())),
        };
        let mut mutual = endpoint(cluster, Listener::MutualTls, Authentication::None);
        mutual.tls.as_mut().unwrap().client = Some(client);
        let error = failure(mutual).await;
        assert!(matches!(error, KafkaError::ClientCertificate { .. }), "{error:?}");
    });
}

#[test]
fn a_broker_that_is_down_is_left_out_and_a_written_request_is_not_repeated() {
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(3).start().unwrap();
    run(async {
        let deadlines = Deadlines { connect: Duration::from_secs(1), ..Deadlines::default() };
        let admin =
            Admin::connect(endpoint(&cluster, Listener::Admin, scram(&cluster.kastellan)), deadlines).await.unwrap();
        cluster.kill_node(1);
        // The pool's connection to broker 1 is dead and its lane comes first: nothing may be lost on the way.
        let user = UserName::parse("survivor").unwrap();
        let deletion = ScramAlteration {
            user: user.clone(),
            change: ScramChange::Delete { mechanism: Mechanism::ScramSha256 },
            not_after: None,
        };
        assert_eq!(admin.alter_scram(vec![deletion.clone()]).await, [(0, Outcome::AlreadySo)]);
        assert_eq!(admin.describe_scram(None, std::slice::from_ref(&user)).await.unwrap()[&user], []);
        let error = admin.describe_scram(Some(BrokerId(1)), &[user]).await.unwrap_err();
        assert!(matches!(error, KafkaError::Unreachable { .. }), "{error:?}");
        assert_eq!(error.disposition(), Disposition::Wait);
        await_absent(&admin, &[BrokerId(1)]).await;
        cluster.start_node(1).unwrap();
        await_absent(&admin, &[]).await;
        admin.refresh().await.unwrap();
        assert_eq!(admin.alter_scram(vec![deletion]).await, [(0, Outcome::AlreadySo)]);
    });
}

/// Waits until exactly these brokers are registered without running.
async fn await_absent(admin: &Admin, expected: &[BrokerId]) {
    let seen = async {
        while !admin.registered_brokers(None).await.unwrap().unwrap().absent.iter().eq(expected) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen).await.expect("the brokers tell within a minute");
}

#[test]
fn a_mechanism_that_a_listener_lacks_counts_once() {
    let cluster = ClusterBuilder::new(KafkaVersion::V3_9_2)
        .client_mechanisms(&[Mechanism::ScramSha512])
        .property("connections.max.reauth.ms", "5000")
        .start()
        .unwrap();
    let before = cluster.failed_authentications();
    let clients = endpoint(&cluster, Listener::ClientsTls, Authentication::None);
    let clients = ClientsEndpoint { bootstrap: clients.bootstrap, tls: clients.tls, client_id: clients.client_id };
    run(async {
        let admin = connect(endpoint(&cluster, Listener::AdminTls, scram(&cluster.kastellan))).await.unwrap();
        let id = admin.cluster().id.clone();
        let logins = Logins::discover(clients, Mechanism::ALL.into(), id, Deadlines::default()).await.unwrap();
        let user = UserName::parse("kastellan").unwrap();
        let peeks = vec![(LoginTarget::Bootstrap, &user, Mechanism::ScramSha256); 50];
        for peek in logins.peek_many(&peeks).await {
            assert!(matches!(peek, Peek::Failed(LoginOutcome::MechanismNotOffered { .. })), "{peek:?}");
        }
        let peek = logins.peek(LoginTarget::Bootstrap, &user, Mechanism::ScramSha512).await;
        assert!(matches!(peek, Peek::Credential { .. }), "{peek:?}");
        // Its sessions end after five seconds, so that ours is given up after four.
        tokio::time::sleep(Duration::from_millis(4_500)).await;
        assert!(!admin.list_acls(AclScope::All).await.unwrap().rules.is_empty());
    });
    assert_eq!(cluster.failed_authentications(), before + 1);
}
