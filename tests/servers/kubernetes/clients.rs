//! Clients that Kastellan did not write log in with what a pod would mount, and nothing of it is in any log.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Stage, name};
use crate::operator::Transport;
use crate::stack::KafkaVersion;
use crate::stack::kafka::Tool;

/// Lists topics with a configuration of the Java client.
#[track_caller]
fn java_logs_in(stage: &Stage, what: &str, configuration: &str) {
    let file = stage.operator.out(&format!("{what}.java"));
    std::fs::write(&file, configuration).unwrap();
    let listed = stage.cluster.run_tool(Tool::Topics, Transport::Tls.clients(), &file, &["--list"], "").unwrap();
    assert!(listed.succeeded(), "{what}: {listed:?}");
    std::fs::remove_file(&file).unwrap();
}

/// Properties of values that need no escapes but line ends.
fn properties(values: &[(&str, &str)]) -> String {
    values.iter().fold(String::new(), |mut text, (key, value)| {
        let _ = writeln!(text, "{key}={}", value.replace('\n', "\\n"));
        text
    })
}

#[cfg(feature = "librdkafka")]
#[track_caller]
fn librdkafka_logs_in(values: &[(&str, &str)]) {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    let mut configuration = rdkafka::ClientConfig::new();
    for (key, value) in values {
        configuration.set(*key, *value);
    }
    let consumer: BaseConsumer = configuration.create().unwrap();
    consumer.fetch_metadata(None, std::time::Duration::from_secs(20)).unwrap();
}

fn every_format_logs_in(version: KafkaVersion) {
    let stage = Stage::new(version, Transport::Tls);
    let user = name("formats");
    let formats = ["strimzi", "properties", "binding"].map(|format| format!("name: {format}, format: {format}"));
    stage.declare(&user, "", &formats.each_ref().map(String::as_str));
    let applied = stage.operator.run(&["--log", "trace", "apply", "--auto-approve"]).exits(0);
    let mounted = |name: &str| stage.kubernetes.mounted(&stage.namespace, name);
    let (strimzi, parts, binding) = (mounted("strimzi"), mounted("properties"), mounted("binding"));

    java_logs_in(&stage, "properties", &parts["client.properties"]);
    let (servers, mechanism) = (parts["bootstrap.servers"].as_str(), parts["sasl.mechanism"].as_str());
    let java = |jaas: &str, authority: &str| {
        properties(&[
            ("bootstrap.servers", servers),
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", mechanism),
            ("sasl.jaas.config", jaas),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.certificates", authority),
        ])
    };
    java_logs_in(&stage, "strimzi", &java(&strimzi["sasl.jaas.config"], &parts["ca.crt"]));
    java_logs_in(&stage, "binding", &java(&binding["sasl.jaas.config"], &binding["ssl.truststore.crt"]));
    #[cfg(feature = "librdkafka")]
    {
        let native = |found: &BTreeMap<String, String>, authority: &str| {
            librdkafka_logs_in(&[
                ("bootstrap.servers", servers),
                ("security.protocol", found.get("security.protocol").map_or("SASL_SSL", String::as_str)),
                ("sasl.mechanism", found.get("sasl.mechanism").map_or(mechanism, String::as_str)),
                ("sasl.username", found.get("username").map_or(user.as_str(), String::as_str)),
                ("sasl.password", &found["password"]),
                ("ssl.ca.pem", authority),
            ]);
        };
        native(&strimzi, &parts["ca.crt"]);
        native(&parts, &parts["ca.crt"]);
        native(&binding, &binding["ssl.truststore.crt"]);
    }

    // A touched Secret is read and compared, which must not be told either.
    stage.edit("binding", "someone", &serde_json::json!({"data": {"password": "d3Jvbmc="}}));
    let mended = stage.operator.run(&["--log", "trace", "apply", "--auto-approve"]).exits(0);
    assert_eq!(stage.password("binding"), strimzi["password"]);
    assert_silent(&stage, &strimzi, &[applied.stdout, applied.stderr, mended.stdout, mended.stderr]);
}

/// Neither what Kastellan said nor what it keeps beside its store holds the password, plain or in base64.
#[track_caller]
fn assert_silent(stage: &Stage, strimzi: &BTreeMap<String, String>, said: &[String]) {
    use base64::Engine as _;
    let password = &strimzi["password"];
    let token = std::fs::read_to_string(&stage.kubeconfig).unwrap();
    let token = serde_json::from_str::<serde_json::Value>(&token).unwrap()["users"][0]["user"]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let encoded = base64::prelude::BASE64_STANDARD.encode(password);
    let debug = format!("{:?}", password.as_bytes());
    for canary in [password.as_str(), &encoded[..encoded.len() - 2], debug.trim_matches(['[', ']']), &token] {
        for text in said {
            let at = text.find(canary);
            assert!(at.is_none(), "a secret is said: {:?}", at.map(|at| &text[at.saturating_sub(300)..at]));
        }
        let record = serde_json::to_string(&stage.operator.plan(&[]).exits(0).json()).unwrap();
        assert!(!record.contains(canary));
    }
    assert!(
        said[1].contains("kube_client") || said[1].contains("hyper"),
        "the client's own logs are not among what was looked at"
    );
}

#[test]
fn clients_of_4_3_1_log_in_with_every_format() {
    every_format_logs_in(KafkaVersion::V4_3_1);
}

#[test]
fn clients_of_3_9_2_log_in_with_every_format() {
    every_format_logs_in(KafkaVersion::V3_9_2);
}
