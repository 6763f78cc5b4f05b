//! What a run is about: how the world is made, what people ask for, and what the documents say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kastellan::credential::{self, Confirm, Strategy};
use kastellan::names::{BrokerId, ClusterName, NamespacedName};
use kastellan::spec::{self, Documents, SourceText};

use super::dice::Dice;
use super::world::Faults;

/// Brokers of each cluster.
pub const BROKERS: i32 = 3;
/// How long a late request may still be executed, as the documents say. Short, because every fence is lived through.
pub const FENCE: Duration = Duration::from_secs(4);
/// Iterations of keys, and so of most users.
const ITERATIONS_MIN: usize = 4096;
/// Users of a run at most: each generation of each costs a derivation of keys.
const USERS_MAX: usize = 3;
/// Lags of a broker at most, in milliseconds; under load real ones reach two seconds (`kafka.md` §3).
const APPLY_LAG_MS_MAX: usize = 1_500;
const PUBLISH_LAG_MS_MAX: usize = 1_000;

/// How one run's world is made.
#[derive(Debug, Clone)]
pub struct Shape {
    pub clusters: Vec<ClusterName>,
    pub users: Vec<NamespacedName>,
    pub apply_lag: Vec<BTreeMap<BrokerId, Duration>>,
    pub publish_lag: Duration,
    pub faults: Faults,
    /// Hosts at work: one, or two by mistake.
    pub kastellans: usize,
    /// Whether wall clocks are set wrong now and then.
    pub has_bad_clocks: bool,
    pub acts: usize,
}

impl Shape {
    pub fn draw(dice: &mut Dice) -> Self {
        let clusters = if dice.chance(300) { &["kafka", "dr"][..] } else { &["kafka"] };
        let clusters = clusters.iter().map(|name| ClusterName::parse(name).expect("a name")).collect::<Vec<_>>();
        let users = dice.between(1, USERS_MAX).min(dice.between(1, USERS_MAX));
        let users = (0..users).map(|index| format!("demo/user-{index}").parse().expect("a name")).collect();
        let mut lag = |_: &ClusterName| {
            let brokers = (1..=BROKERS).filter(|_| dice.chance(400)).map(BrokerId).collect::<Vec<_>>();
            brokers.into_iter().map(|broker| (broker, dice.millis(0, APPLY_LAG_MS_MAX))).collect()
        };
        let apply_lag = clusters.iter().map(&mut lag).collect();
        // Some runs are quiet in one way or another, so that a fault is also seen alone.
        let mut rate = |most: usize| if dice.chance(350) { 0 } else { dice.between(1, most) };
        let faults = Faults {
            store_requests_lost: rate(25),
            stale_reads: rate(200),
            kills: rate(600),
            freezes: rate(250),
            requests: rate(25),
            network: rate(10),
        };
        Self {
            clusters,
            users,
            apply_lag,
            publish_lag: dice.millis(0, PUBLISH_LAG_MS_MAX),
            faults,
            kastellans: dice.between(1, 2),
            has_bad_clocks: dice.chance(300),
            acts: dice.between(2, 6),
        }
    }
}

/// Something that people ask for, or do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The same again.
    Nothing,
    /// What a person asks of Kastellan by name, for one user.
    Command(NamespacedName, credential::Ask),
    /// Another strategy, or another time between old and new.
    Rotation(NamespacedName),
    /// Another number of iterations, which only a rotation brings about.
    Iterations(NamespacedName),
    /// A cluster more, or one less.
    Clusters(NamespacedName),
    /// Another given password, or one drawn instead of it.
    Given(NamespacedName),
    /// Another name in Kafka.
    Username(NamespacedName),
    /// A cluster is suspended, or not any more.
    Suspend(ClusterName),
    /// Other access.
    Access(NamespacedName),
    /// The document goes.
    Delete(NamespacedName),
    /// It comes back, which undoes the deletion.
    Restore(NamespacedName),
    /// Somebody changes Kafka by hand.
    Meddle(NamespacedName, Meddling),
}

/// What somebody does by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meddling {
    RemoveAcl,
    AddAcl,
    DeleteCredential,
    ReplaceCredential,
}

impl Ask {
    /// The next thing that people ask, where these users are declared.
    pub fn draw(dice: &mut Dice, shape: &Shape, declared: &Declared) -> Self {
        let user = dice.pick(&shape.users).clone();
        if !declared.users.contains_key(&user) {
            return Self::Restore(user);
        }
        let meddlings =
            [Meddling::RemoveAcl, Meddling::AddAcl, Meddling::DeleteCredential, Meddling::ReplaceCredential];
        match dice.below(23) {
            0..2 => Self::Nothing,
            2..4 => Self::Access(user),
            4..6 => Self::Delete(user),
            6..9 => Self::Meddle(user, *dice.pick(&meddlings)),
            9..14 => Self::Command(user, credential::Ask::Rotate),
            14 => Self::Command(user, credential::Ask::Abort),
            15 => Self::Command(user, credential::Ask::Acknowledge(None)),
            16 => Self::Command(user, credential::Ask::Revoke { new_name: dice.chance(500) }),
            17 => Self::Rotation(user),
            18 => Self::Iterations(user),
            19 => Self::Username(user),
            20 => Self::Given(user),
            21 => Self::Suspend(dice.pick(&shape.clusters).clone()),
            _ => Self::Clusters(user),
        }
    }
}

