//! Processes that are killed, meet each other, or find the disk full or read-only.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kastellan::diagnostic::Disposition;
use kastellan::names::Generation;
use kastellan::store::age::{AgeReader, AgeStore};
use kastellan::store::{
    Backend, Created, MachineState, MaterialStat, RecordWrite, SecretReader as _, Store, StoreError, StoreReader as _,
    StoreSettings,
};

use super::{files, told};
use crate::support::store::{Fixture, age_settings, material, record, user, users};

/// Names the folder of a fixture to a test that runs itself as another process.
const CHILD: &str = "KASTELLAN_TEST_CHILD";

/// The fixture's folder, if this process is the other one.
fn parent_folder() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Opens the store of a fixture by the fixture's folder.
fn reopen(folder: &Path) -> Result<AgeStore, StoreError> {
    let settings = age_settings(folder.join("store"), folder.join("identity.txt"));
    AgeStore::open_for_writing(&settings, &MachineState { markers: folder.join("state/kastellan/stores") })
}

/// This test binary, told to run one test as a child.
fn myself(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("store::crashes::{test}"), "--exact", "--nocapture"]).env(CHILD, folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same below a shell that prepares its surroundings; `$1` is the folder.
fn myself_in(script: &str, test: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    let executable = std::env::current_exe().unwrap();
    command.args(["-euc", &format!("{script}\nexec \"$0\" \"$2\" --exact --nocapture")]);
    command.arg(executable).arg(folder).arg(format!("store::crashes::{test}")).env(CHILD, folder);
    command
}

fn assert_success(mut command: Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Whether this user may mount file systems in a name space of its own.
fn can_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn what_a_killed_writer_leaves_behind_is_harmless_and_goes() {
    let fixture = Fixture::new(Backend::Age);
    let left = fixture.age().directory.join("_kastellan/tmp/.0123.tmp");
    std::fs::write(&left, "{\"version\": 7, \"rec").unwrap();
    assert!(AgeReader::open_for_reading(fixture.age()).is_ok() && left.exists());
    drop(reopen(fixture.folder.path()).unwrap());
    assert!(!left.exists());
}

#[tokio::test]
async fn material_without_a_record_is_found_again() {
    let fixture = Fixture::new(Backend::Age);
    let payments = user("payments/payments");
    let attempt = |password| vec![(payments.clone(), material(1, password))];
    fixture.open().await.create_materials(attempt("first")).await.pop().unwrap().unwrap();
    // Killed before the record was written; the next process starts from nothing but the store.
    let store = fixture.open().await;
    assert!(store.list_records().await.unwrap().is_empty());
    let generation = [(payments.clone(), Generation(1))];
    assert_eq!(store.stat_materials(&generation).await.pop().unwrap().unwrap(), MaterialStat::Present);
    assert_eq!(store.create_materials(attempt("second")).await.pop().unwrap().unwrap(), Created::AlreadyThere);
    let read = store.read_materials(&generation).await.pop().unwrap().unwrap().unwrap();
    assert_eq!(read.scram.password.expose_text(), Some("first"));
}

/// A child process that dies with the test.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn a_writer_killed_at_any_moment_leaves_whole_files_and_no_lock() {
    if let Some(folder) = parent_folder() {
        write_for_ever(&reopen(&folder).unwrap()).await;
    }
    let fixture = Fixture::new(Backend::Age);
    let folder = fixture.folder.path();
    let mut newest = 0;
    for round in 0..4 {
        let mut writer =
            Writer(myself("a_writer_killed_at_any_moment_leaves_whole_files_and_no_lock", folder).spawn().unwrap());
        let reader = AgeReader::open_for_reading(fixture.age()).unwrap();
        let goal = newest + 2 + round;
        // Meanwhile every file is seen whole.
        while newest < goal {
            assert_eq!(writer.0.try_wait().unwrap(), None, "the writer ended by itself");
            newest = newest.max(newest_version(&reader).await);
        }
        drop(writer);
        let store = reopen(folder).unwrap();
        let after = newest_version(&store).await;
        assert!(after >= newest, "what was seen is still there");
        newest = after;
        assert_eq!(files(&fixture.age().directory.join("_kastellan/tmp")), Vec::<PathBuf>::new());
    }
}

/// Rewrites the records of 300 users, and of one, again and again.
async fn write_for_ever(store: &AgeStore) -> ! {
    let users = users(300);
    loop {
        for users in [&users[..], &users[..1]] {
            let read = store.read_records(users).await;
            let write = |(user, read): (_, Result<Option<kastellan::credential::Versioned<_>>, _>)| RecordWrite {
                record: record(user),
                expected: read.unwrap().map(|record| record.version),
            };
            let writes = users.iter().zip(read).map(write).collect();
            store.write_records(writes).await.into_iter().for_each(|result| drop(result.unwrap()));
        }
    }
}

async fn newest_version(store: &dyn kastellan::store::StoreReader) -> u64 {
    let listed = store.list_records().await.unwrap();
    listed.into_iter().map(|(_, record)| record.unwrap().version.0.parse().unwrap()).max().unwrap_or(0)
}

#[test]
fn a_second_process_is_told_who_writes() {
    if let Some(folder) = parent_folder() {
        let error = reopen(&folder).unwrap_err();
        let owner = std::os::unix::process::parent_id();
        assert!(matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == owner), "{error:?}");
        assert_eq!(error.disposition(), Disposition::Wait);
        let settings = age_settings(folder.join("store"), folder.join("identity.txt"));
        assert!(AgeReader::open_for_reading(&settings).is_ok(), "it may look");
        return;
    }
    let fixture = Fixture::new(Backend::Age);
    let store = reopen(fixture.folder.path()).unwrap();
    assert_success(myself("a_second_process_is_told_who_writes", fixture.folder.path()));
    let error = reopen(fixture.folder.path()).unwrap_err();
    let message = told(&error, fixture.folder.path()).replace(&std::process::id().to_string(), "4711");
    insta::assert_snapshot!(message, @r"
    store `…/store` is in use by process 4711
      hint: wait for the other process, or end it; the lock falls with it
    ");
    drop(store);
    assert!(reopen(fixture.folder.path()).is_ok());
}

/// Writes until it fails, then sees that nothing is lost and nothing half-written.
async fn fill_up(folder: &Path) -> StoreError {
    let store = reopen(folder).unwrap();
    let mut written = Vec::new();
    let failure = loop {
        let payments = user("payments/payments");
        let generation = written.len() as u64 + 1;
        assert!(generation < 10_000, "there was no end to it");
        match store.create_materials(vec![(payments.clone(), material(generation, "secret"))]).await.pop().unwrap() {
            Ok(_) => written.push((payments, Generation(generation))),
            Err(error) => break error,
        }
    };
    let next = (user("payments/payments"), Generation(written.len() as u64 + 1));
    assert_eq!(store.stat_materials(&[next]).await.pop().unwrap().unwrap(), MaterialStat::Absent);
    assert!(store.read_materials(&written).await.into_iter().all(|read| read.unwrap().is_some()));
    assert_eq!(files(&folder.join("store/_kastellan/tmp")), Vec::<PathBuf>::new());
    failure
}

#[tokio::test]
async fn a_full_disk_loses_nothing() {
    if let Some(folder) = parent_folder() {
        let failure = fill_up(&folder).await;
        assert_eq!(failure.disposition(), Disposition::Wait);
        assert!(failure.hint().unwrap().starts_with("free some space"), "{failure:?}");
        return;
    }
    let test = "a_full_disk_loses_nothing";
    if can_mount() {
        let folder = tempfile::tempdir().unwrap();
        // A small file system with a store of its own.
        let script = "mount -t tmpfs -o size=512k,mode=700 tmpfs \"$1\"";
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount"]);
        let inner = myself_in(script, "prepares_a_store_and_fills_it", folder.path());
        command.arg(inner.get_program()).args(inner.get_args()).env(CHILD, folder.path());
        assert_success(command);
    }
    // Everywhere: a limit on the size of files, which cuts a file in the middle as a full disk does.
    let fixture = Fixture::new(Backend::Age);
    assert_success(myself_in("trap '' XFSZ; ulimit -f 1", test, fixture.folder.path()));
    assert!(reopen(fixture.folder.path()).is_ok());
}

#[tokio::test]
async fn prepares_a_store_and_fills_it() {
    let Some(folder) = parent_folder() else { return };
    let settings = age_settings(folder.join("store"), folder.join("identity.txt"));
    kastellan::store::age::init(&settings, &MachineState { markers: folder.join("state/kastellan/stores") }).unwrap();
    let failure = fill_up(&folder).await;
    assert!(
        matches!(&failure, StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull),
        "{failure:?}"
    );
    assert_eq!(failure.disposition(), Disposition::Wait);
}

#[tokio::test]
async fn a_read_only_folder_can_be_looked_at() {
    if let Some(folder) = parent_folder() {
        let error = reopen(&folder).unwrap_err();
        assert_eq!(error.disposition(), Disposition::Stall, "{error:?}");
        assert!(error.hint().is_some() && error.to_string().contains("_kastellan"), "{error:?}");
        let settings = age_settings(folder.join("store"), folder.join("identity.txt"));
        let reader = AgeReader::open_for_reading(&settings).unwrap();
        assert_eq!(reader.list_records().await.unwrap().len(), 1);
        return;
    }
    let fixture = Fixture::new(Backend::Age);
    let write = RecordWrite { record: record(&user("payments/payments")), expected: None };
    fixture.open().await.write_records(vec![write]).await.pop().unwrap().unwrap();
    let test = "a_read_only_folder_can_be_looked_at";
    if can_mount() {
        let script = "mount --bind \"$1/store\" \"$1/store\"; mount -o remount,bind,ro \"$1/store\"";
        let inner = myself_in(script, test, fixture.folder.path());
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount"]).arg(inner.get_program()).args(inner.get_args());
        command.env(CHILD, fixture.folder.path());
        assert_success(command);
    } else {
        // Without mounts, and so not root, permissions do the same.
        let chmod = |change| {
            assert!(
                Command::new("chmod").args(["-R", change]).arg(&fixture.age().directory).status().unwrap().success()
            )
        };
        chmod("a-w");
        assert_success(myself(test, fixture.folder.path()));
        chmod("u+w");
    }
}

#[tokio::test]
async fn a_file_where_a_folder_should_be_stops_only_its_user() {
    let fixture = Fixture::new(Backend::Age);
    let StoreSettings::Age(settings) = &fixture.settings else { panic!("not an age store") };
    std::fs::write(settings.directory.join("_kastellan/records/payments"), "").unwrap();
    let store = fixture.open().await;
    let write = |name| RecordWrite { record: record(&user(name)), expected: None };
    let results = store.write_records(vec![write("payments/payments"), write("orders/orders")]).await;
    let error = results[0].as_ref().unwrap_err();
    insta::assert_snapshot!(told(error, fixture.folder.path()), @r"
    failed to read `…/store/_kastellan/records/payments/payments.json`: Not a directory (os error 20)
      hint: a file stands where a folder should be; move it away
    ");
    assert!(results[1].is_ok());
}
