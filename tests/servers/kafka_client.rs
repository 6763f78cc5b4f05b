//! The Kafka client on real brokers: the conformance suite on both versions, plaintext and TLS, and what only real ones
//! can show.

use std::sync::Arc;

use kastellan::kafka::{
    Admin, Authentication, ClientCertificate, ClientsEndpoint, Deadlines, Endpoint, HostPort, KafkaError, TlsSettings,
};
use kastellan::names::{Mechanism, Operation, UserName};
use kastellan::secret::Secret;

use crate::kafka_conformance::{self, Subject};
use crate::stack::{Cluster, ClusterBuilder, Credentials, KafkaVersion, Listener, Rights, shared};

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
