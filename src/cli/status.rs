//! `kastellan status`.

use super::arguments::{PlainFormat, StatusArguments};
use super::{documents, output, passes, surroundings, users};
use crate::credential::Seen;
use crate::diagnostic::ExitStatus;
use crate::engine::{Mode, Whom, observe};
use crate::spec::Documents;
use crate::state::{Selection, resolve};
use crate::view::{StatusView, UserStatus, status_text};

pub(super) async fn run(arguments: StatusArguments) -> ExitStatus {
    match show(arguments).await {
        Ok(status) | Err(status) => status,
    }
}

async fn show(arguments: StatusArguments) -> Result<ExitStatus, ExitStatus> {
    let documents = documents::read(&arguments.files)?;
    let surroundings = surroundings::read();
    let ca_pems = documents::read_ca_pems(&documents, &surroundings)?;
    let desired = resolve(&documents, &Selection::default(), &ca_pems);
    // The records tell everything; no cluster is contacted.
    let only_stores = Documents { stores: documents.stores, ..Documents::default() };
    let links = passes::open(&only_stores, Mode::Look, surroundings).await?;
    let observed = observe(&links, &desired, Whom::Everybody).await;
    let selected = users::select(&arguments.users, observed.records.keys())?;
    let now = crate::engine::now().wall;
    let unknown = observed.stores_unknown.iter().map(|(store, why)| (store.to_string(), why.to_string())).collect();
    let mut view = StatusView { schema: "kastellan.io/status/v1alpha1", users: Vec::new(), stores_unknown: unknown };
    let mut status = if observed.stores_unknown.is_empty() { ExitStatus::Done } else { ExitStatus::Failed };
    for user in &selected {
        match &observed.records[user] {
            Seen::Known(found) => {
                let record = &found.record.value;
                let proven = record
                    .clusters
                    .keys()
                    .all(|name| desired.clusters.get(name).is_none_or(|cluster| cluster.verify_logins));
                let wanted = desired.users.get(user).map(|user| &*user.wanted);
                let rollout = observed.rollouts.get(user).map(|rollout| &**rollout);
                let mut drawn = UserStatus::new(record, wanted, rollout, found.store.as_str(), proven, now);
                for (name, state) in observed.deliveries.get(user).into_iter().flatten() {
                    drawn.note_delivery(name.as_str(), state);
                }
                view.users.push(drawn);
            }
            Seen::Unknown(why) => {
                output::error(&format!("{user}: {why}"), None);
                status = ExitStatus::Partial;
            }
        }
    }
    let written = match arguments.output {
        PlainFormat::Text => output::data(&status_text(&view, now)),
        PlainFormat::Json => output::json(&view),
    };
    Ok(if written == ExitStatus::Done { status } else { written })
}
