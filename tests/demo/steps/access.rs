//! From documents to clients that work.

use super::{BILLING_FILE, ORDERS_FILE, Remembered, Stage};
use crate::failure::Failure;
use crate::stack::kafka::principal;
use crate::workshop::{Stamp, mode};

/// Shows the plan.
pub(super) fn plan(stage: &Stage<'_>) -> Result<(), Failure> {
    let Stage { narrator, kafka, .. } = stage;
    narrator.chapter("The plan");
    narrator.say(
        "`plan` compares documents with brokers, writes nothing, and needs no right to read a secret: it is what a \
         pull-request check runs.",
    );
    let printed = stage.kastellan("plan", 0)?;
    let is_untouched = kafka.mechanisms_of("orders")?.is_empty() && kafka.acls_of(&principal("orders"))?.is_empty();
    narrator.check(
        "Kafka knows neither of the two users yet.",
        is_untouched && printed.says(&["shop/orders", "shop/billing", "0 in step", "Nothing was written."]),
    )
}

/// Applies it and looks at the result.
pub(super) fn apply(stage: &Stage<'_>) -> Result<(), Failure> {
    let Stage { narrator, kafka, workshop, .. } = stage;
    narrator.chapter("Apply, and verify");
    narrator.say(
        "Passwords are drawn, stored encrypted, set in Kafka, tried on every broker, and only then delivered. Nobody \
         sees them on the way.",
    );
    stage.kastellan("apply --auto-approve", 0)?;
    for file in [ORDERS_FILE, BILLING_FILE] {
        Remembered::of(stage, file)?;
        let is_private = mode(&workshop.path(file))? == 0o600;
        narrator.check(&format!("{file} is there, and only its owner can read it."), is_private)?;
    }
    let printed = stage.kastellan("verify", 0)?;
    narrator.check("Both credentials log in on all three brokers.", printed.says(&["shop/orders", "shop/billing"]))?;
    narrator.check(
        "The brokers have counted no failed login so far: Kastellan never sets off your alarms.",
        kafka.failed_authentications() == 0,
    )?;
    let printed = stage.kastellan("status", 0)?;
    narrator.check("Each user is at rest with its first credential.", printed.says(&["generation 1", "at rest"]))
}

/// Lets the Java clients use the delivered files as they are.
pub(super) fn let_java_clients_log_in(stage: &Stage<'_>) -> Result<(), Failure> {
    let narrator = stage.narrator;
    narrator.chapter("Java clients use exactly the delivered files");
    narrator.say("Kafka's own console tools take them as they are: orders writes, billing reads.");
    stage.produce_and_consume("order 1: two pounds of apples")?;
    narrator.say("And only that is allowed: the orders service cannot read what it wrote.");
    let refused = stage.consume(ORDERS_FILE)?;
    narrator.check(
        "Kafka refuses it: no document allows it.",
        refused.stdout.is_empty() && refused.stderr.contains("AuthorizationException"),
    )
}

/// Shows that there is nothing to do, and that nothing is done.
pub(super) fn plan_again(stage: &Stage<'_>) -> Result<(), Failure> {
    let Stage { narrator, workshop, .. } = stage;
    narrator.chapter("Nothing to do means nothing is done");
    let before = Stamp::of_files(workshop)?;
    let planned = stage.kastellan("plan --detailed-exitcode", 0)?;
    let applied = stage.kastellan("apply --auto-approve", 0)?;
    narrator.check(
        "The second plan is empty, and its apply rewrote no file: no new password, no new ciphertext.",
        planned.says(&["2 in step", "Nothing to do"])
            && applied.says(&["Nothing to do"])
            && before == Stamp::of_files(workshop)?,
    )
}
