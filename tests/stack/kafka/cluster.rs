//! A cluster: how it is laid out, started, shared and taken down.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kastellan::names::Mechanism;

use super::node::{Addresses, Node};
use super::properties::{NodeSettings, broker_logging, tool_logging};
use super::{Credentials, Java, KafkaVersion, Listener, Rights, libraries, principal, random_bytes, unique_name};
use crate::stack::certificates::{Authority, Identity};
use crate::stack::ports::Ports;
use crate::stack::process::Janitor;
use crate::stack::{StackError, programs, write_private};

/// After how many milliseconds a broker writes what it knows into a snapshot, an hour by default.
const SNAPSHOT_INTERVAL: &str = "metadata.log.max.snapshot.interval.ms";

/// What a test wants of a cluster of its own.
pub struct ClusterBuilder {
    version: KafkaVersion,
    nodes: usize,
    client_mechanisms: Vec<Mechanism>,
    rights: Rights,
    extra: Vec<(String, String)>,
    is_restarted: bool,
}

impl ClusterBuilder {
    /// One node, both SCRAM mechanisms, and a user `kastellan` with the rights to apply.
    pub fn new(version: KafkaVersion) -> Self {
        let client_mechanisms = Mechanism::ALL.to_vec();
        Self { version, nodes: 1, client_mechanisms, rights: Rights::apply(), extra: Vec::new(), is_restarted: false }
    }

    /// One node or three.
    pub fn nodes(mut self, nodes: usize) -> Self {
        assert!(nodes == 1 || nodes == 3, "a quorum of one or of three");
        self.nodes = nodes;
        self
    }

    /// The mechanisms of the clients' listeners.
    pub fn client_mechanisms(mut self, mechanisms: &[Mechanism]) -> Self {
        self.client_mechanisms = mechanisms.to_vec();
        self
    }

    /// What the user `kastellan` may do.
    pub fn rights(mut self, rights: Rights) -> Self {
        self.rights = rights;
        self
    }

    /// One more line of every `server.properties`, e.g. `connections.max.reauth.ms`.
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.extra.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Nodes of it are started again later. Its brokers write snapshots all the time, and the first credentials are in one
    /// when it has started: without them, a broker that starts can forget credentials (`tests/servers/kafka_forgets.rs`).
    pub fn restarted(mut self) -> Self {
        self.is_restarted = true;
        self.property(SNAPSHOT_INTERVAL, "1000")
    }

    /// Starts it, and waits until every broker serves and `kastellan` can log in.
    ///
    /// # Guarantees
    /// Nothing is left running and no data is left when the returned value is dropped or this process ends in any way.
    ///
    /// # Errors
    /// When a program is missing, the jars cannot be fetched, or a node does not come up.
    pub fn start(self) -> Result<Cluster, StackError> {
        let java =
            Java { version: self.version, launcher: programs::java()?, libraries: libraries::fetch(self.version)? };
        let folder = tempfile::Builder::new()
            .prefix("kastellan-kafka-")
            .tempdir()
            .map_err(StackError::io("create a temporary folder"))?
            .keep();
        let janitor = Janitor::of(&folder)?;
        let mut ports = Ports::claim()?;
        let nodes = (1..)
            .take(self.nodes)
            .map(|id| Node::new(id, Addresses::take(&mut ports), folder.join(format!("node-{id}")), java.clone()));
        let cluster = Cluster {
            nodes: nodes.collect(),
            version: self.version,
            cluster_id: random_id(),
            admin: Credentials::random("admin"),
            kastellan: Credentials::random("kastellan"),
            authority: Authority::create(&folder, "ca")?,
            java,
            folder,
            _janitor: janitor,
            _ports: ports,
        };
        cluster.lay_out(&self)?;
        cluster.format()?;
        cluster.bring_up()?;
        let kastellan = &cluster.kastellan;
        cluster.set_password(&kastellan.username, Mechanism::ScramSha512, &kastellan.password)?;
        cluster.grant(&principal(&kastellan.username), &self.rights.rules())?;
        if self.is_restarted {
            cluster.await_snapshots()?;
        }
        Ok(cluster)
    }
}

/// A running cluster.
pub struct Cluster {
    // Dropped in this order: the servers end, then their data goes, then their ports are free.
    pub(super) nodes: Vec<Node>,
    _janitor: Janitor,
    _ports: Ports,
    /// Its version.
    pub version: KafkaVersion,
    /// The id it was formatted with.
    pub cluster_id: String,
    /// A super user, with a SCRAM-SHA-512 credential that was there from the beginning, and PLAIN on the admin listeners.
    pub admin: Credentials,
    /// The user Kastellan logs in as: no super user; SCRAM-SHA-512, and PLAIN on the admin listeners.
    pub kastellan: Credentials,
    /// Who signed its certificates, and signs those of TLS clients.
    pub authority: Authority,
    pub(super) java: Java,
    pub(super) folder: PathBuf,
}

