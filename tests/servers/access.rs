//! ACLs and quotas as documents name them, on real brokers.

use std::collections::BTreeSet;

use kastellan::names::{AclRule, Operation, PatternType, Permission, ResourceType};

use crate::operator::{Operator, Transport};
use crate::stack::kafka::{Tool, principal};
use crate::stack::{KafkaVersion, Listener, quiet, unique_name};

const SHA_512: kastellan::names::Mechanism = kastellan::names::Mechanism::ScramSha512;

/// Every operation of every resource type, allowed and denied, literal and prefix; `without` are left out.
fn every_rule(name: &str, without: &[Operation]) -> (String, BTreeSet<AclRule>) {
    let mut items = Vec::new();
    let mut rules = BTreeSet::new();
    for &resource_type in ResourceType::ALL {
        for &permission in Permission::ALL {
            for &pattern_type in PatternType::ALL {
                let is_cluster = resource_type == ResourceType::Cluster;
                if is_cluster && pattern_type == PatternType::Prefix {
                    continue;
                }
                let resource_name = match resource_type {
                    ResourceType::Cluster => ResourceType::CLUSTER_NAME.to_owned(),
                    ResourceType::User => format!("User:{name}"),
                    _ => name.to_owned(),
                };
                let host = if permission == Permission::Deny { "10.0.0.7" } else { "*" };
                let operations = resource_type.operations().iter().copied().filter(|one| !without.contains(one));
                let operations: Vec<Operation> = operations.collect();
                let named = if is_cluster { String::new() } else { format!(", name: \"{resource_name}\"") };
                let list = operations.iter().map(Operation::to_string).collect::<Vec<_>>().join(", ");
                items.push(format!(
                    "{{resource: {{type: {resource_type}{named}, patternType: {pattern_type}}}, operations: [{list}], \
                     type: {permission}, host: \"{host}\"}}"
                ));
                rules.extend(operations.into_iter().map(|operation| AclRule {
                    permission,
                    resource_type,
                    pattern_type,
                    resource_name: resource_name.as_str().into(),
                    operation,
                    host: host.into(),
                }));
            }
        }
    }
    (format!("authorization: {{acls: [{}]}}", items.join(", ")), rules)
}

