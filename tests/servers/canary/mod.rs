//! Promise 2: known secrets are looked for wherever a run could leave them, in every form it could give them.
//!
//! Every command runs at `--log trace`. Allowed are: the delivered file, the identity file, and the variable that holds
//! the admin password, for the program itself alone.

mod import;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use kastellan::names::Mechanism;
use kastellan::secret::{Iterations, Salt, ScramKeys, Secret, derive_keys};

use crate::by_hand::Backup;
use crate::namespace::{Namespace, secret_name};
use crate::operator::{Kept, MOUNT, Operator, Transport, delivered_password};
use crate::stack::kafka::principal;
use crate::stack::{Cluster, Credentials, KafkaVersion, kubernetes, quiet, unique_name};

/// Fewer characters of base64 than this say nothing.
const BASE64_CHARACTERS_MIN: usize = 10;

/// Everything to look for: what it is, and its bytes.
#[derive(Default)]
struct Canaries(BTreeMap<String, Vec<u8>>);

impl Canaries {
    /// Takes a secret in all its forms.
    fn add(&mut self, what: &str, secret: &[u8]) {
        let mut form = |form: &str, bytes: Vec<u8>| self.0.insert(format!("{what} ({form})"), bytes);
        form("as it is", secret.to_vec());
        for offset in 0..3 {
            for (alphabet, engine) in [("base64", &STANDARD), ("base64url", &URL_SAFE)] {
                form(&format!("{alphabet} at {offset}"), within_base64(engine, secret, offset));
            }
        }
        let hex = |upper: bool| -> String {
            secret.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect()
        };
        form("hex", hex(false).into_bytes());
        form("HEX", hex(true).into_bytes());
        form("bytes of Debug", format!("{secret:?}").trim_matches(['[', ']']).as_bytes().to_vec());
        for upper in [false, true] {
            form(&format!("URL-escaped, {upper}"), url_escaped(secret, upper).into_bytes());
        }
        if let Ok(text) = std::str::from_utf8(secret) {
            let inner = |quoted: String| quoted.as_bytes()[1..quoted.len() - 1].to_vec();
            form("JSON-escaped", inner(serde_json::to_string(text).unwrap()));
            form("Debug-escaped", inner(format!("{text:?}")));
            form("JAAS in properties", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\\', "\\\\").into());
        }
    }

    /// Which of them are in `bytes`. One pass: logs at TRACE are long, and the forms of a secret many.
    fn in_bytes(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut by_beginning: HashMap<[u8; 2], Vec<(&str, &[u8])>> = HashMap::new();
        for (what, canary) in &self.0 {
            by_beginning.entry([canary[0], canary[1]]).or_default().push((what, canary));
        }
        let mut found = BTreeSet::new();
        for (position, pair) in bytes.windows(2).enumerate() {
            for (what, canary) in by_beginning.get(pair).into_iter().flatten() {
                if bytes[position..].starts_with(canary) {
                    found.insert(*what);
                }
            }
        }
        found
    }

    #[track_caller]
    fn assert_none_in(&self, place: &str, bytes: &[u8]) {
        let found = self.in_bytes(bytes);
        assert!(found.is_empty(), "{place} holds {found:?}");
    }

    /// Looks into every file below a folder, and at its names.
    #[track_caller]
    fn assert_none_below(&self, folder: &Path, allowed: &[&Path]) {
        for path in files_below(folder) {
            if !allowed.iter().any(|allowed| path.starts_with(allowed)) {
                self.assert_none_in(&path.display().to_string(), &fs::read(&path).unwrap());
            }
            self.assert_none_in("a name of a file", path.as_os_str().as_encoded_bytes());
        }
    }
}

/// The characters of base64 that a secret alone determines when it stands `offset` bytes behind a multiple of three.
fn within_base64(engine: &impl base64::Engine, secret: &[u8], offset: usize) -> Vec<u8> {
    let encoded = engine.encode([&vec![0; offset], secret].concat());
    let first = (offset * 8).div_ceil(6);
    let last = (offset + secret.len()) * 8 / 6;
    assert!(last - first >= BASE64_CHARACTERS_MIN, "a canary is too short to be recognised");
    encoded.as_bytes()[first..last].to_vec()
}

fn url_escaped(secret: &[u8], upper: bool) -> String {
    let escape = |byte: &u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) => char::from(*byte).to_string(),
        byte if upper => format!("%{byte:02X}"),
        byte => format!("%{byte:02x}"),
    };
    secret.iter().map(escape).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.is_file() {
            files.push(path);
        }
    }
    files
}