/// What the documents declare.
#[derive(Debug)]
pub struct Declared {
    pub users: BTreeMap<NamespacedName, DeclaredUser>,
    /// Users under whose name somebody else's credential may still be, with the strategy by which they adopt it.
    adopting: BTreeMap<NamespacedName, Strategy>,
    pub suspended: BTreeSet<ClusterName>,
    pub documents: Documents,
}

/// One user's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredUser {
    pub clusters: Vec<ClusterName>,
    /// Topics that it may read.
    pub topics: Vec<usize>,
    /// Bytes per second.
    pub quota: Option<usize>,
    pub iterations: usize,
    pub is_renamed: bool,
    /// Whether its password is given.
    pub is_given: bool,
    /// Whether it takes over what exists under its name.
    pub adopts: bool,
    pub rotation: DeclaredRotation,
}

/// How one user's credential changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclaredRotation {
    pub strategy: Strategy,
    pub confirm: Confirm,
    /// Whether it is due by itself from time to time.
    pub is_periodic: bool,
}

impl DeclaredRotation {
    fn draw(dice: &mut Dice) -> Self {
        let strategies = [Strategy::MechanismFlip, Strategy::MechanismFlip, Strategy::DualUser, Strategy::InPlace];
        let confirm = if dice.chance(300) { Confirm::Acknowledgement } else { Confirm::None };
        Self { strategy: *dice.pick(&strategies), confirm, is_periodic: dice.chance(400) }
    }
}

impl Declared {
    /// Every user, with one topic.
    pub fn begin(shape: &Shape, dice: &mut Dice) -> Self {
        let mut draw = |name: &NamespacedName| {
            let user = DeclaredUser { adopts: dice.chance(150), ..DeclaredUser::draw(shape, dice) };
            (name.clone(), user)
        };
        let users = shape.users.iter().map(&mut draw).collect::<BTreeMap<_, _>>();
        let adopting = users.iter().filter(|(_, user)| user.adopts);
        let adopting = adopting.map(|(name, user)| (name.clone(), user.rotation.strategy)).collect();
        Self::of(shape, users, adopting, BTreeSet::new())
    }

    /// The same, without anything that is due by itself or held up.
    pub fn at_rest(&self, shape: &Shape) -> Self {
        let mut users = self.users.clone();
        users.values_mut().for_each(|user| user.rotation.is_periodic = false);
        Self::of(shape, users, self.adopting.clone(), BTreeSet::new())
    }

    fn of(
        shape: &Shape,
        users: BTreeMap<NamespacedName, DeclaredUser>,
        adopting: BTreeMap<NamespacedName, Strategy>,
        suspended: BTreeSet<ClusterName>,
    ) -> Self {
        let source = |name: &str, text: String| SourceText { file: Arc::new(PathBuf::from(name)), bytes: text.into() };
        let mut sources = vec![source("head.yaml", head(shape, &suspended))];
        if !users.is_empty() {
            let texts = users.iter().map(|(name, user)| user.text(name));
            sources.push(source("users.yaml", texts.collect()));
        }
        match spec::read(&sources) {
            Ok((documents, _)) => Self { users, adopting, suspended, documents },
            Err(findings) => panic!("{:#?}", findings.0),
        }
    }

    /// The documents after somebody asked for something.
    pub fn after(&self, ask: &Ask, shape: &Shape, dice: &mut Dice) -> Self {
        let (mut users, mut suspended) = (self.users.clone(), self.suspended.clone());
        match ask {
            Ask::Username(user) => {
                if let Some(user) = users.get_mut(user) {
                    user.is_renamed = !user.is_renamed;
                }
            }
            Ask::Suspend(cluster) => {
                if !suspended.remove(cluster) {
                    suspended.insert(cluster.clone());
                }
            }
            Ask::Nothing | Ask::Command(..) | Ask::Meddle(..) => {}
            Ask::Access(user) => {
                if let Some(user) = users.get_mut(user) {
                    user.topics = (0..4).filter(|_| dice.chance(500)).collect();
                    user.quota = dice.chance(500).then(|| dice.between(1, 4) << 20);
                }
            }
            Ask::Delete(user) => drop(users.remove(user)),
            Ask::Restore(user) => {
                let mut drawn = DeclaredUser::draw(shape, dice);
                // Its document may have gone before anything was adopted.
                if let Some(strategy) = self.adopting.get(user) {
                    drawn.adopts = true;
                    drawn.rotation.strategy = *strategy;
                }
                users.insert(user.clone(), drawn);
            }
            Ask::Rotation(user) => {
                if let Some(user) = users.get_mut(user) {
                    let strategy = user.rotation.strategy;
                    user.rotation = DeclaredRotation::draw(dice);
                    // Two users cannot take over what exists under the one name before them: they wait for a person.
                    if user.adopts {
                        user.rotation.strategy = strategy;
                    }
                }
            }
            Ask::Given(user) => {
                if let Some(user) = users.get_mut(user) {
                    user.is_given = dice.chance(700);
                }
            }
            Ask::Iterations(user) => {
                if let Some(user) = users.get_mut(user) {
                    user.iterations = ITERATIONS_MIN + dice.below(3);
                }
            }
            Ask::Clusters(user) => {
                if let Some(user) = users.get_mut(user) {
                    user.clusters = some_clusters(shape, dice);
                }
            }
        }
        Self::of(shape, users, self.adopting.clone(), suspended)
    }
}