impl Cluster {
    /// Bootstrap servers of a listener, all nodes, separated by commas.
    pub fn bootstrap(&self, listener: Listener) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(|node| node.addresses.of(listener).to_string()).collect();
        addresses.join(",")
    }

    /// Where one node (1 to 3) serves a listener.
    pub fn address(&self, listener: Listener, node: i32) -> SocketAddr {
        self.node(node).addresses.of(listener)
    }

    /// The certificate that TLS clients trust.
    pub fn ca_file(&self) -> &Path {
        self.authority.certificate_file()
    }

    /// Authentications that all nodes have refused so far, also before a restart: the brokers' own count.
    pub fn failed_authentications(&self) -> usize {
        self.nodes.iter().map(|node| node.failed_authentications().len()).sum()
    }

    /// What each broker logged of each of them: a local time, and words.
    pub fn refusals(&self) -> Vec<(i32, String)> {
        let of =
            |node: &Node| node.failed_authentications().into_iter().map(|line| (node.id, line)).collect::<Vec<_>>();
        self.nodes.iter().flat_map(of).collect()
    }

    /// Shuts a node (1 to 3) down in order, and waits until it is gone.
    pub fn stop_node(&self, node: i32) {
        self.node(node).stop();
    }

    /// Kills a node, and waits until it is gone.
    pub fn kill_node(&self, node: i32) {
        self.node(node).kill();
    }

    /// Starts a stopped node again at its old addresses, and waits until every running broker sees all running ones.
    ///
    /// # Errors
    /// When it does not come up, as it cannot without a majority of the nodes.
    pub fn start_node(&self, node: i32) -> Result<(), StackError> {
        let node = self.node(node);
        let before = node.begin_start()?;
        node.await_start(before)?;
        self.await_brokers(self.nodes.iter().filter(|node| node.is_running()).count())
    }

    /// Waits until every node has what it knows now in a snapshot; for clusters whose nodes are [`restarted`].
    ///
    /// # Errors
    /// When no snapshot is written.
    ///
    /// [`restarted`]: ClusterBuilder::restarted
    pub fn await_snapshots(&self) -> Result<(), StackError> {
        self.nodes.iter().try_for_each(Node::await_snapshot)
    }

    /// Process ids of the running nodes.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(Node::pid).collect()
    }

    /// Its temporary folder, mode 0700.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// One more administrator that is not a super user, with a SCRAM-SHA-512 credential: for tests that share a cluster.
    pub fn add_administrator(&self, rights: &Rights) -> Result<Credentials, StackError> {
        let credentials = Credentials::random(&unique_name("administrator"));
        self.set_password(&credentials.username, Mechanism::ScramSha512, &credentials.password)?;
        self.grant(&principal(&credentials.username), &rights.rules())?;
        Ok(credentials)
    }

    /// A client certificate, and the rights of its principal.
    pub fn add_tls_administrator(&self, rights: &Rights) -> Result<Identity, StackError> {
        let name = unique_name("administrator");
        let identity = self.authority.client(&name)?;
        self.grant(&principal(&format!("CN={name}")), &rights.rules())?;
        Ok(identity)
    }

    fn node(&self, id: i32) -> &Node {
        self.nodes.iter().find(|node| node.id == id).expect("tests name nodes of their cluster")
    }

    /// Writes what every node reads.
    fn lay_out(&self, builder: &ClusterBuilder) -> Result<(), StackError> {
        let identity = self.authority.server("brokers")?;
        let addresses: Vec<Addresses> = self.nodes.iter().map(|node| node.addresses.clone()).collect();
        let client_mechanisms: Vec<&str> =
            builder.client_mechanisms.iter().map(|mechanism| mechanism.as_str()).collect();
        for node in &self.nodes {
            let data = node.folder.join("data");
            fs::create_dir_all(&data).map_err(StackError::io("create a node's folder"))?;
            let settings = NodeSettings {
                id: node.id,
                addresses: &addresses,
                data: &data,
                client_mechanisms: &client_mechanisms,
                plain_users: &[&self.admin, &self.kastellan],
                authority: &self.authority,
                identity: &identity,
                extra: &builder.extra,
            };
            write_private(node.folder.join("server.properties"), &settings.render())?;
            let logging = broker_logging(self.version, &node.log_file());
            write_private(node.folder.join("logging.properties"), &logging)?;
        }
        write_private(self.folder.join("tool-logging.properties"), tool_logging(self.version))?;
        Ok(())
    }

    /// Formats the first node with Kafka's own tool and copies the result to the others, which saves two JVMs: they
    /// differ in the ids of node and directory alone.
    fn format(&self) -> Result<(), StackError> {
        let (first, others) = self.nodes.split_first().expect("a cluster has a node");
        // The tool takes the first credential as an argument and prints its keys. An argument file keeps the one out of
        // the process list, and nobody but us can read the other.
        let admin = format!("SCRAM-SHA-512=[name={},password={}]", self.admin.username, self.admin.password_text());
        let arguments = format!(
            "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC\n-cp \"{}\"\nkafka.tools.StorageTool format -t {} -c \"{}\" --add-scram {admin}\n",
            self.java.classpath(),
            self.cluster_id,
            first.folder.join("server.properties").display(),
        );
        let arguments = write_private(self.folder.join("format.arguments"), &arguments)?;
        let output = write_private(self.folder.join("format.log"), "")?;
        let log = || File::options().append(true).open(&output).map_err(StackError::io("open the log of the format"));
        let status = Command::new(&self.java.launcher)
            .arg(format!("@{}", arguments.display()))
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            .status()
            .map_err(StackError::io("run `java`"))?;
        if !status.success() {
            let output = format!("it may hold secrets, so it stays in `{}`", output.display());
            return Err(StackError::Program { program: "kafka.tools.StorageTool".into(), output });
        }
        others.iter().try_for_each(|node| copy_format(&first.folder.join("data"), node))
    }

    /// Starts all nodes side by side, since none gets up without a majority.
    fn bring_up(&self) -> Result<(), StackError> {
        let begun = self.nodes.iter().map(|node| Ok((node, node.begin_start()?))).collect::<Result<Vec<_>, _>>()?;
        begun.into_iter().try_for_each(|(node, before)| node.await_start(before))?;
        self.await_brokers(self.nodes.len())
    }
}

