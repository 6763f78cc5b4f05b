//! Somebody changes things by hand, and Kastellan puts them right.

use kastellan::names::{AclRule, Mechanism, Operation, PatternType, Permission, ResourceType};

use super::{ORDERS_FILE, Remembered, Stage};
use crate::failure::Failure;
use crate::stack::kafka::{Tool, principal};
use crate::stack::{Credentials, Listener, write_private};
use crate::workshop::Stamp;

/// What was there before somebody changed it.
pub(super) struct Sabotage {
    password: Remembered,
    files: Stamp,
}

/// Takes an ACL away, sets another password, and gives an ACL that nobody declared; all with Kafka's own tools.
pub(super) fn interfere(stage: &Stage<'_>) -> Result<Sabotage, Failure> {
    let Stage { narrator, kafka, workshop, .. } = stage;
    narrator.chapter("Somebody changes things by hand");
    narrator.say(
        "A colleague with the login of a super user takes an ACL away from orders, sets a password that nobody else \
         knows, and lets orders read the salaries.",
    );
    let sabotage = Sabotage { password: Remembered::of(stage, ORDERS_FILE)?, files: Stamp::of_files(workshop)? };
    let write = "--allow-principal User:orders --operation Write --topic orders. --resource-pattern-type prefixed";
    administer(stage, Tool::Acls, "kafka-acls.sh", &format!("{write} --remove --force"))?;

    let stranger = Credentials::random("orders");
    workshop.keep_secret(&stranger.password);
    let text = format!("SCRAM-SHA-512=password={}\n", stranger.password_text());
    let file = write_private(kafka.folder().join("new-password.properties"), &text)?;
    let entity = "--alter --entity-type users --entity-name orders --add-config-file";
    administer(stage, Tool::Configs, "kafka-configs.sh", &format!("{entity} {}", file.display()))?;

    let read = "--allow-principal User:orders --operation Read --topic salaries";
    administer(stage, Tool::Acls, "kafka-acls.sh", &format!("{read} --add"))?;
    // The rule is there already: this only waits until every broker shows it, and with it what was changed before,
    // because brokers apply changes in their order.
    kafka.grant(&principal("orders"), &[undeclared()])?;

    let refused = stage.list_topics(ORDERS_FILE)?;
    narrator.check(
        "The orders service is locked out: its file no longer logs in.",
        !refused.succeeded() && refused.stdout.contains("invalid credentials"),
    )?;
    Ok(sabotage)
}

/// Runs one of Kafka's tools as the super user; the path of a temporary file is shown by its name alone.
fn administer(stage: &Stage<'_>, tool: Tool, script: &str, arguments: &str) -> Result<(), Failure> {
    let Stage { narrator, kafka, .. } = stage;
    let shown = arguments.replace(&format!("{}/", kafka.folder().display()), "");
    narrator.command(&format!(
        "{script} --bootstrap-server $KAFKA --command-config admin.properties \\\n        {}",
        shown.replace(" --resource-pattern-type", " \\\n        --resource-pattern-type")
    ));
    let admin = kafka.client_properties(Listener::Admin, Mechanism::ScramSha512, &kafka.admin)?;
    let arguments = arguments.split(' ').collect::<Vec<_>>();
    let outcome = kafka.run_tool(tool, Listener::Admin, &admin, &arguments, "")?;
    stage.workshop.watch(script, &outcome.stdout)?;
    stage.workshop.watch(script, &outcome.stderr)?;
    if outcome.succeeded() {
        return Ok(());
    }
    let actual = outcome.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
    let command = format!("{script}`, which printed `{}{}", outcome.stdout, outcome.stderr);
    Err(Failure::OtherEnd { command, expected: 0, actual })
}

fn undeclared() -> AclRule {
    AclRule {
        permission: Permission::Allow,
        resource_type: ResourceType::Topic,
        pattern_type: PatternType::Literal,
        resource_name: "salaries".into(),
        operation: Operation::Read,
        host: "*".into(),
    }
}

/// Shows what the plan makes of it.
pub(super) fn show(stage: &Stage<'_>) -> Result<(), Failure> {
    let narrator = stage.narrator;
    narrator.chapter("The plan shows the drift");
    narrator.say(
        "With `--detailed-exitcode` it ends with exit status 2 when there is something to do: all that a nightly check \
         needs.",
    );
    let printed = stage.kastellan("plan --detailed-exitcode", 2)?;
    narrator.check(
        "All three changes are seen, each with its reason, and billing is left alone.",
        printed.says(&["shop/orders", "somebody changed it", "orders.*", "salaries: not declared", "1 in step"])
            && !printed.says(&["shop/billing"]),
    )
}

/// Puts it right, and shows that nobody has to be told.
pub(super) fn heal(stage: &Stage<'_>, sabotage: &Sabotage) -> Result<(), Failure> {
    let Stage { narrator, kafka, workshop, .. } = stage;
    narrator.chapter("Apply puts it right");
    narrator
        .say("Kastellan sets the stored password again. It makes no new one, so no client has to be told anything.");
    stage.kastellan("apply --auto-approve", 0)?;
    stage.produce_and_consume("order 2: a loaf of bread")?;
    narrator.check(
        "The very same file works again; it was not even rewritten.",
        sabotage.password.is_delivered_again(stage)?
            && sabotage.files.has_same(&Stamp::of_files(workshop)?, &workshop.path(ORDERS_FILE)),
    )?;
    narrator
        .check("The ACL that nobody declared is gone.", !kafka.acls_of(&principal("orders"))?.contains(&undeclared()))
}
