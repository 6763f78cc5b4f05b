//! The folder that stands for a person's checkout, the programs that run in it, and the watch over what they print.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use kastellan::secret::Secret;

use crate::failure::Failure;
use crate::narration::Narrator;
use crate::stack::process::Janitor;
use crate::stack::{Cluster, Listener};

/// Where the documents of the quickstart are.
const QUICKSTART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart/kastellan");
/// The address that they carry, and that the demonstration puts its own brokers' in place of.
const PLACEHOLDER: &str = "localhost:9092";
/// More nested than any folder here.
const DEPTH_MAX: usize = 16;

/// What a command printed, on both outputs in the order it came.
pub struct Printed {
    command: String,
    /// Its text.
    pub text: String,
}

impl Printed {
    /// Whether it contains every one of these.
    pub fn says(&self, parts: &[&str]) -> bool {
        parts.iter().all(|part| self.text.contains(part))
    }
}

/// A folder of mode 0700 with a home and a checkout in it; gone when this value is dropped, or this process ends.
pub struct Workshop {
    // Dropped first, and removes the folder.
    _janitor: Janitor,
    folder: PathBuf,
    kastellan: PathBuf,
    admin_password: Secret,
    secrets: RefCell<Vec<Secret>>,
    variables: RefCell<BTreeMap<String, String>>,
}