/// Copies a formatted folder for another node.
fn copy_format(from: &Path, node: &Node) -> Result<(), StackError> {
    let to = node.folder.join("data");
    let what = || StackError::io(format!("format node {}", node.id));
    for entry in fs::read_dir(from).map_err(what())? {
        let entry = entry.map_err(what())?;
        fs::copy(entry.path(), to.join(entry.file_name())).map_err(what())?;
    }
    let meta = to.join("meta.properties");
    let text = fs::read_to_string(&meta).map_err(what())?;
    let lines = text.lines().map(|line| match line.split_once('=') {
        Some(("node.id", _)) => format!("node.id={}\n", node.id),
        Some(("directory.id", _)) => format!("directory.id={}\n", random_id()),
        Some(_) | None => format!("{line}\n"),
    });
    fs::write(&meta, lines.collect::<String>()).map_err(what())
}

/// An id as Kafka makes them: 16 bytes, URL-safe base64 without padding, and no leading `-`, which would be an option.
fn random_id() -> String {
    let mut bytes = random_bytes::<16>();
    bytes[0] &= 0x7f;
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The cluster of this version and size that all tests of this process share; started by the first that asks.
///
/// Tests that share it use names of their own ([`unique_name`]), stop no node, and leave [`Cluster::failed_authentications`]
/// to those that have a quiet cluster or one of their own.
///
/// # Panics
/// When it cannot be started; each test that asks gets the same message, and no second attempt is made.
pub fn shared(version: KafkaVersion, nodes: usize) -> &'static Cluster {
    shared_among(Tests::Any, version, nodes)
}

/// As [`shared`], among tests that cause no failed authentication: its count stays 0, and each of them may assert so.
///
/// # Panics
/// As [`shared`].
pub fn quiet(version: KafkaVersion, nodes: usize) -> &'static Cluster {
    shared_among(Tests::Quiet, version, nodes)
}

/// Which tests share a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tests {
    Any,
    Quiet,
}

fn shared_among(tests: Tests, version: KafkaVersion, nodes: usize) -> &'static Cluster {
    type Slot = OnceLock<Result<Cluster, String>>;
    static SLOTS: Mutex<BTreeMap<(Tests, KafkaVersion, usize), &'static Slot>> = Mutex::new(BTreeMap::new());
    let slot: &'static Slot = {
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry((tests, version, nodes)).or_insert_with(|| Box::leak(Box::new(Slot::new())))
    };
    let start = || ClusterBuilder::new(version).nodes(nodes).start().map_err(|error| error.chain());
    match slot.get_or_init(start) {
        Ok(cluster) => cluster,
        Err(message) => panic!("Kafka {version} with {nodes} nodes: {message}"),
    }
}
