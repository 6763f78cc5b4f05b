//! Git, owners and the disk.

use super::*;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(arguments);
    let output = git.env_remove("GIT_DIR").env_remove("GIT_INDEX_FILE").env_remove("GIT_WORK_TREE").output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn git_never_gets_a_secret() {
    let folder = folder();
    let mut case = case_in(&folder);
    git(folder.path(), &["init", "-q"]);
    let tracked = |error: &DeliveryError| matches!(error, DeliveryError::Tracked { .. });
    assert!(matches!(case.fact(), DeliveryFact::Blocked(error) if tracked(&error)));
    let error = case.deliver().unwrap_err();
    assert!(tracked(&error), "{}", Chain(&error));
    assert!(error.hint().unwrap().contains("`client.properties*`"), "{:?}", error.hint());
    assert_eq!(names(folder.path()), [".git"]);

    // The sibling of the atomic write would hold the secret after a crash.
    fs::write(folder.path().join(".gitignore"), "client.properties\n").unwrap();
    let error = case.deliver().unwrap_err();
    assert!(tracked(&error) && error.to_string().contains("kastellan-tmp"), "{error}");
    assert!(error.hint().unwrap().contains("`client.properties*`"), "{:?}", error.hint());

    fs::write(folder.path().join(".gitignore"), "client.properties*\n").unwrap();
    case.deliver().unwrap();
    assert!(matches!(case.fact(), DeliveryFact::InStep));

    // Tracked all the same.
    git(folder.path(), &["add", "-f", "client.properties"]);
    case.generation = 2;
    assert!(tracked(&case.deliver().unwrap_err()));
    assert!(case.text().contains("generation: 1\n"));
}

#[test]
fn git_is_asked_for_whole_batches_in_work_trees_of_every_kind() {
    let folder = folder();
    let inside = folder.path().join("deep/er");
    fs::create_dir_all(&inside).unwrap();
    git(folder.path(), &["init", "-q"]);
    fs::write(folder.path().join(".gitignore"), "secret*\n/deep/er/:(top)b*\n").unwrap();
    git(folder.path(), &["add", ".gitignore"]);
    git(folder.path(), &["commit", "-qm", "first"]);
    git(folder.path(), &["worktree", "add", "-q", folder.path().join("linked-tree").to_str().unwrap()]);
    let linked = folder.path().join("linked-tree");
    assert!(linked.join(".git").is_file());
    let shipments: Vec<_> = [
        inside.join("secret.properties"),
        inside.join(":(top)b"),
        inside.join("open.properties"),
        linked.join("secret.properties"),
        linked.join("open.properties"),
        inside.join(" odd \"name\"\n"),
    ]
    .iter()
    .map(|path| Case::new(path).shipment())
    .collect();
    let results: Vec<_> = delivery().deliver(&shipments).into_iter().map(|result| result.is_ok()).collect();
    assert_eq!(results, [true, true, false, true, false, false]);
}

#[test]
fn without_an_answer_of_git_nothing_is_written_into_a_work_tree() {
    let folder = folder();
    let case = case_in(&folder);
    fs::create_dir(folder.path().join(".git")).unwrap();
    let without = FileDelivery::new("here".into(), None);
    let error = without.deliver(&[case.shipment()]).pop().unwrap().unwrap_err();
    assert!(matches!(error, DeliveryError::GitSilent { source: None, .. }));
    // A `.git` that git does not take for one.
    let error = delivery().deliver(&[case.shipment()]).pop().unwrap().unwrap_err();
    assert!(matches!(error, DeliveryError::GitSilent { source: Some(_), .. }), "{}", Chain(&error));
    assert!(!case.target.path.exists());
}

#[test]
fn the_settings_of_a_repository_run_nothing() {
    let folder = folder();
    git(folder.path(), &["init", "-q"]);
    let witness = folder.path().join("witness");
    let monitor = folder.path().join("monitor");
    fs::write(&monitor, format!("#!/bin/sh\ntouch '{}'\n", witness.display())).unwrap();
    fs::set_permissions(&monitor, fs::Permissions::from_mode(0o755)).unwrap();
    git(folder.path(), &["config", "core.fsmonitor", monitor.to_str().unwrap()]);
    fs::write(folder.path().join(".gitignore"), "*\n").unwrap();
    case_in(&folder).deliver().unwrap();
    assert!(!witness.exists());
}

