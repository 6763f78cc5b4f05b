//! A whole Kastellan in one process: the real engine over the in-process cluster and a store in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use kastellan::credential::Seen;
use kastellan::deliver::Deliveries;
use kastellan::engine::{
    ClusterLink, Event, Events, Executed, Limits, Links, StoreLink, Surroundings, Whom, execute, observe,
};
use kastellan::kafka::{Admin, Deadlines, Logins};
use kastellan::names::{ClusterName, Mechanism, StoreName};
use kastellan::plan::{Options, Plan, plan};
use kastellan::spec::{self, SourceText};
use kastellan::state::{Desired, Selection, resolve};
use kastellan::store::MemoryStore;
use kastellan::view::PlanView;

use super::broker::{InProcessCluster, Settings};

/// One cluster, one store, and passes over them.
pub struct World {
    pub cluster: InProcessCluster,
    pub store: MemoryStore,
    /// A second cluster, which documents declare as [`SECOND`]: `None` where there is none, and an empty one does not answer.
    pub second: Option<Option<InProcessCluster>>,
}

/// A pass that was planned and not executed yet.
pub struct Planned {
    pub links: Links,
    pub desired: Desired,
    pub plan: Plan,
    pub view: PlanView,
}

/// Nobody watches.
pub struct Silence;

impl Events for Silence {
    fn note(&self, _: Event) {}
}

/// The head of every set of documents here: the store `memory` and the cluster `kafka`, with a short fence.
const HEAD: &str = "apiVersion: kastellan.io/v1alpha1\nkind: CredentialStore\nmetadata: {name: memory}\n\
    spec: {age: {directory: unused, inputs: [imports/]}}\n---\n\
    apiVersion: kastellan.io/v1alpha1\nkind: KafkaCluster\nmetadata: {name: kafka}\nspec:\n  \
    bootstrapServers: localhost:9092\n  admin: {fence: 2s}\n  \
    clients: {bootstrapServers: \"localhost:9093\", mechanisms: [scram-sha-512, scram-sha-256]}\n";

/// The document of a second cluster, `dr`.
pub const SECOND: &str = "---\napiVersion: kastellan.io/v1alpha1\nkind: KafkaCluster\nmetadata: {name: dr}\nspec:\n  \
    bootstrapServers: localhost:9192\n  admin: {fence: 2s}\n  \
    clients: {bootstrapServers: \"localhost:9193\", mechanisms: [scram-sha-512, scram-sha-256]}\n";

/// Reads documents beside the head.
pub fn documents(users: &str) -> spec::Documents {
    let source = |name: &str, text: &str| SourceText { file: Arc::new(PathBuf::from(name)), bytes: text.into() };
    let mut sources = vec![source("head.yaml", HEAD)];
    if !users.trim().is_empty() {
        sources.push(source("users.yaml", users));
    }
    match spec::read(&sources) {
        Ok((documents, _)) => documents,
        Err(findings) => panic!("{:#?}", findings.0),
    }
}

/// A user `demo/<name>` with one ACL.
pub fn user(name: &str) -> String {
    user_with(name, &format!("    acls: [{{resource: {{type: topic, name: {name}}}, operations: [Read]}}]\n"))
}

/// A user `demo/<name>` with this body of `authorization`.
pub fn user_with(name: &str, authorization: &str) -> String {
    format!(
        "---\napiVersion: kastellan.io/v1alpha1\nkind: KafkaUser\nmetadata: {{name: {name}, namespace: demo}}\nspec:\n  \
         clusters: [kafka]\n  authentication: {{type: scram}}\n  authorization:\n{authorization}"
    )
}

impl World {
    /// Three brokers.
    pub async fn start() -> Self {
        Self::with(Settings { brokers: 3, ..Settings::default() }).await
    }

    pub async fn with(settings: Settings) -> Self {
        Self { cluster: InProcessCluster::start(settings).await, store: Self::empty_store(), second: None }
    }

    /// A store that knows nobody.
    pub fn empty_store() -> MemoryStore {
        MemoryStore::new(StoreName::parse("memory").unwrap(), &["imports/".to_owned()]).unwrap()
    }

    /// A second cluster beside the first.
    pub async fn start_second(&mut self) {
        let settings = Settings { cluster_id: "second-cluster-id".into(), ..Settings::default() };
        self.second = Some(Some(InProcessCluster::start(settings).await));
    }

    pub async fn links(&self) -> Links {
        let mut clusters = BTreeMap::from([(ClusterName::parse("kafka").unwrap(), link(&self.cluster).await)]);
        if let Some(second) = &self.second {
            let seen = match second {
                Some(second) => link(second).await,
                None => Seen::unknown("it does not answer"),
            };
            clusters.insert(ClusterName::parse("dr").unwrap(), seen);
        }
        let store = StoreLink {
            reader: Arc::new(self.store.clone()),
            secrets: Some(Arc::new(self.store.clone())),
            store: Some(Arc::new(self.store.clone())),
        };
        Links {
            clusters,
            stores: BTreeMap::from([(StoreName::parse("memory").unwrap(), Seen::Known(store))]),
            deliveries: Arc::new(Deliveries::new("this-machine".to_owned(), None, Arc::default())),
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

    /// Observes and plans.
    pub async fn plan(&self, users: &str, options: &Options) -> Planned {
        self.plan_adopting(users, options, &[]).await
    }

    /// Observes and plans; these users may take over what exists.
    pub async fn plan_adopting(&self, users: &str, options: &Options, adopt: &[&str]) -> Planned {
        self.plan_at(users, options, adopt, jiff::Timestamp::now()).await
    }

    /// Observes now, and plans as if it were `at`.
    pub async fn plan_at(&self, users: &str, options: &Options, adopt: &[&str], at: jiff::Timestamp) -> Planned {
        let links = self.links().await;
        let adopt = adopt.iter().map(|user| user.parse().unwrap()).collect();
        let selection = Selection { adopt, ..Selection::default() };
        let desired = resolve(&documents(users), &selection, &BTreeMap::new());
        let whom = options.asked.as_ref().map_or(Whom::Everybody, |asked| Whom::Only(&asked.users));
        let observed = observe(&links, &desired, whom).await;
        let plan = plan(&desired, &observed, options, at);
        let view = PlanView::new(&plan, &desired, &observed, options);
        Planned { links, desired, plan, view }
    }

    /// Plans and executes.
    pub async fn apply(&self, users: &str, options: &Options) -> Executed {
        self.plan(users, options).await.execute(options).await
    }
}

async fn link(cluster: &InProcessCluster) -> Seen<ClusterLink> {
    let deadlines = Deadlines::default();
    let admin = Admin::connect(cluster.admin(), deadlines).await.unwrap();
    let id = admin.cluster().id.clone();
    let mechanisms = vec![Mechanism::ScramSha512, Mechanism::ScramSha256];
    let logins = Logins::discover(cluster.clients(), mechanisms.clone(), id, deadlines).await.unwrap();
    Seen::Known(ClusterLink { admin, logins: Some(logins), mechanisms })
}

impl Planned {
    pub async fn execute(self, options: &Options) -> Executed {
        assert!(self.plan.refusals.is_empty(), "{:?}", self.plan.refusals);
        let limits = Limits { undo_for: options.undo_for };
        execute(&self.links, &self.desired, self.plan.users, limits, &Silence).await
    }
}
