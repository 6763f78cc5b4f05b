//! The jars of a Kafka version, from Maven, kept outside the checkout.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use super::KafkaVersion;
use crate::stack::{StackError, programs};

/// Logging of Kafka 4: its own choice (`slf4j` 1.7 in front of log4j 2), which its packages leave out.
const LOG4J: &str = "2.25.3";

/// The folder of the jars of `version`; fetched first if they are not there yet.
///
/// `KASTELLAN_TEST_KAFKA_LIBS_4_3_1` (or `…_3_9_2`) names a folder to use instead.
///
/// # Guarantees
/// The folder is complete: it appears by a rename, under a lock that all processes of this user share.
pub fn fetch(version: KafkaVersion) -> Result<PathBuf, StackError> {
    let variable = format!("KASTELLAN_TEST_KAFKA_LIBS_{}", version.as_str().replace('.', "_"));
    if let Some(folder) = std::env::var_os(variable) {
        return Ok(PathBuf::from(folder));
    }
    let home = programs::cache_folder().join(format!("kafka-{version}"));
    let libraries = home.join("libs");
    let what = || StackError::io(format!("prepare `{}`", home.display()));
    fs::create_dir_all(&home).map_err(what())?;
    let lock = File::create(home.join("lock")).map_err(what())?;
    lock.lock().map_err(what())?;
    if libraries.is_dir() {
        return Ok(libraries);
    }
    programs::java()?;
    let maven = programs::maven()?;
    let project = tempfile::tempdir_in(&home).map_err(what())?;
    fs::write(project.path().join("pom.xml"), project_file(version)).map_err(what())?;
    programs::run(
        Command::new(maven)
            .args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs"])
            .current_dir(project.path()),
    )?;
    fs::rename(project.path().join("libs"), &libraries).map_err(what())?;
    Ok(libraries)
}

fn project_file(version: KafkaVersion) -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        )
    };
    let mut dependencies = vec![
        dependency("org.apache.kafka", "kafka_2.13", version.as_str()),
        dependency("org.apache.kafka", "kafka-tools", version.as_str()),
    ];
    match version {
        KafkaVersion::V4_3_1 => dependencies.extend([
            dependency("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J),
            dependency("org.apache.logging.log4j", "log4j-core", LOG4J),
        ]),
        KafkaVersion::V3_9_2 => {} // brings reload4j along
    }
    format!(
        r#"<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>io.kastellan.test</groupId><artifactId>kafka-libraries</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
{}
</dependencies></project>
"#,
        dependencies.join("\n")
    )
}
