//! What no document can show yet: formats that carry less. The rest is tested through the reader.

use super::*;
use crate::names::{ClusterName, Mechanism};

/// As the Secrets that Strimzi's User Operator writes are used: `password`, and a `sasl.jaas.config` that clients which
/// set user name and mechanism themselves do not read.
const PASSWORD_ALONE: Carries = Carries { mechanism: false, username: false };
const EVERYTHING: Carries = Carries { mechanism: true, username: true };

fn possible(formats: &[(&str, Carries)], clients_read_mechanism: Option<bool>) -> Vec<Strategy> {
    circumstances(&"prod".parse().unwrap(), formats, clients_read_mechanism).possible().collect()
}

fn circumstances<'a>(
    cluster: &'a ClusterName,
    formats: &[(&'a str, Carries)],
    clients_read_mechanism: Option<bool>,
) -> Circumstances<'a> {
    Circumstances {
        fixed: None,
        offers: vec![(cluster, &Mechanism::ALL)],
        clients_read_mechanism,
        allow_downtime: true,
        manages_acls: true,
        restarts: false,
        formats: formats.to_vec(),
    }
}

#[test]
fn a_format_without_the_mechanism_needs_a_word_that_clients_know_it() {
    let formats = [("properties", EVERYTHING), ("keystore", Carries { mechanism: false, username: true })];
    assert_eq!(possible(&formats, None), [Strategy::DualUser, Strategy::InPlace]);
    assert_eq!(possible(&formats, Some(true)), Strategy::ALL);
    assert_eq!(possible(&formats, Some(false)), [Strategy::DualUser, Strategy::InPlace]);
}

#[test]
fn a_format_without_the_user_name_cannot_serve_two_users() {
    let formats = [("strimzi", PASSWORD_ALONE), ("properties", EVERYTHING), ("strimzi", PASSWORD_ALONE)];
    assert_eq!(possible(&formats, None), [Strategy::InPlace]);
    assert_eq!(possible(&formats, Some(true)), [Strategy::MechanismFlip, Strategy::InPlace]);
    let cluster = "prod".parse().unwrap();
    let circumstances = circumstances(&cluster, &formats, None);
    assert_eq!(
        circumstances.obstacles(Strategy::DualUser),
        ["the format `strimzi` does not carry the user name"],
        "each format is named once"
    );
    assert_eq!(
        circumstances.obstacles(Strategy::MechanismFlip),
        ["the format `strimzi` does not carry the mechanism (unless `clientsReadMechanism: true`)"]
    );
}

#[test]
fn a_user_without_deliveries_reads_everything_from_the_store() {
    assert_eq!(possible(&[], None), Strategy::ALL);
}

#[test]
fn names_are_those_of_documents() {
    let json = |value| serde_json::to_string(&value).unwrap();
    for strategy in Strategy::ALL {
        assert_eq!(json(serde_json::to_value(strategy).unwrap()), format!("\"{strategy}\""));
    }
    for confirm in [Confirm::None, Confirm::Acknowledgement] {
        assert_eq!(json(serde_json::to_value(confirm).unwrap()), format!("\"{confirm}\""));
    }
}
