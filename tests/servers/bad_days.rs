//! Bad days (design.md §9): every one ends with a named reason, the promised exit status, and nothing lost.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kastellan::names::{Mechanism, Operation};
use rustix::process::{Pid, Signal, kill_process};

use crate::operator::{Operator, Outcome, Snapshot, Transport, cluster_document, delivered_password};
use crate::stack::kafka::principal;
use crate::stack::{Cluster, ClusterBuilder, KafkaVersion, Listener, Rights, pause, quiet, unique_name};

const PLAIN: &str = "{clusters: [kafka], authentication: {type: scram}}";

/// A step may take its deadline of 10 s; a command that hangs takes for ever.
const PATIENCE: Duration = Duration::from_secs(60);

fn on(version: KafkaVersion) -> (&'static Cluster, Operator<'static>) {
    let cluster = quiet(version, 1);
    (cluster, Operator::with(&[("kafka", cluster, Transport::Plaintext)]))
}

/// A user with a topic that it may read, a quota and a file.
fn specification(name: &str, file: &Path) -> String {
    format!(
        "{{clusters: [kafka], authentication: {{type: scram}}, authorization: {{acls: [\
         {{resource: {{type: topic, name: {name}}}, operations: [Read]}}]}}, quotas: {{producerByteRate: 1024}}, \
         deliver: [{{file: {{path: {}}}}}]}}",
        file.display()
    )
}

/// A cluster whose listeners are both at `address`.
fn cluster_at(name: &str, cluster: &Cluster, address: &str) -> String {
    cluster_document(name, cluster, Transport::Plaintext)
        .replace(&cluster.bootstrap(Listener::Admin), address)
        .replace(&cluster.bootstrap(Listener::Clients), address)
}

#[test]
fn what_depends_on_a_cluster_that_does_not_answer_waits_and_the_rest_proceeds() {
    let (cluster, mut operator) = on(KafkaVersion::V4_3_1);
    let (here, closed, silent) = (unique_name("here"), unique_name("closed"), unique_name("silent"));
    // A port that nobody listens on, and one that takes connections and says nothing.
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    operator.set("KAFKA_PASSWORD_CLOSED", "unused");
    operator.set("KAFKA_PASSWORD_SILENT", "unused");
    operator.write("kastellan/closed.yaml", &cluster_at("closed", cluster, &nobody.to_string()));
    let address = mute.local_addr().unwrap().to_string();
    operator.write("kastellan/silent.yaml", &cluster_at("silent", cluster, &address));
    operator.declare(&here, PLAIN);
    operator.declare(&closed, &PLAIN.replace("kafka", "closed"));
    operator.declare(&silent, &PLAIN.replace("kafka", "silent"));

    let begun = Instant::now();
    let plan = operator.plan(&[]).exits(4);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let waiting = |user: &str| plan.reports_of(user)[0].clone();
    assert_eq!(waiting(&closed).0, "waiting");
    assert!(waiting(&closed).1.starts_with("closed: failed to connect to broker"), "{plan}");
    assert!(waiting(&silent).1.contains("did not answer"), "{plan}");
    assert!(plan.stderr.contains("hint: check `bootstrapServers`"), "{plan}");
    operator.apply(&["--prune"]).exits(4);
    assert_eq!(cluster.mechanisms_of(&here).unwrap().len(), 1);
    let verified = operator.run(&["verify"]).exits(0);
    assert!(verified.stdout.contains("1 credential works, 0 failed"), "{verified}");
}