impl Workshop {
    /// An empty one, for a Kafka that is running.
    pub fn open(kafka: &Cluster) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("kastellan-demo-")
            .tempdir()
            .map_err(Failure::io("create a temporary folder"))?
            .keep();
        let janitor = Janitor::of(&folder)?;
        for below in ["home", "checkout"] {
            fs::create_dir(folder.join(below)).map_err(Failure::io("create a folder"))?;
        }
        let secrets = vec![kafka.admin.password.duplicate(), kafka.kastellan.password.duplicate()];
        let admin_password = kafka.kastellan.password.duplicate();
        Ok(Self {
            _janitor: janitor,
            folder,
            kastellan: program()?,
            admin_password,
            secrets: RefCell::new(secrets),
            variables: RefCell::default(),
        })
    }

    /// Sets a variable for the commands that follow.
    pub fn set_variable(&self, name: &str, value: &str) {
        self.variables.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of the home directory.
    pub fn home(&self, relative: &str) -> PathBuf {
        self.folder.join("home").join(relative)
    }

    /// A file of the checkout.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.join("checkout").join(relative)
    }

    /// Text of a file of the checkout.
    pub fn read(&self, relative: &str) -> Result<String, Failure> {
        fs::read_to_string(self.path(relative)).map_err(Failure::io(format!("read `{relative}`")))
    }

    /// Replaces a file of the checkout.
    pub fn write(&self, relative: &str, text: &str) -> Result<(), Failure> {
        let path = self.path(relative);
        let folder = path.parent().expect("a file of the checkout lies in it");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .map_err(Failure::io(format!("write `{relative}`")))
    }

    /// Makes a folder of mode 0700 in the checkout.
    pub fn create_private_folder(&self, relative: &str) -> Result<(), Failure> {
        let made = fs::DirBuilder::new().mode(0o700).create(self.path(relative));
        made.map_err(Failure::io(format!("create `{relative}`")))
    }

    /// Removes a file of the checkout.
    pub fn remove(&self, relative: &str) -> Result<(), Failure> {
        fs::remove_file(self.path(relative)).map_err(Failure::io(format!("remove `{relative}`")))
    }

    /// Copies a document of the quickstart, with the addresses of our brokers.
    pub fn copy_document(&self, relative: &str, kafka: &Cluster) -> Result<(), Failure> {
        let source = Path::new(QUICKSTART).join(relative);
        let text = fs::read_to_string(&source).map_err(Failure::io(format!("read `{}`", source.display())))?;
        self.write(&format!("kastellan/{relative}"), &text.replace(PLACEHOLDER, &kafka.bootstrap(Listener::Clients)))
    }

    /// The password in a delivered `client.properties`; from now on nothing may print it.
    pub fn learn_password(&self, relative: &str) -> Result<Secret, Failure> {
        let text = self.read(relative)?;
        let password = text.split("password=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let password = Secret::from_text(password.to_owned());
        self.keep_secret(&password);
        Ok(password)
    }

    /// From now on nothing may print it.
    pub fn keep_secret(&self, secret: &Secret) {
        self.secrets.borrow_mut().push(secret.duplicate());
    }

    /// Runs `kastellan` as a person would type it, shows it, and expects an exit status.
    pub fn kastellan(&self, narrator: &Narrator, arguments: &str, expected: i32) -> Result<Printed, Failure> {
        let shown = format!("kastellan {arguments}");
        narrator.command(&shown);
        let mut command = Command::new(&self.kastellan);
        command.args(arguments.split_whitespace());
        let printed = self.run(command, shown, expected)?;
        narrator.output(&printed.text);
        Ok(printed)
    }

    /// Runs `git`, each argument as it stands, and shows the command.
    pub fn git(&self, narrator: &Narrator, arguments: &[&str]) -> Result<(), Failure> {
        let quoted = |text: &&str| if text.contains(' ') { format!("'{text}'") } else { (*text).to_owned() };
        let shown = format!("git {}", arguments.iter().map(quoted).collect::<Vec<_>>().join(" "));
        narrator.command(&shown);
        let mut command = Command::new("git");
        command.args(arguments);
        self.run(command, shown, 0).map(drop)
    }

    fn run(&self, mut command: Command, shown: String, expected: i32) -> Result<Printed, Failure> {
        let what = || Failure::io(format!("run `{shown}`"));
        let (mut reader, writer) = std::io::pipe().map_err(what())?;
        self.surround(&mut command);
        command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(what())?).stderr(writer);
        let mut child = command.spawn().map_err(what())?;
        // Our ends of the pipe go with the command; else reading would never end.
        drop(command);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(what())?;
        let status = child.wait().map_err(what())?;
        let printed = Printed { command: shown, text: String::from_utf8_lossy(&bytes).into_owned() };
        self.watch(&printed.command, &printed.text)?;
        if status.code() == Some(expected) {
            return Ok(printed);
        }
        let actual = status.code().map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        let command = format!("{}`, which printed `{}", printed.command, printed.text.trim_end());
        Err(Failure::OtherEnd { command, expected, actual })
    }

    /// Gives a program a home of its own, so that the demonstration touches nothing of the person's.
    fn surround(&self, command: &mut Command) {
        let home = self.folder.join("home");
        for name in ["KASTELLAN_FILES", "KASTELLAN_LOG", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "GIT_DIR"] {
            command.env_remove(name);
        }
        command
            .current_dir(self.folder.join("checkout"))
            .env("HOME", home)
            .env("KAFKA_ADMIN_PASSWORD", self.admin_password.expose_text().expect("passwords of the stack are text"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Demo")
            .env("GIT_AUTHOR_EMAIL", "demo@example.com")
            .env("GIT_COMMITTER_NAME", "Demo")
            .env("GIT_COMMITTER_EMAIL", "demo@example.com")
            .envs(&*self.variables.borrow());
    }

    /// Withholds what contains a password.
    ///
    /// # Errors
    /// When it does.
    pub fn watch(&self, command: &str, text: &str) -> Result<(), Failure> {
        if self.holds_secret(text.as_bytes()) {
            return Err(Failure::Leak { command: command.to_owned() });
        }
        Ok(())
    }

    fn holds_secret(&self, bytes: &[u8]) -> bool {
        self.secrets
            .borrow()
            .iter()
            .filter(|secret| !secret.is_empty())
            .any(|secret| bytes.windows(secret.len()).any(|window| window == secret.expose()))
    }

    /// Searches everything that was ever committed for passwords.
    ///
    /// # Errors
    /// When there is one, or nothing was committed.
    pub fn search_history(&self) -> Result<(), Failure> {
        let mut command = Command::new("git");
        command.args(["log", "--patch", "--all", "--text"]);
        let printed = self.run(command, "git log --patch --all --text".to_owned(), 0)?;
        match printed.says(&["kind: KafkaUser"]) {
            true => Ok(()),
            false => Err(Failure::NotTrue { claim: "the documents are in Git".to_owned() }),
        }
    }

    /// Files of home and checkout, relative to the folder of both, that hold a password in plain text; and how many
    /// files were read.
    pub fn files_with_secrets(&self) -> Result<(Vec<PathBuf>, usize), Failure> {
        let (mut found, mut count) = (Vec::new(), 0);
        for path in files_below(&self.folder)? {
            count += 1;
            let bytes = fs::read(&path).map_err(Failure::io(format!("read `{}`", path.display())))?;
            if self.holds_secret(&bytes) {
                found.push(path.strip_prefix(&self.folder).expect("found below it").to_owned());
            }
        }
        Ok((found, count))
    }
}

/// Every file below a folder, sorted; links are not followed.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let what = || Failure::io(format!("read `{}`", folder.display()));
        for entry in fs::read_dir(&folder).map_err(what())? {
            let path = entry.map_err(what())?.path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                assert!(depth < DEPTH_MAX, "folders of the demonstration are not nested that deeply");
                folders.push((path, depth + 1));
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Permission bits of a file.
pub fn mode(path: &Path) -> Result<u32, Failure> {
    let metadata = fs::metadata(path).map_err(Failure::io(format!("look at `{}`", path.display())))?;
    Ok(metadata.permissions().mode() & 0o777)
}

/// Which files there are in the store and the deliveries, and which writing of each: by inode, size and time.
#[derive(PartialEq, Eq)]
pub struct Stamp(BTreeMap<PathBuf, (u64, u64, SystemTime)>);

impl Stamp {
    /// How it is now.
    pub fn of_files(workshop: &Workshop) -> Result<Self, Failure> {
        let mut stamps = BTreeMap::new();
        // With a store in Vault there is no folder of one.
        for folder in [".kastellan", "delivered"].into_iter().filter(|folder| workshop.path(folder).is_dir()) {
            // Each writer notes its process id in the lock, which holds nothing else and is never committed.
            for path in files_below(&workshop.path(folder))?.into_iter().filter(|path| !path.ends_with("lock")) {
                let what = || Failure::io(format!("look at `{}`", path.display()));
                let metadata = fs::metadata(&path).map_err(what())?;
                let written = metadata.modified().map_err(what())?;
                stamps.insert(path, (metadata.ino(), metadata.len(), written));
            }
        }
        Ok(Self(stamps))
    }

    /// Whether a delivered file is the same writing in both.
    pub fn has_same(&self, other: &Self, path: &Path) -> bool {
        self.0.contains_key(path) && self.0.get(path) == other.0.get(path)
    }
}

/// The product, which the build puts beside the folder of the examples.
fn program() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(Failure::io("find this program"))?;
    let program = own.ancestors().nth(2).unwrap_or(Path::new("")).join("kastellan");
    if program.is_file() { Ok(program) } else { Err(Failure::NotBuilt { program: program.display().to_string() }) }
}
