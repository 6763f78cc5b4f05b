//! What is shown, in this order.

mod access;
mod beginning;
mod deletion;
mod drift;
mod rotation;
mod servers;

use std::path::PathBuf;

use kastellan::secret::Secret;

use crate::failure::Failure;
use crate::narration::Narrator;
use crate::stack::kafka::Tool;
use crate::stack::kafka::tools::ToolOutcome;
use crate::stack::{Cluster, Listener, process};
use crate::workshop::{Printed, Workshop};

use servers::Servers;

/// The topic that everything is about.
const TOPIC: &str = "orders.placed";
/// What Kastellan delivers to the service that writes to it.
const ORDERS_FILE: &str = "delivered/orders.properties";
/// What Kastellan delivers to the service that reads from it.
const BILLING_FILE: &str = "delivered/billing.properties";

/// What every step needs.
struct Stage<'a> {
    narrator: &'a Narrator,
    kafka: Cluster,
    workshop: Workshop,
    /// Where credentials are kept and delivered to, if that is no folder.
    servers: Option<Servers>,
}

/// Where credentials are kept, and delivered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenery {
    /// Folders.
    Folder,
    /// Vault, and Kubernetes.
    Servers,
}

/// Shows everything.
///
/// # Errors
/// The first step that could not be taken, or did not do what it says.
pub fn tell(narrator: &Narrator, scenery: Scenery) -> Result<(), Failure> {
    narrator.title("Kastellan", "Declare Kafka users in Git. Their secrets stay secret.");
    narrator.say(
        "This shows the whole life of two Kafka users on a real Kafka, in about a minute. Everything runs on \
         127.0.0.1 and in a temporary folder that goes at the end. Each ✓ is checked when it is printed: if one does \
         not hold, the demo stops with exit status 1.",
    );
    let mut stage = beginning::start(narrator)?;
    match scenery {
        Scenery::Folder => {
            beginning::initialise(&stage)?;
            beginning::write_documents(&stage)?;
        }
        Scenery::Servers => {
            let servers = Servers::start(narrator, &stage.workshop)?;
            servers::write_documents(&stage, &servers)?;
            stage.servers = Some(servers);
        }
    }
    access::plan(&stage)?;
    access::apply(&stage)?;
    access::let_java_clients_log_in(&stage)?;
    access::plan_again(&stage)?;
    let sabotage = drift::interfere(&stage)?;
    drift::show(&stage)?;
    drift::heal(&stage, &sabotage)?;
    rotation::rotate(&stage)?;
    let deleted = deletion::remove_document(&stage)?;
    deletion::prune(&stage)?;
    deletion::undo(&stage, &deleted)?;
    deletion::look_for_secrets(&stage)?;
    clean_up(stage)
}

impl Stage<'_> {
    fn kastellan(&self, arguments: &str, expected: i32) -> Result<Printed, Failure> {
        let printed = self.workshop.kastellan(self.narrator, arguments, expected)?;
        if let Some(servers) = &self.servers {
            servers.mount(&self.workshop)?;
        }
        Ok(printed)
    }

    /// How many files there are that may hold a password.
    const fn delivered_files(&self) -> usize {
        match self.servers {
            // One of the two services has its password in two forms.
            None => 3,
            Some(_) => 2,
        }
    }

    /// Writes a record with the Java console producer and the orders service's file, and reads it with the console
    /// consumer and the billing service's.
    fn produce_and_consume(&self, record: &str) -> Result<(), Failure> {
        let narrator = self.narrator;
        narrator.command(&format!(
            "echo '{record}' | kafka-console-producer.sh --bootstrap-server $KAFKA \\\n        --command-config {ORDERS_FILE} --topic {TOPIC}"
        ));
        let file = self.workshop.path(ORDERS_FILE);
        let produced = self.shown(self.kafka.produce(Listener::Clients, &file, TOPIC, &[record])?)?;
        let consumed = self.consume(BILLING_FILE)?;
        narrator.check(
            "The record went through Kafka, with both passwords and both users' ACLs.",
            produced.succeeded() && consumed.succeeded() && consumed.stdout.contains(record),
        )
    }

    /// Reads the next record of the group `billing` with the Java console consumer.
    fn consume(&self, file: &str) -> Result<ToolOutcome, Failure> {
        self.narrator.command(&format!(
            "kafka-console-consumer.sh --bootstrap-server $KAFKA --command-config {file} \\\n        --topic {TOPIC} --group billing --from-beginning --max-messages 1"
        ));
        self.shown(self.kafka.consume(Listener::Clients, &self.workshop.path(file), TOPIC, "billing", 1)?)
    }

    /// Lists topics as whoever `file` lets log in: the quickest way to see whether it does.
    fn list_topics(&self, file: &str) -> Result<ToolOutcome, Failure> {
        self.narrator.command(&format!("kafka-topics.sh --bootstrap-server $KAFKA --command-config {file} --list"));
        self.shown(self.kafka.run_tool(Tool::Topics, Listener::Clients, &self.workshop.path(file), &["--list"], "")?)
    }

    /// Shows what a tool printed: its data, or else the line of its chatter that says what went wrong.
    fn shown(&self, outcome: ToolOutcome) -> Result<ToolOutcome, Failure> {
        self.workshop.watch("a Kafka tool", &outcome.stdout)?;
        self.workshop.watch("a Kafka tool", &outcome.stderr)?;
        let went_wrong = |line: &&str| line.contains("Exception");
        let complaint = outcome.stderr.lines().find(went_wrong).unwrap_or_default();
        self.narrator.output(if outcome.stdout.is_empty() { complaint } else { &outcome.stdout });
        Ok(outcome)
    }
}

/// A password before something happened to it, and the file it was delivered in.
struct Remembered {
    password: Secret,
    file: &'static str,
}

impl Remembered {
    fn of(stage: &Stage<'_>, file: &'static str) -> Result<Self, Failure> {
        Ok(Self { password: stage.workshop.learn_password(file)?, file })
    }

    /// Whether the file holds the very same password now.
    fn is_delivered_again(&self, stage: &Stage<'_>) -> Result<bool, Failure> {
        Ok(self.password.ct_eq(&stage.workshop.learn_password(self.file)?))
    }
}

/// Takes everything down, and looks whether it is gone.
fn clean_up(stage: Stage<'_>) -> Result<(), Failure> {
    let Stage { narrator, kafka, workshop, servers } = stage;
    narrator.chapter("Cleaning up");
    let pids = kafka.pids();
    let folders: Vec<PathBuf> = vec![kafka.folder().to_owned(), workshop.folder().to_owned()];
    let with_servers = servers.is_some();
    drop(servers);
    drop(workshop);
    drop(kafka);
    let is_gone = pids.iter().all(|pid| !process::is_alive(*pid)) && folders.iter().all(|folder| !folder.exists());
    narrator.check("The brokers are stopped, and every file of the demo is removed.", is_gone)?;
    let example = if with_servers { "vault-kubernetes" } else { "quickstart" };
    narrator.end(&format!(
        "The documents you saw are in examples/{example}/, and the README there walks you through the same on a Kafka \
         of your own. `make sandbox` starts one to play with."
    ));
    Ok(())
}
