//! `kastellan policy kubernetes`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::arguments::{KubernetesPolicyArguments, PurposeArgument};
use super::{documents, output};
use crate::deliver::LIST_FROM;
use crate::diagnostic::ExitStatus;
use crate::k8s::{Account, Purpose, Sight, explained_verbs, role};
use crate::names::Segment;
use crate::spec::{DeliveryTarget, Documents};

/// Names of Secrets, by context and namespace.
type Places<'d> = BTreeMap<(Option<&'d str>, &'d Segment), BTreeSet<&'d Segment>>;

pub(super) fn run(arguments: &KubernetesPolicyArguments) -> ExitStatus {
    let documents = match documents::read(&arguments.files) {
        Ok(documents) => documents,
        Err(status) => return status,
    };
    let mut places = places(&documents);
    if let Some(context) = &arguments.context {
        places.retain(|(of, _), _| *of == Some(context.as_str()));
    }
    if places.is_empty() {
        output::error("no document delivers to a `kubernetesSecret` there", None);
        return ExitStatus::Failed;
    }
    output::data(&text(arguments, &places))
}

fn places(documents: &Documents) -> Places<'_> {
    let mut places = Places::new();
    let deliveries = documents.users.values().flat_map(|user| &user.deliver);
    for delivery in deliveries {
        match &delivery.target {
            DeliveryTarget::File(_) => {}
            DeliveryTarget::KubernetesSecret(secret) => {
                let place = &secret.place;
                places.entry((place.context.as_deref(), &place.namespace)).or_default().insert(&place.name);
            }
        }
    }
    places
}

fn text(arguments: &KubernetesPolicyArguments, places: &Places<'_>) -> String {
    let (purpose, can) = match arguments.purpose {
        PurposeArgument::Plan => (Purpose::Planning, "plan, and change nothing"),
        PurposeArgument::Apply => (Purpose::Applying, "plan and apply"),
    };
    let account = match &arguments.user {
        Some(user) => Account::User(user.clone()),
        None => {
            let account = &arguments.service_account;
            Account::Service { namespace: account.namespace.clone(), name: account.name.clone() }
        }
    };
    let mut text = format!("# Lets Kastellan {can} with these Secrets, and no others.\n");
    for (verb, needed_for) in explained_verbs(purpose) {
        let _ = writeln!(text, "#   {verb:<6}  {needed_for}");
    }
    let is_many = |names: &BTreeSet<_>| names.len() >= LIST_FROM;
    if places.values().any(is_many) {
        text.push_str("#   list    look at many in one request; it shows every Secret of the namespace, and works without, slower\n");
    }
    text.push_str("# Print it anew when documents change; keep the old one until a Secret that goes is gone.\n");
    let mut current = None;
    for ((context, namespace), names) in places {
        if *context != current {
            let _ = writeln!(text, "# In the context `{}`:", context.unwrap_or_default());
            current = *context;
        }
        let sight = if is_many(names) { Sight::All } else { Sight::Named };
        text.push_str("---\n");
        text.push_str(&role(purpose, sight, namespace, names, &account));
    }
    text
}
