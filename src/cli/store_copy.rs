//! `kastellan store copy`.

use super::arguments::FileArguments;
use super::{documents, output, passes, surroundings};
use crate::credential::Seen;
use crate::diagnostic::{Chain, ExitStatus};
use crate::engine::{Mode, StoreLink};
use crate::names::StoreName;
use crate::spec::Documents;
use crate::store::{Copied, CopyError, Store, StoreError, copy_store};

/// Copies, and says what is left to do: both stores hold the users then, and only one may be used.
pub(super) async fn copy(from: &StoreName, to: &StoreName, files: &FileArguments) -> Result<ExitStatus, ExitStatus> {
    let documents = documents::read(files)?;
    if from == to {
        output::error("a store cannot be copied into itself", None);
        return Err(ExitStatus::Usage);
    }
    for name in [from, to] {
        if !documents.stores.contains_key(name) {
            output::error(&format!("no document declares store `{name}`"), None);
            return Err(ExitStatus::Failed);
        }
    }
    let both = Documents {
        stores: documents.stores.into_iter().filter(|(name, _)| [from, to].contains(&name)).collect(),
        ..Documents::default()
    };
    // Both for writing: nothing else may change the first meanwhile.
    let links = passes::open(&both, Mode::Change, surroundings::read()).await?;
    let (source, target) = (opened(links.stores.get(from))?, opened(links.stores.get(to))?);
    let copies = copy_store(source, target).await.map_err(|error| failed(&error))?;
    let (mut now, mut before, mut elsewhere, mut left) = (0, 0, 0, 0);
    for (user, copied) in &copies {
        match copied {
            Ok(Copied::Now) => now += 1,
            Ok(Copied::Before) => before += 1,
            Ok(Copied::Elsewhere) => elsewhere += 1,
            Err(error) => {
                left += 1;
                let hint = if let CopyError::Store(error) = error { error.hint() } else { None };
                output::error(&format!("{user}: {}", Chain(error)), hint.as_ref());
            }
        }
    }
    output::note(&format!("Copied {now} users from store `{from}` to `{to}`; {before} were there already."));
    if elsewhere > 0 {
        output::note(&format!("{elsewhere} moved to another store before, and were left out."));
    }
    if left > 0 {
        output::note(&format!("{left} were not copied; nothing of them was changed in `{from}`."));
        return Ok(ExitStatus::Partial);
    }
    output::note(&format!(
        "Now take the document of store `{from}` away, and have users name `{to}`: `kastellan plan` then shows no change.\n\
         Keep what is in `{from}` only as a backup, and let nothing apply with it any more."
    ));
    Ok(ExitStatus::Done)
}

fn opened(link: Option<&Seen<StoreLink>>) -> Result<&dyn Store, ExitStatus> {
    match link {
        Some(Seen::Known(StoreLink { store: Some(store), .. })) => Ok(&**store),
        Some(Seen::Known(_) | Seen::Unknown(_)) | None => Err(ExitStatus::Failed),
    }
}

fn failed(error: &StoreError) -> ExitStatus {
    output::error(&Chain(error).to_string(), error.hint().as_ref());
    ExitStatus::Failed
}
