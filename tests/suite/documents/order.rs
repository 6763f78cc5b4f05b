//! What holds for any documents: their order does not matter, and no text is too strange to be answered.

use proptest::prelude::*;

use super::{accepted, example, text};
use kastellan::diagnostic::Location;
use kastellan::spec::{self, Documents, SourceText};

/// The documents without their places, which differ with the order.
fn placeless(sources: &[SourceText]) -> Documents {
    let (mut documents, _) = accepted(sources);
    let nowhere = || Location { file: std::sync::Arc::default(), line: 0, column: 0 };
    documents.stores.values_mut().for_each(|store| store.location = nowhere());
    documents.clusters.values_mut().for_each(|cluster| cluster.location = nowhere());
    documents.users.values_mut().for_each(|user| user.location = nowhere());
    documents
}

/// Twelve documents: a store, three clusters, users of one or all of them.
fn documents() -> Vec<String> {
    let head = |kind: &str, name: &str| {
        format!("apiVersion: kastellan.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\n")
    };
    let mut documents = vec![format!("{}spec: {{age: {{directory: store}}}}\n", head("CredentialStore", "local"))];
    for cluster in ["a", "b", "c"] {
        let spec =
            "spec: {bootstrapServers: \"localhost:9092\", admin: {}, defaults: {rotation: {strategy: dual-user}}}\n";
        documents.push(format!("{}{spec}", head("KafkaCluster", cluster)));
    }
    for number in 1..9 {
        let clusters = ["[a]", "[b]", "[c, a]", "[a, b, c]"][number % 4];
        documents.push(format!(
            "{}spec:\n  clusters: {clusters}\n  authentication: {{type: scram}}\n  rotation: {{every: {number}d, overlap: 1h}}\n  \
             authorization:\n    acls:\n      \
             - {{resource: {{type: topic, name: t{number}}}, operations: [Write, Read]}}\n      \
             - {{resource: {{type: group, name: g}}, operations: [Read], host: 10.0.0.{number}}}\n",
            head("KafkaUser", &format!("u{number}"))
        ));
    }
    documents
}

/// Pieces of YAML that mean something, to be dropped into documents where they do not belong.
const TOKENS: [&str; 22] = [
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!x ",
    "? ",
    "- ",
    ": ",
    "|\n",
    ">-\n",
    "\n---\n",
    "\n...\n",
    "%YAML 1.2\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\t",
    "\"",
    "'",
    "\u{feff}",
];

proptest! {
    #[test]
    fn any_order_of_documents_in_any_files_means_the_same(
        order in Just(documents()).prop_shuffle(),
        cuts in proptest::collection::vec(any::<bool>(), 12),
    ) {
        let mut files = vec![String::new()];
        for (document, cut) in order.iter().zip(cuts) {
            if cut {
                files.push(String::new());
            }
            *files.last_mut().unwrap() += &format!("---\n{document}");
        }
        let sources: Vec<_> =
            files.iter().enumerate().map(|(number, file)| text(&format!("{number}.yaml"), file.as_str())).collect();
        prop_assert_eq!(placeless(&sources), placeless(&[text("one.yaml", documents().join("---\n"))]));
    }

    #[test]
    fn damaged_documents_are_answered(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..8),
        which in 0..2_usize,
    ) {
        let mut sources = example();
        let bytes = &mut sources[which].bytes;
        for (index, byte, edit) in edits {
            let index = index.index(bytes.len());
            match edit {
                0 => bytes[index] = byte,
                1 => bytes.insert(index, byte),
                2 => drop(bytes.splice(index..index, TOKENS[usize::from(byte) % TOKENS.len()].bytes())),
                _ => drop(bytes.remove(index)),
            }
        }
        match spec::read(&sources) {
            Ok((_, findings)) => prop_assert!(!findings.has_errors()),
            Err(findings) => prop_assert!(findings.has_errors()),
        }
    }
}
