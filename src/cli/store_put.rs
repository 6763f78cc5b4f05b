//! `kastellan store put`, and the way to `store copy`.

use std::io::{IsTerminal as _, Read as _};

use super::arguments::{FileArguments, StoreArguments, StoreCommand};
use super::{documents, output, passes, store_copy, surroundings};
use crate::credential::Seen;
use crate::diagnostic::{Chain, ExitStatus};
use crate::engine::Mode;
use crate::names::StoreName;
use crate::secret::Secret;
use crate::spec::{Documents, StorePath};

/// No password is longer; a bound keeps a wrong pipe from filling memory.
const PASSWORD_BYTES_MAX: u64 = 64 * 1024;

pub(super) async fn run(arguments: StoreArguments) -> ExitStatus {
    let ended = match arguments.command {
        StoreCommand::Put { path, key, store, files } => put(&path, &key, store, &files).await,
        StoreCommand::Copy { from, to, files } => store_copy::copy(&from, &to, &files).await,
    };
    match ended {
        Ok(status) | Err(status) => status,
    }
}

async fn put(path: &str, key: &str, store: Option<StoreName>, files: &FileArguments) -> Result<ExitStatus, ExitStatus> {
    let documents = documents::read(files)?;
    let name = pick_store(&documents, store)?;
    let below = path.parse::<StorePath>().map_err(|why| {
        output::error(&format!("`{path}`: {why}"), None);
        ExitStatus::Usage
    })?;
    let inputs = &documents.stores[&name].inputs;
    if !inputs.iter().any(|input| below.is_below(input)) {
        return Err(refuse_outside_inputs(&below, &name));
    }
    let password = read_password()?;
    let only_store = Documents {
        stores: documents.stores.into_iter().filter(|(known, _)| *known == name).collect(),
        ..Documents::default()
    };
    let links = passes::open(&only_store, Mode::Change, surroundings::read()).await?;
    let Some(Seen::Known(link)) = links.stores.get(&name) else { return Err(ExitStatus::Failed) };
    let Some(store) = &link.store else { return Err(ExitStatus::Failed) };
    match store.write_input(&below.to_string(), key, password).await {
        Ok(_) => {
            output::note(&format!("Written: `{key}` at `{below}` in store `{name}`."));
            Ok(ExitStatus::Done)
        }
        Err(error) => {
            output::error(&Chain(&error).to_string(), error.hint().as_ref());
            Err(ExitStatus::Failed)
        }
    }
}

/// Says that a path is none of the store's inputs.
pub(super) fn refuse_outside_inputs(path: &StorePath, store: &StoreName) -> ExitStatus {
    let hint = format!("list its folder in `spec.inputs` of store `{store}`, e.g. `inputs: [imports/]`");
    output::error(&format!("`{path}` does not lie below the store's `inputs`"), Some(&hint));
    ExitStatus::Failed
}

/// The store that is named, or the only one.
///
/// # Errors
/// The status to exit with; everything is said already.
pub(super) fn pick_store(documents: &Documents, named: Option<StoreName>) -> Result<StoreName, ExitStatus> {
    let known = documents.stores.keys().collect::<Vec<_>>();
    match (named, known.as_slice()) {
        (Some(name), known) if known.contains(&&name) => Ok(name),
        (Some(name), _) => {
            output::error(&format!("no document declares store `{name}`"), None);
            Err(ExitStatus::Failed)
        }
        (None, [only]) => Ok((*only).clone()),
        (None, _) => {
            output::error("there is not exactly one store", Some(&"name it with `--store`".to_owned()));
            Err(ExitStatus::Failed)
        }
    }
}

/// Reads the password from standard input; one line end at its end does not count.
fn read_password() -> Result<Secret, ExitStatus> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        output::note("Type the password, then end the input (Ctrl-D). It will be visible; a pipe is better.");
    }
    let mut bytes = Vec::with_capacity(4096);
    if let Err(error) = stdin.lock().take(PASSWORD_BYTES_MAX + 1).read_to_end(&mut bytes) {
        output::error(&format!("failed to read the password: {error}"), None);
        return Err(ExitStatus::Failed);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    let password = Secret::new(bytes);
    if password.is_empty() || password.len() as u64 > PASSWORD_BYTES_MAX || !password.is_text_without_controls() {
        output::error("the password must be one line of text", None);
        return Err(ExitStatus::Failed);
    }
    Ok(password)
}
