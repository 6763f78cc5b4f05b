mod refusals;
mod system;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::credential::{Connection, LiveCredential};
use crate::deliver::Strangers;
use crate::diagnostic::{Chain, Disposition};
use crate::names::{ClusterName, DeliveryName, Mechanism, NamespacedName, UserName};
use crate::spec::{FileFormat, Owner};

const PASSWORD: &str = "pa55-canary";
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";

fn delivery() -> FileDelivery {
    let path = std::env::var_os("PATH").unwrap();
    FileDelivery::new("here".into(), Git::find(&path, None))
}

fn connection(ca_pem: Option<&str>) -> Connection {
    Connection {
        bootstrap_servers: "kafka:9094".into(),
        security_protocol: "SASL_SSL".into(),
        ca_pem: ca_pem.map(Arc::from),
    }
}

/// One delivery under test; the fields are what tests vary.
#[derive(Clone)]
struct Case {
    user: NamespacedName,
    target: FileTarget,
    connection: Connection,
    generation: u64,
    password: String,
    recorded: Option<DeliveryRecord>,
}

impl Case {
    fn new(path: &Path) -> Self {
        Self {
            user: "payments/payments".parse().unwrap(),
            target: FileTarget { path: path.to_owned(), format: FileFormat::Properties, owner: None },
            connection: connection(None),
            generation: 1,
            password: PASSWORD.into(),
            recorded: None,
        }
    }

    fn rotation_id(&self) -> RotationId {
        RotationId::parse(format!("rotation{}", self.generation)).unwrap()
    }

    fn request(&self) -> DeliveryRequest {
        DeliveryRequest {
            user: self.user.clone(),
            name: DeliveryName::parse("file").unwrap(),
            username: UserName::parse("payments").unwrap(),
            cluster: ClusterName::parse("prod").unwrap(),
            connection: self.connection.clone(),
            target: Target::File(self.target.clone()),
            published: Some((Generation(self.generation), self.rotation_id())),
            recorded: self.recorded.clone(),
            strangers: Strangers::LeftAlone,
        }
    }

    fn shipment(&self) -> Shipment {
        let credential = LiveCredential {
            generation: Generation(self.generation),
            rotation_id: self.rotation_id(),
            published_at: jiff::Timestamp::UNIX_EPOCH,
            username: UserName::parse("payments").unwrap(),
            password: Secret::from_text(self.password.clone()),
            mechanism: Mechanism::ScramSha512,
            connections: vec![],
        };
        Shipment { request: self.request(), credential: Arc::new(credential) }
    }

    fn deliver(&mut self) -> Result<DeliveryRecord, DeliveryError> {
        let record = delivery().deliver(&[self.shipment()]).pop().unwrap();
        if let Ok(record) = &record {
            self.recorded = Some(record.clone());
        }
        record
    }

    fn fact(&self) -> DeliveryFact {
        delivery().observe(&[self.request()]).pop().unwrap()
    }