#[test]
fn access_is_restored_without_writing() {
    let folder = folder();
    let mut case = case_in(&folder);
    case.deliver().unwrap();
    let trace = case.trace();
    fs::set_permissions(&case.target.path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(case.fact(), DeliveryFact::Touched));
    case.deliver().unwrap();
    assert_eq!(fs::metadata(&case.target.path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(case.trace(), trace);
    assert!(matches!(case.fact(), DeliveryFact::InStep));
}

#[test]
fn an_unknown_owner_is_named_before_anything_is_written() {
    let folder = folder();
    let mut case = case_in(&folder);
    case.target.owner = Some(Owner { user: "no-such-user".into(), group: Some("root".into()) });
    assert!(matches!(case.fact(), DeliveryFact::Blocked(DeliveryError::Owner { .. })));
    let error = case.deliver().unwrap_err();
    insta::assert_snapshot!(Chain(&error), @"owner `no-such-user:root` cannot be resolved: this machine has no such user");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn the_owner_gets_the_file_or_nothing_is_written() {
    let folder = folder();
    let mut case = case_in(&folder);
    case.target.owner = Some(Owner { user: "12345".into(), group: Some("12346".into()) });
    if !is_root() {
        assert!(matches!(case.deliver().unwrap_err(), DeliveryError::GiveAway { .. }));
        assert_eq!(names(folder.path()), [""; 0]);
        return;
    }
    let owner = |case: &Case| {
        let metadata = fs::metadata(&case.target.path).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    case.deliver().unwrap();
    assert_eq!(owner(&case), (12345, 12346, 0o600));
    assert!(matches!(case.fact(), DeliveryFact::InStep));

    // Somebody gave it away: given back without writing.
    std::os::unix::fs::chown(&case.target.path, Some(1), Some(1)).unwrap();
    let trace = case.trace();
    assert!(matches!(case.fact(), DeliveryFact::Touched));
    case.deliver().unwrap();
    assert_eq!((owner(&case), case.trace()), ((12345, 12346, 0o600), trace));

    // Without an owner in the document the file stays with the one it has, over a rewrite too.
    case.target.owner = None;
    case.generation = 2;
    case.deliver().unwrap();
    assert_eq!(owner(&case), (12345, 12346, 0o600));
}

#[test]
fn a_folder_that_cannot_be_written_to_is_an_error_of_that_delivery_alone() {
    let folder = folder();
    // Not even root can create a file there.
    let closed = Case::new(Path::new("/sys/kernel/client.properties"));
    let results = delivery().deliver(&[closed.shipment(), case_in(&folder).shipment()]);
    assert!(matches!(&results[0], Err(DeliveryError::Write { .. } | DeliveryError::NoFolder { .. })), "{results:?}");
    assert!(results[1].is_ok());
}

/// A file system of 16 KiB, gone with its owner.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16k", "none"]).arg(folder);
        let mounted = is_root() && mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that another test starts at this moment may still have a file of it open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_leaves_the_old_file_and_no_sibling() {
    let folder = folder();
    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    // Only root can make a small disk.
    let Some(disk) = SmallDisk::mount(&small) else { return };
    let mut case = Case::new(&small.join("client.properties"));
    let first = case.deliver();
    let before = fs::read_to_string(&case.target.path);
    case.generation = 2;
    let block = vec![0; 4096];
    let filler = small.join("filler");
    let mut full = fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut full, &block).is_ok() {}
    drop(full);
    let second = case.deliver();
    let after = fs::read_to_string(&case.target.path);
    let left = names(&small);
    fs::remove_file(&filler).unwrap();
    let third = case.deliver();
    drop(disk);

    first.unwrap();
    let error = second.unwrap_err();
    assert!(matches!(error, DeliveryError::Write { .. }), "{}", Chain(&error));
    assert_eq!(error.disposition(), Disposition::Wait);
    assert!(!format!("{} {error:?}", Chain(&error)).contains(PASSWORD));
    assert_eq!(after.unwrap(), before.unwrap());
    assert_eq!(left, ["client.properties", "filler"]);
    third.unwrap();
}
