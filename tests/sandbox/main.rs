//! Starts a real Kafka for people to try Kastellan on, says how to reach it, and stops it when standard input ends.
//!
//! `make sandbox`, or `cargo run --example sandbox [NODES]`; what it prints is for another shell.

#[path = "../stack/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the stack serves all tests; this program needs little of it")]
mod stack;

use std::io::{Read as _, Write as _};

use kastellan::names::Mechanism;
use stack::{ClusterBuilder, KafkaVersion, Listener};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nodes = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let mut out = std::io::stdout();
    writeln!(out, "Starting Kafka …")?;
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(nodes).start()?;
    let admin = cluster.client_properties(Listener::Clients, Mechanism::ScramSha512, &cluster.admin)?;
    let own = std::env::current_exe()?;
    let programs = own.ancestors().nth(2).unwrap_or(&own);
    let environment = format!(
        "export KAFKA='{}' KAFKA_ADMIN_PASSWORD='{}' ADMIN='{}'\nexport PATH='{}:{}':\"$PATH\"\n",
        cluster.bootstrap(Listener::Clients),
        cluster.kastellan.password_text(),
        admin.display(),
        cluster.write_scripts()?.display(),
        programs.display(),
    );
    let file = stack::write_private(cluster.folder().join("environment"), &environment)?;
    writeln!(
        out,
        "Kafka {} is up: {nodes} broker{}, and a user `kastellan` with the rights to apply. In another shell:\n\n    \
         . {}\n\n\
         It sets KAFKA (the address), KAFKA_ADMIN_PASSWORD, ADMIN (the login of a super user), and a PATH with kastellan,\n\
         kafka-topics.sh, kafka-acls.sh, kafka-configs.sh and the console clients. examples/quickstart/README.md is a\n\
         walk, from its step 2. Ctrl-D here stops Kafka and removes everything.",
        cluster.version,
        if nodes == 1 { "" } else { "s" },
        file.display()
    )?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