#[test]
fn a_broker_that_is_down_at_first_apply_delays_it_and_loses_nothing() {
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(3).restarted().start().unwrap();
    let operator = Operator::with(&[("kafka", &cluster, Transport::Plaintext)]);
    let (name, file) = (unique_name("payments"), operator.out("payments.properties"));
    operator.declare(&name, &specification(&name, &file));
    cluster.kill_node(3);
    // Until the others have noticed, the credential cannot be proven on every broker, so it is not published.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let applied = operator.apply(&[]);
        if applied.code == Some(0) {
            break;
        }
        let applied = applied.exits(4);
        assert!(!file.exists(), "published without a proof: {applied}");
        assert!(Instant::now() < deadline, "{applied}");
    }
    let password = delivered_password(&file);
    cluster.start_node(3).unwrap();
    let verified = operator.run(&["verify", "-o", "json"]).exits(0).json();
    assert_eq!(verified["credentials"][0]["brokers"], 3, "{verified:#}");
    operator.assert_in_step();

    // One that dies in the middle of the work: whatever was sent to it is found out, and nothing is done twice.
    let names = interrupt(&operator, 200, |_| cluster.kill_node(1));
    cluster.start_node(1).unwrap();
    operator.run(&["verify"]).exits(0).says("201 credentials work, 0 failed");
    assert!(names.iter().all(|name| operator.record(name)["generation"] == 1));
    operator.assert_in_step();

    // A broker that is gone later holds up nobody's access for longer than the others need to notice.
    cluster.stop_node(2);
    cluster.revoke_all(&principal(&name)).unwrap();
    while operator.apply(&[]).code != Some(0) {
        assert!(Instant::now() < deadline + PATIENCE);
    }
    assert_eq!(cluster.acls_of(&principal(&name)).unwrap().len(), 1);
    assert_eq!(delivered_password(&file), password);
}

/// Declares users, lets an apply begin, has `meanwhile` happen, and finishes with more of them if need be.
fn interrupt(operator: &Operator<'_>, count: usize, meanwhile: impl FnOnce(u32)) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|_| unique_name("many")).collect();
    for name in &names {
        operator.declare(name, PLAIN);
    }
    let begun = operator.command(&["apply", "--auto-approve", "-o", "json"]).spawn().unwrap();
    pause(Duration::from_millis(400));
    meanwhile(begun.id());
    let ended = Outcome::new(&["apply", "interrupted"], begun.wait_with_output().unwrap());
    assert!(matches!(ended.code, Some(0 | 4)), "{ended}");
    let deadline = Instant::now() + PATIENCE;
    while operator.apply(&[]).code != Some(0) {
        assert!(Instant::now() < deadline);
    }
    names
}

fn signal(pid: u32, signal: Signal) {
    kill_process(i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap(), signal).unwrap();
}

#[test]
fn who_is_paused_for_longer_than_a_permit_lasts_goes_on_under_a_new_one() {
    let cluster = ClusterBuilder::new(KafkaVersion::V3_9_2).start().unwrap();
    let operator = Operator::with(&[("kafka", &cluster, Transport::Plaintext)]);
    // Permits last a second here. First Kastellan itself stands still, then Kafka.
    let freeze = |pid: u32| {
        signal(pid, Signal::STOP);
        pause(Duration::from_millis(2500));
        signal(pid, Signal::CONT);
    };
    let mut names = interrupt(&operator, 100, freeze);
    names.extend(interrupt(&operator, 100, |_| freeze(cluster.pids()[0])));
    operator.run(&["verify"]).exits(0).says("200 credentials work, 0 failed");
    assert!(names.iter().all(|name| operator.record(name)["generation"] == 1));
    operator.assert_in_step();
}

