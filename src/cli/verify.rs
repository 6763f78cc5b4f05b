//! `kastellan verify`.

use std::collections::BTreeMap;

use super::arguments::{PlainFormat, VerifyArguments};
use super::{documents, output, passes, surroundings, users};
use crate::credential::Seen;
use crate::diagnostic::ExitStatus;
use crate::engine::{Mode, SecondOpinions, Verified, second_opinions, verify};
use crate::state::{Selection, resolve};
use crate::view::{VerifyView, verify_text};

pub(super) async fn run(arguments: VerifyArguments) -> ExitStatus {
    match show(arguments).await {
        Ok(status) | Err(status) => status,
    }
}

async fn show(arguments: VerifyArguments) -> Result<ExitStatus, ExitStatus> {
    if arguments.with_librdkafka && !cfg!(feature = "librdkafka") {
        let hint = "build with `--features librdkafka`".to_owned();
        output::error("this build has no librdkafka", Some(&hint));
        return Err(ExitStatus::Failed);
    }
    let documents = documents::read(&arguments.files)?;
    let surroundings = surroundings::read();
    let ca_pems = documents::read_ca_pems(&documents, &surroundings)?;
    let desired = resolve(&documents, &Selection::default(), &ca_pems);
    let links = passes::open(&documents, Mode::Open, surroundings).await?;
    let records = crate::engine::list_records(&links).await;
    let mut live = BTreeMap::new();
    for (user, seen) in &records {
        match seen {
            Seen::Known(found) if found.record.value.claims_username() => {
                live.insert(user.clone(), (found.store.clone(), found.record.value.clone()));
            }
            Seen::Known(_) => {}
            Seen::Unknown(why) => output::error(&format!("{user}: {why}"), None),
        }
    }
    let selected = users::select(&arguments.users, live.keys())?;
    live.retain(|user, _| selected.contains(user));
    let verified = verify(&links, &live).await;
    let second =
        if arguments.with_librdkafka { second_opinions(&links, &desired, &live).await } else { BTreeMap::new() };
    let views = verified.into_iter().map(|verified| draw(verified, &second)).collect::<Vec<_>>();
    let failed = views.iter().any(|view| view.failure.is_some());
    let written = match arguments.output {
        PlainFormat::Text => output::data(&verify_text(&views)),
        PlainFormat::Json => output::json(&VerifyList { schema: "kastellan.io/verify/v1alpha1", credentials: &views }),
    };
    Ok(match (written, failed) {
        (ExitStatus::Done, true) => ExitStatus::Failed,
        (written, _) => written,
    })
}

/// All credentials, for programs.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct VerifyList<'a> {
    schema: &'static str,
    credentials: &'a [VerifyView],
}

fn draw(verified: Verified, second: &SecondOpinions) -> VerifyView {
    let opinion = second.get(&(verified.user.clone(), verified.cluster.clone()));
    let failure = verified
        .failure
        .or_else(|| opinion.and_then(|opinion| opinion.as_ref().err()).map(|why| format!("librdkafka: {why}")));
    let result = match (&failure, verified.by_login) {
        (Some(_), _) => "failed",
        (None, true) => "login",
        (None, false) => "unproven",
    };
    VerifyView {
        user: verified.user,
        cluster: verified.cluster.to_string(),
        generation: verified.generation.0,
        brokers: verified.brokers,
        result,
        hint: verified.hint.filter(|_| failure.is_some()),
        failure,
        librdkafka: opinion.and_then(|opinion| opinion.as_ref().ok()).cloned(),
    }
}
