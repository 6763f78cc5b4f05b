//! Rotation on real brokers, seen from outside: what is published is read from files and the store, and every credential that
//! ever was logs in, or does not, by a client that Kastellan did not write.

mod bad_days;
mod changes;
mod clusters;
mod crashes;
mod revocation;
mod story;

pub use crashes::die;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use kastellan::names::Mechanism;
use kastellan::secret::Secret;
use serde_json::{Value, json};

use crate::namespace::Namespace;
use crate::operator::{Operator, Transport};
use crate::stack::kafka::{Login, Session, principal};
use crate::stack::{Cluster, ClusterBuilder, KafkaVersion, unique_name, wait_until};

/// A broker writes its log a moment after its answer.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Brings an older copy of a store back, in the folder that the store is bound to.
fn restore(snapshot: &Path, store: &Path) {
    let script = "rm -rf \"$2\"/* \"$2\"/.??* && cp -a \"$1\"/. \"$2\"";
    assert!(Command::new("sh").args(["-c", script, "sh"]).arg(snapshot).arg(store).status().unwrap().success());
}

/// A cluster of these tests alone, which know how many logins were refused on purpose.
struct Witness {
    cluster: Cluster,
    refused: AtomicUsize,
    /// Held by whoever tries to log in, and alone by who compares the counts: a broker counts a refusal some 100 ms before it
    /// answers.
    quiet: RwLock<()>,
}

/// Three brokers of the newest version, one of the other: what holds on every broker is only seen on several.
fn witness(version: KafkaVersion) -> &'static Witness {
    static NEWEST: OnceLock<Witness> = OnceLock::new();
    static OLDEST: OnceLock<Witness> = OnceLock::new();
    let (slot, nodes) = match version {
        KafkaVersion::V4_3_1 => (&NEWEST, 3),
        KafkaVersion::V3_9_2 => (&OLDEST, 1),
    };
    slot.get_or_init(|| Witness::of(ClusterBuilder::new(version).nodes(nodes).start().unwrap()))
}

/// A cluster of one test's own: one that is set up otherwise, or whose brokers are stopped.
fn alone(builder: ClusterBuilder) -> &'static Witness {
    Box::leak(Box::new(Witness::of(builder.start().unwrap())))
}

impl Witness {
    fn of(cluster: Cluster) -> Self {
        Self { cluster, refused: AtomicUsize::new(0), quiet: RwLock::new(()) }
    }

    fn operator(&self) -> Operator<'_> {
        let mut operator = Operator::with(&[("kafka", &self.cluster, Transport::Plaintext)]);
        // Its count is asserted here, where refusals on purpose are known.
        operator.stop_watching();
        operator
    }

    /// The brokers on which a credential logs in.
    fn accepts(&self, credential: &Published) -> BTreeSet<i32> {
        let Published { username, mechanism, password, .. } = credential;
        let _trying = self.quiet.read().unwrap_or_else(PoisonError::into_inner);
        let is_accepted = |node: &i32| match self.cluster.log_in(*node, *mechanism, username, password).unwrap() {
            Login::Accepted(_) => true,
            Login::Refused => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                false
            }
        };
        self.cluster.node_ids().into_iter().filter(is_accepted).collect()
    }

    /// A connection of an application, logged in on the broker that leads a topic.
    fn connect(&self, credential: &Published, topic: &str) -> Session {
        let Published { username, mechanism, password, .. } = credential;
        let leader = self.cluster.leader_of(topic).unwrap();
        match self.cluster.log_in(leader, *mechanism, username, password).unwrap() {
            Login::Accepted(session) => session,
            Login::Refused => panic!("{credential} is refused"),
        }
    }

    /// The same on the first broker, where it may be refused, or nobody be there.
    fn try_to_connect(&self, credential: &Published) -> Option<Session> {
        let Published { username, mechanism, password, .. } = credential;
        let _trying = self.quiet.read().unwrap_or_else(PoisonError::into_inner);
        match self.cluster.log_in(1, *mechanism, username, password) {
            Ok(Login::Accepted(session)) => Some(session),
            Ok(Login::Refused) => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                None
            }
            Err(_) => None,
        }
    }

    #[track_caller]
    fn assert_works(&self, credential: &Published, when: &str) {
        let (accepted, nodes) = (self.accepts(credential), self.cluster.node_ids());
        assert!(accepted.iter().eq(&nodes), "{when}: {credential} logs in on {accepted:?} of {nodes:?} only");
    }

    #[track_caller]
    fn assert_is_dead(&self, credential: &Published, when: &str) {
        let accepted = self.accepts(credential);
        assert!(accepted.is_empty(), "{when}: {credential} still logs in on {accepted:?}");
    }

    /// No login was refused but those that were meant to be. Other tests on the same cluster add to both sides.
    #[track_caller]
    fn assert_nobody_else_was_refused(&self) {
        let _alone = self.quiet.write().unwrap_or_else(PoisonError::into_inner);
        let counted = || (self.cluster.failed_authentications(), self.refused.load(Ordering::SeqCst));
        let agree = wait_until(LOG_PATIENCE, || {
            let (brokers, meant) = counted();
            brokers == meant
        });
        assert!(agree, "brokers counted, and we meant: {:?}", counted());
    }
}

