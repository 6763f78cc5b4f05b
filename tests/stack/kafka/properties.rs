//! What a node is told: its properties file and its logging.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::{Credentials, KafkaVersion, Listener, node::Addresses};
use crate::stack::certificates::{Authority, Identity};

/// Everything the properties of one node are made of.
pub struct NodeSettings<'a> {
    /// Id of the node, 1 to 3.
    pub id: i32,
    /// Addresses of all nodes, this one's at `id - 1`.
    pub addresses: &'a [Addresses],
    /// Its data.
    pub data: &'a Path,
    /// Values of `sasl.enabled.mechanisms` on the clients' listeners.
    pub client_mechanisms: &'a [&'static str],
    /// Who may log in by PLAIN on the admin listeners.
    pub plain_users: &'a [&'a Credentials],
    /// Who signed all certificates.
    pub authority: &'a Authority,
    /// The brokers' own certificate.
    pub identity: &'a Identity,
    /// What the test wants on top; a later line wins.
    pub extra: &'a [(String, String)],
}

impl NodeSettings<'_> {
    /// The text of `server.properties`. Holds the PLAIN passwords.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (key, value) in self.cluster().into_iter().chain(self.listeners()).chain(self.sasl()).chain(self.tls()) {
            writeln!(text, "{key}={value}").expect("strings do not fail");
        }
        for (key, value) in self.extra {
            writeln!(text, "{key}={value}").expect("strings do not fail");
        }
        text
    }

    fn cluster(&self) -> Vec<(String, String)> {
        let voters: Vec<String> =
            (1..).zip(self.addresses).map(|(id, addresses)| format!("{id}@{}", addresses.controller)).collect();
        let replicas = self.addresses.len().to_string();
        let in_sync = if self.addresses.len() > 1 { "2" } else { "1" };
        [
            ("process.roles", "broker,controller"),
            ("node.id", &self.id.to_string()),
            ("controller.quorum.voters", &voters.join(",")),
            ("controller.listener.names", "CONTROLLER"),
            ("inter.broker.listener.name", "INTERNAL"),
            ("log.dirs", &self.data.display().to_string()),
            ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
            ("super.users", "User:admin;User:ANONYMOUS"),
            ("auto.create.topics.enable", "false"),
            ("offsets.topic.num.partitions", "1"),
            ("offsets.topic.replication.factor", &replicas),
            ("transaction.state.log.num.partitions", "1"),
            ("transaction.state.log.replication.factor", &replicas),
            ("transaction.state.log.min.isr", in_sync),
            ("share.coordinator.state.topic.num.partitions", "1"),
            ("share.coordinator.state.topic.replication.factor", &replicas),
            ("share.coordinator.state.topic.min.isr", in_sync),
            ("group.initial.rebalance.delay.ms", "0"),
            // Small buffers and few threads: three of these share two cores and little memory.
            ("log.cleaner.dedupe.buffer.size", "4194304"),
            ("num.network.threads", "2"),
            ("num.io.threads", "4"),
            ("background.threads", "2"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    fn listeners(&self) -> Vec<(String, String)> {
        let own = &self.addresses[usize::try_from(self.id - 1).expect("ids begin at 1")];
        let at = |name: &str, address: SocketAddr| format!("{name}://{address}");
        let mut advertised: Vec<String> =
            Listener::ALL.into_iter().map(|listener| at(listener.name(), own.of(listener))).collect();
        advertised.push(at("INTERNAL", own.internal));
        let controller = at("CONTROLLER", own.controller);
        let mut protocols: Vec<String> = Listener::ALL
            .into_iter()
            .map(|listener| format!("{}:{}", listener.name(), listener.security_protocol()))
            .collect();
        protocols.extend(["INTERNAL:PLAINTEXT".to_owned(), "CONTROLLER:PLAINTEXT".to_owned()]);
        vec![
            ("listeners".to_owned(), format!("{},{controller}", advertised.join(","))),
            ("advertised.listeners".to_owned(), advertised.join(",")),
            ("listener.security.protocol.map".to_owned(), protocols.join(",")),
        ]
    }

    fn sasl(&self) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        for listener in Listener::ALL {
            let mechanisms: &[&str] = match listener {
                Listener::Clients | Listener::ClientsTls => self.client_mechanisms,
                Listener::Admin | Listener::AdminTls => &["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"],
                Listener::MutualTls => continue,
            };
            let prefix = format!("listener.name.{}", listener.name().to_lowercase());
            lines.push((format!("{prefix}.sasl.enabled.mechanisms"), mechanisms.join(",")));
            for mechanism in mechanisms {
                let key = format!("{prefix}.{}.sasl.jaas.config", mechanism.to_lowercase());
                lines.push((key, self.login_module(mechanism)));
            }
        }
        lines
    }

    fn login_module(&self, mechanism: &str) -> String {
        let package = "org.apache.kafka.common.security";
        match mechanism {
            "PLAIN" => {
                let users: String = self
                    .plain_users
                    .iter()
                    .map(|user| format!(" user_{}=\"{}\"", user.username, user.password_text()))
                    .collect();
                format!("{package}.plain.PlainLoginModule required{users};")
            }
            _ => format!("{package}.scram.ScramLoginModule required;"),
        }
    }

    fn tls(&self) -> Vec<(String, String)> {
        [
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &self.identity.keystore_file.display().to_string()),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", &self.authority.certificate_file().display().to_string()),
            ("listener.name.mutual_tls.ssl.client.auth", "required"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }
}

/// Logging of a broker into `log`: little but warnings, the line that says it is up, and each failed authentication.
/// Controllers would log a line for each credential written.
pub fn broker_logging(version: KafkaVersion, log: &Path) -> String {
    let log = log.display();
    let talkative = ["kafka.server.KafkaRaftServer", "org.apache.kafka.common.network.Selector"];
    match version {
        KafkaVersion::V4_3_1 => {
            let mut text = format!(
                "appender.file.type=File\nappender.file.name=file\nappender.file.fileName={log}\n\
                 appender.file.layout.type=PatternLayout\nappender.file.layout.pattern=%d %p %m (%c)%n\n\
                 rootLogger=WARN,file\n"
            );
            for (index, name) in talkative.iter().enumerate() {
                writeln!(text, "logger.{index}.name={name}\nlogger.{index}.level=INFO").expect("strings do not fail");
            }
            text
        }
        KafkaVersion::V3_9_2 => {
            let mut text = format!(
                "log4j.appender.file=org.apache.log4j.FileAppender\nlog4j.appender.file.File={log}\n\
                 log4j.appender.file.layout=org.apache.log4j.PatternLayout\n\
                 log4j.appender.file.layout.ConversionPattern=%d %p %m (%c)%n\nlog4j.rootLogger=WARN,file\n"
            );
            for name in talkative {
                writeln!(text, "log4j.logger.{name}=INFO").expect("strings do not fail");
            }
            text
        }
    }
}

/// Logging of a Java tool: warnings on standard error, where they do not mix with its data.
pub const fn tool_logging(version: KafkaVersion) -> &'static str {
    match version {
        KafkaVersion::V4_3_1 => {
            "appender.err.type=Console\nappender.err.name=err\nappender.err.target=SYSTEM_ERR\n\
             appender.err.layout.type=PatternLayout\nappender.err.layout.pattern=%p %m (%c)%n\nrootLogger=WARN,err\n"
        }
        KafkaVersion::V3_9_2 => {
            "log4j.appender.err=org.apache.log4j.ConsoleAppender\nlog4j.appender.err.target=System.err\n\
             log4j.appender.err.layout=org.apache.log4j.PatternLayout\n\
             log4j.appender.err.layout.ConversionPattern=%p %m (%c)%n\nlog4j.rootLogger=WARN,err\n"
        }
    }
}

/// The JVM flag that names the logging configuration.
pub fn logging_flag(version: KafkaVersion, file: &Path) -> String {
    match version {
        KafkaVersion::V4_3_1 => format!("-Dlog4j2.configurationFile=file:{}", file.display()),
        KafkaVersion::V3_9_2 => format!("-Dlog4j.configuration=file:{}", file.display()),
    }
}
