//! Delivered files as people and clients see them.

use std::path::Path;
use std::sync::Arc;

use kastellan::credential::{Connection, LiveCredential};
use kastellan::names::{Generation, Mechanism, RotationId, UserName};
use kastellan::render::{render, render_secret, secret_type};
use kastellan::secret::Secret;
use kastellan::spec::{FileFormat, SecretFormat};

const CA: &str = "subject=CN = Example CA
-----BEGIN CERTIFICATE-----
MIIBdDCCARmgAwIBAgIUExampleExampleExampleExampleExample
Zm9yIHRlc3Rz
-----END CERTIFICATE-----
";

fn credential(username: &str) -> LiveCredential {
    LiveCredential {
        generation: Generation(7),
        rotation_id: RotationId::parse("abcdefghijklmnopqrstuvwxyz").unwrap(),
        published_at: jiff::Timestamp::UNIX_EPOCH,
        username: UserName::parse(username).unwrap(),
        password: Secret::from_text("NotARealPassword".into()),
        mechanism: Mechanism::ScramSha512,
        connections: vec![],
    }
}

fn connection(ca_pem: Option<&str>) -> Connection {
    Connection {
        bootstrap_servers: "kafka-0.example.com:9094,kafka-1.example.com:9094".into(),
        security_protocol: if ca_pem.is_some() { "SASL_SSL" } else { "SASL_PLAINTEXT" }.into(),
        ca_pem: ca_pem.map(Arc::from),
    }
}

/// The data of a Secret, each value below its key.
fn secret(format: SecretFormat, keys: &[(&str, &str)], ca_pem: Option<&str>) -> String {
    let keys = keys.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned())).collect();
    let user = "payments/payments".parse().unwrap();
    let data = render_secret(format, &keys, &user, &credential("payments"), &connection(ca_pem)).unwrap();
    let mut text = format!("type: {}\n", secret_type(format));
    for (key, value) in data {
        text.push_str(&format!("--- {key}\n{}\n", value.expose_text().unwrap()));
    }
    text
}

fn file(format: FileFormat, username: &str, ca_pem: Option<&str>) -> String {
    let user = "payments/payments".parse().unwrap();
    let path = Path::new("/etc/payments/client.conf");
    let rendered = render(format, &user, &credential(username), &connection(ca_pem), path).unwrap();
    let mut text = rendered.main.expose_text().unwrap().to_owned();
    if let Some(ca_file) = rendered.ca_file {
        text.push_str("--- /etc/payments/client.conf.ca.pem\n");
        text.push_str(std::str::from_utf8(&ca_file).unwrap());
    }
    text
}

