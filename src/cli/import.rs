//! `kastellan import`: reads, proves, writes documents, keeps, and lets an ordinary pass publish what is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::PlainFormat;
use super::import_arguments::ImportArguments;
use super::import_sources::{self, Candidate};
use super::progress::Bar;
use super::{documents, output, passes, store_put, surroundings};
use crate::credential::{Maintenance, Seen, Transition};
use crate::diagnostic::ExitStatus;
use crate::engine::{
    Finished, Given, Limits, Links, Mode, Proven, Taken, Traffic, Unfit, Whom, execute, keep, list_records, observe,
    prove_given,
};
use crate::names::{ClusterName, NamespacedName, StoreName, UserName};
use crate::plan::{Options, plan};
use crate::spec::{self, Documents, Origin, SourceText, WrittenUser};
use crate::state::{Desired, RecordObserved, Selection, not_as_found, resolve};
use crate::view::{ImportView, ImportedView, RefusedView, import_text};

pub(super) async fn run(arguments: ImportArguments) -> ExitStatus {
    match import(&arguments).await {
        Ok(status) | Err(status) => status,
    }
}

/// What an import works on.
struct Import<'a> {
    arguments: &'a ImportArguments,
    cluster: ClusterName,
    store: StoreName,
    /// The documents' own texts.
    texts: Vec<SourceText>,
    documents: Documents,
    links: Links,
    imported: Vec<ImportedView>,
    before: Vec<NamespacedName>,
    refused: Vec<RefusedView>,
}

async fn import(arguments: &ImportArguments) -> Result<ExitStatus, ExitStatus> {
    let texts = documents::read_texts(&documents::paths(&arguments.files));
    let read = texts.and_then(|texts| Ok((spec::read(&texts)?.0, texts)));
    let (documents, texts) = read.map_err(|findings| {
        output::findings(&findings);
        ExitStatus::Failed
    })?;
    let cluster = pick_cluster(&documents, arguments.cluster.clone())?;
    let store = store_put::pick_store(&documents, arguments.store.clone())?;
    for place in &arguments.passwords_from_store {
        let name = store_put::pick_store(&documents, Some(place.store.clone()))?;
        if !place.is_within(&documents.stores[&name].inputs) {
            return Err(store_put::refuse_outside_inputs(&place.path, &name));
        }
    }
    let mut candidates = import_sources::read(arguments, &documents, &surroundings::read()).await?;
    let links = open(arguments, &documents, &cluster, &store).await?;
    let given = &arguments.passwords_from_store;
    candidates.extend(import_sources::of_stores(given, &arguments.namespace, &links).await?);
    import_sources::name_once(&mut candidates);
    let (imported, before, refused) = (Vec::new(), Vec::new(), Vec::new());
    let mut import = Import { arguments, cluster, store, texts, documents, links, imported, before, refused };
    import.carry_out(candidates).await?;
    Ok(import.finish())
}

/// Opens the cluster and every store: for writing, unless passwords are only read there.
async fn open(
    arguments: &ImportArguments,
    documents: &Documents,
    cluster: &ClusterName,
    store: &StoreName,
) -> Result<Links, ExitStatus> {
    let given = arguments.passwords_from_store.iter().map(|place| &place.store).collect::<BTreeSet<_>>();
    let mode = match (arguments.dry_run, given.is_empty()) {
        (true, true) => Mode::Look,
        (true, false) => Mode::Open,
        (false, _) => Mode::Change,
    };
    let is_read_only = |name: &StoreName| mode == Mode::Change && name != store && given.contains(name);
    let (only_read, stores) = documents.stores.clone().into_iter().partition(|(name, _)| is_read_only(name));
    let clusters = documents.clusters.clone().into_iter().filter(|(name, _)| name == cluster).collect();
    let opened = Documents { stores, clusters, users: BTreeMap::new() };
    let mut links = passes::open(&opened, mode, surroundings::read()).await?;
    let only_read = Documents { stores: only_read, ..Documents::default() };
    if !only_read.stores.is_empty() {
        links.stores.extend(passes::open(&only_read, Mode::Open, surroundings::read()).await?.stores);
    }
    match links.stores.values().all(|link| link.known().is_some()) {
        true => Ok(links),
        false => Err(ExitStatus::Failed),
    }
}