#[test]
fn a_wrong_admin_password_is_tried_once_and_named() {
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).start().unwrap();
    let mut operator = Operator::with(&[("kafka", &cluster, Transport::Plaintext)]);
    operator.stop_watching();
    operator.declare("somebody", PLAIN);
    operator.set("KAFKA_PASSWORD_KAFKA", "wrong");
    for (count, command) in [(1, "plan"), (2, "apply")] {
        let refused = operator.run(&[command]).exits(4).says("refused the login of `kastellan` by SCRAM-SHA-512");
        assert!(refused.stderr.contains("hint: check user name, password"), "{refused}");
        assert_eq!(cluster.failed_authentications(), count, "one refused login for each command, not more");
    }
    operator.set("KAFKA_PASSWORD_KAFKA", cluster.kastellan.password_text());
    operator.edit("kafka.yaml", "{env: KAFKA_PASSWORD_KAFKA}", "{env: KAFKA_PASSWORD_NOWHERE}");
    operator.run(&["plan"]).exits(4).says("variable `KAFKA_PASSWORD_NOWHERE` is not set");
    operator.edit("kafka.yaml", "{env: KAFKA_PASSWORD_NOWHERE}", "{file: admin.password}");
    operator.write("kastellan/admin.password", &format!("{}\n", cluster.kastellan.password_text()));
    operator.apply(&[]).exits(0);
    assert_eq!(cluster.failed_authentications(), 2);
}

/// Runs as an administrator with other rights.
fn as_administrator(cluster: &'static Cluster, operator: &mut Operator<'static>, rights: Rights) {
    let administrator = cluster.add_administrator(&rights).unwrap();
    let document = cluster_document("kafka", cluster, Transport::Plaintext);
    operator.write(
        "kastellan/kafka.yaml",
        &document.replace("username: kastellan,", &format!("username: {},", administrator.username)),
    );
    operator.set("KAFKA_PASSWORD_KAFKA", administrator.password_text());
}

fn missing_rights_are_named(version: KafkaVersion) {
    let (cluster, mut operator) = on(version);
    let (name, file) = (unique_name("rights"), operator.out("rights.properties"));
    operator.declare(&name, &specification(&name, &file));

    as_administrator(cluster, &mut operator, Rights::none());
    operator.plan(&[]).exits(4).says("missing right: Describe on the cluster");
    as_administrator(cluster, &mut operator, Rights::plan().without(Operation::DescribeConfigs));
    operator.plan(&[]).exits(4).says("missing right: DescribeConfigs on the cluster");
    as_administrator(cluster, &mut operator, Rights::plan());
    operator.plan(&["--detailed-exitcode"]).exits(2);
    operator.apply(&[]).exits(4).says("missing right: Alter on the cluster").says("kastellan policy kafka");
    as_administrator(cluster, &mut operator, Rights::apply().without(Operation::AlterConfigs));
    operator.apply(&[]).exits(4).says("missing right: AlterConfigs on the cluster");
    assert!(!file.exists());
    as_administrator(cluster, &mut operator, Rights::apply());
    operator.apply(&[]).exits(0);
    assert_eq!(operator.status(&name)["generation"], 1);
    operator.assert_in_step();
}

#[test]
fn missing_rights_are_named_on_4_3_1() {
    missing_rights_are_named(KafkaVersion::V4_3_1);
}

#[test]
fn missing_rights_are_named_on_3_9_2() {
    missing_rights_are_named(KafkaVersion::V3_9_2);
}