/// Runs commands at TRACE and keeps everything they say.
struct Run<'c> {
    operator: Operator<'c>,
    said: Vec<(String, Vec<u8>)>,
}

impl Run<'_> {
    fn command(&mut self, arguments: &[&str], input: &str, code: i32) {
        let arguments = [&["--log", "trace"], arguments].concat();
        let outcome = self.operator.run_with_input(&arguments, input).exits(code);
        let command = arguments.join(" ");
        assert!(!outcome.stderr.is_empty() || !outcome.stdout.is_empty());
        self.said.push((format!("stdout of `{command}`"), outcome.stdout.into_bytes()));
        self.said.push((format!("stderr of `{command}`"), outcome.stderr.into_bytes()));
    }

    /// Runs a command and looks at the arguments of every process, and at the environment of its children, meanwhile.
    fn watched(&mut self, arguments: &[&str], code: i32) {
        let mut child = self.operator.command(&[&["--log", "trace"], arguments].concat());
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut seen = BTreeSet::new();
        while child.try_wait().unwrap().is_none() {
            for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
                let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
                seen.insert((format!("arguments in {:?}", process.path()), read("cmdline")));
                let parent = String::from_utf8_lossy(&read("stat")).into_owned();
                let parent = parent.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1).map(str::to_owned));
                if parent == Some(child.id().to_string()) {
                    seen.insert((format!("environment of child {:?}", process.path()), read("environ")));
                }
            }
        }
        assert_eq!(child.wait().unwrap().code(), Some(code));
        self.said.extend(seen);
    }
}

/// Every command, each way it can end that does not spoil the others.
fn run_everything(run: &mut Run<'_>, cluster: &Cluster, names: &[String; 2], given: &str) {
    for (arguments, input, code) in [
        (&["init", "second", "--store", "second-store", "--identity", "second.txt"][..], "", 0),
        (&["validate"], "", 0),
        (&["validate", "-o", "json"], "", 0),
        (&["store", "put", "elsewhere/legacy"], given, 1),
        (&["store", "put", "imports/legacy"], given, 0),
        (&["plan"], "", 0),
        (&["plan", "-o", "json"], "", 0),
        (&["plan", "--against", "second"], "", 0),
        (&["plan", "-o", "markdown", "--save", "plan.json"], "", 0),
        (&["apply", "plan.json", "-o", "json"], "", 0),
        (&["plan"], "", 0),
        (&["apply", "--auto-approve"], "", 0),
        (&["status"], "", 0),
        (&["status", "-o", "json"], "", 0),
        (&["verify"], "", 0),
        (&["verify", "-o", "json"], "", 0),
        (&["policy", "kafka"], "", 0),
        (&["schemas"], "", 0),
        (&["completions", "bash"], "", 0),
    ] {
        run.command(arguments, input, code);
    }
    if cfg!(feature = "librdkafka") {
        run.command(&["verify", "--with-librdkafka"], "", 0);
    }
    // Drift of every kind, healed; then a store that fails in the middle.
    for name in names {
        cluster.set_password(name, Mechanism::ScramSha512, &Credentials::random(name).password).unwrap();
        cluster.revoke_all(&principal(name)).unwrap();
    }
    run.watched(&["apply", "--auto-approve"], 0);
    cluster.delete_password(&names[0], Mechanism::ScramSha512).unwrap();
    let material = run.operator.store().join(format!("_kastellan/material/tests/{}/1.age", names[0]));
    let whole = fs::read(&material).unwrap();
    fs::write(&material, &whole[..whole.len() / 2]).unwrap();
    run.command(&["apply", "--auto-approve"], "", 4);
    run.command(&["verify"], "", 1);
    fs::write(&material, whole).unwrap();
    run.command(&["apply", "--auto-approve"], "", 0);
    // A deletion and its undo.
    let document = run.operator.documents().join(format!("{}.yaml", names[0]));
    let text = fs::read(&document).unwrap();
    fs::remove_file(&document).unwrap();
    run.command(&["apply", "--auto-approve", "--prune"], "", 0);
    fs::write(&document, text).unwrap();
    run.command(&["apply", "--auto-approve"], "", 0);
    run.command(&["verify"], "", 0);
}

