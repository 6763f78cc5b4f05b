//! From the first apply to the end of a user.

use serde_json::json;

use super::{Stage, name, version_of};
use crate::operator::Transport;
use crate::stack::KafkaVersion;

#[test]
fn a_secret_comes_rests_rotates_and_goes() {
    let stage = Stage::new(KafkaVersion::V4_3_1, Transport::Plaintext);
    let (user, rotation) = (name("life"), ", rotation: {every: 30d, strategy: mechanism-flip, overlap: 1h}");
    let fields = "name: app, labels: {team: payments}, annotations: {example.com/note: ours}, keys: {username: user}";
    stage.declare(&user, rotation, &[fields]);
    stage.operator.plan(&[]).exits(0).says("publish to the store and 1 place");
    assert!(stage.kubernetes.secret(&stage.namespace, "app").is_none());

    stage.operator.apply(&[]).exits(0);
    let first = stage.secret("app");
    let metadata = &first["metadata"];
    assert_eq!(first["type"], "Opaque");
    assert_eq!(metadata["labels"], json!({"app.kubernetes.io/managed-by": "kastellan", "team": "payments"}));
    assert_eq!(metadata["annotations"]["kastellan.io/user"], format!("tests/{user}"));
    assert_eq!(metadata["annotations"]["kastellan.io/generation"], "1");
    assert_eq!(metadata["annotations"]["example.com/note"], "ours");
    let managers = metadata["managedFields"].as_array().unwrap();
    assert_eq!(managers.len(), 1, "{managers:#?}");
    assert_eq!((&managers[0]["manager"], &managers[0]["operation"]), (&json!("kastellan"), &json!("Apply")));
    let mounted = stage.kubernetes.mounted(&stage.namespace, "app");
    assert_eq!(mounted["user"], user);
    assert!(!mounted.contains_key("username") && !mounted.contains_key("ca.crt"));

    // Nothing to do is nothing done.
    stage.operator.assert_in_step();
    stage.operator.apply(&[]).exits(0);
    assert_eq!(version_of(&stage.secret("app")), version_of(&first));

    // Somebody adds what is theirs; it is no drift, and it outlives a rotation.
    stage.edit("app", "someone", &json!({"metadata": {"labels": {"theirs": "x"}}, "data": {"extra": "eA=="}}));
    stage.operator.apply(&[]).exits(0);
    stage.operator.assert_in_step();
    stage.operator.run(&["rotate", &format!("tests/{user}"), "--auto-approve"]).exits(0);
    let second = stage.secret("app");
    assert_eq!(second["metadata"]["annotations"]["kastellan.io/generation"], "2");
    assert_eq!(second["metadata"]["labels"]["theirs"], "x");
    let after = stage.kubernetes.mounted(&stage.namespace, "app");
    assert_ne!((&after["password"], &after["sasl.mechanism"]), (&mounted["password"], &mounted["sasl.mechanism"]));
    assert_eq!(after["extra"], "x");
    assert!(after["client.properties"].contains(&after["password"]));

    // Its own keys go with a new format, others stay.
    stage.declare(&user, rotation, &["name: app, format: properties, keys: {password: PASSWORD}"]);
    stage.operator.apply(&[]).exits(0);
    let renamed = stage.kubernetes.mounted(&stage.namespace, "app");
    assert_eq!((&renamed["PASSWORD"], &renamed["extra"]), (&after["password"], &"x".to_owned()));
    assert!(!renamed.contains_key("password") && renamed.contains_key("username"));
    assert_eq!(stage.secret("app")["metadata"]["annotations"]["example.com/note"], json!(null));

    // Another name: the old Secret would keep a working password that nobody looks after. What is not ours stays.
    stage.declare(&user, rotation, &["name: app, format: properties", "name: second"]);
    stage.operator.apply(&[]).exits(0);
    stage.declare(&user, rotation, &["name: moved, format: properties", "name: second"]);
    // The printed rights are for what is declared; the old name is needed until it is gone.
    let refused = stage.operator.apply(&[]).exits(4);
    assert!(refused.stdout.contains("Kastellan has no right to `get` it"), "{refused}");
    stage.operator.declare("keeper", &format!(
        "{{clusters: [kafka], authentication: {{type: scram}}, suspend: true, deliver: [{{kubernetesSecret: {{namespace: {}, name: app}}}}]}}",
        stage.namespace
    ));
    stage.allow();
    stage.operator.remove("keeper");
    stage.operator.apply(&[]).exits(0);
    assert_eq!(stage.kubernetes.mounted(&stage.namespace, "app"), [("extra".to_owned(), "x".to_owned())].into());
    assert_eq!(stage.secret("app")["metadata"]["annotations"], json!(null));
    assert_eq!(stage.password("moved"), after["password"]);
    let plan = stage.operator.plan(&[]).exits(0);
    assert!(plan.actions_of(&user).is_empty(), "{plan}");

    stage.operator.remove(&user);
    stage.operator.apply(&["--prune", "--allow-empty"]).exits(0);
    assert!(stage.kubernetes.secret(&stage.namespace, "moved").is_none());
    assert!(stage.kubernetes.secret(&stage.namespace, "second").is_none());
}

