//! One pass of Kastellan, as the command line would run it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kastellan::credential::Seen;
use kastellan::deliver::Deliveries;
use kastellan::diagnostic::Chain;
use kastellan::engine::{
    ClusterLink, Event, Events, Finished, Limits, Links, StoreLink, Surroundings, Whom, execute, now, observe,
};
use kastellan::kafka::{Admin, Deadlines, Logins};
use kastellan::names::{Mechanism, NamespacedName, StoreName};
use kastellan::plan::{Asked, Options, plan};
use kastellan::state::{Selection, resolve};
use tokio::sync::Notify;

use super::super::support::broker::InProcessCluster;
use super::scenario::Declared;
use super::store::DistantStore;
use super::world::{Kill, World};

/// How a pass ended.
#[derive(Debug, Clone)]
pub struct PassEnd {
    /// Users for whom something was to be done.
    pub planned: usize,
    /// Users that were as declared.
    pub in_step: usize,
    /// Users that are declared.
    pub declared: usize,
    /// Whether anything waited or was blocked.
    pub is_held_up: bool,
    /// Why the pass may not run.
    pub refusals: usize,
    pub ended: BTreeMap<NamespacedName, Finished>,
    /// What the plan says, where somebody has to read it.
    pub reports: String,
}

impl PassEnd {
    /// What is left to do, and why.
    pub fn explain(&self) -> String {
        let ended = self.ended.iter().map(|(user, end)| format!("{user}: {end:?}")).collect::<Vec<_>>().join("; ");
        format!("{} of {} in step, {} planned; {ended} {}", self.in_step, self.declared, self.planned, self.reports)
    }

    /// Whether there was nothing to do, and nothing in the way.
    pub fn is_settled(&self) -> bool {
        self.planned == 0 && self.in_step == self.declared && !self.is_held_up && self.refusals == 0
    }
}

/// Notes effects, and when it is time to be killed.
pub struct Witness {
    world: Arc<World>,
    host: usize,
    kill: Option<Kill>,
    effects: AtomicUsize,
    doom: Notify,
}

impl Witness {
    pub fn new(world: Arc<World>, host: usize, kill: Option<Kill>) -> Self {
        Self { world, host, kill, effects: AtomicUsize::new(0), doom: Notify::new() }
    }

    /// Completes when the process is to be killed.
    pub async fn doom(&self) {
        match self.kill {
            Some(Kill::After(time)) => tokio::time::sleep(time).await,
            Some(Kill::AfterEffects(_)) => self.doom.notified().await,
            None => std::future::pending().await,
        }
    }
}

impl Events for Witness {
    fn note(&self, event: Event) {
        match event {
            Event::Executed { effect, .. } => {
                self.world.note(|| format!("{}: {effect}", self.host));
                let effects = self.effects.fetch_add(1, Ordering::Relaxed) + 1;
                if matches!(self.kill, Some(Kill::AfterEffects(fatal)) if fatal == effects) {
                    self.doom.notify_one();
                }
            }
            Event::Fence { wait, .. } => self.world.note(|| format!("{}: fence of {wait:?}", self.host)),
            Event::Begins { .. } | Event::Ended { .. } => {}
        }
    }
}

/// What every pass here may do: all that its documents ask.
fn options(asked: Option<Asked>) -> Options {
    Options { prune: true, max_deletes: 1_000, allow_empty: true, asked, ..Options::default() }
}

/// Connects, observes, plans, executes.
pub async fn pass(world: Arc<World>, declared: Arc<Declared>, asked: Option<Asked>, witness: &Witness) -> PassEnd {
    let options = options(asked);
    let links = links(&world).await;
    let selection = Selection::default();
    let desired = resolve(&declared.documents, &selection, &BTreeMap::new());
    let whom = options.asked.as_ref().map_or(Whom::Everybody, |asked| Whom::Only(&asked.users));
    let observed = observe(&links, &desired, whom).await;
    let plan = plan(&desired, &observed, &options, now().wall);
    let mut end = PassEnd {
        planned: plan.users.len(),
        in_step: plan.in_step,
        declared: plan.declared,
        is_held_up: plan.is_held_up(),
        refusals: plan.refusals.len(),
        ended: BTreeMap::new(),
        reports: format!("{:?} {:?}", plan.reports, plan.refusals),
    };
    for (user, plan) in &plan.users {
        world.note(|| format!("{}: plans {:?} for {user}", witness.host, plan.transitions));
    }
    if plan.refusals.is_empty() {
        let limits = Limits { undo_for: options.undo_for };
        end.ended = execute(&links, &desired, plan.users, limits, witness).await.users;
    }
    end
}

async fn links(world: &Arc<World>) -> Links {
    let opened = world.clusters.iter().map(|(name, cluster)| async move {
        let link = open(cluster).await.map_or_else(|why| Seen::unknown(Chain(&why)), Seen::Known);
        (name.clone(), link)
    });
    let clusters = futures_util::future::join_all(opened).await.into_iter().collect();
    let store = Arc::new(DistantStore::new(world.clone()));
    let store = StoreLink { reader: store.clone(), secrets: Some(store.clone()), store: Some(store) };
    Links {
        clusters,
        stores: BTreeMap::from([(StoreName::parse("memory").expect("a name"), Seen::Known(store))]),
        deliveries: Arc::new(Deliveries::new("simulated".to_owned(), None, Arc::default())),
        kubernetes: Arc::default(),
        surroundings: Surroundings {
            home: None,
            store_markers: PathBuf::new(),
            search_path: Default::default(),
            variable: Box::new(|_| None),
        },
        hints: BTreeMap::new(),
    }
}

async fn open(cluster: &InProcessCluster) -> Result<ClusterLink, kastellan::kafka::KafkaError> {
    let deadlines = Deadlines::default();
    let admin = Admin::connect(cluster.admin_plain(), deadlines).await?;
    let id = admin.cluster().id.clone();
    let mechanisms = vec![Mechanism::ScramSha512, Mechanism::ScramSha256];
    let logins = Logins::discover(cluster.clients(), mechanisms.clone(), id, deadlines).await?;
    Ok(ClusterLink { admin, logins: Some(logins), mechanisms })
}