    fn withdraw(&self) -> Result<(), DeliveryError> {
        let recorded = self.recorded.clone().expect("delivered before");
        let withdrawal = Withdrawal { user: self.user.clone(), newest: Generation(self.generation), recorded };
        delivery().withdraw(&[withdrawal]).pop().unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.target.path).unwrap()
    }

    /// What changes when a file is written: its inode and its time.
    fn trace(&self) -> (u64, i64, i64) {
        let metadata = fs::metadata(&self.target.path).unwrap();
        (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn case_in(folder: &TempDir) -> Case {
    Case::new(&folder.path().join("client.properties"))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_written_once_and_for_its_owner_alone() {
    let folder = folder();
    let mut case = case_in(&folder);
    assert!(matches!(case.fact(), DeliveryFact::Missing));
    let record = case.deliver().unwrap();
    assert_eq!(names(folder.path()), ["client.properties"]);
    assert_eq!(fs::metadata(&case.target.path).unwrap().mode() & 0o7777, 0o600);
    assert!(case.text().contains(PASSWORD) && case.text().contains("# kastellan.io/generation: 1\n"));
    assert!(matches!(case.fact(), DeliveryFact::InStep));

    let trace = case.trace();
    assert_eq!(case.deliver().unwrap(), record);
    assert_eq!(case.trace(), trace);
    let record = serde_json::to_string(&record).unwrap();
    assert!(!record.contains(PASSWORD), "{record}");
}

#[test]
fn what_it_holds_decides_not_what_the_record_says() {
    let folder = folder();
    let mut case = case_in(&folder);
    case.deliver().unwrap();
    let trace = case.trace();

    // A record that was lost, as after a crash between file and record: compared, and not written.
    case.recorded = None;
    assert!(matches!(case.fact(), DeliveryFact::Touched));
    case.deliver().unwrap();
    assert_eq!(case.trace(), trace);

    // A file that somebody edited: found without reading its secret, and put right.
    let edited = case.text().replace(PASSWORD, "something-else");
    fs::write(&case.target.path, edited).unwrap();
    assert!(matches!(case.fact(), DeliveryFact::Touched));
    case.deliver().unwrap();
    assert!(case.text().contains(PASSWORD));
    assert!(matches!(case.fact(), DeliveryFact::InStep));

    fs::remove_file(&case.target.path).unwrap();
    assert!(matches!(case.fact(), DeliveryFact::Missing));
}

#[test]
fn changed_inputs_are_outdated_and_written() {
    let folder = folder();
    let mut case = case_in(&folder);
    case.deliver().unwrap();
    case.connection.bootstrap_servers = "kafka-9:9094".into();
    assert!(matches!(case.fact(), DeliveryFact::Outdated));
    case.deliver().unwrap();
    assert!(case.text().contains("kafka-9"), "an equal generation is rewritten when its content differs");
    case.generation = 2;
    case.password = "next".into();
    assert!(matches!(case.fact(), DeliveryFact::Outdated));
    case.deliver().unwrap();
    assert!(case.text().contains("password=\"next\"") && !case.text().contains(PASSWORD));
}

#[test]
fn what_a_crash_left_is_cleared_away() {
    let folder = folder();
    let scratch = folder.path().join("client.properties.kastellan-tmp");
    fs::write(&scratch, "half a secr").unwrap();
    let mut case = case_in(&folder);
    case.deliver().unwrap();
    assert!(!scratch.exists());
    fs::write(&scratch, "half a secr").unwrap();
    case.deliver().unwrap();
    assert!(!scratch.exists(), "also when nothing else has to be written");
    fs::write(&scratch, "half a secr").unwrap();
    case.withdraw().unwrap();
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn certificates_beside_the_file_come_and_go_with_it() {
    let folder = folder();
    let mut case = case_in(&folder);
    case.target.format = FileFormat::Librdkafka;
    case.connection = connection(Some(PEM));
    case.deliver().unwrap();
    assert_eq!(names(folder.path()), ["client.properties", "client.properties.ca.pem"]);
    assert!(matches!(case.fact(), DeliveryFact::InStep));
    let beside = folder.path().join("client.properties.ca.pem");
    assert!(case.text().contains(&format!("ssl.ca.location={}\n", beside.display())));

    fs::write(&beside, fs::read_to_string(&beside).unwrap().replace("MIIB", "MIIC")).unwrap();
    assert!(matches!(case.fact(), DeliveryFact::Touched));
    case.deliver().unwrap();
    assert!(fs::read_to_string(&beside).unwrap().contains("MIIB"));

    case.withdraw().unwrap();
    case.withdraw().unwrap();
    assert_eq!(names(folder.path()), [""; 0]);

    case.deliver().unwrap();
    case.connection = connection(None);
    case.deliver().unwrap();
    assert_eq!(names(folder.path()), ["client.properties"]);
}

#[test]
fn a_batch_answers_in_order_and_each_delivery_fails_alone() {
    let folder = folder();
    let mut cases = Vec::new();
    for index in 0..300 {
        let inner = folder.path().join(format!("{}", index % 130));
        if index < 130 && index % 10 != 0 {
            fs::create_dir(&inner).unwrap();
        }
        let mut case = Case::new(&inner.join(format!("{index}.properties")));
        case.user = format!("team/user{index}").parse().unwrap();
        cases.push(case);
    }
    let shipments: Vec<_> = cases.iter().map(Case::shipment).collect();
    let results = delivery().deliver(&shipments);
    for (index, result) in results.iter().enumerate() {
        match result {
            Ok(record) => assert_eq!(record.target, cases[index].target.path.to_str().unwrap()),
            Err(error) => {
                assert!(matches!(error, DeliveryError::NoFolder { .. }));
                assert_eq!(index % 130 % 10, 0);
            }
        }
    }
    for (case, result) in cases.iter_mut().zip(results) {
        case.recorded = result.ok();
    }
    let facts = delivery().observe(&cases.iter().map(Case::request).collect::<Vec<_>>());
    for (case, fact) in cases.iter().zip(facts) {
        match fact {
            DeliveryFact::InStep => assert!(case.recorded.is_some()),
            DeliveryFact::Blocked(DeliveryError::NoFolder { .. }) => assert!(case.recorded.is_none()),
            other => panic!("{other:?}"),
        }
    }
}
