//! The stack itself: its servers start, do what tests rely on, and leave nothing behind.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use kastellan::names::{AclRule, Mechanism, Operation, PatternType, Permission, ResourceType};

use crate::stack::kafka::{Tool, principal};
use crate::stack::process::{self, Janitor, Server};
use crate::stack::{
    Cluster, ClusterBuilder, Credentials, KafkaVersion, Listener, Rights, shared, unique_name, wait_until,
};

fn allow(resource_type: ResourceType, name: &str, operation: Operation) -> AclRule {
    AclRule {
        permission: Permission::Allow,
        resource_type,
        pattern_type: PatternType::Literal,
        resource_name: name.into(),
        operation,
        host: "*".into(),
    }
}

/// A user that may write and read a topic of its own; its name is the topic's and the group's.
fn user_with_topic(cluster: &Cluster, mechanism: Mechanism) -> Credentials {
    let credentials = Credentials::random(&unique_name("user"));
    let name = credentials.username.as_str();
    cluster.set_password(name, mechanism, &credentials.password).unwrap();
    cluster.create_topic(name).unwrap();
    let rules = [
        allow(ResourceType::Topic, name, Operation::Write),
        allow(ResourceType::Topic, name, Operation::Read),
        allow(ResourceType::Group, name, Operation::Read),
    ];
    cluster.grant(&principal(name), &rules).unwrap();
    credentials
}

fn java_clients_log_in(version: KafkaVersion) {
    let cluster = shared(version, 1);
    for (listener, mechanism) in
        [(Listener::Clients, Mechanism::ScramSha512), (Listener::ClientsTls, Mechanism::ScramSha256)]
    {
        let user = user_with_topic(cluster, mechanism);
        let configuration = cluster.client_properties(listener, mechanism, &user).unwrap();
        let produced = cluster.produce(listener, &configuration, &user.username, &["one", "two"]).unwrap();
        assert!(produced.succeeded(), "{produced:?}");
        let consumed = cluster.consume(listener, &configuration, &user.username, &user.username, 2).unwrap();
        assert_eq!(consumed.stdout, "one\ntwo\n", "{consumed:?}");
        assert!(consumed.succeeded(), "{consumed:?}");
    }
}

#[test]
fn java_clients_log_in_to_4_3_1() {
    java_clients_log_in(KafkaVersion::V4_3_1);
}

#[test]
fn java_clients_log_in_to_3_9_2() {
    java_clients_log_in(KafkaVersion::V3_9_2);
}

#[test]
fn tools_that_administer_run_as_the_super_user() {
    for version in KafkaVersion::ALL {
        let cluster = shared(version, 1);
        let configuration =
            cluster.client_properties(Listener::AdminTls, Mechanism::ScramSha512, &cluster.admin).unwrap();
        let topic = unique_name("listed");
        cluster.create_topic(&topic).unwrap();
        let run = |tool, arguments: &[&str]| {
            let outcome = cluster.run_tool(tool, Listener::AdminTls, &configuration, arguments, "").unwrap();
            assert!(outcome.succeeded(), "{outcome:?}");
            outcome.stdout
        };
        assert!(run(Tool::Topics, &["--list"]).contains(&topic));
        assert!(run(Tool::Acls, &["--list"]).contains("principal=User:kastellan"));
        let described = run(Tool::Configs, &["--describe", "--entity-type", "users", "--entity-name", "kastellan"]);
        assert!(described.contains("SCRAM-SHA-512=iterations=4096"), "{described}");
    }
}

#[test]
fn what_is_prepared_is_true_on_the_brokers() {
    for version in KafkaVersion::ALL {
        let cluster = shared(version, 1);
        let user = user_with_topic(cluster, Mechanism::ScramSha256);
        let name = user.username.as_str();
        cluster.set_password(name, Mechanism::ScramSha512, &user.password).unwrap();
        assert_eq!(cluster.mechanisms_of(name).unwrap(), Mechanism::ALL.into());
        cluster.delete_password(name, Mechanism::ScramSha256).unwrap();
        assert_eq!(cluster.mechanisms_of(name).unwrap(), [Mechanism::ScramSha512].into());
        assert!(cluster.mechanisms_of("nobody").unwrap().is_empty());

        assert_eq!(cluster.acls_of(&principal(name)).unwrap().len(), 3);
        cluster.revoke_all(&principal(name)).unwrap();
        assert!(cluster.acls_of(&principal(name)).unwrap().is_empty());

        cluster.set_quota(name, "producer_byte_rate", Some(1024.0)).unwrap();
        assert_eq!(cluster.quotas_of(name).unwrap(), [("producer_byte_rate".to_owned(), 1024.0)].into());
        cluster.set_quota(name, "producer_byte_rate", None).unwrap();
        assert!(cluster.quotas_of(name).unwrap().is_empty());
    }
}

#[test]
fn kastellan_has_the_rights_it_was_given_and_no_others() {
    let cluster = shared(KafkaVersion::V4_3_1, 1);
    let list = |credentials: &Credentials| {
        let configuration = cluster.client_properties(Listener::Admin, Mechanism::ScramSha512, credentials).unwrap();
        cluster.run_tool(Tool::Acls, Listener::Admin, &configuration, &["--list"], "").unwrap()
    };
    assert!(list(&cluster.kastellan).succeeded());
    let rights = |rights: Rights| cluster.add_administrator(&rights).unwrap();
    assert!(list(&rights(Rights::plan())).succeeded());
    // Not `apply` without Describe: Kafka reads Alter as Describe, and AlterConfigs as DescribeConfigs.
    let refused = list(&rights(Rights::plan().without(Operation::Describe)));
    assert!(refused.stdout.contains("ClusterAuthorizationException"), "{refused:?}");
    assert!(list(&rights(Rights::none())).stdout.contains("ClusterAuthorizationException"));
}

