//! What `plan` and `apply` have in common: connect, observe, plan.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::arguments::PassArguments;
use super::{documents, output, surroundings, users};
use crate::credential::Seen;
use crate::diagnostic::{Chain, ExitStatus};
use crate::engine::{ConnectError, Links, Mode, Whom, connect, observe};
use crate::names::{NamespacedName, Scope};
use crate::plan::{Asked, Options, Plan, plan};
use crate::spec::Documents;
use crate::state::{Desired, Selection, resolve};
use crate::store::StoreReader;
use crate::view::PlanView;

/// What a pass was asked for; part of a saved plan.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    /// The scope of the documents.
    pub scope: Scope,
    /// Users that may take over what exists.
    pub adopt: BTreeSet<NamespacedName>,
    /// Kubernetes clusters, by id, that get what was delivered to other ones.
    pub accept_clusters: BTreeSet<String>,
    /// Limits.
    pub options: Options,
}

impl Request {
    /// What the flags ask for; users are those of the documents.
    ///
    /// # Errors
    /// The status to exit with where `--adopt` names nobody, which would silently do nothing; it is said already.
    pub fn new(arguments: PassArguments, documents: &Documents) -> Result<Self, ExitStatus> {
        let adopt = match arguments.adopt.is_empty() {
            true => BTreeSet::new(),
            false => users::named(&arguments.adopt, None, documents.users.keys())?,
        };
        Ok(Self {
            scope: arguments.scope,
            adopt,
            accept_clusters: arguments.accept_cluster.into_iter().collect(),
            options: Options {
                prune: arguments.prune,
                max_deletes: arguments.max_deletes,
                allow_empty: arguments.allow_empty,
                undo_for: arguments.undo_for,
                asked: None,
            },
        })
    }

    /// What a person asks for by name.
    pub fn asking(scope: Scope, max_deletes: usize, asked: Asked) -> Self {
        let options = Options { max_deletes, asked: Some(asked), ..Options::default() };
        Self { scope, adopt: BTreeSet::new(), accept_clusters: BTreeSet::new(), options }
    }
}

/// A planned pass, ready to be shown or executed.
pub(super) struct Pass {
    pub links: Links,
    pub desired: Desired,
    pub plan: Plan,
    pub view: PlanView,
}

/// Connects, observes and plans.
///
/// # Errors
/// The status to exit with; everything is said already.
pub(super) async fn prepare(documents: &Documents, request: &Request, mode: Mode) -> Result<Pass, ExitStatus> {
    let surroundings = surroundings::read();
    let ca_pems = documents::read_ca_pems(documents, &surroundings)?;
    let selection = Selection { scope: request.scope.clone(), adopt: request.adopt.clone() };
    let desired = resolve(documents, &selection, &ca_pems);
    let links = open(documents, mode, surroundings).await?;
    links.kubernetes.accept(request.accept_clusters.clone());
    let asked = request.options.asked.as_ref();
    let whom = asked.map_or(Whom::Everybody, |asked| Whom::Only(&asked.users));
    let observed = observe(&links, &desired, whom).await;
    let plan = plan(&desired, &observed, &request.options, crate::engine::now().wall);
    let view = PlanView::new(&plan, &desired, &observed, &request.options);
    Ok(Pass { links, desired, plan, view })
}

/// What was opened and has to be closed. Commands end in many places; the program ends in one.
static OPENED: Mutex<Vec<Arc<dyn StoreReader>>> = Mutex::new(Vec::new());

/// Closes every store that was opened: a token that a login made is good for nothing afterwards.
pub(super) async fn close() {
    let opened = std::mem::take(&mut *OPENED.lock().unwrap_or_else(PoisonError::into_inner));
    for store in opened {
        store.close().await;
    }
}

/// Connects, and says what could not be opened with its remedy.
///
/// # Errors
/// The status to exit with; everything is said already.
pub(super) async fn open(
    documents: &Documents,
    mode: Mode,
    surroundings: crate::engine::Surroundings,
) -> Result<Links, ExitStatus> {
    match connect(documents, mode, surroundings).await {
        Ok(links) => {
            let stores = links.stores.values().filter_map(Seen::known).map(|link| link.reader.clone());
            OPENED.lock().unwrap_or_else(PoisonError::into_inner).extend(stores);
            for (name, seen) in &links.clusters {
                if let Seen::Unknown(why) = seen {
                    output::error(&format!("cluster `{name}`: {why}"), links.hints.get(name.as_str()));
                }
            }
            for (name, seen) in &links.stores {
                if let Seen::Unknown(why) = seen {
                    output::error(&format!("store `{name}`: {why}"), links.hints.get(name.as_str()));
                }
            }
            Ok(links)
        }
        Err(error) => {
            let (hint, status) = match &error {
                ConnectError::Store { source, .. } => (source.hint(), source.exit_status()),
                ConnectError::Path(_) => (None, ExitStatus::Failed),
            };
            output::error(&Chain(&error).to_string(), hint.as_ref());
            Err(status)
        }
    }
}
