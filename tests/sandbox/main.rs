//! Starts a real Kafka for people to try Kastellan on, prints how to reach it, and stops it when standard input ends.
//!
//! `cargo run --example sandbox [NODES]`, then in another shell `. target/sandbox.env`.

#[path = "../stack/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the stack serves all tests; this program needs little of it")]
mod stack;

use std::io::{Read as _, Write as _};

use stack::{ClusterBuilder, KafkaVersion, Listener};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nodes = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(nodes).start()?;
    let environment = format!(
        "export KAFKA_ADMIN_PASSWORD='{}'\nexport KAFKA_ADMIN_BOOTSTRAP='{}'\nexport KAFKA_CLIENTS_BOOTSTRAP='{}'\n",
        cluster.kastellan.password_text(),
        cluster.bootstrap(Listener::Admin),
        cluster.bootstrap(Listener::Clients),
    );
    let file = std::path::Path::new("target/sandbox.env");
    stack::write_private(file.to_owned(), &environment)?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "Kafka {} with {nodes} nodes is up; `. {}` sets what Kastellan needs.",
        cluster.version,
        file.display()
    )?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