#[test]
fn many_are_looked_at_in_one_list_and_rest() {
    let stage = Stage::new(KafkaVersion::V3_9_2, Transport::Plaintext);
    let user = name("many");
    let secrets = (0..6).map(|index| format!("name: many-{index}, format: binding")).collect::<Vec<_>>();
    let secrets = secrets.iter().map(String::as_str).collect::<Vec<_>>();
    stage.declare(&user, "", &secrets);
    stage.operator.apply(&[]).exits(0);
    stage.operator.assert_in_step();
    assert_eq!(stage.secret("many-3")["type"], "servicebinding.io/kafka");
    stage.kubernetes.delete_secret(&stage.namespace, "many-1");
    stage.edit("many-4", "someone", &json!({"data": {"password": "d3Jvbmc="}}));
    let planned = stage.operator.plan(&[]).exits(0);
    let actions = planned.actions_of(&user).join("\n");
    assert!(actions.contains("it is not there") && actions.contains("it is not as it was written"), "{planned}");
    assert_eq!(stage.password("many-4"), "wrong");
    stage.operator.apply(&[]).exits(0);
    assert_eq!(stage.password("many-4"), stage.password("many-0"));
    assert_eq!(stage.password("many-1"), stage.password("many-0"));
    stage.operator.assert_in_step();

    // Without the right to list they are looked at one by one.
    let roles = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles/kastellan-apply", stage.namespace);
    let mut role = stage.kubernetes.get(&roles).unwrap();
    assert_eq!(role["rules"][1]["verbs"], json!(["list"]));
    role["rules"].as_array_mut().unwrap().pop();
    assert_eq!(stage.kubernetes.ask("PUT", &roles, Some(&role)).0, 200);
    stage.operator.assert_in_step();
}

#[test]
fn several_clusters_are_told_apart_by_context() {
    let mut stage = Stage::new(KafkaVersion::V4_3_1, Transport::Plaintext);
    let other = stage.kubernetes.namespace();
    let tokens = [("here", &stage.namespace), ("east", &other)]
        .map(|(context, namespace)| (context, stage.kubernetes.service_account(namespace, "again")));
    let contexts = tokens.iter().map(|(context, token)| (*context, token.as_str())).collect::<Vec<_>>();
    let kubeconfig = stage.kubernetes.kubeconfig(&contexts).display().to_string();
    stage.operator.set("KUBECONFIG", &kubeconfig);
    let user = name("east");
    let secret = |context: &str| {
        format!(
            "{{clusters: [kafka], authentication: {{type: scram}}, deliver: [\
        {{kubernetesSecret: {{name: near, namespace: {}}}}}, {{name: far, kubernetesSecret: {{name: far, namespace: {other}, context: {context}}}}}]}}",
            stage.namespace
        )
    };
    stage.operator.declare(&user, &secret("west"));
    let unknown = stage.operator.plan(&[]).exits(4);
    assert!(unknown.stdout.contains("the kubeconfig has no context `west`"), "{unknown}");
    stage.operator.declare(&user, &secret("east"));
    let refused = stage.operator.plan(&[]).exits(4);
    assert!(refused.stdout.contains("Kastellan has no right to `get` it"), "{refused}");
    for (arguments, namespace) in [(vec!["--context", "east"], &other), (vec![], &stage.namespace)] {
        let account = format!("{namespace}/again");
        let arguments = [vec!["policy", "kubernetes", "--service-account", &account], arguments].concat();
        let printed = stage.operator.run(&arguments).exits(0).stdout;
        let part = printed.split("# In the context `east`").next().unwrap();
        stage.kubernetes.apply_yaml(if namespace == &other { &printed } else { part });
    }
    stage.operator.apply(&[]).exits(0);
    assert_eq!(stage.kubernetes.mounted(&other, "far")["password"], stage.password("near"));
    stage.operator.assert_in_step();
}