fn pick_cluster(documents: &Documents, named: Option<ClusterName>) -> Result<ClusterName, ExitStatus> {
    let mut known = documents.clusters.keys();
    match (named, known.next(), known.next()) {
        (Some(name), ..) if documents.clusters.contains_key(&name) => Ok(name),
        (Some(name), ..) => {
            output::error(&format!("no document declares cluster `{name}`"), None);
            Err(ExitStatus::Failed)
        }
        (None, Some(only), None) => Ok(only.clone()),
        (None, ..) => {
            output::error("there is not exactly one cluster", Some(&"name it with `--cluster`".to_owned()));
            Err(ExitStatus::Failed)
        }
    }
}

/// A proven user, where its document is, and its text unless the documents have it already.
struct Documented {
    proven: Proven,
    file: PathBuf,
    text: Option<String>,
}

impl Import<'_> {
    async fn carry_out(&mut self, candidates: Vec<Candidate>) -> Result<(), ExitStatus> {
        let origins = candidates.iter().map(|candidate| (candidate.user.clone(), candidate.origin.clone()));
        let origins = origins.collect::<BTreeMap<_, _>>();
        let given = self.sort_out(candidates).await;
        let mut proven = Vec::new();
        if !given.is_empty() {
            let verdicts = prove_given(&self.links, &self.cluster, given).await;
            for (user, verdict) in verdicts.map_err(|unfit| import_sources::say(&unfit))? {
                match verdict {
                    Ok(one) => proven.push(one),
                    Err(unfit) => self.refuse(user, unfit),
                }
            }
        }
        let documented = proven.into_iter().map(|proven| self.document(proven, &origins)).collect::<Vec<_>>();
        let desired = self.desire(&documented)?;
        let mut taken = Vec::new();
        for documented in documented {
            let user = documented.proven.user.clone();
            match self.take(documented, &desired) {
                Ok(one) => taken.push(one),
                Err(unfit) => self.refuse(user, unfit),
            }
        }
        if self.arguments.dry_run {
            return Ok(());
        }
        let kept = keep(&self.links, &self.store, &self.cluster, taken).await;
        let failed = kept.into_iter().filter_map(|(user, verdict)| Some((user, verdict.err()?)));
        self.take_back(failed.collect());
        self.publish(desired).await;
        Ok(())
    }

    fn refuse(&mut self, user: NamespacedName, Unfit { why, hint }: Unfit) {
        self.refused.push(RefusedView { user, why, hint });
    }

    /// Refuses users that were on their way already.
    fn take_back(&mut self, failed: BTreeMap<NamespacedName, Unfit>) {
        self.imported.retain(|imported| !failed.contains_key(&imported.user));
        failed.into_iter().for_each(|(user, unfit)| self.refuse(user, unfit));
    }

    /// Leaves out whom Kastellan manages already, and whom it may not manage.
    async fn sort_out(&mut self, candidates: Vec<Candidate>) -> Vec<Given> {
        let records = list_records(&self.links).await;
        let mut claims = self.claims(&records);
        let mut given = Vec::new();
        for Candidate { user, username, password, .. } in candidates {
            let admitted = self.admit(&records, &claims, &user, &username);
            match admitted.and_then(|admitted| Ok((admitted, password?))) {
                Ok((Admitted::New, password)) => {
                    // Two namespaces may have users of one name, of which one is on this cluster.
                    claims.insert(username.clone(), user.clone());
                    given.push(Given { user, username, password });
                }
                Ok((Admitted::Before, _)) => self.before.push(user),
                Err(unfit) => self.refuse(user, unfit),
            }
        }
        given
    }

    /// Who has which name on the cluster, by records and by documents.
    fn claims(&self, records: &Records) -> BTreeMap<UserName, NamespacedName> {
        let declared = self.documents.users.iter().flat_map(|(user, spec)| {
            let names = spec.claims().filter(|(cluster, _)| **cluster == self.cluster);
            names.map(move |(_, name)| (name.clone(), user.clone()))
        });
        let live = records.iter().filter_map(|(user, seen)| Some((user, &seen.known()?.record.value)));
        let live = live.filter(|(_, record)| record.claims_username() && record.clusters.contains_key(&self.cluster));
        let recorded = live.flat_map(|(user, record)| {
            record.names().into_iter().map(|name| (name.clone(), user.clone())).collect::<Vec<_>>()
        });
        declared.chain(recorded).collect()
    }

    fn admit(
        &self,
        records: &Records,
        claims: &BTreeMap<UserName, NamespacedName>,
        user: &NamespacedName,
        username: &UserName,
    ) -> Result<Admitted, Unfit> {
        match records.get(user) {
            Some(Seen::Unknown(why)) => return Err(Unfit::new(format!("its record cannot be read: {why}"))),
            Some(Seen::Known(found)) if found.record.value.claims_username() => {
                let record = &found.record.value;
                let is_here = record.clusters.contains_key(&self.cluster) && record.names().contains(username);
                let why = "Kastellan manages a user of this name already, and not under this name in Kafka";
                return if is_here { Ok(Admitted::Before) } else { Err(Unfit::new(why)) };
            }
            Some(Seen::Known(_)) => {
                let hint = "declare it with `adopt: true`: it gets a new password beside the one it has";
                return Err(Unfit::new("Kastellan has deleted it, and its numbers go on from there").hint(hint));
            }
            None => {}
        }
        if let Some(holder) = claims.get(username).filter(|holder| *holder != user) {
            return Err(Unfit::new(format!("`{username}` belongs to `{holder}`")));
        }
        match self.documents.clusters[&self.cluster].protection_of(&self.cluster, username) {
            Some(why) => Err(Unfit::new(why)),
            None => Ok(Admitted::New),
        }
    }

    fn document(&self, proven: Proven, origins: &BTreeMap<NamespacedName, Origin>) -> Documented {
        let user = &proven.user;
        if let Some(declared) = self.documents.users.get(user) {
            let file = declared.location.file.to_path_buf();
            return Documented { proven, file, text: None };
        }
        let (namespace, name) = (user.namespace.encoded(), user.name.encoded());
        let file = self.arguments.directory.join(namespace).join(format!("{name}.yaml"));
        let written = WrittenUser {
            identity: user,
            username: &proven.username,
            cluster: &self.cluster,
            store: (self.documents.stores.len() > 1).then_some(&self.store),
            iterations: proven.scram.iterations,
            rules: &proven.rules,
            quotas: proven.quotas,
            origin: &origins[user],
        };
        let text = written.text();
        Documented { proven, file, text: Some(text) }
    }

    /// What all documents ask for together.
    fn desire(&self, documented: &[Documented]) -> Result<Desired, ExitStatus> {
        let written = documented.iter().filter_map(|one| {
            // What the grammar cannot say is refused with its user, and must not fail the others.
            one.text.as_ref().filter(|_| spec::can_say(&one.proven.rules)).map(|text| (one, text))
        });
        let mut texts = self.texts.clone();
        texts.extend(
            written.map(|(one, text)| SourceText { file: Arc::new(one.file.clone()), bytes: text.clone().into() }),
        );
        let (mut documents, _) = spec::read(&texts).map_err(|findings| {
            output::findings(&findings);
            ExitStatus::Failed
        })?;
        let concerned = documented.iter().map(|one| &one.proven.user).chain(&self.before).collect::<BTreeSet<_>>();
        documents.users.retain(|user, _| concerned.contains(user));
        let selection = Selection { scope: self.arguments.scope.clone(), adopt: BTreeSet::new() };
        let ca_pems = documents::read_ca_pems(&documents, &self.links.surroundings)?;
        Ok(resolve(&documents, &selection, &ca_pems))
    }

    /// Writes the document of a user, if that says what is there and nothing else.
    fn take(&mut self, documented: Documented, desired: &Desired) -> Result<Taken, Unfit> {
        let Documented { proven, file, text } = documented;
        let cannot = || Unfit::new("it has ACLs that make no sense to Kafka, and no document can say them");
        let wanted = desired.users.get(&proven.user).ok_or_else(cannot)?;
        let mechanism = proven.scram.mechanism;
        let found = (&self.cluster, &proven.username, mechanism, proven.rules.as_slice(), proven.quotas);
        if wanted.store != self.store {
            return Err(Unfit::new(format!("its document names store `{}`", wanted.store)));
        }
        if let Some(differs) = not_as_found(wanted, found) {
            let hint = "have the document say what is there, import the user, and change it afterwards";
            return Err(Unfit::new(format!("its document `{}` asks for other {differs}", file.display())).hint(hint));
        }
        if let Some(text) = text.filter(|_| !self.arguments.dry_run) {
            write_new(&file, &text)?;
        }
        self.imported.push(ImportedView {
            user: proven.user.clone(),
            username: proven.username.to_string(),
            mechanism: mechanism.as_str(),
            beside: proven.beside.as_ref().map(|slot| slot.mechanism.as_str()),
            document: file.display().to_string(),
        });
        let deletion_policy = wanted.wanted.deletion_policy;
        Ok(Taken { proven, scope: self.arguments.scope.clone(), deletion_policy })
    }

    /// Writes the credential documents of the users, as any pass would, and nothing else of what a pass would do.
    async fn publish(&mut self, desired: Desired) {
        let imported = self.imported.iter().map(|imported| imported.user.clone());
        let users = imported.chain(self.before.iter().cloned()).collect::<BTreeSet<_>>();
        if users.is_empty() {
            return;
        }
        let observed = observe(&self.links, &desired, Whom::Only(&users)).await;
        let mut plan = plan(&desired, &observed, &Options::default(), crate::engine::now().wall);
        plan.users.retain(|user, planned| {
            let republish = planned.transitions.iter().find_map(|transition| {
                if let Transition::Maintain(todo) = transition { todo.republish.clone() } else { None }
            });
            let todo = Maintenance { republish: republish.clone(), ..Maintenance::default() };
            planned.transitions = vec![Transition::Maintain(todo)];
            republish.is_some() && users.contains(user)
        });
        let bar = Bar::new();
        let executed =
            execute(&self.links, &desired, plan.users, Limits { undo_for: Options::default().undo_for }, &bar).await;
        bar.finish();
        let failed = executed.users.into_iter().filter_map(|(user, finished)| {
            let why = match finished {
                Finished::Done => return None,
                Finished::Waiting { why, .. } | Finished::Blocked { why, .. } => why,
                Finished::Failed(failed) => format!("{}: {}", failed.effect, failed.why),
            };
            let hint = "it is managed already; the same import, or `kastellan apply`, completes it";
            Some((user, Unfit::new(format!("its credential was kept, and not published: {why}")).hint(hint)))
        });
        self.take_back(failed.collect());
    }

    fn finish(mut self) -> ExitStatus {
        self.imported.sort();
        self.before.sort();
        self.refused.sort();
        let view = ImportView {
            schema: ImportView::SCHEMA,
            cluster: self.cluster.to_string(),
            store: self.store.to_string(),
            dry_run: self.arguments.dry_run,
            imported: self.imported,
            before: self.before,
            refused: self.refused,
        };
        let written = match self.arguments.output {
            PlainFormat::Text => output::data(&import_text(&view)),
            PlainFormat::Json => output::json(&ImportResult { view: &view, traffic: self.links.traffic() }),
        };
        match (written, view.refused.is_empty()) {
            (ExitStatus::Done, true) => ExitStatus::Done,
            (ExitStatus::Done, false) => ExitStatus::Partial,
            (failed, _) => failed,
        }
    }
}

type Records = BTreeMap<NamespacedName, Seen<Box<RecordObserved>>>;

/// How a candidate stands with Kastellan.
enum Admitted {
    /// It is not managed.
    New,
    /// It is managed already.
    Before,
}

/// The result for programs.
#[derive(serde::Serialize)]
struct ImportResult<'a> {
    #[serde(flatten)]
    view: &'a ImportView,
    traffic: Traffic,
}

/// Writes a file that does not exist; one that says the same already is left as it is.
fn write_new(path: &Path, text: &str) -> Result<(), Unfit> {
    let failed = |error: &std::io::Error| Unfit::new(format!("failed to write `{}`: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    match std::fs::File::options().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
            written.map_err(|error| failed(&error))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => match std::fs::read_to_string(path) {
            Ok(found) if found == text => Ok(()),
            _ => Err(Unfit::new(format!("`{}` exists, and is another document", path.display()))
                .hint("move it away, or name another folder with `--directory`")),
        },
        Err(error) => Err(failed(&error)),
    }
}
