//! A document goes, and comes back.

use std::path::Path;

use super::{BILLING_FILE, Remembered, Stage};
use crate::failure::Failure;
use crate::stack::kafka::principal;

const BILLING_DOCUMENT: &str = "kastellan/users/billing.yaml";

/// Removes a document, and shows that this alone deletes nothing.
pub(super) fn remove_document(stage: &Stage<'_>) -> Result<Remembered, Failure> {
    let Stage { narrator, kafka, workshop, .. } = stage;
    narrator.chapter("A document goes");
    narrator.say("Somebody removes billing from Git, by mistake.");
    let remembered = Remembered::of(stage, BILLING_FILE)?;
    workshop.git(narrator, &["rm", "--quiet", BILLING_DOCUMENT])?;
    workshop.git(narrator, &["commit", "--quiet", "--message", "Remove billing"])?;
    narrator.say("What that means, a review can see from Git alone; nothing is contacted:");
    let printed = stage.kastellan("plan --against HEAD~1", 0)?;
    narrator.check("The change would take billing's access away.", printed.says(&["shop/billing", "orders.placed"]))?;
    narrator.say("It is merged all the same.");
    let printed = stage.kastellan("apply --auto-approve", 0)?;
    narrator.check(
        "The missing document is listed, and nothing is deleted: an empty folder can be an accident.",
        printed.says(&["shop/billing"])
            && !kafka.mechanisms_of("billing")?.is_empty()
            && workshop.path(BILLING_FILE).exists(),
    )?;
    Ok(remembered)
}

/// Deletes it on request.
pub(super) fn prune(stage: &Stage<'_>) -> Result<(), Failure> {
    let Stage { narrator, kafka, workshop, .. } = stage;
    narrator.chapter("Deletion, when you mean it");
    narrator.say("`--prune` deletes, up to ten things in one go unless you allow more.");
    let printed = stage.kastellan("apply --prune --auto-approve", 0)?;
    let is_gone = kafka.mechanisms_of("billing")?.is_empty() && kafka.acls_of(&principal("billing"))?.is_empty();
    narrator.check(
        "The user, its ACLs and its delivered files are gone.",
        printed.says(&["shop/billing"]) && is_gone && !workshop.path(BILLING_FILE).exists(),
    )
}

/// Brings it back with the same password.
pub(super) fn undo(stage: &Stage<'_>, deleted: &Remembered) -> Result<(), Failure> {
    let Stage { narrator, workshop, .. } = stage;
    narrator.chapter("… and undo, when you did not");
    narrator.say("For seven days a `git revert` brings the very same password back.");
    stage.kastellan("status", 0)?;
    workshop.git(narrator, &["revert", "--no-edit", "HEAD"])?;
    stage.kastellan("apply --auto-approve", 0)?;
    stage.produce_and_consume("order 3: a pot of honey")?;
    narrator.check("billing reads again, with the password it had before.", deleted.is_delivered_again(stage)?)
}

/// Searches everything for the passwords of this demonstration.
pub(super) fn look_for_secrets(stage: &Stage<'_>) -> Result<(), Failure> {
    let Stage { narrator, workshop, .. } = stage;
    narrator.chapter("Where the passwords are, and where they are not");
    narrator.say(
        "Last, a search for every password of this demo in all that was printed, in the store, the home directory and \
         the whole history of Git.",
    );
    let (found, files) = workshop.files_with_secrets()?;
    let is_delivery = |path: &Path| path.starts_with("checkout/delivered");
    narrator.check(
        &format!("Of {files} files, only the {} delivered ones hold one in plain text.", found.len()),
        found.len() == stage.delivered_files() && found.iter().all(|path| is_delivery(path)),
    )?;
    workshop.search_history()?;
    narrator.check("No command printed one, and no commit contains one.", true)
}
