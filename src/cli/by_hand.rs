//! What people do to users by name: `kastellan rotate`, `ack`, `abort` and `recover`. Each is a pass that does what was
//! asked for and nothing else.

use super::arguments::{
    AbortArguments, AckArguments, Format, HandArguments, PlainFormat, RecoverArguments, RotateArguments,
};
use super::carry_out::{Consent, carry_out};
use super::passes::Request;
use super::{documents, plan, users};
use crate::credential::Ask;
use crate::diagnostic::ExitStatus;
use crate::engine::Mode;
use crate::names::{Generation, NamespacedName};
use crate::plan::Asked;
use crate::spec::Authentication;

/// Whom it is about.
enum Whom {
    /// Those that are named.
    Named(Vec<String>),
    /// Every user of the documents, or of the namespace, that has anything to do it with: a credential, and for a rotation
    /// one that Kastellan draws.
    All,
}

pub(super) async fn rotate(arguments: RotateArguments) -> ExitStatus {
    let what = match arguments.revoke_now {
        true => Ask::Revoke { new_name: arguments.new_principal },
        false => Ask::Rotate,
    };
    let whom = if arguments.all { Whom::All } else { Whom::Named(arguments.users) };
    pass(what, whom, &Consent::by_flag(arguments.auto_approve), arguments.hand).await
}

/// Whoever acknowledges has answered already.
pub(super) async fn acknowledge(arguments: AckArguments) -> ExitStatus {
    let what = Ask::Acknowledge(arguments.generation.map(Generation));
    pass(what, Whom::Named(arguments.users), &Consent::Given, arguments.hand).await
}

/// Nobody has seen what goes, so there is nothing to ask.
pub(super) async fn abort(arguments: AbortArguments) -> ExitStatus {
    pass(Ask::Abort, Whom::Named(arguments.users), &Consent::Given, arguments.hand).await
}

pub(super) async fn recover(arguments: RecoverArguments) -> ExitStatus {
    let consent = Consent::by_flag(arguments.auto_approve);
    let what = if arguments.from_deliveries { Ask::Import } else { Ask::Recover };
    pass(what, Whom::Named(arguments.users), &consent, arguments.hand).await
}

async fn pass(what: Ask, whom: Whom, consent: &Consent, hand: HandArguments) -> ExitStatus {
    match carry(what, whom, consent, hand).await {
        Ok(status) | Err(status) => status,
    }
}

async fn carry(what: Ask, whom: Whom, consent: &Consent, hand: HandArguments) -> Result<ExitStatus, ExitStatus> {
    let (documents, warnings) = documents::read_for_pass(&hand.files)?;
    let namespace = hand.namespace.as_ref();
    let users = match whom {
        Whom::Named(names) => users::named(&names, namespace, documents.users.keys())?,
        Whom::All => {
            let has_credential = |user: &&NamespacedName| match (&documents.users[*user].authentication, &what) {
                (Authentication::Scram(scram), Ask::Rotate) => scram.given.is_none(),
                (Authentication::Scram(_), _) => true,
                (Authentication::External, _) => false,
            };
            users::all(namespace, documents.users.keys()).filter(has_credential).cloned().collect()
        }
    };
    let request = Request::asking(hand.scope, hand.max_deletes, Asked { what, users });
    if hand.dry_run {
        let format = match hand.output {
            PlainFormat::Text => Format::Text,
            PlainFormat::Json => Format::Json,
        };
        return plan::look(&documents, warnings, &request, format, hand.save.as_deref(), false).await;
    }
    let mode = if hand.take_over_store { Mode::TakeOver } else { Mode::Change };
    carry_out(documents, &request, mode, consent, hand.output).await
}
