//! The Kafka client on the in-process broker: the conformance suite, and every way in which an answer can fail to come.

use std::time::Duration;

use crate::support::broker::{InProcessCluster, Settings};
use crate::support::kafka_conformance::{self, Subject};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn subject(cluster: &std::sync::Arc<InProcessCluster>, brokers: usize) -> Subject {
    let counted = cluster.clone();
    Subject {
        admin: cluster.admin(),
        clients: cluster.clients(),
        brokers,
        failed_authentications: Some(Box::new(move || counted.failed_authentications())),
    }
}

#[test]
fn the_in_process_broker_conforms() {
    runtime().block_on(async {
        let settings = Settings { publish_lag: Duration::from_millis(20), brokers: 3, ..Settings::default() };
        let cluster = std::sync::Arc::new(InProcessCluster::start(settings).await);
        kafka_conformance::run_all(&subject(&cluster, 3)).await;
        assert_eq!(cluster.failed_authentications(), 0);
    });
}
