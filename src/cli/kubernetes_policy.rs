//! `kastellan policy kubernetes`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::arguments::{KubernetesPolicyArguments, PurposeArgument};
use super::{documents, output};
use crate::deliver::LIST_FROM;
use crate::diagnostic::ExitStatus;
use crate::k8s::{
    Account, EXPLAINED_IDENTITY, Purpose, Rights, Sight, explained_verbs, explained_workload_verbs, identity_role, role,
};
use crate::names::Segment;
use crate::spec::{Confirm, DeliveryTarget, Documents};

/// What is delivered and restarted, by context and namespace.
type Places<'d> = BTreeMap<(Option<&'d str>, &'d Segment), Rights<'d>>;

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
    let deliveries =
        documents.users.values().flat_map(|user| user.deliver.iter().map(move |delivery| (user, delivery)));
    for (user, delivery) in deliveries {
        match &delivery.target {
            DeliveryTarget::File(_) => {}
            DeliveryTarget::KubernetesSecret(secret) => {
                let place = &secret.place;
                let rights = places.entry((place.context.as_deref(), &place.namespace)).or_default();
                rights.secrets.insert(&place.name);
                let confirms = user.rotation.as_ref().is_some_and(|rotation| rotation.confirm == Confirm::Rollout);
                rights.waits |= confirms && !secret.restart.is_empty();
                rights.workloads.extend(secret.restart.iter().map(|workload| (workload.kind, &workload.name)));
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
    let is_many = |rights: &Rights<'_>| rights.secrets.len() >= LIST_FROM;
    if places.values().any(is_many) {
        text.push_str("#   list    look at many in one request; it shows every Secret of the namespace, and works without, slower\n");
    }
    text.push_str(&explained_workloads(purpose, places));
    let _ = writeln!(text, "# And, in each cluster:\n#   get     (the namespace `kube-system`) {EXPLAINED_IDENTITY}");
    text.push_str("# Print it anew when documents change; keep the old one until a Secret that goes is gone.\n");
    let mut current = None;
    for ((context, namespace), rights) in places {
        if current != Some(*context) {
            if let Some(context) = context {
                let _ = writeln!(text, "# In the context `{context}`:");
            }
            text.push_str("---\n");
            text.push_str(&identity_role(&account));
            current = Some(*context);
        }
        let sight = if is_many(rights) { Sight::All } else { Sight::Named };
        text.push_str("---\n");
        text.push_str(&role(purpose, sight, namespace, rights, &account));
    }
    text
}

/// What the rights to workloads are needed for; nothing where there are none.
fn explained_workloads(purpose: Purpose, places: &Places<'_>) -> String {
    let mut text = String::new();
    let waits = places.values().any(|rights| rights.waits);
    let restarts = purpose == Purpose::Applying && places.values().any(|rights| !rights.workloads.is_empty());
    if !waits && !restarts {
        return text;
    }
    text.push_str("# And with the Deployments and StatefulSets that `restart` names:\n");
    for (verb, needed_for) in explained_workload_verbs(purpose) {
        let _ = writeln!(text, "#   {verb:<6}  {needed_for}");
    }
    if waits {
        text.push_str("#   list    (pods of the namespace) see that no older pod is left, for `confirm: rollout`\n");
    }
    text
}
