//! Kafka's own tools: the second opinion of the Java client.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kastellan::names::Mechanism;

use super::{Cluster, Credentials, KafkaVersion, Listener, properties};
use crate::stack::{StackError, unique_name, write_private};

/// Longest a tool may run. `timeout` enforces it, so a tool does not outlive a killed test for longer.
const TOOL_SECS_MAX: u32 = 60;
/// How long the console consumer waits for a record before it gives up.
const CONSUMER_IDLE_MS: u32 = 15_000;

/// A console tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `kafka-console-producer`.
    ConsoleProducer,
    /// `kafka-console-consumer`.
    ConsoleConsumer,
    /// `kafka-configs`.
    Configs,
    /// `kafka-acls`.
    Acls,
    /// `kafka-topics`.
    Topics,
}

impl Tool {
    const fn main_class(self, version: KafkaVersion) -> &'static str {
        match (self, version) {
            (Self::ConsoleProducer, KafkaVersion::V4_3_1) => "org.apache.kafka.tools.ConsoleProducer",
            (Self::ConsoleProducer, KafkaVersion::V3_9_2) => "kafka.tools.ConsoleProducer",
            (Self::ConsoleConsumer, _) => "org.apache.kafka.tools.consumer.ConsoleConsumer",
            (Self::Configs, _) => "kafka.admin.ConfigCommand",
            (Self::Acls, KafkaVersion::V4_3_1) => "org.apache.kafka.tools.AclCommand",
            (Self::Acls, KafkaVersion::V3_9_2) => "kafka.admin.AclCommand",
            (Self::Topics, _) => "org.apache.kafka.tools.TopicCommand",
        }
    }

    /// All tools.
    const ALL: [Self; 5] = [Self::ConsoleProducer, Self::ConsoleConsumer, Self::Configs, Self::Acls, Self::Topics];

    /// The name of Kafka's own script for it.
    const fn script(self) -> &'static str {
        match self {
            Self::ConsoleProducer => "kafka-console-producer.sh",
            Self::ConsoleConsumer => "kafka-console-consumer.sh",
            Self::Configs => "kafka-configs.sh",
            Self::Acls => "kafka-acls.sh",
            Self::Topics => "kafka-topics.sh",
        }
    }

    /// The option that names the properties file; the console tools changed theirs in 4.2.
    const fn configuration_option(self, version: KafkaVersion) -> &'static str {
        match (self, version) {
            (Self::ConsoleProducer, KafkaVersion::V3_9_2) => "--producer.config",
            (Self::ConsoleConsumer, KafkaVersion::V3_9_2) => "--consumer.config",
            (Self::ConsoleProducer | Self::ConsoleConsumer, KafkaVersion::V4_3_1)
            | (Self::Configs | Self::Acls | Self::Topics, _) => "--command-config",
        }
    }
}

/// How a tool ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutcome {
    /// Its exit code; 124 if it took longer than a minute, `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its data.
    pub stdout: String,
    /// Its warnings and errors.
    pub stderr: String,
}

impl ToolOutcome {
    /// Whether it ended with 0.
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }
}

impl Cluster {
    /// Sends records with the console producer, as the client that `configuration` describes.
    pub fn produce(
        &self,
        listener: Listener,
        configuration: &Path,
        topic: &str,
        records: &[&str],
    ) -> Result<ToolOutcome, StackError> {
        let input: String = records.iter().flat_map(|record| [record, "\n"]).collect();
        self.run_tool(Tool::ConsoleProducer, listener, configuration, &["--topic", topic], &input)
    }

    /// Reads a topic from its beginning with the console consumer until `count` records are there; each is a line of
    /// standard output.
    pub fn consume(
        &self,
        listener: Listener,
        configuration: &Path,
        topic: &str,
        group: &str,
        count: u32,
    ) -> Result<ToolOutcome, StackError> {
        let (count, idle) = (count.to_string(), CONSUMER_IDLE_MS.to_string());
        let arguments =
            ["--topic", topic, "--group", group, "--from-beginning", "--max-messages", &count, "--timeout-ms", &idle];
        self.run_tool(Tool::ConsoleConsumer, listener, configuration, &arguments, "")
    }

    /// Runs a tool of the cluster's own version against `listener`. `configuration` is a properties file; secrets belong
    /// there, never into `arguments`.
    pub fn run_tool(
        &self,
        tool: Tool,
        listener: Listener,
        configuration: &Path,
        arguments: &[&str],
        input: &str,
    ) -> Result<ToolOutcome, StackError> {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", &TOOL_SECS_MAX.to_string()])
            .arg(&self.java.launcher)
            .args(["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arg(properties::logging_flag(self.version, &self.folder.join("tool-logging.properties")))
            .args(["-cp", &self.java.classpath(), tool.main_class(self.version)])
            .args(["--bootstrap-server", &self.bootstrap(listener)])
            .arg(tool.configuration_option(self.version))
            .arg(configuration)
            .args(arguments);
        run_with_input(command, input)
    }

    /// A Java program of one source file, compiled as it starts, with the Kafka client on its class path; ready to start.
    pub fn java_program(&self, source: &Path) -> Command {
        let mut command = Command::new(&self.java.launcher);
        command
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arg(properties::logging_flag(self.version, &self.folder.join("tool-logging.properties")))
            .args(["-cp", &self.java.classpath()])
            .arg(source);
        command
    }

    /// Writes scripts named as Kafka's own into `bin` of the cluster's folder, for people who try things by hand; returns
    /// that folder.
    pub fn write_scripts(&self) -> Result<PathBuf, StackError> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = self.folder.join("bin");
        std::fs::create_dir_all(&folder).map_err(StackError::io("create the folder of the scripts"))?;
        let logging = properties::logging_flag(self.version, &self.folder.join("tool-logging.properties"));
        for tool in Tool::ALL {
            let text = format!(
                "#!/bin/sh\nexec '{}' -Xmx192m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 '{logging}' -cp '{}' {} \"$@\"\n",
                self.java.launcher.display(),
                self.java.classpath(),
                tool.main_class(self.version),
            );
            let script = write_private(folder.join(tool.script()), &text)?;
            let executable = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(&script, executable).map_err(StackError::io("make a script executable"))?;
        }
        Ok(folder)
    }

    /// Writes a Java client's properties for a SASL listener: what a person would write by hand. Mode 0600, in the
    /// cluster's own folder.
    pub fn client_properties(
        &self,
        listener: Listener,
        mechanism: Mechanism,
        credentials: &Credentials,
    ) -> Result<PathBuf, StackError> {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\\', "\\\\");
        let text = format!(
            "security.protocol={}\nsasl.mechanism={mechanism}\nsasl.jaas.config={} required username=\"{}\" password=\"{}\";\n\
             ssl.truststore.type=PEM\nssl.truststore.location={}\n",
            listener.security_protocol(),
            "org.apache.kafka.common.security.scram.ScramLoginModule",
            quoted(&credentials.username),
            quoted(credentials.password_text()),
            self.authority.certificate_file().display(),
        );
        write_private(self.folder.join(format!("{}.properties", unique_name("client"))), &text)
    }
}

fn run_with_input(mut command: Command, input: &str) -> Result<ToolOutcome, StackError> {
    let what = || StackError::io("run a Kafka tool through `timeout`");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(what())?;
    let mut stdin = child.stdin.take().expect("piped above");
    // A tool that ends before it has read its input breaks the pipe; how it ended says more.
    let _broken_pipe = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().map_err(what())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(ToolOutcome { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}