/// A credential as an application finds it.
struct Published {
    generation: u64,
    username: String,
    mechanism: Mechanism,
    password: Secret,
}

impl Published {
    /// What a file in properties format carries; it does not tell the generation.
    fn of_properties(text: &str) -> Self {
        let between = |before: &str, after: &str| {
            let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no `{before}` in a delivered file"));
            rest.split_once(after).expect("it ends").0.to_owned()
        };
        Self {
            generation: 0,
            username: between("username=\"", "\""),
            mechanism: between("sasl.mechanism=", "\n").parse().unwrap(),
            password: Secret::from_text(between("password=\"", "\"")),
        }
    }

    /// What the store's document carries.
    fn of_document(document: &Value) -> Self {
        let field = |name: &str| document[name].as_str().unwrap_or_else(|| panic!("no `{name}` in the document"));
        Self {
            generation: field("generation").parse().unwrap(),
            username: field("username").to_owned(),
            mechanism: field("sasl_mechanism").parse().unwrap(),
            password: Secret::from_text(field("password").to_owned()),
        }
    }

    fn copy(&self) -> Self {
        let Self { generation, username, mechanism, password } = self;
        Self {
            generation: *generation,
            username: username.clone(),
            mechanism: *mechanism,
            password: password.duplicate(),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.username == other.username && self.mechanism == other.mechanism && self.password.ct_eq(&other.password)
    }
}

impl std::fmt::Display for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "generation {} of `{}` by {}", self.generation, self.username, self.mechanism)
    }
}

/// A user, and every credential that was ever published for it.
struct Subject<'o> {
    witness: &'static Witness,
    operator: &'o Operator<'static>,
    name: String,
    file: PathBuf,
    /// It is delivered to a Secret there, and not to the file.
    namespace: Option<&'o Namespace>,
    ledger: Vec<Published>,
}

impl<'o> Subject<'o> {
    /// Declares a user of cluster `kafka` with something of everything; `more` goes into its document.
    fn declare(witness: &'static Witness, operator: &'o Operator<'static>, prefix: &str, more: &str) -> Self {
        Self::declare_in(None, witness, operator, prefix, more)
    }

    /// The same, delivered to a Secret where there is a namespace for it.
    fn declare_in(
        namespace: Option<&'o Namespace>,
        witness: &'static Witness,
        operator: &'o Operator<'static>,
        prefix: &str,
        more: &str,
    ) -> Self {
        let name = unique_name(prefix);
        let file = operator.out(&format!("{name}.properties"));
        let subject = Self { witness, operator, name, file, namespace, ledger: Vec::new() };
        subject.put(more);
        subject
    }

    /// Writes its document again.
    fn put(&self, more: &str) {
        self.put_on("kafka", more);
    }

    fn put_on(&self, clusters: &str, more: &str) {
        let Self { operator, name, file, namespace, .. } = self;
        let to_file = || format!("{{file: {{path: {}, cluster: kafka}}}}", file.display());
        let delivery = namespace.map_or_else(to_file, |namespace| namespace.delivery(name));
        let spec = format!(
            "{{clusters: [{clusters}], {more}, authorization: {{acls: [\
             {{resource: {{type: topic, name: {name}}}, operations: [Read, Write]}}]}}, quotas: {{producerByteRate: 1073741824}}, \
             deliver: [{delivery}]}}"
        );
        operator.declare(name, &spec);
        if let Some(namespace) = namespace {
            namespace.allow(operator);
        }
    }

    /// The arguments that name its document and no other user's.
    fn alone(&self) -> Vec<String> {
        ["store", "kafka", &self.name]
            .iter()
            .flat_map(|name| ["-f".to_owned(), format!("kastellan/{name}.yaml")])
            .collect()
    }

