//! What can go wrong with a delivery.

use std::io;
use std::path::PathBuf;

use super::{OwnerError, SecretError};
use crate::diagnostic::{Disposition, Hint};
use crate::git::GitError;
use crate::names::{Generation, NamespacedName};
use crate::render::RenderError;
use crate::spec::Owner;

/// Why a delivery was not observed, written or removed.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The credential does not fit into the format.
    #[error("the credential cannot be rendered")]
    Render(#[source] RenderError),
    /// The path is relative or names no file.
    #[error("`{}` is not an absolute path to a file", .path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// The folder does not exist, or is not a folder.
    #[error("there is no folder `{}`", .folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// Something that is no plain file stands there.
    #[error("`{}` is {what}, not a plain file", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is, e.g. "a symbolic link".
        what: &'static str,
    },
    /// A file that Kastellan did not write stands there.
    #[error("`{}` exists and is not ours", .path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
    },
    /// A file of another user of Kastellan stands there.
    #[error("`{}` is the delivery of user `{user}`", .path.display())]
    OfOtherUser {
        /// The path.
        path: PathBuf,
        /// That user.
        user: NamespacedName,
    },
    /// What stands there is ahead of what is to be written (R4).
    #[error("`{target}` holds generation {found}, and the record knows only {ours}")]
    Newer {
        /// The path, or the place of the Secret.
        target: String,
        /// The generation that stands there.
        found: Generation,
        /// The generation that was to be written.
        ours: Generation,
    },
    /// What stands there does not hold a credential that can be read back.
    #[error("`{target}` holds no whole credential in the format `{format}`")]
    NotWhole {
        /// The path, or the place of the Secret.
        target: String,
        /// The format it should have.
        format: &'static str,
    },
    /// A Kubernetes Secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A Git repository would take the secret in.
    #[error("`{}` would be tracked by the Git repository `{}`", .path.display(), .work_tree.display())]
    Tracked {
        /// The file, or the sibling that it is first written to.
        path: PathBuf,
        /// The repository's work tree.
        work_tree: PathBuf,
    },
    /// The file lies in a Git repository, and whether it would be tracked could not be found out.
    #[error("`{}` lies in the Git repository `{}`, and git could not be asked about it", .path.display(), .work_tree.display())]
    GitSilent {
        /// The file.
        path: PathBuf,
        /// The repository's work tree.
        work_tree: PathBuf,
        /// What git said; `None` where it is not installed.
        #[source]
        source: Option<GitError>,
    },
    /// The owner is not known on this machine.
    #[error("owner `{owner}` cannot be resolved")]
    Owner {
        /// As the document names it.
        owner: Owner,
        /// Why not.
        #[source]
        source: OwnerError,
    },
    /// The file could not be given to its owner.
    #[error("`{}` could not be given to its owner", .path.display())]
    GiveAway {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process delivers into the same folder right now.
    #[error("another process is writing to folder `{}`", .folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// The delivery lies on another machine.
    #[error("it was written on another machine (`{machine}`)")]
    OtherMachine {
        /// The id of that machine.
        machine: String,
    },
    /// The file or its folder could not be read.
    #[error("failed to read `{}`", .path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file could not be written or removed; what was there before still is.
    #[error("failed to write `{}`", .path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl DeliveryError {
    /// Whose turn it is.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Busy { .. } => Disposition::Retry,
            Self::Secret(error) => error.disposition(),
            Self::GitSilent { source: Some(error), .. } => error.disposition(),
            Self::Read { source, .. } | Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::Interrupted => Disposition::Retry,
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::ResourceBusy
                | io::ErrorKind::StaleNetworkFileHandle => Disposition::Wait,
                _ => Disposition::Stall,
            },
            Self::Render(_)
            | Self::Path { .. }
            | Self::NoFolder { .. }
            | Self::NotAFile { .. }
            | Self::Foreign { .. }
            | Self::OfOtherUser { .. }
            | Self::Newer { .. }
            | Self::NotWhole { .. }
            | Self::Tracked { .. }
            | Self::GitSilent { source: None, .. }
            | Self::Owner { .. }
            | Self::GiveAway { .. }
            | Self::OtherMachine { .. } => Disposition::Stall,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<Hint> {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::Render(error) => error.hint(),
            Self::Secret(error) => error.hint(),
            Self::Path { .. } => None,
            Self::NoFolder { folder } => {
                Some(format!("create it, for the application's user alone: `install -d -m 0700 {}`", folder.display()))
            }
            Self::NotAFile { .. } => Some("name the file itself, in the folder where it really lies".to_owned()),
            Self::Foreign { path } => {
                Some(format!("move it away, then apply again: `mv {0} {0}.before`", path.display()))
            }
            Self::OfOtherUser { .. } => Some("give each delivery a path of its own".to_owned()),
            Self::Newer { .. } => Some(
                "the store may have been restored from an older copy; find the newer one before going on".to_owned(),
            ),
            Self::NotWhole { .. } => {
                Some("look whether somebody changed it, or its `format` in the document".to_owned())
            }
            Self::Tracked { path, work_tree } => {
                let file = name(path);
                let pattern = file.strip_suffix(super::file::SCRATCH_SUFFIX).unwrap_or(&file);
                Some(format!(
                    "ignore it (add `{pattern}*` to {}, and `git rm --cached` what is tracked), or deliver elsewhere",
                    work_tree.join(".gitignore").display()
                ))
            }
            Self::GitSilent { source: None, .. } => Some("install git, or deliver to a folder outside".to_owned()),
            Self::GitSilent { source: Some(_), .. } => {
                Some("repair what git complains about, or deliver to a folder outside".to_owned())
            }
            Self::Owner { source, .. } => source.hint(),
            Self::GiveAway { .. } => {
                Some("run as root, or leave `owner` out so that the file belongs to this user".to_owned())
            }
            Self::OtherMachine { .. } => Some("run there, or remove the file there by hand".to_owned()),
            Self::Busy { .. } | Self::Read { .. } | Self::Write { .. } => None,
        }
    }
}
