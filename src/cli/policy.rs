//! `kastellan policy`.

use super::arguments::{PolicyArguments, PolicyCommand, PurposeArgument};
use super::{documents, output};
use crate::diagnostic::ExitStatus;
use crate::kafka::{Purpose, needed_rights};
use crate::names::AclRule;

pub(super) fn run(arguments: PolicyArguments) -> ExitStatus {
    let PolicyCommand::Kafka { purpose, files } = arguments.command;
    let documents = match documents::read(&files) {
        Ok(documents) => documents,
        Err(status) => return status,
    };
    let purpose = match purpose {
        PurposeArgument::Plan => Purpose::Planning,
        PurposeArgument::Apply => Purpose::Applying,
    };
    let mut text = String::new();
    for (name, cluster) in &documents.clusters {
        let username = cluster.admin.authentication.as_ref().and_then(|login| login.username());
        let principal = match username {
            Some(user) => format!("User:{user}"),
            None => "User:<the principal of Kastellan's certificate>".to_owned(),
        };
        text.push_str(&format!("# cluster {name}\n"));
        text.push_str(&command(&cluster.admin.bootstrap_servers.to_string(), &principal, &needed_rights(purpose)));
    }
    output::data(&text)
}

/// One command of `kafka-acls.sh` that grants `rules`, all of them about the cluster.
pub fn command(bootstrap_servers: &str, principal: &str, rules: &[AclRule]) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let operations = rules.iter().map(|rule| format!(" --operation {}", rule.operation)).collect::<String>();
    format!(
        "kafka-acls.sh --bootstrap-server {} --command-config admin.properties --add --allow-principal {}{operations} --cluster\n",
        quoted(bootstrap_servers),
        quoted(principal),
    )
}