    fn record(&self) -> Value {
        self.operator.record(&self.name)
    }

    /// Reads what is published now, and notes what is new. One generation has one content, wherever it is found.
    #[track_caller]
    fn note(&mut self, when: &str) {
        let document = Published::of_document(&self.operator.credential(&self.name));
        let delivered = self.delivered();
        let is_known = self.ledger.iter().any(|known| known.is_same(&delivered));
        assert!(is_known || delivered.is_same(&document), "{when}: a file carries what the document never did");
        match self.ledger.iter().find(|known| known.generation == document.generation) {
            Some(known) => assert!(known.is_same(&document), "{when}: {known} has two contents"),
            None => self.ledger.push(document),
        }
        self.ledger.sort_by_key(|known| known.generation);
    }

    /// As if hours had passed since the last change of its slots, so that no fence is in the way of the next one.
    fn let_permits_end(&self) {
        self.operator.change_record(&self.name, |record| {
            for permit in record["permits"].as_array_mut().into_iter().flatten() {
                permit["until"] = json!("2001-01-01T00:00:00Z");
            }
        });
    }

    /// What applications find in their file, or where the Secret is mounted.
    fn delivered(&self) -> Published {
        let Some(namespace) = self.namespace else {
            return Published::of_properties(&fs::read_to_string(&self.file).unwrap());
        };
        let mounted = namespace.mounted(&self.name).expect("it is delivered");
        let published = Published::of_properties(&mounted["client.properties"]);
        // A Secret is replaced as a whole.
        let parts = (mounted["username"].as_str(), mounted["sasl.mechanism"].parse().unwrap());
        assert_eq!(parts, (published.username.as_str(), published.mechanism));
        assert!(published.password.ct_eq(&Secret::from_text(mounted["password"].clone())), "two passwords in a Secret");
        published
    }

    fn newest(&self) -> &Published {
        self.ledger.last().expect("something was published")
    }

    /// Material by generation, as far as it is not destroyed.
    fn material(&self) -> BTreeMap<u64, Vec<u8>> {
        self.operator.materials(&self.name)
    }

    /// Notes what is published, and has hours pass.
    #[track_caller]
    fn advance(&mut self, when: &str) {
        self.note(when);
        self.let_permits_end();
    }

    /// At rest in `generation`: the newest logs in and nothing else does, and Kafka holds what the record names, and nothing
    /// else.
    #[track_caller]
    fn assert_at_rest(&mut self, when: &str, generation: u64, allotted: u64) {
        self.note(when);
        let record = self.record();
        let stands = (&record["phase"], &record["generation"], &record["allotted"]);
        assert_eq!(stands, (&json!("IDLE"), &json!(generation), &json!(allotted)), "{when}: {record:#}");
        assert_eq!(self.newest().generation, generation, "{when}");
        assert_eq!(self.material().into_keys().collect::<Vec<_>>(), [generation], "{when}");
        self.assert_only_newest_works(when);
    }

    /// The newest published credential is delivered and logs in, no other does, and no slot holds anything else.
    #[track_caller]
    fn assert_only_newest_works(&self, when: &str) {
        assert!(self.delivered().is_same(self.newest()), "{when}: the delivery is behind");
        let mut names: BTreeSet<&str> = self.ledger.iter().map(|known| known.username.as_str()).collect();
        names.insert(&self.name);
        for name in names {
            let expected = (name == self.newest().username).then_some(self.newest().mechanism);
            let found = self.witness.cluster.mechanisms_of(name).unwrap();
            assert_eq!(found, expected.into_iter().collect(), "{when}: `{name}`");
        }
        self.witness.assert_works(self.newest(), when);
        for old in &self.ledger[..self.ledger.len() - 1] {
            self.witness.assert_is_dead(old, when);
        }
    }

    /// ACLs stand under these names, and under no other that the user ever had.
    #[track_caller]
    fn assert_access(&self, when: &str, names: &[&str]) {
        let cluster = &self.witness.cluster;
        let ever = self.ledger.iter().map(|known| known.username.as_str()).chain([self.name.as_str()]);
        for name in ever.chain(names.iter().copied()).collect::<BTreeSet<_>>() {
            let acls = if names.contains(&name) { 2 } else { 0 };
            assert_eq!(cluster.acls_of(&principal(name)).unwrap().len(), acls, "{when}: ACLs of `{name}`");
        }
    }
}