/// A rotation, what leads out of a store that is restored from before it, and a revocation. Each credential that comes by is
/// looked for.
fn rotate_everything(run: &mut Run<'_>, name: &str, file: &Path, canaries: &mut Canaries) {
    let mut note = |run: &Run<'_>, what: &str| {
        let password = delivered_password(file);
        canaries.add(&format!("password {what}"), password.as_bytes());
        let keys = keys_of(&run.operator, name, &password);
        canaries.add(&format!("salted password {what}"), keys.salted_password.expose());
        canaries.add(&format!("client key {what}"), keys.client_key.expose());
        canaries.add(&format!("server key {what}"), keys.server_key.expose());
    };
    note(run, "before rotation");
    let backup = Backup::take(&run.operator);
    run.command(&["rotate", name, "--auto-approve"], "", 0);
    note(run, "of a rotation");
    backup.put_back();
    run.command(&["rotate", name, "--auto-approve"], "", 4);
    run.command(&["recover", name, "--from-deliveries", "--dry-run", "-o", "json"], "", 0);
    run.command(&["recover", name, "--from-deliveries", "--auto-approve"], "", 0);
    run.command(&["abort", name], "", 4);
    run.command(&["ack", name, "-o", "json"], "", 0);
    // Nothing ends a connection here, so it waits for somebody who restarts the brokers.
    run.command(&["rotate", name, "--revoke-now", "--auto-approve"], "", 4);
    note(run, "after a revocation");
    run.command(&["status", "-o", "json"], "", 0);
    run.command(&["ack", name], "", 0);
}

/// The keys of the credential that Kafka was sent, as the record's slot and the password tell.
fn keys_of(operator: &Operator<'_>, name: &str, password: &str) -> ScramKeys {
    let slot = &operator.record(name)["active"];
    let text = |key: &str| slot[key].as_str().unwrap();
    let mechanism: Mechanism = text("mechanism").parse().unwrap();
    let salt = Salt::observed(STANDARD.decode(text("salt")).unwrap());
    let iterations = Iterations::try_from(u32::try_from(slot["iterations"].as_u64().unwrap()).unwrap()).unwrap();
    derive_keys(mechanism, &Secret::from_text(password.to_owned()), &salt, iterations)
}