/// One cluster, or all.
fn some_clusters(shape: &Shape, dice: &mut Dice) -> Vec<ClusterName> {
    if dice.chance(500) { shape.clusters.clone() } else { vec![dice.pick(&shape.clusters).clone()] }
}

impl DeclaredUser {
    fn draw(shape: &Shape, dice: &mut Dice) -> Self {
        Self {
            clusters: some_clusters(shape, dice),
            topics: vec![0],
            quota: None,
            iterations: ITERATIONS_MIN,
            is_renamed: false,
            is_given: dice.chance(150),
            adopts: false,
            rotation: DeclaredRotation::draw(dice),
        }
    }

    /// The names it has in Kafka.
    pub fn usernames(&self, name: &NamespacedName) -> Vec<String> {
        let username = self.username(name);
        match self.rotation.strategy {
            Strategy::DualUser => ["a", "b"].map(|half| format!("{username}.{half}")).into(),
            Strategy::MechanismFlip | Strategy::InPlace => vec![username],
        }
    }

    fn username(&self, name: &NamespacedName) -> String {
        format!("{}{}", name.name, if self.is_renamed { "-renamed" } else { "" })
    }

    fn text(&self, name: &NamespacedName) -> String {
        let clusters = self.clusters.iter().map(ClusterName::as_str).collect::<Vec<_>>().join(", ");
        let acl = |topic: &usize| {
            format!("{{resource: {{type: topic, name: {}}}, operations: [Read]}}", topic_name(name, *topic))
        };
        let acls = self.topics.iter().map(acl).collect::<Vec<_>>().join(", ");
        let quotas = self.quota.map_or_else(|| "{}".to_owned(), |rate| format!("{{producerByteRate: {rate}}}"));
        let DeclaredRotation { strategy, confirm, is_periodic } = self.rotation;
        let every = if is_periodic && !self.is_given { ", every: 20d" } else { "" };
        let path = input_path(name);
        let password = match self.is_given {
            true => format!(", password: {{valueFrom: {{store: {{path: {path}, key: {INPUT_KEY}}}}}}}"),
            false => String::new(),
        };
        format!(
            "---\napiVersion: kastellan.io/v1alpha1\nkind: KafkaUser\nmetadata: {{name: {}, namespace: {}}}\nspec:\n  \
             username: {}\n  clusters: [{clusters}]\n  authentication: {{type: scram, iterations: {}{password}}}\n  adopt: {}\n  \
             authorization: {{acls: [{acls}]}}\n  quotas: {quotas}\n  \
             rotation: {{strategy: {strategy}, confirm: {confirm}, overlap: 24h, allowDowntime: true{every}}}\n",
            name.name,
            name.namespace,
            self.username(name),
            self.iterations,
            self.adopts
        )
    }
}

/// Key of the password in an input.
pub const INPUT_KEY: &str = "password";

/// Where the given password of a user is in the store.
pub fn input_path(user: &NamespacedName) -> String {
    format!("imports/{}", user.name)
}

/// The topic of one ACL of a user.
pub fn topic_name(user: &NamespacedName, topic: usize) -> String {
    format!("{}-topic-{topic}", user.name)
}

fn head(shape: &Shape, suspended: &BTreeSet<ClusterName>) -> String {
    let mut head = "apiVersion: kastellan.io/v1alpha1\nkind: CredentialStore\nmetadata: {name: memory}\n\
                    spec: {age: {directory: unused, inputs: [imports/]}}\n"
        .to_owned();
    for cluster in &shape.clusters {
        let seconds = FENCE.as_secs();
        let suspend = suspended.contains(cluster);
        write!(
            head,
            "---\napiVersion: kastellan.io/v1alpha1\nkind: KafkaCluster\nmetadata: {{name: {cluster}}}\nspec:\n  \
             suspend: {suspend}\n  bootstrapServers: {cluster}-1:9092\n  admin: {{fence: {seconds}s}}\n  clients: {{bootstrapServers: \
             \"{cluster}-1:9093\", mechanisms: [scram-sha-512, scram-sha-256]}}\n"
        )
        .expect("a text takes everything");
    }
    head
}
