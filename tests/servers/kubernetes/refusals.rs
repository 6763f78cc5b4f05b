//! What the API server refuses, by user, in words that help.

use serde_json::json;

use super::{Stage, name};
use crate::operator::Transport;
use crate::stack::KafkaVersion;

#[test]
fn each_refusal_says_whose_turn_it_is_and_holds_nobody_else_up() {
    let stage = Stage::new(KafkaVersion::V4_3_1, Transport::Plaintext);
    let names = ["immutable", "typed", "guarded", "fine"].map(name);
    stage.stranger("typed", &json!({"type": "example.com/other"}));
    stage.stranger("immutable", &json!({"immutable": true}));
    let guard = name("no-guarded-secrets");
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    stage.kubernetes.create(policies, &json!({
        "metadata": {"name": guard},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"],
            }]},
            "validations": [{"expression": "object.metadata.name != 'guarded'", "message": "not here"}],
        },
    }));
    stage.kubernetes.create(
        &policies.replace("policies", "policybindings"),
        &json!({
            "metadata": {"name": guard},
            "spec": {"policyName": guard, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": stage.namespace},
            }}},
        }),
    );
    // It is the controller that loads policies, a moment later.
    let probe = json!({"metadata": {"name": "guarded", "namespace": stage.namespace}});
    let secrets = format!("/api/v1/namespaces/{}/secrets?dryRun=All", stage.namespace);
    let guarded = crate::stack::wait_until(std::time::Duration::from_secs(30), || {
        let status = stage.kubernetes.ask("POST", &secrets, Some(&probe)).0;
        status == 422 || status == 403
    });
    assert!(guarded, "the policy never came into force");
    stage.declare(&names[0], "", &["name: immutable, adopt: true"]);
    stage.declare(&names[1], "", &["name: typed, adopt: true"]);
    stage.declare(&names[2], "", &["name: guarded"]);
    stage.declare(&names[3], "", &["name: fine"]);
    let applied = stage.operator.apply(&[]).exits(4);
    for reason in [
        format!("Secret `{}/immutable` is immutable", stage.namespace),
        format!("Secret `{}/typed` has the type `example.com/other`, and this format needs `Opaque`", stage.namespace),
        format!("the admission check `{guard}` refused it"),
    ] {
        assert!(applied.stdout.contains(&reason), "{reason}: {applied}");
    }
    assert_eq!(stage.kubernetes.mounted(&stage.namespace, "fine")["username"], names[3]);
    assert_eq!(stage.password("immutable"), "stranger");
}

#[test]
fn a_namespace_that_is_missing_a_quota_and_a_missing_right_are_named() {
    let stage = Stage::new(KafkaVersion::V3_9_2, Transport::Plaintext);
    let user = name("limits");
    stage.declare(&user, "", &["name: first", "name: second"]);
    // What the controller manager would write down.
    let quotas = format!("/api/v1/namespaces/{}/resourcequotas", stage.namespace);
    let hard = json!({"count/secrets": "1"});
    stage.kubernetes.create(&quotas, &json!({"metadata": {"name": "few"}, "spec": {"hard": hard}}));
    let status = json!({"status": {"hard": hard, "used": {"count/secrets": "0"}}});
    assert_eq!(stage.kubernetes.ask("PATCH", &format!("{quotas}/few/status"), Some(&status)).0, 200);
    let applied = stage.operator.apply(&[]).exits(4);
    assert!(applied.stdout.contains("the quota `few` of the namespace is used up"), "{applied}");
    assert_eq!(stage.kubernetes.ask("DELETE", &format!("{quotas}/few"), None).0, 200);
    let settled =
        crate::stack::wait_until(std::time::Duration::from_secs(30), || stage.operator.apply(&[]).code == Some(0));
    assert!(settled);
    stage.operator.assert_in_step();

    // The right to write is missing: the plan can be made, and the apply says which verb.
    let roles = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles/kastellan-apply", stage.namespace);
    let mut role = stage.kubernetes.get(&roles).unwrap();
    role["rules"][0]["verbs"] = json!(["get"]);
    assert_eq!(stage.kubernetes.ask("PUT", &roles, Some(&role)).0, 200);
    stage.kubernetes.delete_secret(&stage.namespace, "first");
    let refused = stage.operator.apply(&[]).exits(4);
    assert!(refused.stdout.contains("Kastellan has no right to `patch` it"), "{refused}");
    assert!(format!("{refused}").contains("kastellan policy kubernetes"), "{refused}");
    stage.allow();
    stage.operator.apply(&[]).exits(0);

    let nowhere = name("nowhere");
    let spec = |namespace: &str| {
        format!(
            "{{clusters: [kafka], authentication: {{type: scram}}, deliver: [{{kubernetesSecret: {{name: x, namespace: {namespace}}}}}]}}"
        )
    };
    stage.operator.declare("nowhere", &spec(&nowhere));
    let rules = json!({"metadata": {"name": nowhere}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}]});
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    stage.kubernetes.create(&format!("{rbac}/clusterroles"), &rules);
    stage.kubernetes.create(
        &format!("{rbac}/clusterrolebindings"),
        &json!({
            "metadata": {"name": nowhere},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": nowhere},
            "subjects": [{"kind": "ServiceAccount", "name": "kastellan", "namespace": stage.namespace}],
        }),
    );
    let applied = stage.operator.apply(&[]).exits(4);
    assert!(applied.stdout.contains(&format!("there is no namespace `{nowhere}`")), "{applied}");
    stage.kubernetes.create("/api/v1/namespaces", &json!({"metadata": {"name": nowhere}}));
    stage.operator.apply(&[]).exits(0);
    stage.operator.assert_in_step();
}