#[test]
fn a_client_certificate_is_a_principal_with_rights() {
    let cluster = shared(KafkaVersion::V4_3_1, 1);
    let identity = cluster.add_tls_administrator(&Rights::plan()).unwrap();
    let text = format!(
        "security.protocol=SSL\nssl.keystore.type=PEM\nssl.keystore.location={}\nssl.truststore.type=PEM\n\
         ssl.truststore.location={}\n",
        identity.keystore_file.display(),
        cluster.ca_file().display()
    );
    let configuration = identity.certificate_file.with_extension("properties");
    std::fs::write(&configuration, text).unwrap();
    let listed = cluster.run_tool(Tool::Acls, Listener::MutualTls, &configuration, &["--list"], "").unwrap();
    assert!(listed.stdout.contains("principal=User:CN=administrator"), "{listed:?}");
    assert!(identity.key_file.is_file());
}

#[test]
fn refused_logins_are_counted_also_over_a_restart_and_nothing_is_left() {
    for version in KafkaVersion::ALL {
        let cluster = ClusterBuilder::new(version)
            .client_mechanisms(&[Mechanism::ScramSha512])
            .rights(Rights::plan())
            .property("connections.max.reauth.ms", "5000")
            .start()
            .unwrap();
        assert_eq!(cluster.failed_authentications(), 0);
        let stranger = Credentials::random("kastellan");
        let configuration = cluster.client_properties(Listener::Clients, Mechanism::ScramSha512, &stranger).unwrap();
        let refused = cluster.run_tool(Tool::Acls, Listener::Clients, &configuration, &["--list"], "").unwrap();
        assert!(!refused.succeeded(), "{refused:?}");
        let failed = cluster.failed_authentications();
        assert!(failed > 0, "{refused:?}");
        cluster.stop_node(1);
        cluster.start_node(1).unwrap();
        assert_eq!(cluster.failed_authentications(), failed);

        let (pids, folder) = (cluster.pids(), cluster.folder().to_owned());
        assert!(pids.len() == 1 && process::is_alive(pids[0]) && folder.is_dir());
        drop(cluster);
        assert!(!process::is_alive(pids[0]) && !folder.exists());
    }
}

#[test]
fn three_nodes_survive_the_death_of_one_and_take_it_back() {
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(3).start().unwrap();
    assert_eq!(cluster.bootstrap(Listener::Clients).split(',').count(), 3);
    let address = cluster.address(Listener::Clients, 2);
    cluster.kill_node(2);
    assert!(std::net::TcpStream::connect(address).is_err());
    let user = user_with_topic(&cluster, Mechanism::ScramSha512);
    cluster.start_node(2).unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok());
    let configuration = cluster.client_properties(Listener::Clients, Mechanism::ScramSha512, &user).unwrap();
    let produced = cluster.produce(Listener::Clients, &configuration, &user.username, &["late"]).unwrap();
    assert!(produced.succeeded(), "{produced:?}");
    assert_eq!(cluster.failed_authentications(), 0);
}

/// Not a test of its own: the process that [`servers_and_folders_go_when_their_process_is_killed`] kills.
#[test]
#[ignore = "started by another test"]
fn holds_a_server_and_a_folder_until_it_is_killed() {
    let folder = tempfile::tempdir().unwrap().keep();
    let _janitor = Janitor::of(&folder).unwrap();
    let server = Server::start(&["sleep", "600"], &[], &folder.join("output.log")).unwrap();
    std::fs::write(folder.join("pid"), server.pid().to_string()).unwrap();
    std::fs::rename(folder.join("pid"), std::env::var_os("KASTELLAN_TEST_HANDOVER").unwrap()).unwrap();
    let _never = std::io::stdin().read(&mut [0]);
}

#[test]
fn servers_and_folders_go_when_their_process_is_killed() {
    let own = tempfile::tempdir().unwrap();
    let handover = own.path().join("pid");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kafka_stack::holds_a_server_and_a_folder_until_it_is_killed", "--ignored"])
        .env("KASTELLAN_TEST_HANDOVER", &handover)
        .env("TMPDIR", own.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(wait_until(Duration::from_secs(10), || handover.is_file()));
    let server: u32 = std::fs::read_to_string(&handover).unwrap().parse().unwrap();
    assert!(process::is_alive(server));
    std::fs::remove_file(&handover).unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(wait_until(Duration::from_secs(10), || !process::is_alive(server)));
    let is_empty = || std::fs::read_dir(own.path()).unwrap().next().is_none();
    assert!(wait_until(Duration::from_secs(10), is_empty), "the folder is still there");
}

#[test]
fn a_server_is_asked_to_end_before_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output.log");
    let script = "trap 'echo asked; exit 0' TERM; echo $GREETING; while :; do sleep 0.1; done";
    let server = Server::start(&["sh", "-c", script], &[("GREETING", "hello")], &output).unwrap();
    let printed = || std::fs::read_to_string(&output).unwrap_or_default();
    assert!(wait_until(Duration::from_secs(5), || printed() == "hello\n"));
    server.terminate(Duration::from_secs(5));
    assert_eq!(printed(), "hello\nasked\n");
}
