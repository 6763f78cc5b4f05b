//! What the program finds around itself, read once.

use std::path::PathBuf;

use crate::engine::Surroundings;

/// Home, state folder and environment of this process.
pub(super) fn read() -> Surroundings {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| !home.as_os_str().is_empty());
    Surroundings {
        store_markers: state_folder(home.as_ref()).join("kastellan/stores"),
        home,
        search_path: std::env::var_os("PATH").unwrap_or_default(),
        variable: Box::new(|name| std::env::var(name).ok()),
    }
}

/// `$XDG_STATE_HOME`, else `~/.local/state` (XDG Base Directory Specification).
fn state_folder(home: Option<&PathBuf>) -> PathBuf {
    let given = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    given.unwrap_or_else(|| home.cloned().unwrap_or_else(|| PathBuf::from("/")).join(".local/state"))
}
