//! `kastellan schemas`.

use std::collections::BTreeMap;

use super::arguments::SchemasArguments;
use super::output;
use crate::diagnostic::ExitStatus;
use crate::spec::{Kind, schema, schema_file};

pub(super) fn run(arguments: SchemasArguments) -> ExitStatus {
    let is_wanted =
        |kind: &Kind| arguments.kind.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind.as_str()));
    let wanted = Kind::ALL.into_iter().filter(is_wanted).collect::<Vec<_>>();
    let Some(directory) = arguments.directory else {
        return match wanted.as_slice() {
            [] => {
                output::error(
                    "there is no such kind",
                    Some(&"`CredentialStore`, `KafkaCluster` or `KafkaUser`".to_owned()),
                );
                ExitStatus::Usage
            }
            [one] => output::json(&schema(*one)),
            all => output::json(&all.iter().map(|kind| (kind.as_str(), schema(*kind))).collect::<BTreeMap<_, _>>()),
        };
    };
    for kind in wanted {
        let path = directory.join(schema_file(kind));
        let text = serde_json::to_string_pretty(&schema(kind)).expect("a schema is made of texts and numbers") + "\n";
        if let Err(error) = std::fs::write(&path, text) {
            output::error(&format!("failed to write `{}`: {error}", path.display()), None);
            return ExitStatus::Failed;
        }
    }
    ExitStatus::Done
}
