//! Logins that a kubeconfig leaves to a program, or to a file that changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kastellan::k8s::{K8sError, Kubernetes, Refusal};
use kastellan::names::Segment;
use serde_json::{Value, json};

use super::{Stage, name};
use crate::operator::Transport;
use crate::stack::{KafkaVersion, kubernetes, pause, write_private};

/// Notes that it ran and with what, and prints what stands in the file of its turn, or in the last one.
const PROGRAM: &str = "cd \"$1\"
echo run >> runs
env > environment
turn=$(wc -l < runs)
while [ ! -e \"$turn\" ]; do turn=$((turn - 1)); done
echo \"told on standard error: $(cat \"$turn\")\" >&2
cat \"$turn\"
exit \"${2:-0}\"
";

/// A login program that prints these texts, one after another.
struct Program(PathBuf);

impl Program {
    fn new(folder: &Path, texts: &[String]) -> Self {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("program.sh"), PROGRAM).unwrap();
        for (turn, text) in (1..).zip(texts) {
            write_private(folder.join(turn.to_string()), text).unwrap();
        }
        Self(folder.to_owned())
    }

    /// As a kubeconfig has it, with further arguments.
    fn user(&self, arguments: &[&str]) -> Value {
        let script = self.0.join("program.sh").display().to_string();
        let folder = self.0.display().to_string();
        let arguments = [&["-eu", &script, &folder], arguments].concat();
        json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": arguments,
            "interactiveMode": "IfAvailable", "provideClusterInfo": true, "env": [{"name": "FOR_THE_PROGRAM", "value": "x"}],
        }})
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(self.0.join("runs")).map_or(0, |text| text.lines().count())
    }
}

fn credential(token: &str, ends: Option<&str>) -> String {
    let status = json!({"token": token, "expirationTimestamp": ends});
    json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}).to_string()
}

#[test]
fn a_program_logs_in_once_and_gets_none_of_our_secrets() {
    let mut stage = Stage::new(KafkaVersion::V4_3_1, Transport::Plaintext);
    let users = ["one", "two"].map(name);
    for user in &users {
        stage.declare(user, "", &[&format!("name: {user}")]);
    }
    let token = stage.token();
    let program = Program::new(&stage.operator.work().join("login"), &[credential(&token, None)]);
    let url = stage.kubernetes.url();
    let kubeconfig = stage.kubernetes.kubeconfig_of(&[("here", &url, program.user(&[]))]);
    stage.operator.set("KUBECONFIG", &kubeconfig.display().to_string());
    let applied = stage.operator.run(&["--log", "trace", "apply", "--auto-approve", "-o", "json"]).exits(0);
    assert_eq!(program.runs(), 1);
    assert!(!applied.stdout.contains(&token) && !applied.stderr.contains(&token), "the token is said");
    assert_eq!(stage.kubernetes.mounted(&stage.namespace, &users[1])["username"], users[1]);

    let environment = std::fs::read_to_string(program.0.join("environment")).unwrap();
    let has = |variable: &str| environment.lines().any(|line| line.starts_with(&format!("{variable}=")));
    assert!(has("HOME") && has("PATH") && has("FOR_THE_PROGRAM"), "{environment}");
    assert!(!has("KAFKA_PASSWORD_KAFKA") && !environment.contains(stage.cluster.kastellan.password_text()));
    let told = environment.lines().find_map(|line| line.strip_prefix("KUBERNETES_EXEC_INFO=")).unwrap();
    let told: Value = serde_json::from_str(told).unwrap();
    assert_eq!((&told["spec"]["interactive"], &told["spec"]["cluster"]["server"]), (&json!(false), &json!(url)));
    stage.operator.assert_in_step();
}