fn every_rule_there_is(version: KafkaVersion, without: &[Operation]) {
    let cluster = quiet(version, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    let name = unique_name("rules");
    let (authorization, rules) = every_rule(&name, without);
    let spec = |access: &str| format!("{{clusters: [kafka], authentication: {{type: scram}}, {access}}}");
    let quotas = "quotas: {producerByteRate: 1, consumerByteRate: 9007199254740992, requestPercentage: 0.5, \
                  controllerMutationRate: 12.25}";
    operator.declare(&name, &spec(&format!("{authorization}, {quotas}")));
    operator.apply(&[]).exits(0);
    assert_eq!(cluster.acls_of(&principal(&name)).unwrap(), rules);
    let quotas = [
        ("consumer_byte_rate", 9_007_199_254_740_992.0),
        ("controller_mutation_rate", 12.25),
        ("producer_byte_rate", 1.0),
        ("request_percentage", 0.5),
    ];
    assert_eq!(cluster.quotas_of(&name).unwrap(), quotas.map(|(key, value)| (key.to_owned(), value)).into());
    operator.assert_in_step();

    // What is not declared any more is not managed any more; what is declared empty goes.
    operator.declare(&name, &spec("suspend: false"));
    operator.assert_in_step();
    operator.declare(&name, &spec("authorization: {acls: []}, quotas: {}"));
    let many = rules.len() + quotas.len();
    operator.apply(&[]).exits(3).says(&format!("{many} users, ACLs and quotas would go"));
    operator.apply(&["--max-deletes", &many.to_string()]).exits(0);
    assert!(cluster.acls_of(&principal(&name)).unwrap().is_empty());
    assert!(cluster.quotas_of(&name).unwrap().is_empty());
    operator.assert_in_step();
}

#[test]
fn every_rule_and_quota_that_documents_know_holds_on_4_3_1() {
    every_rule_there_is(KafkaVersion::V4_3_1, &[]);
}

#[test]
fn every_rule_and_quota_that_documents_know_holds_on_3_9_2() {
    every_rule_there_is(KafkaVersion::V3_9_2, &[Operation::TwoPhaseCommit]);
}

#[test]
fn an_operation_that_the_brokers_do_not_know_fails_its_user_alone() {
    let cluster = quiet(KafkaVersion::V3_9_2, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    let (early, sound) = (unique_name("early"), unique_name("sound"));
    let spec = |name: &str, operation: &str| {
        format!(
            "{{clusters: [kafka], authentication: {{type: scram}}, authorization: {{acls: [\
             {{resource: {{type: transactionalId, name: {name}}}, operations: [{operation}]}}]}}}}"
        )
    };
    operator.declare(&early, &spec(&early, "TwoPhaseCommit"));
    operator.declare(&sound, &spec(&sound, "Write"));
    let applied = operator.apply(&[]).exits(4).json();
    assert_eq!(
        (applied["done"].as_u64(), applied["ended"][0]["user"].as_str()),
        (Some(1), Some(&*format!("tests/{early}")))
    );
    assert!(cluster.mechanisms_of(&early).unwrap().is_empty(), "nothing is published without its access");
    assert_eq!(cluster.acls_of(&principal(&sound)).unwrap().len(), 1);
}

#[test]
fn quotas_of_others_are_not_taken_for_the_users_own() {
    let cluster = quiet(KafkaVersion::V4_3_1, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    let name = unique_name("quota");
    let administrator = cluster.client_properties(Listener::Admin, SHA_512, &cluster.admin).unwrap();
    let alter = |change: &[&str], entity: &[&str]| {
        let arguments = [&["--alter"], change, &["--entity-type", "users", "--entity-name", &name], entity].concat();
        let outcome = cluster.run_tool(Tool::Configs, Listener::Admin, &administrator, &arguments, "").unwrap();
        assert!(outcome.succeeded(), "{outcome:?}");
    };
    // A quota of this user together with a client id is a thing of its own.
    alter(&["--add-config", "producer_byte_rate=77"], &["--entity-type", "clients", "--entity-name", "app"]);
    operator.declare(&name, "{clusters: [kafka], authentication: {type: scram}, quotas: {producerByteRate: 2048}}");
    operator.apply(&[]).exits(0);
    operator.assert_in_step();
    assert_eq!(cluster.quotas_of(&name).unwrap(), [("producer_byte_rate".to_owned(), 2048.0)].into());
    operator.remove(&name);
    operator.apply(&["--prune", "--allow-empty"]).exits(0);
    assert!(cluster.quotas_of(&name).unwrap().is_empty());
    alter(&["--delete-config", "producer_byte_rate"], &["--entity-type", "clients", "--entity-name", "app"]);
}

/// Kastellan's own login, as documents describe it: PLAIN, and a client certificate.
#[test]
fn kastellan_logs_in_by_every_way_that_documents_know() {
    let cluster = quiet(KafkaVersion::V3_9_2, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Tls)]);
    let name = unique_name("way");
    operator
        .declare(&name, "{clusters: [kafka], authentication: {type: scram-sha-256}, quotas: {producerByteRate: 1}}");
    operator.edit("kafka.yaml", "type: scram-sha-512, username", "type: plain, username");
    operator.apply(&[]).exits(0);

    let identity = cluster.add_tls_administrator(&crate::stack::Rights::apply()).unwrap();
    let scram = format!("{{type: plain, username: {}", cluster.kastellan.username);
    let path = operator.documents().join("kafka.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let line = text.lines().find(|line| line.contains(&scram)).unwrap();
    let certificate = format!(
        "    authentication: {{type: tls, certificateFile: {}, keyFile: {}}}",
        identity.certificate_file.display(),
        identity.key_file.display()
    );
    let text = text.replace(line, &certificate);
    let text = text.replace(&cluster.bootstrap(Listener::AdminTls), &cluster.bootstrap(Listener::MutualTls));
    std::fs::write(&path, text).unwrap();
    operator.assert_in_step();
    cluster.set_quota(&name, "producer_byte_rate", Some(2.0)).unwrap();
    operator.apply(&[]).exits(0);
    operator.run(&["verify"]).exits(0);

    // Without TLS material of its own it is refused before anything is sent.
    operator.edit("kafka.yaml", &identity.key_file.display().to_string(), "missing.key");
    operator.run(&["plan"]).exits(4).says("missing.key");
}
