//! Clients that Kastellan did not write log in with exactly the delivered files, under names that need every escape.

use std::path::PathBuf;
use std::sync::Arc;

use kastellan::credential::{Connection, LiveCredential};
use kastellan::deliver::{Deliveries, DeliveryRequest, FileTarget, Shipment, Strangers, Target};
use kastellan::names::{
    AclRule, ClusterName, DeliveryName, Generation, Mechanism, Operation, PatternType, Permission, ResourceType,
    RotationId, UserName,
};
use kastellan::spec::FileFormat;
use tempfile::TempDir;

use crate::stack::kafka::{Tool, principal};
use crate::stack::{Cluster, Credentials, KafkaVersion, Listener, shared, unique_name};

/// Names that something on the way could mistake: JAAS, properties, `key=value` lines, SASL. Tests share clusters: `~`
/// becomes a name of the test's own. All ASCII: see [`no_scram_login_has_a_name_outside_ascii`].
const NAMES: [&str; 7] = [
    "CN=payments~, O=\"Acme, Inc.\"",
    "# no comment = ~! :",
    "! :=,~%",
    "back\\slash~\\u0041\\n\\",
    "a'b;${env:HOME}~ // -- /* x */ %41",
    "=3D,=2C~",
    "inner  blanks ~",
];

/// Names that a librdkafka configuration cannot carry, and Java properties can.
const NAMES_FOR_JAVA: [&str; 2] = [" =blanks~ outside ", "kept~\\:\\="];

/// A user with files for it: it may write to and read from one topic.
struct Subject {
    credentials: Credentials,
    mechanism: Mechanism,
    topic: String,
    folder: TempDir,
}

impl Subject {
    fn create(cluster: &Cluster, name: &str, mechanism: Mechanism) -> Self {
        let credentials = Credentials::random(&name.replace('~', &unique_name("u")));
        let name = credentials.username.as_str();
        cluster.set_password(name, mechanism, &credentials.password).unwrap();
        let topic = unique_name("delivered");
        cluster.create_topic(&topic).unwrap();
        let allow = |resource_type, resource_name: &str, operation| AclRule {
            permission: Permission::Allow,
            resource_type,
            pattern_type: PatternType::Literal,
            resource_name: resource_name.into(),
            operation,
            host: "*".into(),
        };
        let rules = [
            allow(ResourceType::Topic, &topic, Operation::Write),
            allow(ResourceType::Topic, &topic, Operation::Read),
            allow(ResourceType::Group, &topic, Operation::Read),
        ];
        cluster.grant(&principal(name), &rules).unwrap();
        Self { credentials, mechanism, topic, folder: tempfile::tempdir().unwrap() }
    }

    /// Delivers as `apply` does, and returns the file.
    fn deliver(&self, cluster: &Cluster, listener: Listener, format: FileFormat) -> PathBuf {
        let path = self.folder.path().join(format!("{listener:?}.{format}"));
        let ca_pem = || Arc::from(std::fs::read_to_string(cluster.ca_file()).unwrap());
        let connection = Connection {
            bootstrap_servers: cluster.bootstrap(listener),
            security_protocol: listener.security_protocol().into(),
            ca_pem: (listener == Listener::ClientsTls).then(ca_pem),
        };
        let username = UserName::parse(&self.credentials.username).unwrap();
        let credential = LiveCredential {
            generation: Generation(1),
            rotation_id: RotationId::parse("abcdefghijklmnopqrstuvwxyz").unwrap(),
            published_at: jiff::Timestamp::UNIX_EPOCH,
            username: username.clone(),
            password: self.credentials.password.duplicate(),
            mechanism: self.mechanism,
            connections: vec![(ClusterName::parse("prod").unwrap(), connection.clone())],
        };
        let request = DeliveryRequest {
            user: "tests/delivered".parse().unwrap(),
            name: DeliveryName::parse("file").unwrap(),
            username,
            cluster: ClusterName::parse("prod").unwrap(),
            connection,
            target: Target::File(FileTarget { path: path.clone(), format, owner: None }),
            published: None,
            recorded: None,
            strangers: Strangers::LeftAlone,
        };
        let deliveries = Deliveries::new("this-machine".into(), None, Arc::default());
        let delivery = deliveries.of_target(&request.target);
        delivery.deliver(&[Shipment { request, credential: Arc::new(credential) }]).pop().unwrap().unwrap();
        path
    }
}