#[test]
fn a_login_is_made_again_when_it_ends_and_when_it_is_refused() {
    let kubernetes = kubernetes::shared();
    let folder = tempfile::tempdir().unwrap();
    let (namespace, url) = (kubernetes.namespace(), kubernetes.url());
    let token = kubernetes.service_account(&namespace, "somebody");
    let place = (Segment::parse(&namespace).unwrap(), Segment::parse("app").unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let open = |user: Value| {
        let opened = Kubernetes::new(vec![kubernetes.kubeconfig_of(&[("here", &url, user)])]);
        runtime.block_on(opened.cluster(None)).unwrap()
    };
    let look = |cluster: &kastellan::k8s::Cluster| {
        let error = runtime.block_on(cluster.look(&place.0, &place.1)).unwrap_err();
        let K8sError::Refused(refusal) = error else { panic!("{error:?}") };
        refusal
    };
    // Whoever is let in has no right to it.
    let is_let_in = |refusal: &Refusal| matches!(refusal, Refusal::Unauthorized { .. });

    let soon = jiff::Timestamp::now() + Duration::from_secs(2);
    let ends = [credential(&token, Some(&soon.to_string())), credential(&token, None)];
    let program = Program::new(&folder.path().join("ends"), &ends);
    let cluster = open(program.user(&[]));
    assert!(is_let_in(&look(&cluster)) && is_let_in(&look(&cluster)));
    assert_eq!(program.runs(), 1);
    pause(Duration::from_secs(2));
    assert!(is_let_in(&look(&cluster)) && is_let_in(&look(&cluster)));
    assert_eq!(program.runs(), 2, "it ends");

    let program = Program::new(&folder.path().join("refused"), &[credential("stale", None), credential(&token, None)]);
    let cluster = open(program.user(&[]));
    assert!(is_let_in(&look(&cluster)) && is_let_in(&look(&cluster)));
    assert_eq!(program.runs(), 2, "the first was refused");

    let program = Program::new(&folder.path().join("never"), &[credential("stale", None)]);
    let cluster = open(program.user(&[]));
    assert_eq!([look(&cluster), look(&cluster)], [Refusal::Unauthenticated, Refusal::Unauthenticated]);
    assert_eq!(program.runs(), 2, "and not for every request");

    // A token file that is replaced, as kubelet does: read again at once where the old one is refused.
    let file = write_private(folder.path().join("token"), "stale").unwrap();
    let cluster = open(json!({"tokenFile": file}));
    runtime.block_on(cluster.look(&place.0, &place.1)).unwrap_err();
    let cluster = open(json!({"tokenFile": file}));
    write_private(file, &token).unwrap();
    assert!(is_let_in(&look(&cluster)));
}

#[test]
fn each_way_to_fail_is_told_by_delivery_and_holds_nobody_else_up() {
    let mut stage = Stage::new(KafkaVersion::V3_9_2, Transport::Plaintext);
    let token = stage.token();
    let (url, work) = (stage.kubernetes.url(), stage.operator.work());
    let program = |name: &str, text: &str| Program::new(&work.join(name), &[text.to_owned()]);
    let expired = credential(&token, Some("2020-01-01T00:00:00Z"));
    let asks = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "interactiveMode": "Always"}});
    let hangs = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["600"]}});
    let missing = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/nonexistent/login"}});
    let failing = program("fails", &credential(&token, None));
    let contexts = [
        ("fine", json!({"token": token}), ""),
        ("fails", failing.user(&["3"]), "exit status: 3"),
        ("babbles", program("babbles", &format!("the token is {token}")).user(&[]), "it printed no ExecCredential"),
        ("empty", program("empty", &credential("", None)).user(&[]), "it printed no ExecCredential"),
        ("expired", program("expired", &expired).user(&[]), "it printed an ExecCredential that has expired"),
        ("asks", asks, "it is to ask a person"),
        ("hangs", hangs, "it did not end within 30s, and was stopped"),
        ("missing", missing, "it cannot be started: No such file"),
        ("provider", json!({"auth-provider": {"name": "gcp", "config": {"cmd-path": "sh"}}}), "use `exec`"),
    ];
    let entries = contexts.each_ref().map(|(context, user, _)| (*context, url.as_str(), user.clone()));
    stage.operator.set("KUBECONFIG", &stage.kubernetes.kubeconfig_of(&entries).display().to_string());
    stage.allow_everything(stage.kubernetes);
    let names = contexts.each_ref().map(|(context, ..)| ["a", "b"].map(|secret| name(&format!("{context}-{secret}"))));
    for ((context, ..), names) in contexts.iter().zip(&names) {
        for name in names {
            let place = format!("{{name: {name}, namespace: {}, context: {context}}}", stage.namespace);
            let spec = format!(
                "{{clusters: [kafka], authentication: {{type: scram}}, deliver: [{{kubernetesSecret: {place}}}]}}"
            );
            stage.operator.declare(name, &spec);
        }
    }
    let began = std::time::Instant::now();
    let applied = stage.operator.run(&["--log", "trace", "apply", "--auto-approve", "-o", "json"]).exits(4);
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
    let printed = stage.operator.run(&["apply", "--auto-approve"]).exits(4);
    for text in [&applied.stdout, &applied.stderr, &printed.stdout, &printed.stderr] {
        assert!(!text.contains(&token), "the token is said");
    }
    for ((_, _, why), names) in contexts.iter().zip(&names) {
        for name in names {
            let reports = applied.reports_of(name);
            if why.is_empty() {
                assert!(reports.is_empty() && stage.kubernetes.secret(&stage.namespace, name).is_some(), "{reports:?}");
            } else {
                let is_told = reports.iter().any(|(_, text)| text.contains(name.as_str()) && text.contains(why));
                assert!(is_told, "{name}: {reports:?}");
            }
        }
    }
    assert_eq!(failing.runs(), 2, "once in each command");
    assert!(format!("{printed}").contains("kubectl get --raw /version"), "{printed}");
}