/// Commits documents and store, as teams do, and hands back the bytes of every object.
fn git_objects(operator: &Operator<'_>) -> Vec<u8> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(arguments);
        let output = command.current_dir(operator.work()).env("HOME", operator.home()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    operator.write(".gitignore", "/out/\n/second.txt\n");
    git(&["init", "-q"]);
    git(&["add", "--all"]);
    git(&["commit", "-q", "-m", "everything"]);
    git(&["cat-file", "--batch-all-objects", "--batch"])
}

#[test]
fn no_secret_is_anywhere_but_where_it_belongs() {
    let cluster = quiet(KafkaVersion::V4_3_1, 1);
    let mut operator = Operator::with(&[("kafka", cluster, Transport::Tls)]);
    let temporary = operator.work().join("temporary");
    fs::create_dir(&temporary).unwrap();
    operator.set("TMPDIR", temporary.to_str().unwrap());
    let names = [unique_name("canary"), unique_name("canary")];
    let files = [operator.out("generated.properties"), operator.out("given.properties")];
    // With everything that an escape changes.
    let given = format!("gi\"ven\\ {}/+%&=:'ß", Credentials::random("x").password_text());
    let password = "password: {valueFrom: {store: {path: imports/legacy, key: password}}}";
    for (index, name) in names.iter().enumerate() {
        let authentication = if index == 1 { format!("type: scram, {password}") } else { "type: scram".to_owned() };
        operator.declare(
            name,
            &format!(
                "{{clusters: [kafka], authentication: {{{authentication}}}, authorization: {{acls: [\
                 {{resource: {{type: topic, name: {name}}}, operations: [Read]}}]}}, \
                 rotation: {{strategy: mechanism-flip}}, \
                 deliver: [{{file: {{path: {}}}}}]}}",
                files[index].display()
            ),
        );
    }
    let mut run = Run { operator, said: Vec::new() };
    run_everything(&mut run, cluster, &names, &given);
    let mut canaries = Canaries::default();
    rotate_everything(&mut run, &names[0], &files[0], &mut canaries);

    canaries.add("admin password", cluster.kastellan.password.expose());
    canaries.add("given password", given.as_bytes());
    let generated = delivered_password(&files[0]);
    canaries.add("generated password", generated.as_bytes());
    let identities =
        [run.operator.home().join(".config/kastellan/identity.txt"), run.operator.work().join("second.txt")];
    for identity in &identities {
        let text = fs::read_to_string(identity).unwrap();
        let key = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
        canaries.add(&format!("identity {}", identity.display()), key.as_bytes());
        assert!(!canaries.in_bytes(text.as_bytes()).is_empty(), "the search is blind");
    }
    for (name, password) in names.iter().zip([&generated, &given]) {
        let keys = keys_of(&run.operator, name, password);
        canaries.add(&format!("salted password of {name}"), keys.salted_password.expose());
        canaries.add(&format!("client key of {name}"), keys.client_key.expose());
        canaries.add(&format!("server key of {name}"), keys.server_key.expose());
    }

    let is_talkative = |(place, bytes): &(String, Vec<u8>)| {
        place.starts_with("stderr") && String::from_utf8_lossy(bytes).contains(" TRACE ")
    };
    assert!(run.said.iter().any(is_talkative), "nothing was logged at TRACE");
    for (place, bytes) in &run.said {
        canaries.assert_none_in(place, bytes);
    }
    canaries.assert_none_below(run.operator.home(), &[&identities[0], &identities[1], &files[0], &files[1]]);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "something is left in TMPDIR");
    canaries.assert_none_in("Git", &git_objects(&run.operator));
    // The search is not blind: what may hold the secrets does.
    assert!(canaries.in_bytes(&fs::read(&files[0]).unwrap()).contains("generated password (as it is)"));
}

