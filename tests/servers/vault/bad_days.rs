//! Vault is sealed, stopped and started again under a store that is open.

use std::time::{Duration, Instant};

use kastellan::diagnostic::Disposition;
use kastellan::store::{RecordWrite, Store, StoreError};
use kastellan::vault::VaultError;

use super::{Ground, MOUNT};
use crate::stack::vault::Vault;
use crate::store::{record, user, users};

/// A Vault of a test's own; it lives as long as the process.
fn own_vault() -> &'static Vault {
    let vault: &'static Vault = Box::leak(Box::new(Vault::start().unwrap()));
    vault.mount_kv(MOUNT).unwrap();
    vault
}

async fn write_all(store: &dyn Store, count: usize) -> Vec<Result<(), StoreError>> {
    let writes = users(count).iter().map(|user| RecordWrite { record: record(user), expected: None }).collect();
    store.write_records(writes).await.into_iter().map(|written| written.map(drop)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_vault_is_waited_for_and_holds_nobody_up_for_long() {
    let ground = Ground::on(own_vault());
    let store = ground.open().await;
    ground.vault.seal().unwrap();
    let begun = Instant::now();
    let sealed = write_all(&*store, 1_000).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    for result in sealed {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Vault(VaultError::Sealed { .. })), "{error}");
        assert_eq!(error.disposition(), Disposition::Wait);
        assert!(error.hint().is_some_and(|hint| hint.contains("unseal")));
    }
    ground.vault.unseal().unwrap();
    assert!(write_all(&*store, 50).await.into_iter().all(|written| written.is_ok()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_is_restarted_under_many_writes_loses_none_of_them() {
    let ground = Ground::on(own_vault());
    let store = ground.open().await;
    let vault = ground.vault;
    let restart = tokio::task::spawn_blocking(move || {
        std::thread::yield_now();
        vault.stop_process();
        vault.start_process().unwrap();
        vault.unseal().unwrap();
    });
    let mut written = write_all(&*store, 2_000).await;
    restart.await.unwrap();
    for _ in 0..3 {
        if written.iter().all(|result| result.is_ok()) {
            break;
        }
        // What an outage left over is asked for again, as the next pass does; what was written already says so.
        written = write_all(&*store, 2_000).await;
        written.retain(|result| !matches!(result, Err(StoreError::Conflict { .. })));
    }
    assert!(written.iter().all(|result| result.is_ok()), "{:?}", written.iter().find(|result| result.is_err()));
    let listed = store.list_records().await.unwrap();
    assert_eq!(listed.len(), 2_000);
    assert!(listed.iter().all(|(_, record)| record.as_ref().is_ok_and(|record| record.version.0 == "1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_is_not_there_is_said_so_by_its_address() {
    let ground = Ground::new();
    let mut settings = ground.by_role(&ground.role("apply", "10m", "1h"));
    settings.vault.address = "http://127.0.0.1:9".to_owned();
    let settings = kastellan::store::StoreSettings::Vault(settings);
    let unreachable = kastellan::store::open_for_reading(&settings).await.map(drop).unwrap_err();
    assert_eq!(
        unreachable.to_string(),
        "failed to reach Vault at `http://127.0.0.1:9`: Connection refused (os error 111)"
    );
    assert_eq!(unreachable.disposition(), Disposition::Wait);
    let store = ground.open().await;
    assert!(store.read_records(&[user("payments/payments")]).await.pop().unwrap().unwrap().is_none());
}
