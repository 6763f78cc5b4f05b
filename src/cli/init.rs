//! `kastellan init`: an identity, a store, and first documents; nothing that exists is overwritten.

use std::path::{Path, PathBuf};

use super::arguments::InitArguments;
use super::{output, surroundings};
use crate::diagnostic::{Chain, ExitStatus};
use crate::engine::Surroundings;
use crate::names::StoreName;
use crate::store::age::AgeSettings;
use crate::store::{MachineState, age};

pub(super) async fn run(arguments: InitArguments) -> ExitStatus {
    let written = tokio::task::spawn_blocking(move || write_all(&arguments, &surroundings::read())).await;
    match written.expect("writing files does not panic") {
        Ok(()) => ExitStatus::Done,
        Err(status) => status,
    }
}

fn write_all(arguments: &InitArguments, surroundings: &Surroundings) -> Result<(), ExitStatus> {
    let directory = &arguments.directory;
    let store =
        arguments.store.clone().unwrap_or_else(|| directory.parent().unwrap_or(Path::new("")).join(".kastellan/store"));
    let identity = match (&arguments.identity, &surroundings.home) {
        (Some(identity), _) => absolute(identity)?,
        (None, Some(home)) => home.join(".config/kastellan/identity.txt"),
        (None, None) => {
            return Err(fail("there is no home directory for the identity", Some("name a file with `--identity`")));
        }
    };
    let documents = documents(arguments, &store, &identity, surroundings)?;
    if let Some((existing, _)) = documents.iter().find(|(path, _)| path.exists()) {
        let hint = "name another folder, or remove it";
        return Err(fail(&format!("`{}` exists already", existing.display()), Some(hint)));
    }
    let settings = AgeSettings {
        name: StoreName::parse("local").expect("a plain word is a store name"),
        directory: absolute(&store)?,
        identity_file: identity,
        recipients: Vec::new(),
        inputs: vec!["imports".to_owned()],
    };
    let machine = MachineState { markers: surroundings.store_markers.clone() };
    let initialised = age::init(&settings, &machine).map_err(|error| {
        output::error(&Chain(&error).to_string(), error.hint().as_ref());
        error.exit_status()
    })?;
    for (path, text) in &documents {
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, text));
        written.map_err(|error| fail(&format!("failed to write `{}`: {error}", path.display()), None))?;
    }
    tell(arguments, &settings, &initialised, &documents);
    Ok(())
}

fn fail(message: &str, hint: Option<&str>) -> ExitStatus {
    output::error(message, hint.map(str::to_owned).as_ref());
    ExitStatus::Failed
}

fn absolute(path: &Path) -> Result<PathBuf, ExitStatus> {
    std::path::absolute(path).map_err(|error| fail(&format!("`{}`: {error}", path.display()), None))
}

/// A path as a document in `folder` should name `path`: below the home directory by `~/`, else relative where both are,
/// else absolute.
fn written(path: &Path, folder: &Path, home: Option<&PathBuf>) -> Result<String, ExitStatus> {
    if let Some(rest) = home.and_then(|home| path.strip_prefix(home).ok()).filter(|_| path.is_absolute()) {
        return Ok(format!("~/{}", rest.display()));
    }
    if path.is_absolute() || folder.is_absolute() {
        return Ok(absolute(path)?.display().to_string());
    }
    let ups = folder.components().map(|_| "../").collect::<String>();
    Ok(format!("{ups}{}", path.display()))
}

fn documents(
    arguments: &InitArguments,
    store: &Path,
    identity: &Path,
    surroundings: &Surroundings,
) -> Result<Vec<(PathBuf, String)>, ExitStatus> {
    let directory = &arguments.directory;
    let home = surroundings.home.as_ref();
    let quoted = |text: &str| serde_json::to_string(text).expect("a text is JSON");
    let store_path = quoted(&written(store, directory, None)?);
    let identity_path = quoted(&written(identity, directory, home)?);
    let tls = match &arguments.ca_file {
        Some(ca) => format!("    tls: {{caFile: {}}}\n", quoted(&written(ca, directory, None)?)),
        None => String::new(),
    };
    let clients = arguments.clients_bootstrap_servers.as_ref().unwrap_or(&arguments.bootstrap_servers);
    let store_text = format!(
        "\
# Where credentials live: a folder of age files. Records in it are readable and hold no secret; all of it may be committed.
apiVersion: kastellan.io/v1alpha1
kind: CredentialStore
metadata: {{name: local}}
spec:
  age:
    directory: {store_path}
    identityFile: {identity_path}   # never commit this file; keep a backup of it
    inputs: [imports/]   # where `password.valueFrom.store` may read; `kastellan store put` writes there
"
    );
    let cluster_text = format!(
        "\
# How Kastellan reaches Kafka, and how applications do. `kastellan policy kafka` prints the rights Kastellan needs.
apiVersion: kastellan.io/v1alpha1
kind: KafkaCluster
metadata: {{name: kafka}}
spec:
  bootstrapServers: {}
  admin:
    authentication:
      type: scram-sha-512
      username: {}
      password: {{valueFrom: {{env: KAFKA_ADMIN_PASSWORD}}}}
{tls}  clients:
    bootstrapServers: {}
    mechanisms: [scram-sha-512, scram-sha-256]
{tls}",
        quoted(&arguments.bootstrap_servers),
        quoted(&arguments.admin_username),
        quoted(clients),
    );
    Ok(vec![
        (directory.join("store.yaml"), store_text),
        (directory.join("cluster.yaml"), cluster_text),
        (directory.join("users/hello.yaml"), HELLO.to_owned()),
    ])
}

/// A first user, harmless on any cluster.
const HELLO: &str = "\
# A first user. Change it, add others beside it, then: kastellan plan
apiVersion: kastellan.io/v1alpha1
kind: KafkaUser
metadata: {name: hello, namespace: demo}
spec:
  clusters: [kafka]
  authentication: {type: scram}
  authorization:
    acls:
      - {resource: {type: topic, name: hello., patternType: prefix}, operations: [Read, Write, Create, Describe]}
      - {resource: {type: group, name: hello}, operations: [Read]}
  quotas: {producerByteRate: 1048576, consumerByteRate: 1048576}
";

fn tell(
    arguments: &InitArguments,
    settings: &AgeSettings,
    initialised: &age::Initialised,
    documents: &[(PathBuf, String)],
) {
    let how = match initialised.identity {
        age::IdentityOrigin::Created => "created; keep a backup, and never commit it",
        age::IdentityOrigin::Found => "used as it is",
    };
    output::note(&format!("identity  {} ({how})", settings.identity_file.display()));
    output::note(&format!("store     {} (bound to this machine)", settings.directory.display()));
    for (path, _) in documents {
        output::note(&format!("document  {}", path.display()));
    }
    let folder = arguments.directory.display();
    output::note(&format!(
        "\nNext: edit {folder}/cluster.yaml, set KAFKA_ADMIN_PASSWORD, then `kastellan plan -f {folder}` and `kastellan apply -f {folder}`."
    ));
}
