//! Every store keeps the promises of the port; the age store keeps them on bad days too.

use std::sync::Mutex;

use kastellan::store::Backend;

use crate::support::store::Fixture;
use crate::support::store_conformance::conforms;

#[tokio::test]
async fn every_store_conforms() {
    for backend in Backend::ALL {
        // Kept until the end: a fixture's folder goes with it.
        let fixtures = Mutex::new(Vec::new());
        conforms(async || {
            let fixture = Fixture::new(backend);
            let store = fixture.open().await;
            fixtures.lock().unwrap().push(fixture);
            store
        })
        .await;
    }
}