/// Runs `apply` by a shell's script, whose arguments are its command line.
fn apply_by(operator: &Operator<'_>, script: &str) -> Outcome {
    let program = operator.command(&["apply", "--auto-approve", "-o", "json"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args());
    shell.env_clear().envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    shell.current_dir(operator.work()).stdin(Stdio::null());
    Outcome::new(&["apply", "by", script], shell.output().unwrap())
}

#[test]
fn a_store_that_cannot_be_written_fails_the_user_before_anything_is_sent() {
    let (cluster, operator) = on(KafkaVersion::V3_9_2);
    let (name, file) = (unique_name("full"), operator.out("full.properties"));
    operator.declare(&name, &specification(&name, &file));

    // A file system with no room left, as far as files beyond a kilobyte are concerned.
    let full = apply_by(&operator, "trap '' XFSZ; ulimit -f 1; exec \"$@\"").exits(4).says("File too large");
    full.says("free some space; nothing that was stored before is lost");
    assert!(cluster.mechanisms_of(&name).unwrap().is_empty() && cluster.acls_of(&principal(&name)).unwrap().is_empty());

    // A folder that may only be read; root ignores that unless it gives up the right to.
    let own = operator.store().join("_kastellan");
    let folders = [own.join("records"), own.join("material"), own.join("tmp"), own.clone(), operator.store()];
    let set_mode = |mode: &str| {
        let existing = folders.iter().filter(|folder| folder.exists());
        assert!(Command::new("chmod").arg(mode).args(existing).status().unwrap().success());
    };
    set_mode("0555");
    let refused = if rustix::process::geteuid().is_root() {
        let without = "--inh-caps=-all --bounding-set=-dac_override,-dac_read_search,-fowner";
        apply_by(&operator, &format!("exec setpriv {without} -- \"$@\""))
    } else {
        operator.apply(&[])
    };
    set_mode("0755");
    let refused = refused.exits(4).says("Permission denied").says("give the user that runs Kastellan the right");
    assert_eq!(refused.json()["effects"], serde_json::json!({"material": 1}));
    assert!(cluster.mechanisms_of(&name).unwrap().is_empty() && cluster.acls_of(&principal(&name)).unwrap().is_empty());
    operator.apply(&[]).exits(0);
    operator.assert_in_step();
}

#[test]
fn without_the_right_identity_plans_work_and_changes_are_refused() {
    let (_, operator) = on(KafkaVersion::V4_3_1);
    let name = unique_name("identity");
    operator.declare(&name, PLAIN);
    operator.apply(&[]).exits(0);
    let identity = operator.home().join(".config/kastellan/identity.txt");
    let aside = identity.with_extension("aside");
    fs::rename(&identity, &aside).unwrap();
    for (why, prepare) in [("there is no identity file", None), ("cannot open", Some("other.txt"))] {
        if let Some(other) = prepare {
            operator.run(&["init", "other", "--store", "other-store", "--identity", other]).exits(0);
            fs::copy(operator.work().join(other), &identity).unwrap();
        }
        operator.assert_in_step();
        assert_eq!(operator.status(&name)["phase"], "IDLE");
        operator.apply(&[]).exits(1).says(why).says("that the store was made with");
        operator.run(&["verify"]).exits(1).says(why);
    }
    fs::write(&identity, "nonsense\n").unwrap();
    operator.run(&["apply"]).exits(1).says("is not an age identity file: line 1");
    fs::rename(&aside, &identity).unwrap();
    operator.run(&["verify"]).exits(0);
}

#[test]
fn a_damaged_file_of_the_store_fails_its_user_alone() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let (hurt, sound) = (unique_name("hurt"), unique_name("sound"));
    operator.declare(&hurt, PLAIN);
    operator.declare(&sound, PLAIN);
    operator.apply(&[]).exits(0);
    let own = operator.store().join("_kastellan");
    let damage = |path: &Path| {
        let whole = fs::read(path).unwrap();
        fs::write(path, &whole[..whole.len() / 2]).unwrap();
        whole
    };
    let lose_credentials = || {
        for user in [&hurt, &sound] {
            cluster.delete_password(user, Mechanism::ScramSha512).unwrap();
        }
    };

    let record = own.join(format!("records/tests/{hurt}.json"));
    let whole = damage(&record);
    lose_credentials();
    let plan = operator.plan(&[]).exits(4);
    assert!(plan.reports_of(&hurt)[0].1.contains("is damaged"), "{plan}");
    operator.apply(&[]).exits(4).says(&format!("{hurt}.json"));
    assert_eq!(cluster.mechanisms_of(&sound).unwrap().len(), 1);
    assert!(cluster.mechanisms_of(&hurt).unwrap().is_empty());
    // What cannot be read is not taken for absent.
    operator.remove(&hurt);
    operator.apply(&["--prune"]).exits(4);
    operator.declare(&hurt, PLAIN);
    fs::write(&record, whole).unwrap();
    operator.apply(&[]).exits(0);

    let material = own.join(format!("material/tests/{hurt}/1.age"));
    let whole = damage(&material);
    lose_credentials();
    let failed = operator.apply(&[]).exits(4).says("is damaged").says("from Git or a backup").json();
    assert_eq!(failed["ended"][0]["user"], format!("tests/{hurt}"), "{failed:#}");
    assert_eq!(failed["done"], 1, "{failed:#}");
    operator.run(&["verify"]).exits(1).says("1 credential works, 1 failed");
    fs::write(&material, whole).unwrap();
    operator.apply(&[]).exits(0);

    let document = operator.store().join(format!("tests/{hurt}.age"));
    let whole = damage(&document);
    assert_eq!(operator.plan(&[]).exits(0).actions_of(&hurt).len(), 1);
    operator.apply(&[]).exits(4).says(&format!("{hurt}.age"));
    fs::write(&document, whole).unwrap();
    operator.assert_in_step();
}

