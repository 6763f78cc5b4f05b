//! One user goes from a store in a folder to Vault, and back, and nobody notices.

use serde_json::{Value, json};

use super::vault;
use crate::operator::{Kept, Operator, Transport, delivered_password};
use crate::stack::vault::Vault;
use crate::stack::{Cluster, KafkaVersion, quiet, unique_name};

/// Somebody with two stores.
fn with_two(vault: &'static Vault, cluster: &'static Cluster) -> Operator<'static> {
    let operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    operator.prepare(vault, "kastellan/vault.yaml");
    operator
}

/// A user of one of them; `more` goes into its authentication.
fn declare(operator: &Operator<'_>, name: &str, store: &str, more: &str) {
    let file = operator.out(&format!("{name}.properties"));
    operator.declare(
        name,
        &format!(
            "{{store: {store}, clusters: [kafka], authentication: {{type: scram{more}}}, \
             rotation: {{strategy: mechanism-flip, overlap: 1h}}, authorization: {{acls: [\
             {{resource: {{type: topic, name: {name}}}, operations: [Read, Write]}}]}}, deliver: [{{file: {{path: {}}}}}]}}",
            file.display()
        ),
    );
}

/// What a move does not change of a record.
fn lasting(mut record: Value) -> Value {
    for changing in ["document", "source", "permits"] {
        record.as_object_mut().unwrap().remove(changing);
    }
    record
}

#[test]
fn a_user_moves_to_vault_and_back_with_the_passwords_it_has() {
    let (vault, cluster) = (vault(), quiet(KafkaVersion::V4_3_1, 1));
    let mut operator = with_two(vault, cluster);
    const GIVEN: &str = ", password: {valueFrom: {store: {path: imports/legacy, key: password}}}";
    let [fresh, rotated, given, deleted] = ["fresh", "rotated", "given", "deleted"].map(unique_name);
    operator.run_with_input(&["store", "put", "imports/legacy", "--store", "local"], "a given password").exits(0);
    let living = [(&fresh, ""), (&rotated, ""), (&given, GIVEN)];
    let declare_living = |operator: &Operator<'_>, store: &str| {
        living.into_iter().for_each(|(name, more)| declare(operator, name, store, more));
    };
    declare_living(&operator, "local");
    declare(&operator, &deleted, "local", "");
    operator.apply(&[]).exits(0);
    operator.run(&["rotate", &rotated, "--auto-approve"]).exits(0);
    let password =
        |operator: &Operator<'_>, name: &str| delivered_password(&operator.out(&format!("{name}.properties")));
    let kept = password(&operator, &deleted);
    operator.remove(&deleted);
    operator.apply(&["--prune"]).exits(0);
    let living = living.map(|(name, _)| name);
    let before: Vec<_> = living.map(|name| (password(&operator, name), lasting(operator.record(name)))).into();
    let brokers: Vec<_> = living.map(|name| cluster.mechanisms_of(name).unwrap()).into();

    for (store, home) in [("vault", Kept::Vault(vault)), ("local", Kept::Age), ("vault", Kept::Vault(vault))] {
        declare_living(&operator, store);
        let other = if store == "vault" { "local" } else { "vault" };
        let line = format!("moves from store `{other}` to `{store}` as it is: same generation, same password");
        operator.plan(&[]).exits(0).says(&line);
        operator.run(&["rotate", &fresh, "--auto-approve"]).exits(4).says("run `kastellan apply`");
        let applied = operator.apply(&[]).exits(0).json();
        assert_eq!(applied["effects"], json!({"copy": 3, "record-idle": 2, "record-published": 1, "move": 3}));
        operator.keep(home);
        let again = operator.apply(&[]).exits(0).json();
        assert_eq!(again["effects"], json!({}), "in {store}: {again:#}");
        operator.run(&["verify"]).exits(0);
        let after: Vec<_> = living.map(|name| (password(&operator, name), lasting(operator.record(name)))).into();
        assert_eq!(after, before, "in {store}");
        assert_eq!(living.map(|name| cluster.mechanisms_of(name).unwrap()).to_vec(), brokers);
    }
    // A deleted one is brought back where its document says, with the password that it had.
    declare(&operator, &deleted, "vault", "");
    operator.apply(&[]).exits(0);
    operator.apply(&[]).exits(0);
    assert_eq!(password(&operator, &deleted), kept);
    operator.run(&["rotate", &fresh, "--auto-approve"]).exits(0);
    operator.run(&["verify"]).exits(0);
    assert_ne!(password(&operator, &fresh), before[0].0);
}

/// Only with the feature `crash-points`.
#[test]
fn a_move_that_dies_anywhere_is_finished_and_goes_one_way() {
    if !cfg!(feature = "crash-points") {
        return;
    }
    let (vault, cluster) = (vault(), quiet(KafkaVersion::V4_3_1, 1));
    let mut operator = with_two(vault, cluster);
    let points = ["copy", "record-idle", "move"];
    let points: Vec<_> = points.iter().flat_map(|name| [format!("before:{name}"), format!("after:{name}")]).collect();
    for point in points {
        let name = unique_name("moved");
        operator.keep(Kept::Age);
        declare(&operator, &name, "local", "");
        operator.apply(&[]).exits(0);
        let password = operator.credential(&name)["password"].clone();
        declare(&operator, &name, "vault", "");
        crate::rotation::die(&operator, &["apply", "--auto-approve"], &point);
        let is_begun = !operator.record(&name)["moving_to"].is_null();
        // Somebody with the documents of before: whatever is begun is finished first, then it goes back.
        declare(&operator, &name, "local", "");
        operator.apply(&[]).exits(0);
        operator.apply(&[]).exits(0);
        operator.assert_in_step();
        assert_eq!(operator.credential(&name)["password"], password, "{point}");
        assert_eq!(operator.record(&name)["moving_to"], Value::Null, "{point}");
        operator.keep(Kept::Vault(vault));
        if is_begun {
            assert_eq!(operator.record(&name)["moving_to"], "local", "{point}");
        }
        declare(&operator, &name, "vault", "");
        operator.apply(&[]).exits(0);
        operator.assert_in_step();
        operator.run(&["verify"]).exits(0);
        assert_eq!(operator.credential(&name)["password"], password, "{point}");
    }
}
