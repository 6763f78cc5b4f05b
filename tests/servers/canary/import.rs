//! Passwords of users that live today, on each way that an import reads them: from Secrets, a list and a store.

use std::fs;

use serde_json::json;

use super::{Canaries, Run, keys_of};
use crate::import::{allow_reading_secrets, make_secret, make_user, resources};
use crate::namespace::{Namespace, secret_name};
use crate::operator::{Kept, MOUNT, Operator, Transport};
use crate::stack::{ClusterBuilder, Credentials, KafkaVersion, kubernetes, unique_name};

/// With everything that an escape changes.
fn draw_password() -> String {
    format!("im\"port\\ {}/+%&='ß", Credentials::random("x").password_text())
}

#[test]
fn no_password_that_is_imported_is_anywhere_but_where_it_belongs() {
    // One of its own, which may refuse a login.
    let (vault, cluster) = (crate::vault::vault(), ClusterBuilder::new(KafkaVersion::V4_3_1).start().unwrap());
    let mut operator = Operator::keeping(Kept::Vault(vault), &[("kafka", &cluster, Transport::Tls)]);
    operator.stop_watching();
    let temporary = operator.work().join("temporary");
    fs::create_dir(&temporary).unwrap();
    operator.set("TMPDIR", temporary.to_str().unwrap());
    let namespace = Namespace::of(&mut operator, kubernetes::shared());
    allow_reading_secrets(namespace.kubernetes, &namespace.name);

    // Of each source one user whose password works, and one whose password does not.
    let mut canaries = Canaries::default();
    let mut user = |source: &str, kafka_has: &dyn Fn(&str) -> String| {
        let (name, password) = (secret_name(&unique_name(source)), draw_password());
        make_user(&cluster, &name, &kafka_has(&password));
        canaries.add(&format!("password of {name}"), password.as_bytes());
        (name, password)
    };
    let [strimzi, list, many, app] =
        ["strimzi", "list", "many", "app"].map(|source| user(source, &|password| password.to_owned()));
    let [wrong_strimzi, wrong_list, wrong_many, wrong_app] =
        ["wrong-strimzi", "wrong-list", "wrong-many", "wrong-app"].map(|source| user(source, &|_| draw_password()));
    for (name, password) in [&strimzi, &wrong_strimzi] {
        make_secret(namespace.kubernetes, &namespace.name, name, password);
    }
    let put = |path: &str, data: &serde_json::Value| {
        let path = format!("{MOUNT}/data/{}/imports/{path}", operator.prefix());
        vault.ask("POST", &path, &json!({"data": data})).unwrap();
    };
    let unfit = format!("{}\n", many.1);
    put("kafka", &json!({&many.0: many.1, &wrong_many.0: wrong_many.1, "line-end": unfit, "number": 1}));
    put("apps/one", &json!({"username": app.0, "password": app.1}));
    put("apps/other", &json!({"username": wrong_app.0, "password": wrong_app.1, "note": app.1}));
    put("apps/nameless", &json!({"username": "", "password": app.1}));
    let passwords = format!("{}:{}\n{}:{}\n", list.0, list.1, wrong_list.0, wrong_list.1);
    let resources = resources(&namespace.name, &[(&strimzi.0, "scram-sha-512"), (&wrong_strimzi.0, "scram-sha-512")]);

    let mut run = Run { operator, said: Vec::new() };
    let of_strimzi = ["import", "--from", "strimzi", "--resources", "-"];
    let of_list = |file: &'static str| ["import", "--from", "kafka", "-n", "tests", "--passwords", file];
    let of_stores = ["vault/imports/kafka", "vault/imports/apps/"];
    let of_stores = of_stores.map(|place| ["--passwords-from-store", place]).concat();
    let of_stores = [&["import", "--from", "kafka", "-n", "tests"], &of_stores[..]].concat();
    run.operator.write("passwords.txt", &passwords);
    for (import, input) in [(&of_strimzi[..], resources.as_str()), (&of_list("passwords.txt"), ""), (&of_stores, "")] {
        run.command(&[import, &["--dry-run", "-o", "json"]].concat(), input, 4);
        run.command(import, input, 4);
    }
    run.watched(&of_list("passwords.txt"), 4);
    run.watched(&of_stores, 4);
    fs::remove_file(run.operator.work().join("passwords.txt")).unwrap();
    run.command(&of_list("-"), &passwords, 4);
    run.command(&of_list("-"), &passwords.replace(':', " "), 1);
    let absent = ["import", "--from", "kafka", "--passwords-from-store", "vault/imports/none"];
    run.command(&absent, "", 1);
    for arguments in [&["plan"][..], &["plan", "-o", "json"], &["status"], &["verify"], &["verify", "-o", "json"]] {
        run.command(arguments, "", 0);
    }

    // What may hold a password does.
    for (name, password) in [&list, &many, &app] {
        assert_eq!(run.operator.credential(name)["password"], **password);
        let keys = keys_of(&run.operator, name, password);
        canaries.add(&format!("salted password of {name}"), keys.salted_password.expose());
        canaries.add(&format!("client key of {name}"), keys.client_key.expose());
        canaries.add(&format!("server key of {name}"), keys.server_key.expose());
    }
    assert_eq!(namespace.kubernetes.mounted(&namespace.name, &strimzi.0)["password"], strimzi.1);
    let logged = run.said.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes));
    assert!(logged.filter(|text| text.contains(" TRACE ")).count() > 10, "nothing was logged at TRACE");
    for (place, bytes) in &run.said {
        canaries.assert_none_in(place, bytes);
    }
    canaries.assert_none_below(run.operator.home(), &[]);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "something is left in TMPDIR");
    canaries.assert_none_in("the audit log", &fs::read(vault.audit_log()).unwrap());
    canaries.assert_none_in("the log of Vault", vault.log().as_bytes());
    canaries.assert_none_in("the log of the API server", namespace.kubernetes.log().as_bytes());
}