#[test]
fn two_applies_at_once_on_one_store_make_one_password() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let names: Vec<String> = (0..20).map(|_| unique_name("race")).collect();
    for name in &names {
        operator.declare(name, PLAIN);
    }
    let start = || operator.command(&["apply", "--auto-approve"]).spawn().unwrap();
    let ended = [start(), start(), start()].map(|child| Outcome::new(&["apply"], child.wait_with_output().unwrap()));
    assert!(ended.iter().any(|outcome| outcome.code == Some(0)), "{ended:?}");
    for outcome in ended.into_iter().filter(|outcome| outcome.code != Some(0)) {
        outcome.exits(1).says("is in use by").says("wait for the other process");
    }
    operator.assert_in_step();
    operator.run(&["verify"]).exits(0);
    for name in &names {
        assert_eq!(operator.record(name)["generation"], 1);
        assert_eq!(cluster.mechanisms_of(name).unwrap().len(), 1);
    }
}

#[test]
fn one_physical_cluster_under_two_names_is_refused() {
    let (cluster, mut operator) = on(KafkaVersion::V3_9_2);
    let name = unique_name("twice");
    operator.set("KAFKA_PASSWORD_TWIN", cluster.kastellan.password_text());
    operator.write("kastellan/twin.yaml", &cluster_document("twin", cluster, Transport::Tls));
    operator.declare(&name, &PLAIN.replace("kafka", "kafka, twin"));
    operator.plan(&[]).exits(3).says("`kafka` and `twin` are the same Kafka cluster");
    operator.apply(&[]).exits(3).says("declare each Kafka cluster once");
    assert!(cluster.mechanisms_of(&name).unwrap().is_empty());
}

#[test]
fn a_renamed_document_does_not_take_the_user_from_its_record() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let (before, after) = (unique_name("before"), unique_name("after"));
    let spec = PLAIN.replace("{clusters", &format!("{{username: {before}, clusters"));
    operator.declare(&before, &spec);
    operator.apply(&[]).exits(0);
    let password = fs::read(operator.store().join(format!("tests/{before}.age"))).unwrap();

    operator.remove(&before);
    operator.declare(&after, &spec);
    let plan = operator.plan(&[]).exits(4);
    let claimed = &plan.reports_of(&after)[0].1;
    assert!(claimed.contains(&format!("claimed by `tests/{before}`")) && claimed.contains("renamed"), "{plan}");
    operator.apply(&[]).exits(4);
    assert_eq!(fs::read(operator.store().join(format!("tests/{before}.age"))).unwrap(), password);

    // A person may decide to let the old one go.
    operator.apply(&["--prune"]).exits(4);
    assert!(cluster.mechanisms_of(&before).unwrap().is_empty());
    operator.apply(&[]).exits(0);
    assert_eq!(operator.status(&after)["generation"], 1);
    operator.assert_in_step();
}