#[test]
fn properties_of_a_plaintext_listener() {
    insta::assert_snapshot!(file(FileFormat::Properties, "payments", None), @r##"
    # Managed by Kastellan, do not edit: changes made here are overwritten.
    # kastellan.io/user: payments/payments
    # kastellan.io/generation: 7
    # kastellan.io/rotation: abcdefghijklmnopqrstuvwxyz
    bootstrap.servers=kafka-0.example.com:9094,kafka-1.example.com:9094
    security.protocol=SASL_PLAINTEXT
    sasl.mechanism=SCRAM-SHA-512
    sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="payments" password="NotARealPassword";
    "##);
}

#[test]
fn properties_of_a_tls_listener() {
    insta::assert_snapshot!(file(FileFormat::Properties, "payments", Some(CA)), @r##"
    # Managed by Kastellan, do not edit: changes made here are overwritten.
    # kastellan.io/user: payments/payments
    # kastellan.io/generation: 7
    # kastellan.io/rotation: abcdefghijklmnopqrstuvwxyz
    bootstrap.servers=kafka-0.example.com:9094,kafka-1.example.com:9094
    security.protocol=SASL_SSL
    sasl.mechanism=SCRAM-SHA-512
    sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="payments" password="NotARealPassword";
    ssl.truststore.type=PEM
    ssl.truststore.certificates=-----BEGIN CERTIFICATE-----\nMIIBdDCCARmgAwIBAgIUExampleExampleExampleExampleExample\nZm9yIHRlc3Rz\n-----END CERTIFICATE-----
    "##);
}

#[test]
fn properties_of_a_name_that_needs_every_escape() {
    insta::assert_snapshot!(file(FileFormat::Properties, " CN=Müller, O=\"A\\B\" 😀 #!:", None), @r##"
    # Managed by Kastellan, do not edit: changes made here are overwritten.
    # kastellan.io/user: payments/payments
    # kastellan.io/generation: 7
    # kastellan.io/rotation: abcdefghijklmnopqrstuvwxyz
    bootstrap.servers=kafka-0.example.com:9094,kafka-1.example.com:9094
    security.protocol=SASL_PLAINTEXT
    sasl.mechanism=SCRAM-SHA-512
    sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=" CN=M\u00FCller, O=\\"A\\\\B\\" \uD83D\uDE00 #!:" password="NotARealPassword";
    "##);
}

#[test]
fn librdkafka_of_a_plaintext_listener() {
    insta::assert_snapshot!(file(FileFormat::Librdkafka, "CN=Müller, O=\"A\\B\" #!:", None), @r##"
    # Managed by Kastellan, do not edit: changes made here are overwritten.
    # kastellan.io/user: payments/payments
    # kastellan.io/generation: 7
    # kastellan.io/rotation: abcdefghijklmnopqrstuvwxyz
    bootstrap.servers=kafka-0.example.com:9094,kafka-1.example.com:9094
    security.protocol=SASL_PLAINTEXT
    sasl.mechanism=SCRAM-SHA-512
    sasl.username=CN=Müller, O="A\B" #!:
    sasl.password=NotARealPassword
    "##);
}

#[test]
fn librdkafka_of_a_tls_listener() {
    insta::assert_snapshot!(file(FileFormat::Librdkafka, "payments", Some(CA)), @r##"
    # Managed by Kastellan, do not edit: changes made here are overwritten.
    # kastellan.io/user: payments/payments
    # kastellan.io/generation: 7
    # kastellan.io/rotation: abcdefghijklmnopqrstuvwxyz
    bootstrap.servers=kafka-0.example.com:9094,kafka-1.example.com:9094
    security.protocol=SASL_SSL
    sasl.mechanism=SCRAM-SHA-512
    sasl.username=payments
    sasl.password=NotARealPassword
    ssl.ca.location=/etc/payments/client.conf.ca.pem
    --- /etc/payments/client.conf.ca.pem
    # Managed by Kastellan, do not edit: changes made here are overwritten.
    # kastellan.io/user: payments/payments
    # kastellan.io/generation: 7
    # kastellan.io/rotation: abcdefghijklmnopqrstuvwxyz
    -----BEGIN CERTIFICATE-----
    MIIBdDCCARmgAwIBAgIUExampleExampleExampleExampleExample
    Zm9yIHRlc3Rz
    -----END CERTIFICATE-----
    "##);
}

/// Byte for byte what Strimzi's User Operator writes.
#[test]
fn a_secret_in_the_strimzi_format() {
    let jaas = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="payments" password="NotARealPassword";"#;
    let expected = format!("type: Opaque\n--- password\nNotARealPassword\n--- sasl.jaas.config\n{jaas}\n");
    assert_eq!(secret(SecretFormat::Strimzi, &[], Some(CA)), expected);
}

#[test]
fn a_secret_with_client_properties_and_its_parts() {
    insta::assert_snapshot!(secret(SecretFormat::Properties, &[], Some(CA)));
}

#[test]
fn a_secret_without_tls_has_no_ca_and_other_names_for_some_keys() {
    let keys = [("password", "KAFKA_PASSWORD"), ("username", "KAFKA_USERNAME"), ("ca.crt", "ca.pem")];
    insta::assert_snapshot!(secret(SecretFormat::Properties, &keys, None));
}

#[test]
fn a_secret_for_service_binding() {
    insta::assert_snapshot!(secret(SecretFormat::Binding, &[], Some(CA)));
}
