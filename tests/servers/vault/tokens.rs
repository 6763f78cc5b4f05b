//! The one token of a process: how it is got, kept alive, replaced and given back.

use std::fs;
use std::time::{Duration, Instant};

use kastellan::diagnostic::Disposition;
use kastellan::store::vault::VaultStoreSettings;
use kastellan::store::{RecordWrite, StoreError, StoreReader, StoreSettings, open_for_reading};
use kastellan::vault::{LoginSettings, SecretIdForm, VaultError};
use serde_json::{Value, json};

use super::{Ground, login_by, open};
use crate::stack::vault::Vault;
use crate::store::{record, user, users};

async fn read(store: &dyn StoreReader) -> Result<(), StoreError> {
    store.read_records(&[user("payments/payments")]).await.pop().unwrap().map(drop)
}

async fn opened(settings: VaultStoreSettings) -> Result<(), StoreError> {
    open_for_reading(&StoreSettings::Vault(settings)).await.map(drop)
}

/// How often something was asked for successfully, as the audit log tells.
fn answered(vault: &Vault, path: &str, role: &str) -> usize {
    let log = fs::read_to_string(vault.audit_log()).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_meant = |line: &Value| {
        let names_role = line["auth"]["metadata"]["role_name"] == role;
        line["type"] == "response" && line["request"]["path"] == path && names_role && line["error"].is_null()
    };
    lines.filter(is_meant).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_logs_in_once_and_gives_its_token_back() {
    let ground = Ground::new();
    let role = ground.role("apply", "10m", "1h");
    let store = open(ground.by_role(&role)).await;
    let users = users(200);
    let writes = users.iter().map(|user| RecordWrite { record: record(user), expected: None });
    assert!(store.write_records(writes.collect()).await.into_iter().all(|written| written.is_ok()));
    assert_eq!(store.list_records().await.unwrap().len(), users.len());
    let logins = || answered(ground.vault, "auth/approle/login", &role.name);
    let revocations = || answered(ground.vault, "auth/token/revoke-self", &role.name);
    assert_eq!((logins(), revocations()), (1, 0));
    store.close().await;
    assert_eq!((logins(), revocations()), (1, 1));
    store.close().await;
    assert_eq!((logins(), revocations()), (1, 1), "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_at_two_thirds_of_its_life_and_replaced_at_its_end() {
    let ground = Ground::new();
    let role = ground.role("apply", "3s", "7s");
    let store = open(ground.by_role(&role)).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        read(&*store).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let renewals = answered(ground.vault, "auth/token/renew-self", &role.name);
    let logins = answered(ground.vault, "auth/approle/login", &role.name);
    assert!((2..=6).contains(&renewals), "{renewals}");
    assert!((2..=3).contains(&logins), "{logins}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expired_unused_is_replaced() {
    let ground = Ground::new();
    let role = ground.role("apply", "1s", "1s");
    let store = open(ground.by_role(&role)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    read(&*store).await.unwrap();
    assert_eq!(answered(ground.vault, "auth/approle/login", &role.name), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_with_a_revoked_token_log_in_once() {
    let ground = Ground::new();
    let role = ground.role("apply", "10m", "1h");
    let store = open(ground.by_role(&role)).await;
    assert_eq!(ground.vault.revoke_tokens_of(&role.name).unwrap(), 1);
    let users = users(200);
    assert!(store.read_records(&users).await.into_iter().all(|read| read.is_ok()));
    assert_eq!(answered(ground.vault, "auth/approle/login", &role.name), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_that_a_policy_refuses_do_not_log_in_again() {
    let ground = Ground::new();
    let role = ground.role("plan", "10m", "1h");
    let reader = open_for_reading(&StoreSettings::Vault(ground.by_role(&role))).await.unwrap();
    let stats = reader.stat_credentials(&users(200)).await;
    assert!(stats.iter().all(|stat| matches!(stat, Err(StoreError::Vault(VaultError::Denied { .. })))));
    assert_eq!(answered(ground.vault, "auth/approle/login", &role.name), 1);
    assert!(answered(ground.vault, "auth/token/lookup-self", &role.name) <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_is_read_again_when_it_changes_and_its_token_is_nobodys_to_revoke() {
    let ground = Ground::new();
    let token = || ground.vault.token(&[&ground.policy("apply")], "10m").unwrap();
    let (first, second) = (token(), token());
    let file = ground.file("token", &format!("{first}\n"));
    let store = open(ground.settings(LoginSettings::TokenFile(file.clone()))).await;
    read(&*store).await.unwrap();
    ground.vault.ask("POST", "auth/token/revoke", &json!({"token": first})).unwrap();
    let denied = read(&*store).await.unwrap_err();
    assert!(matches!(denied, StoreError::Vault(VaultError::Denied { .. })), "{denied}");

    fs::write(&file, &second).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    read(&*store).await.unwrap();
    store.close().await;
    let alive = ground.vault.ask("POST", "auth/token/lookup", &json!({"token": second}));
    assert!(alive.is_ok(), "it belongs to whoever keeps the file");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_line_of_plain_text_are_refused_without_showing_them() {
    let ground = Ground::new();
    for text in ["", "\n", "two\nlines", "with space", "nul\0", "tok\u{e9}n", "a\r\nb\r\n"] {
        let file = ground.file("token", text);
        let refused = opened(ground.settings(LoginSettings::TokenFile(file))).await.unwrap_err();
        assert!(matches!(refused, StoreError::Vault(VaultError::NotOneLine { .. })), "{text:?}: {refused}");
        let shown = format!("{refused} {refused:?}");
        assert!(text.trim().is_empty() || !shown.contains(text.trim()), "{shown}");
    }
    let missing = ground.folder.path().join("missing");
    let refused = opened(ground.settings(LoginSettings::TokenFile(missing))).await.unwrap_err();
    assert!(matches!(refused, StoreError::Vault(VaultError::File { .. })), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapped_secret_id_is_opened_once_and_only_if_it_is_one() {
    let ground = Ground::new();
    let role = ground.role("apply", "10m", "1h");
    let by = |text: &str| ground.settings(login_by(&role, ground.file("wrapped", text), SecretIdForm::Wrapped));
    let wrapped = ground.vault.wrapped_secret_id(&role.name).unwrap();
    let store = open(by(&format!("{wrapped}\n"))).await;
    read(&*store).await.unwrap();
    store.close().await;
    read(&*store).await.expect("the secret id is remembered");
    let spent = opened(by(&wrapped)).await.unwrap_err();
    assert!(matches!(spent, StoreError::Vault(VaultError::WrapSpent { .. })), "{spent}");
    assert!(spent.hint().unwrap().contains("stolen"));

    let foreign = ground.vault.wrapped(&json!({"secret_id": role.secret_id}), "sys/wrapping/wrap").unwrap();
    let refused = opened(by(&foreign)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Vault(VaultError::WrapForeign { .. })), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_says_whose_turn_it_is() {
    let ground = Ground::new();
    let mut role = ground.role("apply", "10m", "1h");
    role.secret_id = "00000000-0000-0000-0000-000000000000".to_owned();
    let refused = opened(ground.by_role(&role)).await.unwrap_err();
    assert_eq!(refused.to_string(), "Vault refused the login by AppRole (status 400)");
    assert_eq!(refused.disposition(), Disposition::Stall);
    assert!(!format!("{refused:?}").contains(&role.secret_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_checked_against_the_authority_and_the_name_that_are_given() {
    let ground = Ground::new();
    let by = |address: &str, ca: bool, name: Option<&str>| {
        let mut settings = ground.by_token("plan");
        settings.vault.address = address.to_owned();
        settings.vault.ca_file = ca.then(|| ground.vault.ca_file().to_owned());
        settings.vault.tls_server_name = name.map(str::to_owned);
        settings
    };
    let read_by = async |settings| {
        let reader = open_for_reading(&StoreSettings::Vault(settings)).await?;
        read(&*reader).await
    };
    let url = ground.vault.tls_url();
    let elsewhere = url.replace("localhost", "127.0.0.2");
    read_by(by(&url, true, None)).await.unwrap();
    read_by(by(&elsewhere.replace("127.0.0.2", "127.0.0.1"), true, Some("localhost"))).await.unwrap();
    for (settings, why) in [
        (by(&url, false, None), "invalid peer certificate"),
        (by(&url, true, Some("vault.example.com")), "invalid peer certificate"),
        (by(&ground.vault.url().replace("http:", "https:"), true, None), ""),
    ] {
        let refused = read_by(settings).await.unwrap_err();
        let StoreError::Vault(VaultError::Unreachable { why: found, .. }) = &refused else { panic!("{refused}") };
        assert!(found.contains(why), "{found}");
        assert_eq!(refused.disposition(), Disposition::Wait);
    }
}