#[test]
fn a_copied_store_may_look_and_changes_only_after_somebody_vouches_for_it() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let name = unique_name("copied");
    operator.declare(&name, PLAIN);
    operator.apply(&[]).exits(0);
    let copy = operator.work().join("copy");
    let copied = Command::new("cp").arg("-a").arg(operator.store()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let original = operator.store().display().to_string();
    let at = |directory: &str| operator.edit("store.yaml", "directory: ", &format!("directory: {directory} # "));

    at(&copy.display().to_string());
    operator.assert_in_step();
    assert_eq!(operator.status(&name)["phase"], "IDLE");
    cluster.delete_password(&name, Mechanism::ScramSha512).unwrap();
    operator.plan(&["--detailed-exitcode"]).exits(2);
    let before = Snapshot::of(&copy);
    operator.apply(&[]).exits(3).says("is a copy").says("--take-over-store");
    operator.run_with_input(&["store", "put", "imports/x"], "x").exits(3);
    before.assert_unchanged(&copy);
    assert!(cluster.mechanisms_of(&name).unwrap().is_empty());

    operator.apply(&["--take-over-store"]).exits(0);
    assert_eq!(cluster.mechanisms_of(&name).unwrap().len(), 1);
    operator.apply(&[]).exits(0);
    // Now the first one is the copy.
    at(&original);
    operator.apply(&[]).exits(3).says("is a copy");
}

#[test]
fn a_mistake_in_a_document_is_shown_where_it_is_and_nothing_is_contacted() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let witness = TcpListener::bind("127.0.0.1:0").unwrap();
    witness.set_nonblocking(true).unwrap();
    let address = witness.local_addr().unwrap().to_string();
    operator.write("kastellan/kafka.yaml", &cluster_at("kafka", cluster, &address));
    let mistakes = [
        ("{clusters: [kafka], authentcation: {type: scram}}", "bad.yaml:4:27", "authentication"),
        ("{clusters: [kafak], authentication: {type: scram}}", "bad.yaml:4:19", "kafka"),
        ("{clusters: [kafka], authentication: {type: scram", "bad.yaml:", ""),
        ("{clusters: [kafka], authentication: {type: tls}}", "bad.yaml:4:", "tls"),
        ("&a [*a, *a]", "bad.yaml:", ""),
    ];
    for (spec, place, hint) in mistakes {
        operator.declare("bad", spec);
        for command in [&["validate"][..], &["plan"], &["apply", "--auto-approve"], &["verify"], &["status"]] {
            let outcome = operator.run(command).exits(1).says(place).says(hint);
            assert!(outcome.stdout.is_empty(), "{outcome}");
        }
        let found = operator.run(&["validate", "-o", "json"]).exits(1).json();
        assert_eq!(found["valid"], false, "{found:#}");
    }
    let found = operator.run_with_input(&["plan", "-f", "-"], "kind: Nonsense\n").exits(1);
    assert!(found.stderr.contains("Nonsense"), "{found}");
    operator.run(&["plan", "-f", "nowhere"]).exits(1).says("nowhere");
    assert_eq!(witness.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody was contacted");
}

#[test]
fn a_reader_that_hangs_up_is_no_failure() {
    let (_, operator) = on(KafkaVersion::V4_3_1);
    operator.declare(&unique_name("pipe"), PLAIN);
    for arguments in [&["plan"][..], &["plan", "-o", "json"], &["status"], &["schemas"], &["completions", "bash"]] {
        let mut child = operator.command(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let outcome = Outcome::new(arguments, child.wait_with_output().unwrap()).exits(0);
        assert!(!outcome.stderr.contains("panicked") && !outcome.stderr.contains("error"), "{outcome}");
    }
    // Nor is one that reads the log: an apply is not to end in the middle because of it.
    for arguments in [&["--log", "trace", "plan"][..], &["--log", "trace", "apply", "--auto-approve"]] {
        let mut child = operator.command(arguments).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        Outcome::new(arguments, child.wait_with_output().unwrap()).exits(0);
    }
    operator.assert_in_step();
}
