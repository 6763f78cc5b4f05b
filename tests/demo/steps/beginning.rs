//! A Kafka, a store, and two documents.

use std::time::Instant;

use kastellan::kafka::{Purpose, needed_rights};

use super::{Stage, TOPIC};
use crate::failure::Failure;
use crate::narration::Narrator;
use crate::stack::kafka::principal;
use crate::stack::{ClusterBuilder, KafkaVersion, Listener};
use crate::workshop::Workshop;

/// Documents of the quickstart.
const DOCUMENTS: [&str; 4] = ["store.yaml", "cluster.yaml", "users/orders.yaml", "users/billing.yaml"];
/// What `init` writes as a first user; the demonstration has its own.
const FIRST_USER: &str = "kastellan/users/hello.yaml";

/// Starts three brokers with a topic.
pub(super) fn start(narrator: &Narrator) -> Result<Stage<'_>, Failure> {
    narrator.chapter("A real Kafka");
    narrator.say(
        "Starting Apache Kafka 4.3.1 with three brokers that ask for SCRAM logins and refuse whatever no ACL allows \
         (the first time, Maven fetches it) …",
    );
    let begun = Instant::now();
    let kafka = ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(3).start()?;
    kafka.create_topic(TOPIC)?;
    let workshop = Workshop::open(&kafka)?;
    narrator.check(
        &format!("Three brokers are up after {} s, with one empty topic: {TOPIC}.", begun.elapsed().as_secs()),
        kafka.pids().len() == 3,
    )?;
    let rights = kafka.acls_of(&principal(&kafka.kastellan.username))?;
    narrator.check(
        "Kastellan's own user is no super user: it has four rights on the cluster, and cannot read or write a record.",
        rights == needed_rights(Purpose::Applying).into_iter().collect(),
    )?;
    narrator.command(&format!("export KAFKA={}", kafka.bootstrap(Listener::Clients)));
    narrator.command("read -rs KAFKA_ADMIN_PASSWORD && export KAFKA_ADMIN_PASSWORD");
    Ok(Stage { narrator, kafka, workshop, servers: None })
}

/// Writes an identity, a store and first documents.
pub(super) fn initialise(stage: &Stage<'_>) -> Result<(), Failure> {
    let Stage { narrator, kafka, workshop, .. } = stage;
    narrator.chapter("A place for secrets");
    narrator.say("No server is needed: the embedded store is a folder of age-encrypted files.");
    workshop.git(narrator, &["init", "--quiet", "--initial-branch=main"])?;
    let arguments = format!("init --bootstrap-servers {}", kafka.bootstrap(Listener::Clients));
    let printed = workshop.kastellan(narrator, &arguments, 0)?;
    let is_private = crate::workshop::mode(&workshop.home(".config/kastellan/identity.txt"))? == 0o600;
    narrator.check(
        "The identity that opens the store is outside the checkout, and only you can read it.",
        is_private && printed.says(&["identity", "store"]),
    )
}

/// Replaces the first user by two real ones, and shows everything that there is to review.
pub(super) fn write_documents(stage: &Stage<'_>) -> Result<(), Failure> {
    let Stage { narrator, kafka, workshop, .. } = stage;
    narrator.chapter("Two users, as files in Git");
    narrator.say(
        "In place of the example that `init` wrote: a service that writes orders, and one that bills them. This is all \
         that a team writes to get a Kafka user.",
    );
    let store_of_init = workshop.read("kastellan/store.yaml")?;
    workshop.remove(FIRST_USER)?;
    for document in DOCUMENTS {
        workshop.copy_document(document, kafka)?;
    }
    for document in ["users/orders.yaml", "users/billing.yaml"] {
        show(stage, document)?;
    }
    narrator.say("And how Kastellan reaches Kafka, written once by whoever runs it:");
    show(stage, "cluster.yaml")?;
    narrator.say(
        "Passwords will be delivered into a folder that Git ignores; Kastellan refuses to write one where Git would \
         track it.",
    );
    narrator.command("mkdir -m 700 delivered && printf '/delivered/\\n/.kastellan/\\n' > .gitignore");
    workshop.create_private_folder("delivered")?;
    workshop.write(".gitignore", "/delivered/\n/.kastellan/\n")?;
    let printed = stage.kastellan("validate", 0)?;
    narrator.say("(The warning is right, and meant for every Kafka that lives longer than this one.)");
    workshop.git(narrator, &["add", "."])?;
    workshop.git(narrator, &["commit", "--quiet", "--message", "Add orders and billing"])?;
    narrator.check(
        "The documents are valid, and there is nothing secret in them: passwords do not exist yet.",
        printed.says(&["Valid: 1 store", "2 users"]) && store_of_init == workshop.read("kastellan/store.yaml")?,
    )
}

fn show(stage: &Stage<'_>, document: &str) -> Result<(), Failure> {
    stage.narrator.command(&format!("cat kastellan/{document}"));
    stage.narrator.output(&stage.workshop.read(&format!("kastellan/{document}"))?);
    Ok(())
}