/// With the store in Vault and a delivery to Kubernetes: the clients of both log at TRACE too, Vault writes down what it is
/// asked and answers, and the API server what it thinks worth telling.
#[test]
fn no_secret_is_in_what_the_clients_of_vault_and_kubernetes_log_nor_in_what_their_servers_do() {
    let (vault, cluster) = (crate::vault::vault(), quiet(KafkaVersion::V4_3_1, 1));
    let mut operator = Operator::keeping(Kept::Vault(vault), &[("kafka", cluster, Transport::Tls)]);
    let namespace = Namespace::of(&mut operator, kubernetes::shared());
    let (name, given) = (unique_name("canary"), Credentials::random("x").password_text().to_owned());
    let file = operator.out("canary.properties");
    let spec = format!(
        "{{clusters: [kafka], authentication: {{type: scram}}, rotation: {{strategy: mechanism-flip, overlap: 0s}}, \
         deliver: [{{file: {{path: {}}}}}, {}]}}",
        file.display(),
        namespace.delivery(&name)
    );
    operator.declare(&name, &spec);
    namespace.allow(&operator);
    let mut run = Run { operator, said: Vec::new() };
    let mut canaries = Canaries::default();
    canaries.add("given password", given.as_bytes());
    let secret_id = run.operator.work().join("secret-id");
    canaries.add("secret id", fs::read_to_string(&secret_id).unwrap().trim().as_bytes());
    canaries.add("token of the service account", namespace.token.as_bytes());
    run.command(&["store", "put", "imports/legacy"], &given, 0);
    for (index, arguments) in
        [&["apply", "--auto-approve"][..], &["rotate", &name, "--auto-approve"]].iter().enumerate()
    {
        run.command(arguments, "", 0);
        let password = delivered_password(&file);
        assert_eq!(namespace.mounted(&name).unwrap()["password"], password);
        canaries.add(&format!("password {index}"), password.as_bytes());
        let keys = keys_of(&run.operator, &name, &password);
        canaries.add(&format!("salted password {index}"), keys.salted_password.expose());
        canaries.add(&format!("client key {index}"), keys.client_key.expose());
        canaries.add(&format!("server key {index}"), keys.server_key.expose());
    }
    for arguments in [&["plan"][..], &["status"], &["verify"]] {
        run.command(arguments, "", 0);
    }
    // One that somebody touched is read as a whole, compared and mended.
    let touch = serde_json::json!({"data": {"password": "d3Jvbmc="}});
    namespace.kubernetes.edit_secret(&namespace.name, &secret_name(&name), "someone", &touch);
    run.command(&["plan"], "", 0);
    run.command(&["apply", "--auto-approve"], "", 0);
    let login = format!("{:?}", run.operator.prefix());
    fs::write(&secret_id, "00000000-0000-0000-0000-000000000000").unwrap();
    run.command(&["apply", "--auto-approve"], "", 1);

    let [of_vault, of_kubernetes] = [vault.tls_url(), namespace.kubernetes.authority()].map(|address| {
        let port = address.rsplit(':').next().unwrap().to_owned();
        let is_of_client = |(_, bytes): &(String, Vec<u8>)| {
            let text = String::from_utf8_lossy(bytes);
            text.lines().any(|line| line.contains("hyper_util") && line.contains(&port))
        };
        run.said.iter().any(is_of_client)
    });
    assert!(of_vault && of_kubernetes, "a client logged nothing: Vault's {of_vault}, Kubernetes' {of_kubernetes}");
    for (place, bytes) in &run.said {
        canaries.assert_none_in(place, bytes);
        // How tokens of Vault begin.
        assert!(!String::from_utf8_lossy(bytes).contains("hvs."), "{place} holds a token");
    }
    // What is not HMAC'd of it tells that it is the whole one: who came, and what was written.
    let audit = fs::read(vault.audit_log()).unwrap();
    let entries = String::from_utf8_lossy(&audit);
    let written = format!("{MOUNT}/data/{}/tests/{name}", run.operator.prefix());
    assert!(entries.contains(&login) && entries.contains(&written) && entries.contains("hmac-sha256:"));
    assert!(entries.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    canaries.assert_none_in("the audit log", &audit);
    canaries.assert_none_in("the log of Vault", vault.log().as_bytes());
    let log = namespace.kubernetes.log();
    assert!(!log.is_empty());
    canaries.assert_none_in("the log of the API server", log.as_bytes());
}

/// The search finds every form of a secret that somebody plants, wherever it looks.
#[test]
fn a_planted_secret_is_found_in_every_form() {
    let mut canaries = Canaries::default();
    let secret = "s3cr\"et\\ with/+%&=:'ß and more";
    canaries.add("planted", secret.as_bytes());
    let mut planted: Vec<(String, Vec<u8>)> = vec![
        ("as it is".into(), secret.into()),
        ("JSON-escaped".into(), serde_json::to_vec(&serde_json::json!({"password": secret})).unwrap()),
        ("Debug-escaped".into(), format!("{secret:?}").into()),
        ("bytes of Debug".into(), format!("Bytes({:?})", secret.as_bytes()).into()),
        ("hex".into(), secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into()),
        ("URL-escaped, true".into(), url_escaped(secret.as_bytes(), true).into()),
    ];
    for offset in 0..3 {
        let text = format!("{}{secret}, and something behind it", &"xyz"[..offset]);
        planted.push((format!("base64 at {offset}"), STANDARD.encode(&text).into()));
        planted.push((format!("base64url at {offset}"), URL_SAFE.encode(&text).into()));
    }
    let folder = tempfile::tempdir().unwrap();
    for (form, bytes) in planted {
        let bytes = [b"before ".as_slice(), &bytes, b" after"].concat();
        assert!(canaries.in_bytes(&bytes).contains(format!("planted ({form})").as_str()), "{form}");
        let file = folder.path().join("deep/er/leak");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &bytes).unwrap();
        let looks = || canaries.assert_none_below(folder.path(), &[]);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(looks)).is_err(), "{form}");
        canaries.assert_none_below(folder.path(), &[&file]);
    }
    canaries.assert_none_in("nothing", b"s3cr et");
}
