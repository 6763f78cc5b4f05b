//! The store keeps the promises of the port, and Vault holds what formats.md B5 says.

use std::sync::Arc;

use kastellan::credential::Version;
use kastellan::diagnostic::Disposition;
use kastellan::names::Generation;
use kastellan::secret::Secret;
use kastellan::store::{
    Created, CredentialWrite, MaterialStat, RecordWrite, Store, StoreError, StoreSettings, open_secrets,
};
use kastellan::vault::VaultError;
use serde_json::{Value, json};

use super::{Ground, MOUNT, open, unique_name, vault};
use crate::store::{credential, material, record, user, users};
use crate::store_conformance::conforms;

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms() {
    conforms(async || Ground::new().open().await).await;
}

/// Writes everything that one user has.
async fn fill(store: &dyn Store, name: &str) {
    let user = user(name);
    store.create_materials(vec![(user.clone(), material(1, "secret"))]).await.pop().unwrap().unwrap();
    let write = RecordWrite { record: record(&user), expected: None };
    store.write_records(vec![write]).await.pop().unwrap().unwrap();
    let write = CredentialWrite { user, document: credential(1, "secret", &["prod", "dr"]), expected: None };
    store.write_credentials(vec![write]).await.pop().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_texts_at_their_places_and_want_to_be_compared() {
    let ground = Ground::new();
    fill(&*ground.open().await, "payments/payments").await;
    let (read, look) = (
        |path: &str| ground.vault.ask("GET", &ground.path("data", path), &Value::Null).unwrap()["data"].clone(),
        |path: &str| ground.vault.ask("GET", &ground.path("metadata", path), &Value::Null).unwrap()["data"].clone(),
    );
    let kept = [
        ("payments/payments", 10, "bootstrap_servers_prod"),
        ("_kastellan/records/payments/payments", 20, "record"),
        ("_kastellan/material/payments/payments/1", 1, "stored_key_b64"),
    ];
    for (path, max_versions, field) in kept {
        let data = read(path)["data"].clone();
        assert!(data.as_object().unwrap().values().all(Value::is_string), "{path}: {data}");
        assert!(data[field].is_string() && data["rotation_id"].is_string(), "{path}: {data}");
        let metadata = look(path);
        assert_eq!(
            (&metadata["cas_required"], &metadata["max_versions"]),
            (&json!(true), &json!(max_versions)),
            "{path}"
        );
    }
    let without_comparison = json!({"data": {"username": "thief"}});
    let written = ground.vault.ask("POST", &ground.path("data", "payments/payments"), &without_comparison);
    assert!(written.unwrap_err().to_string().contains("check-and-set parameter required"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_read_records_can_look_and_do_nothing_else() {
    let ground = Ground::new();
    let store = ground.open().await;
    fill(&*store, "payments/payments").await;
    fill(&*store, "orders/orders").await;
    store.write_input("imports/legacy", "password", Secret::from_text("given".into())).await.unwrap();

    let reader = ground.open_reader().await;
    let listed = reader.list_records().await.unwrap();
    let users: Vec<_> = listed.iter().map(|(user, record)| (user.to_string(), record.is_ok())).collect();
    assert_eq!(users, [("orders/orders".into(), true), ("payments/payments".into(), true)]);
    assert!(reader.stat_input("imports/legacy", "password").await.unwrap().is_some());

    let settings = StoreSettings::Vault(ground.by_token("plan"));
    let opener = open_secrets(&settings).await.unwrap();
    let key = (user("payments/payments"), Generation(1));
    let denied = |error: StoreError| {
        assert!(matches!(error, StoreError::Vault(VaultError::Denied { .. })), "{error}");
        assert_eq!(error.disposition(), Disposition::Stall);
        assert_eq!(error.hint().as_deref(), Some("give it the policy that `kastellan policy vault` prints"));
    };
    denied(opener.read_materials(std::slice::from_ref(&key)).await.pop().unwrap().unwrap_err());
    denied(opener.read_credentials(std::slice::from_ref(&key.0)).await.pop().unwrap().unwrap_err());
    denied(opener.read_input("imports/legacy", "password").await.unwrap_err());
    let settings = StoreSettings::Vault(ground.by_token("plan"));
    let machine = kastellan::store::MachineState { markers: "unused".into() };
    denied(kastellan::store::open_for_writing(&settings, &machine).await.map(drop).unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_import_reads_inputs_and_no_other_secret() {
    let ground = Ground::new();
    let store = ground.open().await;
    fill(&*store, "payments/payments").await;
    store.write_input("imports/apps/legacy", "password", Secret::from_text("given".into())).await.unwrap();
    let denied = |error: StoreError| assert!(matches!(error, StoreError::Vault(VaultError::Denied { .. })), "{error}");
    assert_eq!(store.list_inputs("imports/").await.unwrap(), ["apps/"]);
    assert_eq!(store.list_inputs("imports/apps/").await.unwrap(), ["legacy"]);

    let opener = open_secrets(&StoreSettings::Vault(ground.by_token("import"))).await.unwrap();
    assert_eq!(opener.list_records().await.unwrap().len(), 1);
    assert_eq!(opener.list_inputs("imports/").await.unwrap(), ["apps/"]);
    assert_eq!(opener.list_inputs("imports/apps/").await.unwrap(), ["legacy"]);
    assert!(opener.read_input("imports/apps/legacy", "password").await.unwrap().is_some());
    let key = (user("payments/payments"), Generation(1));
    denied(opener.read_materials(std::slice::from_ref(&key)).await.pop().unwrap().unwrap_err());
    denied(opener.read_credentials(std::slice::from_ref(&key.0)).await.pop().unwrap().unwrap_err());
    let settings = StoreSettings::Vault(ground.by_token("import"));
    let machine = kastellan::store::MachineState { markers: "unused".into() };
    denied(kastellan::store::open_for_writing(&settings, &machine).await.map(drop).unwrap_err());
    let token = ground.vault.token(&[&ground.policy("import")], "10m").unwrap();
    let write = json!({"data": {"password": "stolen"}});
    for (verb, kind, path) in [
        ("POST", "data", "imports/apps/legacy"),
        ("POST", "data", "imports/apps/other"),
        ("DELETE", "data", "imports/apps/legacy"),
        ("GET", "metadata", "imports/apps/legacy"),
        ("LIST", "metadata", ""),
        ("LIST", "metadata", "payments"),
        ("LIST", "metadata", "_kastellan/material"),
    ] {
        let answer = ground.vault.ask_as(&token, verb, &ground.path(kind, path), &write).unwrap();
        assert_eq!(answer.status, 403, "{verb} {kind} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_asks_once_for_each_folder_and_record_and_for_nothing_else() {
    let ground = Ground::new();
    let users = users(40);
    let store = ground.open().await;
    let writes = users.iter().map(|user| RecordWrite { record: record(user), expected: None });
    assert!(store.write_records(writes.collect()).await.into_iter().all(|written| written.is_ok()));
    let reader = ground.open_reader().await;
    let before = requests(&ground);
    assert_eq!(reader.list_records().await.unwrap().len(), users.len());
    // Seven namespaces, and the folder above them.
    assert_eq!(requests(&ground) - before, 1 + 7 + users.len());
    // What the client tells of itself is what Vault has seen. Its token is in a file: it does not log in.
    assert_eq!(reader.requests(), [("list", 1 + 7), ("read", users.len() as u64)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_apply_sends_two_requests_for_each_new_key_and_one_for_each_other_write() {
    let ground = Ground::new();
    let store = ground.open().await;
    let before = (store.requests(), requests(&ground));
    fill(&*store, "payments/payments").await;
    let user = user("payments/payments");
    let write = RecordWrite { record: record(&user), expected: Some(Version("1".into())) };
    store.write_records(vec![write]).await.pop().unwrap().unwrap();
    let sent = |kind| store.requests()[kind] - before.0.get(kind).copied().unwrap_or_default();
    assert_eq!((sent("write"), sent("setUp")), (4, 3));
    assert_eq!(requests(&ground) - before.1, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_whose_writer_died_is_set_up_by_the_next_and_a_strangers_is_left_alone() {
    let ground = Ground::new();
    let store = ground.open().await;
    fill(&*store, "payments/payments").await;
    let ours = ground.vault.ask("GET", &ground.path("data", "payments/payments"), &Value::Null).unwrap();
    let left = json!({"options": {"cas": 0}, "data": ours["data"]["data"]});
    ground.vault.ask("POST", &ground.path("data", "payments/left"), &left).unwrap();
    ground.vault.ask("POST", &ground.path("data", "payments/strange"), &json!({"data": {"username": "them"}})).unwrap();
    for (name, is_set_up) in [("payments/left", true), ("payments/strange", false)] {
        let write = CredentialWrite { user: user(name), document: credential(1, "secret", &["prod"]), expected: None };
        let refused = store.write_credentials(vec![write]).await.pop().unwrap().unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { .. }), "{name}: {refused}");
        let metadata = ground.vault.ask("GET", &ground.path("metadata", name), &Value::Null).unwrap();
        assert_eq!(metadata["data"]["cas_required"], json!(is_set_up), "{name}");
    }
}

/// How many requests of a ground its Vault has answered.
fn requests(ground: &Ground) -> usize {
    let log = std::fs::read_to_string(ground.vault.audit_log()).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_ours = |line: &Value| {
        let path = line["request"]["path"].as_str().unwrap_or_default();
        line["type"] == "response" && path.contains(&format!("/{}/", ground.prefix))
    };
    lines.filter(is_ours).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_with_the_policy_can_change_material() {
    let ground = Ground::new();
    fill(&*ground.open().await, "payments/payments").await;
    let token = ground.vault.token(&[&ground.policy("apply")], "10m").unwrap();
    let write = json!({"options": {"cas": 1}, "data": {"password": "stolen"}});
    let path = ground.path("data", "_kastellan/material/payments/payments/1");
    assert_eq!(ground.vault.ask_as(&token, "POST", &path, &write).unwrap().status, 403);
    assert_eq!(ground.vault.ask_as(&token, "DELETE", &path, &Value::Null).unwrap().status, 403);
    let elsewhere = ["sys/policies/acl", "sys/mounts", "auth/token/create", "kafka/data/elsewhere/x"];
    for path in elsewhere {
        assert_eq!(ground.vault.ask_as(&token, "GET", path, &Value::Null).unwrap().status, 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_document_is_not_taken_for_an_absent_one() {
    let ground = Ground::new();
    let store = ground.open().await;
    let (user, name) = (user("payments/payments"), "payments/payments");
    fill(&*store, name).await;
    let delete = |path: &str| ground.vault.ask("DELETE", &ground.path("data", path), &Value::Null).unwrap();
    delete(&format!("_kastellan/records/{name}"));
    delete(&format!("_kastellan/material/{name}/1"));
    delete(name);

    let deleted = |error: StoreError| assert!(matches!(error, StoreError::Deleted { .. }), "{error}");
    deleted(store.list_records().await.unwrap().pop().unwrap().1.unwrap_err());
    deleted(store.read_records(std::slice::from_ref(&user)).await.pop().unwrap().unwrap_err());
    let key = (user.clone(), Generation(1));
    deleted(store.stat_materials(std::slice::from_ref(&key)).await.pop().unwrap().unwrap_err());
    deleted(store.read_materials(std::slice::from_ref(&key)).await.pop().unwrap().unwrap_err());
    let again = store.create_materials(vec![(user.clone(), material(1, "other"))]).await.pop().unwrap();
    assert_eq!(again.unwrap(), Created::AlreadyThere);

    // What applications read is written again; its versions count on.
    assert_eq!(store.stat_credentials(std::slice::from_ref(&user)).await.pop().unwrap().unwrap(), None);
    let write = CredentialWrite { user: user.clone(), document: credential(1, "secret", &["prod"]), expected: None };
    assert_eq!(store.write_credentials(vec![write]).await.pop().unwrap().unwrap(), Version("2".into()));

    let path = ground.path("undelete", &format!("_kastellan/records/{name}"));
    ground.vault.ask("POST", &path, &json!({"versions": [1]})).unwrap();
    assert!(store.read_records(&[user]).await.pop().unwrap().unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_deletes_what_is_written_is_noticed_before_anything_is() {
    let (ground, mount) = (Ground::new(), unique_name("expiring"));
    vault().mount_kv(&mount).unwrap();
    let config = format!("{mount}/config");
    vault().ask("POST", &config, &json!({"delete_version_after": "720h"})).unwrap();
    let text = kastellan::vault::policy(kastellan::vault::Purpose::Applying, &super::segments(&mount), &[], &[]);
    vault().put_policy(&mount, &text).unwrap();
    let mut settings = ground.settings(kastellan::vault::LoginSettings::TokenFile(
        ground.file("expiring-token", &vault().token(&[&mount], "10m").unwrap()),
    ));
    settings.vault.mount = super::segments(&mount);
    settings.prefix = Vec::new();
    let (settings, machine) =
        (StoreSettings::Vault(settings), kastellan::store::MachineState { markers: "unused".into() });
    let refused = kastellan::store::open_for_writing(&settings, &machine).await.map(drop).unwrap_err();
    assert_eq!(refused.to_string(), format!("`{config}` is set up to be deleted by itself, after 720h0m0s"));
    assert!(refused.hint().unwrap().contains("delete_version_after"), "{:?}", refused.hint());

    // One key alone, set so after it was written: noticed before the next write, and at the next read if that was too late.
    let store = ground.open().await;
    let user = user("payments/payments");
    let write = |expected| vec![RecordWrite { record: record(&user), expected }];
    let version = store.write_records(write(None)).await.pop().unwrap().unwrap();
    let path = ground.path("metadata", "_kastellan/records/payments/payments");
    ground.vault.ask("POST", &path, &json!({"delete_version_after": "720h"})).unwrap();
    let next = ground.open().await;
    let refused = next.write_records(write(Some(version))).await.pop().unwrap().unwrap_err();
    assert!(matches!(&refused, StoreError::Expires { when, .. } if when == "after 720h0m0s"), "{refused}");
    let data = json!({"options": {"cas": 1}, "data": {"record": "{}"}});
    ground.vault.ask("POST", &ground.path("data", "_kastellan/records/payments/payments"), &data).unwrap();
    let read = store.read_records(std::slice::from_ref(&user)).await.pop().unwrap();
    assert!(matches!(read, Err(StoreError::Expires { .. })), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_mount_is_named() {
    let ground = Ground::new();
    let mut settings = ground.by_role(&ground.role("apply", "10m", "1h"));
    settings.vault.mount = super::segments("nowhere");
    let text = kastellan::vault::policy(
        kastellan::vault::Purpose::Applying,
        &super::segments("nowhere"),
        &super::segments(&ground.prefix),
        &[],
    );
    ground.vault.put_policy(&ground.policy("apply"), &text).unwrap();
    let machine = kastellan::store::MachineState { markers: "unused".into() };
    let settings = StoreSettings::Vault(settings);
    let refused = kastellan::store::open_for_writing(&settings, &machine).await.map(drop).unwrap_err();
    // Vault tells whoever may not list its mounts no more than that.
    let is_named = matches!(&refused, StoreError::Vault(VaultError::NoMount { mount }) if mount == "nowhere");
    assert!(is_named || matches!(refused, StoreError::Vault(VaultError::Denied { .. })), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_at_once_have_one_winner_each_time() {
    let ground = Ground::new();
    let role = ground.role("apply", "10m", "1h");
    let stores: Vec<Arc<dyn Store>> = vec![open(ground.by_role(&role)).await, open(ground.by_role(&role)).await];
    let user = user("payments/payments");
    let mut expected: Option<Version> = None;
    for round in 0..10 {
        let write = |store: Arc<dyn Store>| {
            let write = RecordWrite { record: record(&user), expected: expected.clone() };
            async move { store.write_records(vec![write]).await.pop().unwrap() }
        };
        let (one, other) = tokio::join!(write(stores[0].clone()), write(stores[1].clone()));
        let winners: Vec<Version> = [one, other].into_iter().filter_map(Result::ok).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        expected = winners.into_iter().next();
        for store in &stores {
            let read = store.read_records(std::slice::from_ref(&user)).await.pop().unwrap().unwrap().unwrap();
            assert_eq!(Some(read.version), expected, "round {round}");
        }
    }
    assert_eq!(stores[0].stat_materials(&[(user, Generation(1))]).await.pop().unwrap().unwrap(), MaterialStat::Absent);
    assert!(ground.path("data", "").starts_with(MOUNT));
}
