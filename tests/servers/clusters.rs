//! One credential in several physical clusters.

use kastellan::names::Mechanism;

use crate::operator::{Operator, Transport, delivered_password};
use crate::stack::kafka::{Tool, principal};
use crate::stack::{ClusterBuilder, KafkaVersion, quiet, unique_name};

#[test]
fn nothing_is_published_before_every_cluster_has_the_credential() {
    let prod = quiet(KafkaVersion::V4_3_1, 1);
    let dr = ClusterBuilder::new(KafkaVersion::V3_9_2).restarted().start().unwrap();
    let operator = Operator::with(&[("prod", prod, Transport::Plaintext), ("dr", &dr, Transport::Tls)]);
    let (name, alone) = (unique_name("both"), unique_name("alone"));
    let files = [operator.out("prod.properties"), operator.out("dr.properties")];
    operator.declare(
        &name,
        &format!(
            "{{clusters: [prod, dr], authentication: {{type: scram}}, deliver: [\
             {{name: prod, file: {{path: {}, cluster: prod}}}}, {{name: dr, file: {{path: {}, cluster: dr}}}}]}}",
            files[0].display(),
            files[1].display()
        ),
    );
    operator.declare(&alone, "{clusters: [prod], authentication: {type: scram}}");

    dr.stop_node(1);
    let waits = operator.apply(&[]).exits(4);
    assert_eq!(waits.reports_of(&name)[0].0, "waiting", "{waits}");
    assert!(waits.reports_of(&name)[0].1.starts_with("dr: "), "{waits}");
    assert!(files.iter().all(|file| !file.exists()));
    assert!(!operator.store().join(format!("tests/{name}.age")).exists());
    assert_eq!(prod.mechanisms_of(&alone).unwrap().len(), 1, "who does not need the cluster does not wait");

    dr.start_node(1).unwrap();
    operator.apply(&[]).exits(0);
    for (cluster, file, transport) in [(prod, &files[0], Transport::Plaintext), (&dr, &files[1], Transport::Tls)] {
        assert_eq!(cluster.mechanisms_of(&name).unwrap().len(), 1);
        let listed = cluster.run_tool(Tool::Topics, transport.clients(), file, &["--list"], "").unwrap();
        assert!(listed.succeeded(), "{listed:?}");
    }
    assert_eq!(delivered_password(&files[0]), delivered_password(&files[1]));
    operator.assert_in_step();

    // A live user is kept as it should be where that is possible, and nothing is deleted meanwhile.
    dr.stop_node(1);
    prod.delete_password(&name, Mechanism::ScramSha512).unwrap();
    operator.apply(&[]).exits(4);
    assert_eq!(prod.mechanisms_of(&name).unwrap().len(), 1);
    operator.remove(&name);
    operator.apply(&["--prune"]).exits(0).says("what it holds of the user goes when it is back");
    assert!(prod.mechanisms_of(&name).unwrap().is_empty(), "a deletion does not wait for a cluster that is down (R12)");
    assert_eq!(operator.status(&name)["phase"], "DELETED");
    operator.apply(&[]).exits(0).says("what it still holds of the user goes when it is back");
    dr.start_node(1).unwrap();
    assert_eq!(dr.mechanisms_of(&name).unwrap().len(), 1);
    operator.apply(&[]).exits(0);
    assert!(dr.mechanisms_of(&name).unwrap().is_empty(), "what was owed is paid");
    operator.assert_in_step();
}

#[test]
fn a_rebuilt_cluster_gets_the_same_password_and_access_again() {
    let (before, after) = (quiet(KafkaVersion::V3_9_2, 1), quiet(KafkaVersion::V4_3_1, 1));
    let operator = Operator::with(&[("kafka", before, Transport::Plaintext), ("spare", after, Transport::Plaintext)]);
    let (name, file) = (unique_name("rebuilt"), operator.out("rebuilt.properties"));
    operator.declare(
        &name,
        &format!(
            "{{clusters: [kafka], authentication: {{type: scram}}, authorization: {{acls: [\
             {{resource: {{type: topic, name: {name}}}, operations: [Read]}}]}}, deliver: [{{file: {{path: {}}}}}]}}",
            file.display()
        ),
    );
    operator.apply(&[]).exits(0);
    let password = delivered_password(&file);

    // To Kastellan, another cluster behind the same name is what a rebuilt one is.
    std::fs::remove_file(operator.documents().join("spare.yaml")).unwrap();
    for listener in [Transport::Plaintext.admin(), Transport::Plaintext.clients()] {
        operator.edit("kafka.yaml", &before.bootstrap(listener), &after.bootstrap(listener));
    }
    let mut operator = operator;
    operator.set("KAFKA_PASSWORD_KAFKA", after.kastellan.password_text());
    let plan = operator.plan(&[]).exits(0);
    let actions = plan.actions_of(&name);
    assert!(actions.iter().any(|line| line.contains("take note of the cluster's new id")), "{plan}");
    assert!(actions.iter().any(|line| line.contains("no new password (it is not there)")), "{plan}");
    operator.apply(&[]).exits(0);
    assert_eq!(delivered_password(&file), password);
    let listed = after.run_tool(Tool::Topics, Transport::Plaintext.clients(), &file, &["--list"], "").unwrap();
    assert!(listed.succeeded(), "{listed:?}");
    assert_eq!(after.acls_of(&principal(&name)).unwrap().len(), 1);
    operator.assert_in_step();
}