/// Every name logs in on both listeners: it writes on the one and reads on the other.
fn java_clients_take_the_properties(version: KafkaVersion) {
    let cluster = shared(version, 1);
    for (index, name) in NAMES.iter().chain(&NAMES_FOR_JAVA).enumerate() {
        let subject = Subject::create(cluster, name, Mechanism::ALL[index % 2]);
        let mut listeners = [Listener::Clients, Listener::ClientsTls];
        listeners.rotate_left(index % 2);
        let [first, second] =
            listeners.map(|listener| (listener, subject.deliver(cluster, listener, FileFormat::Properties)));
        let topic = subject.topic.as_str();
        let produced = cluster.produce(first.0, &first.1, topic, &["hello"]).unwrap();
        assert!(produced.succeeded(), "{name:?}: {produced:?}");
        let consumed = cluster.consume(second.0, &second.1, topic, topic, 1).unwrap();
        assert!(consumed.succeeded() && consumed.stdout == "hello\n", "{name:?}: {consumed:?}");
    }
}

#[test]
fn java_clients_of_4_3_1_take_the_properties() {
    java_clients_take_the_properties(KafkaVersion::V4_3_1);
}

#[test]
fn java_clients_of_3_9_2_take_the_properties() {
    java_clients_take_the_properties(KafkaVersion::V3_9_2);
}

/// Kafka stores SCRAM credentials of such names, and its login takes only ASCII: `SASLNAME` of
/// `org.apache.kafka.common.security.scram.internals.ScramMessages`. If this fails, a later Kafka has learnt it.
#[test]
fn no_scram_login_has_a_name_outside_ascii() {
    for version in KafkaVersion::ALL {
        let cluster = shared(version, 1);
        let subject = Subject::create(cluster, "Müller~", Mechanism::ScramSha512);
        assert_eq!(cluster.mechanisms_of(&subject.credentials.username).unwrap(), [Mechanism::ScramSha512].into());
        let file = subject.deliver(cluster, Listener::Clients, FileFormat::Properties);
        let refused = cluster.run_tool(Tool::Topics, Listener::Clients, &file, &["--list"], "").unwrap();
        assert!(!refused.succeeded(), "{refused:?}");
        assert!(format!("{refused:?}").contains("SaslAuthenticationException"), "{refused:?}");
    }
}

/// Reads a librdkafka configuration by the steps of `kcat -F`.
#[cfg(feature = "librdkafka")]
pub fn read_configuration(path: &std::path::Path) -> rdkafka::ClientConfig {
    let text = std::fs::read_to_string(path).unwrap();
    let mut configuration = rdkafka::ClientConfig::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let line = line.replace("\\:", ":").replace("\\=", "=");
        let (key, value) = line.split_once('=').expect("key=value");
        configuration.set(key, value);
    }
    configuration
}

#[cfg(feature = "librdkafka")]
fn librdkafka_takes_its_configuration(version: KafkaVersion) {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);
    let cluster = shared(version, 1);
    for (index, name) in NAMES.iter().enumerate() {
        let subject = Subject::create(cluster, name, Mechanism::ALL[index % 2]);
        let topic = subject.topic.as_str();
        for listener in [Listener::Clients, Listener::ClientsTls] {
            let mut configuration = read_configuration(&subject.deliver(cluster, listener, FileFormat::Librdkafka));
            let producer: BaseProducer = configuration.create().unwrap();
            producer.send(BaseRecord::to(topic).key("").payload("hello")).unwrap();
            producer.flush(PATIENCE).unwrap();
            configuration.set("group.id", topic).set("auto.offset.reset", "earliest");
            let consumer: BaseConsumer = configuration.create().unwrap();
            consumer.subscribe(&[topic]).unwrap();
            let deadline = std::time::Instant::now() + PATIENCE;
            // Events of the group's own end a poll early.
            let record = std::iter::from_fn(|| Some(consumer.poll(Duration::from_millis(500))))
                .take_while(|_| std::time::Instant::now() < deadline)
                .find_map(|record| record)
                .unwrap_or_else(|| panic!("{name:?}: no record"))
                .unwrap();
            assert_eq!(rdkafka::Message::payload(&record), Some(b"hello".as_slice()), "{name:?}");
        }
    }
}

#[cfg(feature = "librdkafka")]
#[test]
fn librdkafka_takes_its_configuration_on_4_3_1() {
    librdkafka_takes_its_configuration(KafkaVersion::V4_3_1);
}

#[cfg(feature = "librdkafka")]
#[test]
fn librdkafka_takes_its_configuration_on_3_9_2() {
    librdkafka_takes_its_configuration(KafkaVersion::V3_9_2);
}
