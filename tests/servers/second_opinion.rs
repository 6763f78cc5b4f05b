//! librdkafka's second opinion on real brokers.

use std::sync::Arc;
use std::time::Duration;

use kastellan::credential::{Connection, LiveCredential};
use kastellan::kafka::{Opinion, RecordTrip, second_opinion};
use kastellan::names::{
    AclRule, Generation, Mechanism, Operation, PatternType, Permission, ResourceType, RotationId, UserName,
};

use crate::stack::certificates::Authority;
use crate::stack::kafka::principal;
use crate::stack::{Cluster, ClusterBuilder, Credentials, KafkaVersion, Listener, unique_name};

const PATIENCE: Duration = Duration::from_secs(10);

fn connection(cluster: &Cluster, listener: Listener) -> Connection {
    let ca_pem = || Arc::from(std::fs::read_to_string(cluster.ca_file()).unwrap());
    Connection {
        bootstrap_servers: cluster.bootstrap(listener),
        security_protocol: listener.security_protocol().into(),
        ca_pem: (listener == Listener::ClientsTls).then(ca_pem),
    }
}

fn ask(connection: Connection, user: &Credentials, topic: Option<&str>) -> Opinion {
    let credential = LiveCredential {
        generation: Generation(1),
        rotation_id: RotationId::parse("abcdefghijklmnopqrstuvwxyz").unwrap(),
        published_at: jiff::Timestamp::UNIX_EPOCH,
        username: UserName::parse(&user.username).unwrap(),
        password: user.password.duplicate(),
        mechanism: Mechanism::ScramSha256,
        connections: vec![],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(second_opinion(Arc::new(credential), connection, topic.map(str::to_owned), PATIENCE))
}

fn says_what_is_true(version: KafkaVersion) {
    let cluster = &ClusterBuilder::new(version).start().unwrap();
    let user = Credentials::random("a user, = with \"everything\"");
    let name = user.username.as_str();
    cluster.set_password(name, Mechanism::ScramSha256, &user.password).unwrap();
    let topic = unique_name("opinion");
    cluster.create_topic(&topic).unwrap();
    let grant = |operation| {
        let rule = AclRule {
            permission: Permission::Allow,
            resource_type: ResourceType::Topic,
            pattern_type: PatternType::Literal,
            resource_name: topic.as_str().into(),
            operation,
            host: "*".into(),
        };
        cluster.grant(&principal(name), &[rule]).unwrap();
    };
    let logged_in = |record| Opinion::LoggedIn { brokers: 1, record };
    let on = |listener, topic| ask(connection(cluster, listener), &user, topic);

    for listener in [Listener::Clients, Listener::ClientsTls] {
        assert_eq!(on(listener, None), logged_in(RecordTrip::NotAsked));
    }
    assert_eq!(on(Listener::Clients, Some(&topic)), logged_in(RecordTrip::NoTopic));
    grant(Operation::Describe);
    assert_eq!(on(Listener::Clients, Some(&topic)), logged_in(RecordTrip::MayNotWrite));
    grant(Operation::Write);
    assert_eq!(on(Listener::Clients, Some(&topic)), logged_in(RecordTrip::MayNotRead));
    grant(Operation::Read);
    for listener in [Listener::Clients, Listener::ClientsTls] {
        assert_eq!(on(listener, Some(&topic)), logged_in(RecordTrip::Returned));
    }
    assert_eq!(on(Listener::Clients, Some("no-such-topic")), logged_in(RecordTrip::NoTopic));
    assert_eq!(cluster.failed_authentications(), 0);

    let wrong = Credentials::random(name);
    assert_eq!(ask(connection(cluster, Listener::Clients), &wrong, Some(&topic)), Opinion::Refused);
    assert_eq!(cluster.failed_authentications(), 1);

    // A CA that did not sign the brokers' certificates.
    let mut strange = connection(cluster, Listener::ClientsTls);
    let folder = tempfile::tempdir().unwrap();
    let stranger = Authority::create(folder.path(), "stranger").unwrap();
    strange.ca_pem = Some(std::fs::read_to_string(stranger.certificate_file()).unwrap().into());
    let opinion = ask(strange, &user, None);
    assert!(matches!(&opinion, Opinion::Unreachable { why } if why.contains("certificate")), "{opinion:?}");
}

#[test]
fn says_what_is_true_on_4_3_1() {
    says_what_is_true(KafkaVersion::V4_3_1);
}

#[test]
fn says_what_is_true_on_3_9_2() {
    says_what_is_true(KafkaVersion::V3_9_2);
}
